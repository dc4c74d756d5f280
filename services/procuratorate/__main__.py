"""Runs the procuratorate desk: `python -m services.procuratorate --config FILE`."""

import sys

from services.agency.app import main
from services.procuratorate.rules import RULEBOOK

if __name__ == "__main__":
    sys.exit(main(RULEBOOK, sys.argv[1:]))
