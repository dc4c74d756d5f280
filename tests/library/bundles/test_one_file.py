"""The verifier as one file: the library's own lines, and nothing needed but the standard library and `cryptography`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import verifier_file
from tests.library.bundles.tampering import base, cases
from tests.library.bundles.town import pins
from xieban.verify.container import pack
from xieban.verify.verifier import verify

FILE = verifier_file.ROOT / "verifiers" / "xieban_verify.py"
# Everything of the installation but `cryptography` and what that needs is hidden.
ALONE = """
import importlib.abc, runpy, sys
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in ("cryptography", "_cffi_backend", "cffi", "xieban"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    file = tmp_path / "roots.txt"
    file.write_text(
        "# 当面核对\nthreshold 3\n" + "\n".join(f"{pin}  # 保管人" for pin in pins().roots), encoding="utf-8"
    )
    return file


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The file in a process of its own, far from the project."""
    command = [sys.executable, "-I", "-c", ALONE, str(FILE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=cwd, timeout=60, check=False)


def test_the_file_is_current() -> None:
    assert FILE.read_text(encoding="utf-8").splitlines() == [
        line for part in verifier_file.page() for line in part.splitlines() or [""]
    ]


def test_it_holds_errors_proofs_and_the_verifier_and_nothing_else_of_ours() -> None:
    roots = {".".join(name.split(".")[:2]) for name in verifier_file.needed()}
    assert roots == {"xieban", "xieban.errors", "xieban.proof", "xieban.verify"}


def test_alone_on_a_machine_it_says_what_the_library_says(tmp_path: Path, roots: Path) -> None:
    for number, case in enumerate([*cases(6, seed=5)]):
        file = tmp_path / f"{number}.zip"
        file.write_bytes(case.data)
        ran = run(file, "--roots", roots, "--json", cwd=tmp_path)
        expected = verify(case.data, pins=pins())
        assert json.loads(ran.stdout) == json.loads(json.dumps(expected.as_json())), case.name
        assert ran.returncode == expected.exit_code, case.name


def test_it_prints_the_report_in_chinese_and_its_exit_code_says_the_verdict(tmp_path: Path, roots: Path) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(pack(base(0, "police")))
    bad.write_bytes(pack({**base(0, "police"), "checkpoint": base(1, "police")["checkpoint"]}))
    fine, broken, unpinned = (
        run(good, "--roots", roots, cwd=tmp_path),
        run(bad, "--roots", roots, cwd=tmp_path),
        run(good, cwd=tmp_path),
    )
    assert [fine.returncode, broken.returncode, unpinned.returncode] == [0, 1, 2]
    assert fine.stdout.endswith("结论：通过\n")
    assert "不通过  入册证明：#6：入册证明不是本包检查点的" in broken.stdout
    assert "未核对根密钥" in unpinned.stdout


def test_a_command_line_that_cannot_be_used_is_told_and_ends_with_2(tmp_path: Path) -> None:
    missing = run("nowhere.zip", cwd=tmp_path)
    (tmp_path / "some.zip").write_bytes(b"x")
    wrong = run("some.zip", "--root-fingerprint", "abc", cwd=tmp_path)
    assert (missing.returncode, wrong.returncode) == (2, 2)
    assert "nowhere.zip" in missing.stderr
    assert "abc" in wrong.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr
