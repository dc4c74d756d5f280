"""Runs the court desk: `python -m services.court --config FILE`."""

import sys

from services.agency.app import main
from services.court.rules import RULEBOOK

if __name__ == "__main__":
    sys.exit(main(RULEBOOK, sys.argv[1:]))
