"""Documents say what the code says: errors, glossary, verbs, links, variables, contracts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from scripts import errors_doc
from tests.house.tree import ROOT, files, text
from xieban.agency import Agency
from xieban.errors import Reason
from xieban.handoff import LADDER, State

MAKEFILE = text("Makefile")
VERBS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
DOCUMENTS = [path for path in files() if path.suffix == ".md"]


def test_the_page_of_errors_is_current() -> None:
    assert text("docs/errors.md").splitlines() == list(errors_doc.page())


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_is_documented_once_under_its_own_number(reason: Reason) -> None:
    rows = [row for row in text("docs/errors.md").splitlines() if row.startswith("|") and f"`{reason.name}`" in row]
    assert len(rows) == 1
    assert rows[0].split("|")[1].strip() == reason.number


def test_no_error_number_is_used_twice_and_each_is_of_a_known_family() -> None:
    numbers = [reason.number for reason in Reason]
    assert len(numbers) == len(set(numbers))
    assert [number for number in numbers if not re.fullmatch(r"XB-[1-7]\d{3}", number)] == []


def glossary() -> dict[str, str]:
    """Identifier -> Chinese, as the glossary's table gives them, in its order."""
    rows = [line.split("|") for line in text("docs/glossary.md").splitlines() if line.startswith("| `")]
    return {name: row[2].strip() for row in rows for name in re.findall(r"`([^`]+)`", row[1])}


def wire_names() -> set[str]:
    """What the protos name: services, messages and enums that are not one call's envelope, and the enums' values."""
    names: set[str] = set()
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        source = path.read_text(encoding="utf-8")
        names |= {
            name
            for name in re.findall(r"^(?:service|message|enum) (\w+)", source, re.MULTILINE)
            if not name.endswith(("Request", "Response"))
        }
        for enum, body in re.findall(r"^enum (\w+) \{(.*?)^\}", source, re.MULTILINE | re.DOTALL):
            prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum).upper() + "_"
            values = {
                value.removeprefix(prefix).lower() for value in re.findall(rf"^\s*({prefix}\w+) =", body, re.MULTILINE)
            }
            assert values, f"{enum}: values should start with {prefix}"
            names |= values - {"unspecified"}
    return names


def test_the_glossary_covers_the_wire() -> None:
    assert wire_names() - glossary().keys() == set()


def test_the_glossary_covers_agencies_states_and_facts() -> None:
    assert {str(agency) for agency in Agency} - glossary().keys() == set()
    assert {str(state) for state in State} | LADDER.keys() <= glossary().keys()


def test_the_glossary_is_sorted_and_gives_chinese_for_every_word() -> None:
    first = [re.findall(r"`([^`]+)`", row)[0] for row in text("docs/glossary.md").splitlines() if row.startswith("| `")]
    assert first == sorted(first, key=str.casefold)
    assert [name for name, chinese in glossary().items() if not re.search(r"[\u4e00-\u9fff]", chinese)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_make_command_in_the_documents_exists(document: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`|^(make [^\n#]+)", text(document), re.MULTILINE)
    named = {match for pair in spans for span in pair for match in re.findall(r"\bmake ([a-z][a-z-]*)", span)}
    assert named - VERBS == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_in_the_documents_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", text(document))
    broken = [target for target in targets if "://" not in target and not (ROOT / document.parent / target).exists()]
    assert broken == []


def test_the_readme_gives_two_commands_and_ci_runs_the_second() -> None:
    block = re.search(r"^```sh\n(.*?)^```", text("README.md"), re.MULTILINE | re.DOTALL)
    assert block is not None
    commands = [line.partition("#")[0].strip() for line in block[1].splitlines() if line.strip()]
    assert commands == ["make demo", "make test"]
    script = re.search(r"^readme_command\(\).*?^\}", text(".ci/run"), re.MULTILINE | re.DOTALL)
    assert script is not None
    printed = subprocess.run(
        ["bash", "-c", f"{script[0]}\nreadme_command"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == commands[1]


def test_help_lists_every_verb_a_person_types() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^  make ([a-z-]+) ", printed, re.MULTILINE))
    assert listed == VERBS - {"run-env", "dev-env", "protos-current", "docs-current"}


def test_every_variable_the_code_reads_is_in_operations() -> None:
    read = {
        name
        for path in files()
        if path.suffix in {".py", ".sh"} and path.parts[0] != "tests"
        for name in re.findall(r"\bXIEBAN_[A-Z_]+\b", text(path))
    }
    # Set by the script for its own second start.
    assert read - {"XIEBAN_ENVIRONMENT_LOCKED"} <= set(re.findall(r"`(XIEBAN_[A-Z_]+)`", text("docs/operations.md")))


def test_every_decision_is_listed_in_order() -> None:
    records = sorted(
        path.name for path in files() if path.parts[:2] == ("docs", "decisions") and path.name != "README.md"
    )
    assert re.findall(r"\]\((\d{4}-[^)]+)\)", text("docs/decisions/README.md")) == records
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]


def test_every_record_says_context_options_measured_outcome() -> None:
    for path in files():
        if path.parts[:2] == ("docs", "decisions") and path.name != "README.md":
            assert re.findall(r"^## (\w+)", text(path), re.MULTILINE)[0] == "Context", path
            if not path.name.startswith("0004"):
                assert re.findall(r"^## (\w+)", text(path), re.MULTILINE) == [
                    "Context",
                    "Options",
                    "Measured",
                    "Outcome",
                ], path
