"""Two officers behind what goes out, from their own machines to the receiver's node and the gateway's log."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.library.test_cli import xieban
from tests.system.rig import PP, PS, City, whole_city
from tests.world import START
from xieban.agency import Agency
from xieban.approval import Officers
from xieban.client import Profile, XiebanClient
from xieban.errors import Reason, XiebanError
from xieban.handoff import Header, State

pytestmark = pytest.mark.asyncio(loop_scope="session")


def without_officers(city: City, agency: Agency) -> Profile:
    """The profile of a system that holds no officer's key."""
    return replace(Profile.load(city.home.client(agency)), handler_key=None, approver_key=None)


async def at_gateway(city: City, sql: str, eid: str) -> list[tuple[str, ...]]:
    """Rows of the gateway's database, once it has taken everything the broker has."""
    await city.quiet_bus()
    file = city.home.node(Agency.GATEWAY) / "data.db"
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        return list(database.execute(sql, (eid,)))


async def violations(city: City, eid: str) -> list[str]:
    return [number for (number,) in await at_gateway(city, "SELECT number FROM violation WHERE eid = ?", eid)]


async def test_a_system_alone_cannot_send_what_the_head_of_the_office_must_approve(city: City) -> None:
    case = city.new_case()
    async with XiebanClient.open(without_officers(city, PS)) as system:
        with pytest.raises(XiebanError) as refused:
            await system.send(city.draft("arrest_request", case=case))
        assert refused.value.reason is Reason.APPROVAL_MISSING
        assert "公规137" in refused.value.cause
        assert not city.rows(PS, "SELECT 1 FROM handoff WHERE case_id = ?", case)
        assert not city.rows(PS, "SELECT 1 FROM case_file WHERE case_id = ?", case)
        # What the law lets an officer do alone goes out as before.
        await system.send(city.draft("early_opinion_request", case=case))


async def test_an_approval_of_another_draft_is_refused_and_nothing_is_written(city: City) -> None:
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    other = city.draft("arrest_request", case=city.new_case())
    borrowed = replace(other, salt=bytes(32), approvals=sent.approvals)
    with pytest.raises(XiebanError) as refused:
        await city.police.send(borrowed)
    assert refused.value.reason is Reason.APPROVAL_INVALID
    assert not city.rows(PS, "SELECT 1 FROM handoff WHERE case_id = ?", other.case_id)


async def test_approvals_without_the_salt_they_were_signed_with_are_refused(city: City) -> None:
    sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
    with pytest.raises(XiebanError) as refused:
        await city.police.send(city.draft("arrest_request", case=city.new_case(), approvals=sent.approvals))
    assert (refused.value.reason, refused.value.metadata["field"]) == (Reason.FIELD_INVALID, "salt")


async def test_the_same_draft_approved_again_is_the_same_handoff(city: City) -> None:
    draft = city.draft("arrest_request", case=city.new_case())
    first = await city.police.send(draft)
    again = await city.police.send(draft)  # its officers have signed with another salt
    assert (again.eid, again.approvals) == (first.eid, first.approvals)


@pytest.fixture
def draft_file(city: City, tmp_path: Path) -> Path:
    file = tmp_path / "提请批准逮捕书.json"
    row = {
        "client_ref": f"城公提捕字〔2026〕{city.new_case()[-6:]}号", "kind": "arrest_request", "case_id": city.new_case(),
        "from": "police-620102", "to": "procuratorate-620102",
        "acts": [{"what": "detained", "at": START.isoformat(), "person": "P1"}],
        "dossier": {"document": {"title": "提请批准逮捕书"}, "persons": [{"tag": "P1", "name": "㐂·某"}]},
    }  # fmt: skip
    file.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    return file


async def approve(city: City, draft: Path, role: str, out: Path, *more: str, stdin: bytes = b"") -> Any:
    key = city.home.client("police") / f"{role}.key"
    named = ("--role", role, "--key", str(key), "--out", str(out))
    return await xieban("handoff", "approve", str(draft), *named, *more, stdin=stdin)


def charge_changed(draft: Path) -> None:
    changed = json.loads(draft.read_text(encoding="utf-8"))
    changed["dossier"]["charge"] = "诈骗罪"
    draft.write_text(json.dumps(changed, ensure_ascii=False), encoding="utf-8")


