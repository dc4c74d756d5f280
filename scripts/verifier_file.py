"""Prints verifiers/xieban_verify.py: the off-line verifier as one file, for a machine that has Python and `cryptography` and no more.

The file holds the modules of `xieban.verify`, and those of `xieban.proof` and `xieban.errors` that they stand on, word for word, with an
importer that reads them from there. So what an expert reads and what `xieban log verify` runs are the same lines. `make docs` writes it,
`make lint` compares it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGINNING = "xieban.verify.command"

HEAD = '''\
#!/usr/bin/env python3
"""离线核验协办证据包：python xieban_verify.py 证据包.zip --roots 根密钥指纹文件

0 通过，1 不通过，2 无法判断。只需要 Python 3.11 以上和 cryptography；不连网络，不写文件。
格式和各项核验的含义见 docs/bundle-format.md。

Made by scripts/verifier_file.py of the library's own modules, word for word; change those, not this file.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys

SOURCES = {}
'''
TAIL = '''

class Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the modules above, and lets none of an installed library take their place."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != "xieban":
            return None
        if name not in SOURCES:
            raise ModuleNotFoundError(f"{name} is not part of this file", name=name)
        return importlib.util.spec_from_loader(name, self, origin=f"{__file__}:{name}", is_package=self.is_package(name))

    def is_package(self, name):
        return any(other.startswith(f"{name}.") for other in SOURCES)

    def get_source(self, name):
        return SOURCES[name]


if __name__ == "__main__":
    sys.meta_path.insert(0, Sources())
    from xieban.verify.command import main

    sys.exit(main())
'''


def page() -> Iterator[str]:
    """The file, line by line."""
    yield from HEAD.splitlines()
    for name in needed():
        source = text(name)
        if "'''" in source or source.endswith(("\\", "'")):
            raise ValueError(f"{name} cannot stand in a raw text")
        # A package's own text is only its introduction; what it holds is imported by name.
        yield ""
        yield f"# ---- {path(name).relative_to(ROOT)}"
        yield f"SOURCES[{name!r}] = r'''{source}'''"
    yield from TAIL.splitlines()


def needed() -> list[str]:
    """Every module of ours that the command needs, each after those it imports."""
    found: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        parent = name.rpartition(".")[0]
        if parent:
            visit(parent)
        for other in imports(name):
            visit(other)
        found.append(name)

    visit(BEGINNING)
    return found


def imports(name: str) -> Iterator[str]:
    """Modules of ours that a module imports."""
    for node in ast.walk(ast.parse(text(name))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "xieban":
            yield node.module
            for alias in node.names:
                if path(f"{node.module}.{alias.name}").exists():
                    yield f"{node.module}.{alias.name}"


def path(name: str) -> Path:
    """Where a module's text is."""
    place = ROOT / Path(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def text(name: str) -> str:
    return path(name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for line in page():
        print(line)
