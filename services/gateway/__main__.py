"""Runs the gateway: `python -m services.gateway --config FILE`."""

import sys

from services.gateway.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
