"""The project's own files, as git sees them: committed or about to be, never what is ignored."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {".venv", ".git", "var", "dist", "__pycache__", "node_modules"}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, relative to its root."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        found = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive instead of a checkout
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        found = [path for path in found if not any(part in IGNORED or part.endswith("_cache") for part in path.parts)]
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def modules() -> list[Path]:
    """Python modules written by hand."""
    return [path for path in files() if path.suffix == ".py" and path.parts[:2] != ("xieban", "wire")]


def text(path: Path | str) -> str:
    """A file of the project as text; what is not UTF-8 reads as empty."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
