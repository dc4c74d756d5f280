"""The command as a clerk runs it: words, JSON, exit codes, and nothing sent that must not be."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, world
from xieban.agency import Agency
from xieban.cli.printing import width
from xieban.handoff import State


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def xieban(*arguments: str, profile: Path | None = None, stdin: bytes = b"") -> Ran:
    """Run the command in a process of its own, as installed."""
    environment = {key: value for key, value in os.environ.items() if key != "XIEBAN_PROFILE"}
    if profile is not None:
        environment["XIEBAN_PROFILE"] = str(profile)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from xieban.cli import main; main()", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    return Ran(process.returncode or 0, out.decode(), err.decode())


def draft(folder: Path, **changes: Any) -> Path:
    """A sound draft file with one file beside it."""
    (folder / "起诉意见书.txt").write_text("示例文书", encoding="utf-8")
    content: dict[str, Any] = {
        "client_ref": "城公诉字〔2026〕12号",
        "kind": "prosecution_transfer",
        "case_id": "A6201020000002026030001",
        "from": "police-620102",
        "to": {"agency": "procuratorate", "division": "620102"},
        "secrecy": "none",
        "acts": [{"what": "detained", "at": "2026-03-01T10:00:00+08:00", "person": "P1"}],
        "dossier": {
            "document": {"title": "起诉意见书", "number": "城公诉字〔2026〕12号", "date": "2026-03-02"},
            "persons": [{"tag": "P1", "name": "阿依古丽·买买提测试", "in_custody": True, "place": "示例看守所"}],
            "evidence": [{"kind": "书证", "title": "户籍证明", "pages": 1}],
            "files": [{"path": "起诉意见书.txt", "pages": 2}],
            "charge": "盗窃罪",
        },
    }
    content.update(changes)
    file = folder / "draft.json"
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return file


async def test_help_is_in_chinese_and_the_commands_of_every_group_are_listed() -> None:
    root, handoff = await asyncio.gather(xieban("--help"), xieban("handoff", "--help"))
    assert root.code == handoff.code == 0
    assert "用法：" in root.out
    assert "Usage" not in root.out + handoff.out
    assert "Options" not in root.out + handoff.out
    for command in ("kinds", "send", "list", "show", "accept", "return", "answer", "withdraw"):
        assert f"\n  {command} " in handoff.out


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("nonsense",), "没有 nonsense 这个命令"),
        (("case", "show"), "缺少参数 案件编号"),
        (("case", "list", "--colour"), "没有 --colour 这个选项"),
        (("handoff", "return", "0" * 64), "缺少选项 --defect"),
        (("case", "list", "--limit", "0"), "--limit 不合要求"),
    ],
)
async def test_a_wrong_command_line_is_explained_in_four_parts_with_exit_code_2(
    arguments: tuple[str, ...], wrong: str
) -> None:
    ran = await xieban(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert [line[:3] for line in ran.err.splitlines()] == ["发生：", "原因：", "办法：", "编号："]
    assert wrong in ran.err


async def test_without_a_profile_or_with_a_broken_one_the_command_says_what_to_do() -> None:
    none, missing = await asyncio.gather(xieban("case", "list"), xieban("case", "list", "--profile", "/nowhere"))
    assert none.code == missing.code == 1
    assert "XB-6002" in none.err
    assert "/nowhere" in missing.err


async def test_a_draft_marked_secret_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    marks: list[dict[str, Any]] = [
        {"secrecy": "机密"}, {"secrecy": "绝密"}, {"secrecy": "秘密"}, {"secrecy": "secret", "surprise": 1},
        {"dossier": {"document": {"title": "起诉意见书（机密）"}}},
    ]  # fmt: skip
    for number, changes in enumerate(marks):
        folder = tmp_path / str(number)
        folder.mkdir()
        # The profile leads nowhere: had a connection been tried, the reason would be another.
        ran = await xieban("handoff", "send", str(draft(folder, **changes)), "--profile", "/nowhere")
        assert ran.code == 1, changes
        assert "XB-1005" in ran.err, changes
        assert "起诉意见书" not in ran.err


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"secrecy": "public"}, "XB-1001"),
        ({"surprise": 1}, "XB-1001"),
        ({"from": "police-999999"}, "XB-1006"),
        ({"from": "army-620102"}, "XB-1006"),
        ({"acts": [{"what": "detained", "at": "2026-03-01T10:00:00"}]}, "XB-1001"),
        ({"dossier": {"document": {"title": "x"}, "files": [{"path": "missing.pdf"}]}}, "XB-6001"),
        ({"dossier": {"document": {"title": "x\u202e"}}}, "XB-1003"),
    ],
)
async def test_a_draft_that_cannot_be_read_is_refused_with_its_number(
    tmp_path: Path, changes: dict[str, Any], number: str
) -> None:
    ran = await xieban("handoff", "send", str(draft(tmp_path, **changes)), "--profile", "/nowhere")
    assert ran.code == 1
    assert number in ran.err


async def test_a_case_goes_from_police_to_procuratorate_and_back_by_command_alone(tmp_path: Path) -> None:
    async with world(tmp_path / "world") as city:
        police, procuratorate = city.home.client("police"), city.home.client("procuratorate")
        sent = await xieban("handoff", "send", str(draft(tmp_path)), "--json", profile=police)
        assert sent.code == 0, sent.err
        eid = sent.json["handoff"]["eid"]
        assert sent.json["handoff"]["receiver"]["name"] == "兰州市城关区人民检察院"
        await city.arrive(city.procuratorate, eid)

        shown = await xieban("handoff", "show", eid[:12], "--dossier", profile=procuratorate)
        assert "阿依古丽·买买提测试" in shown.out
        assert "案卷已核验" in shown.out

        reply = draft(
            tmp_path, client_ref="城检受〔2026〕3号", kind="prosecution_intake_result", outcome="accepted", acts=[],
            **{"from": "procuratorate-620102", "to": "police-620102"},
        )  # fmt: skip
        answered = await xieban("handoff", "answer", eid[:12], str(reply), "--json", profile=procuratorate)
        assert answered.code == 0, answered.err
        await city.settle(city.police, eid, State.ANSWERED)

        case = await xieban("case", "show", "A6201020000002026030001", "--json", profile=police)
        assert case.json["case"]["stage"] == "S20_prosecution_review"
        assert {row["kind"] for row in case.json["handoffs"]} == {"prosecution_transfer", "prosecution_intake_result"}

        again = await xieban("handoff", "return", eid, "--defect", "pp.x:检规158:document:3", profile=procuratorate)
        assert again.code == 1
        assert "XB-2010" in again.err
        await _lists_are_aligned(city, police)


async def _lists_are_aligned(city: World, profile: Path) -> None:
    listed = await xieban("handoff", "list", profile=profile)
    heading, *rows = listed.out.splitlines()
    column = width(heading[: heading.index("方向")])
    assert len(rows) == 2
    for row in rows:
        cut = next(n for n in range(len(row)) if width(row[:n]) == column)
        assert row[cut] in "收发"
    filtered = await xieban("handoff", "list", "--state", "answered", "--json", profile=profile)
    assert len(filtered.json["handoffs"]) == 1


async def test_an_unreachable_node_is_told_in_four_parts_without_a_traceback(tmp_path: Path) -> None:
    async with world(tmp_path, agencies=(Agency.POLICE,)) as city:
        await city.nodes[Agency.POLICE].stop()
        ran = await xieban("case", "list", profile=city.home.client("police"))
        assert ran.code == 1
        assert "XB-5002" in ran.err
        assert "Traceback" not in ran.err
