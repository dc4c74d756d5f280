"""The `xieban` command. Importing this package costs nothing: everything is imported when the command runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the installed command."""
    import sys

    from xieban.cli.root import run

    sys.exit(run(sys.argv[1:]))
