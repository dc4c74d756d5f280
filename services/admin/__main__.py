"""`python -m services.admin`, the same as `xieban-node`."""

import sys

from services.admin.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
