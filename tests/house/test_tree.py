"""Rules of the tree: names, docstrings, nothing that belongs to one machine or one mirror, locks that agree."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from tests.house.tree import files, modules, text

DRAWERS = {"utils", "util", "common", "helpers", "helper", "base", "misc", "shared"}
# Written in pieces so that this file does not find itself.
ADDRESSES = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npmjs",
            "(?:deb|security)" + r"\.debian\.org",
            r"tuna\.tsing" + "hua",
            "mirrors" + r"\.aliyun",
            "proxy" + r"\.golang\.org",
            "/" + r"(?:home|Users)/\w+/",
            "/" + r"work/(?:main|shared|\.)",
            "/" + r"root/",
            r"\.py" + "env",
        )
    )
)


def test_no_module_is_a_drawer() -> None:
    assert [path for path in files() if path.suffix == ".py" and {path.stem, *path.parts[:-1]} & DRAWERS] == []


def test_every_module_says_why_it_exists() -> None:
    """Test modules may leave it out: the names of their tests are sentences."""
    spoken = [path for path in modules() if not path.name.startswith("test_") and text(path).strip()]
    assert [path for path in spoken if not ast.get_docstring(ast.parse(text(path)))] == []


def test_no_test_sleeps_but_to_look_again_at_a_foreign_process() -> None:
    """Only another program, which gives no event to wait for, may be polled, by pauses of a fifth of a second at most.

    In the survival suite the moment at which a process dies is the experiment, and drawn from a printed seed.
    """
    pause = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\)|0\.(?:0\d|1|2)\))")
    tests = [
        path
        for path in modules()
        if path.parts[0] == "tests" and path.name not in (Path(__file__).name, "test_survival_slow.py")
    ]
    assert [(path, match[0]) for path in tests if (match := pause.search(text(path)))] == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = [(str(path), match[0]) for path in files() if (match := ADDRESSES.search(text(path)))]
    assert found == []


def pins(lock: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", text(Path("requirements") / lock), re.MULTILINE))


def test_every_locked_package_has_a_hash() -> None:
    for lock in ("run.lock", "dev.lock", "tools.lock"):
        source = text(Path("requirements") / lock)
        blocks = re.split(r"^(?=[a-z0-9])", source, flags=re.MULTILINE)[1:]
        assert blocks
        assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_dev_holds_all_of_run_in_the_same_versions() -> None:
    assert pins("run.lock").items() <= pins("dev.lock").items()


def test_the_tools_agree_with_dev_where_both_name_a_package() -> None:
    tools, dev = pins("tools.lock"), pins("dev.lock")
    assert {name: tools[name] for name in tools.keys() & dev.keys()} == {
        name: dev[name] for name in tools.keys() & dev.keys()
    }


def test_every_dependency_is_locked_and_has_a_decision() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    declared = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in declared}
    assert len(names) > 10
    assert names - pins("dev.lock").keys() == set()
    assert names - set(re.findall(r"[a-z0-9-]+", text("docs/decisions/0004-dependencies.md"))) == set()