async def test_two_officers_approve_by_command_and_the_receiver_sees_who_they_were(
    city: City, draft_file: Path, tmp_path: Path
) -> None:
    out, folder = tmp_path / "approved.json", tmp_path / "system"
    system_without_officers(city, folder)
    first = await approve(city, draft_file, "handler", out, "--yes")
    assert first.code == 0, first.err
    assert "公规137" in first.out
    early = await xieban("handoff", "send", str(draft_file), "--approved", str(out), profile=folder)
    assert (early.code, "XB-3041" in early.err, "审批人" in early.err) == (1, True, True)
    assert (await approve(city, draft_file, "approver", out, "--yes")).code == 0
    sent = await xieban("handoff", "send", str(draft_file), "--approved", str(out), "--json", profile=folder)
    assert sent.code == 0, sent.err
    eid = sent.json["handoff"]["eid"]
    await city.arrive(city.procuratorate, eid)
    shown = await xieban("handoff", "show", eid, profile=city.home.client("procuratorate"))
    assert [line.split()[1] for line in shown.out.splitlines() if line.startswith("签批")] == ["审批人", "经办人"]
    assert await violations(city, eid) == []


async def test_what_officers_signed_does_not_go_out_changed(city: City, draft_file: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "approved.json", tmp_path / "system"
    system_without_officers(city, folder)
    for role in ("handler", "approver"):
        assert (await approve(city, draft_file, role, out, "--yes")).code == 0
    charge_changed(draft_file)
    sent = await xieban("handoff", "send", str(draft_file), "--approved", str(out), profile=folder)
    assert (sent.code, "XB-3042" in sent.err) == (1, True)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"salt":"00","answering":"","approvals":[]}', b"\xff", b"[" * 90_000]
)
async def test_a_file_that_is_no_file_of_approvals_is_refused(
    city: City, draft_file: Path, tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "approved.json"
    out.write_bytes(content)
    ran = await approve(city, draft_file, "handler", out, "--yes")
    assert (ran.code, "XB-1001" in ran.err, "Traceback" in ran.err) == (1, True, False)
    assert out.read_bytes() == content


async def test_an_officer_who_says_no_signs_nothing(city: City, draft_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "approved.json"
    ran = await approve(city, draft_file, "handler", out, stdin=b"n\n")
    assert (ran.code, out.exists()) == (1, False)


def system_without_officers(city: City, folder: Path) -> None:
    """A profile as the city's, less the officers' keys."""
    folder.mkdir()
    for file in city.home.client("police").iterdir():
        if file.suffix == ".pem":
            (folder / file.name).write_bytes(file.read_bytes())
            (folder / file.name).chmod(0o600)
    lines = (city.home.client("police") / "profile.toml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("handler_key", "approver_key"))]
    (folder / "profile.toml").write_text("\n".join(kept) + "\n", encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A city of its own: its sender's node or its list are not to be trusted afterwards."""
    async with whole_city(tmp_path_factory.mktemp("approvals")) as running:
        yield running


async def test_a_node_that_asks_no_officer_is_rejected_by_the_receiver_and_named_in_the_log(town: City) -> None:
    bare = town.header()
    sealed = await town.say_header(bare, approved=False)
    assert await town.reject_heard(PS, sealed.eid) == [Reason.APPROVAL_MISSING.name]
    assert await violations(town, sealed.eid) == [Reason.APPROVAL_MISSING.number]
    entries = await at_gateway(town, "SELECT kind, detail FROM log_entry WHERE eid = ?", sealed.eid)
    assert ("VIOLATION", "XB-3041") in entries


async def test_an_approval_over_something_else_is_rejected_and_named(town: City) -> None:
    signed = town.approved(town.header())
    other = msgspec.structs.replace(town.header(), approvals=signed.approvals)
    sealed = await town.say_header(other)
    assert await town.reject_heard(PS, sealed.eid) == [Reason.APPROVAL_INVALID.name]
    assert await violations(town, sealed.eid) == [Reason.APPROVAL_INVALID.number]


async def test_a_receiver_that_does_not_look_lets_it_in_and_the_log_names_it_all_the_same(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: it is the receiver's own check that rejects, and the gateway's own that records."""
    original = Officers.check

    def check(self: Officers, header: Header, *, article: str, index: int | None = None) -> None:
        if index is not None:  # only the gateway knows one
            original(self, header, article=article, index=index)

    monkeypatch.setattr(Officers, "check", check)
    sealed = await town.say_header(town.header(), approved=False)
    await town.settle(town.procuratorate, sealed.eid, State.DELIVERED, State.REJECTED)
    states = town.rows(PP, "SELECT state FROM handoff WHERE eid = ?", sealed.eid)
    assert [row["state"] for row in states] == ["delivered"]
    assert await violations(town, sealed.eid) == [Reason.APPROVAL_MISSING.number]
