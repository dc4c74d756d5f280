"""Runs the police desk: `python -m services.police --config FILE`."""

import sys

from services.agency.app import main
from services.police.rules import RULEBOOK

if __name__ == "__main__":
    sys.exit(main(RULEBOOK, sys.argv[1:]))
