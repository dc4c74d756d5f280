"""A case's evidence taken out of a running city by command, and verified by nobody's leave: real nodes, real witnesses, real files."""

from __future__ import annotations

import json
import sqlite3
import tomllib
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio

from services.gateway.checkpoints import Checkpoints
from tests.library.bundles import second
from tests.library.bundles.tampering import Case
from tests.library.test_cli import Ran, xieban
from tests.system.rich import lived_in
from tests.system.rig import CT, PP, PS, City, channel, main_road
from xieban.agency import Agency
from xieban.client import Profile
from xieban.errors import Reason
from xieban.log_client import LogClient
from xieban.lookup import Purpose
from xieban.proof import merkle, tlogproof
from xieban.rpcstatus import error_from_rpc
from xieban.trust import parse, policy
from xieban.verify.container import pack, unpack
from xieban.verify.trustlist import Pins
from xieban.verify.verifier import verify
from xieban.wire.v1 import dossier_pb2, dossier_pb2_grpc, log_pb2, log_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="session")


def pinned(city: City) -> Pins:
    trusted = tomllib.loads((city.home.node(PS) / "config.toml").read_text(encoding="utf-8"))["trust"]
    return Pins(frozenset(trusted["roots"]), trusted["threshold"])


async def settled_case(city: City) -> str:
    found: str = city.new_case()
    await main_road(city, found)
    await city.settled(found)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def case(city: City) -> str:
    """One case for all tests that only take it out."""
    return await settled_case(city)


async def exported(city: City, who: str, case: str, out: Path, *more: str) -> Ran:
    why = ("--purpose", "inspection", "--officer", "ZF0012") if who == "committee" else ()
    return await xieban("bundle", "export", case, "--out", str(out), *why, *more, profile=city.home.client(who))


def roots_file(city: City, folder: Path) -> Path:
    file = folder / "roots.txt"
    file.write_text("\n".join(sorted(pinned(city).roots)), encoding="utf-8")
    return file


@pytest.mark.parametrize("who", ["committee", "police", "procuratorate"])
async def test_a_case_is_exported_by_command_and_verified_without_any_server(
    city: City, case: str, who: str, tmp_path: Path
) -> None:
    out = tmp_path / "bundle.zip"
    ran = await exported(city, who, case, out)
    assert ran.code == 0, ran.err
    assert out.stat().st_mode & 0o777 == 0o600
    checked = await xieban("log", "verify", str(out), "--roots", str(roots_file(city, tmp_path)))
    assert checked.code == 0, checked.out
    assert "结论：通过" in checked.out
    for words in (case, "提请批准逮捕", "移送审查起诉", "xieban.lanzhou/court", "沙箱数据"):
        assert words in checked.out


async def test_both_verifiers_say_the_same_of_a_real_bundle(city: City, case: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    assert (await exported(city, "police", case, out, "--dossiers", "--files")).code == 0
    given = [Case("real", out.read_bytes(), pinned(city), honest=True)]
    (told,) = second.by_python(given)
    assert told["verdict"] == "pass"
    async with second.chromium() as run:
        assert second.disagreements(given, [told], await run(given)) == []


async def test_every_export_is_an_entry_of_the_log_that_names_what_was_exported(
    city: City, case: str, tmp_path: Path
) -> None:
    for number, who in enumerate(("police", "committee")):
        assert (await exported(city, who, case, tmp_path / f"{number}.zip")).code == 0
    members = unpack((tmp_path / "1.zip").read_bytes()).members
    told = [
        json.loads(data)
        for name, data in sorted(members.items())
        if name.startswith("entries/") and name.endswith(".json")
    ]
    exports = [entry["detail"].partition(":")[0] for entry in told if entry["kind"] == "EXPORT"]
    assert exports[-2:] == ["police", "committee"]


async def test_the_committee_says_what_for_and_that_is_logged_with_the_export(city: City, tmp_path: Path) -> None:
    case = await settled_case(city)
    committee = city.home.client("committee")
    ran = await xieban("bundle", "export", case, "--out", str(tmp_path / "x.zip"), profile=committee)
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "编号：XB-7007")
    assert entries_of(city, case, "EXPORT") == []
    assert (await exported(city, "committee", case, tmp_path / "x.zip")).code == 0
    assert entries_of(city, case, "LOOKUP") == ["inspection:gateway/committee:ZF0012"]


async def test_an_agency_gets_what_it_is_party_to_and_nothing_the_gateway_reckoned(
    city: City, case: str, tmp_path: Path
) -> None:
    for who in ("committee", "police"):
        assert (await exported(city, who, case, tmp_path / f"{who}.zip")).code == 0
    whole, own = (unpack((tmp_path / f"{who}.zip").read_bytes()).members for who in ("committee", "police"))

    def kinds(members: dict[str, bytes]) -> set[str]:
        return {
            json.loads(data)["kind"]
            for name, data in members.items()
            if name.startswith("entries/") and name.endswith("json")
        }

    assert any(kind.startswith("CLOCK") for kind in kinds(whole))
    assert kinds(own) <= {"LODGED", "DELIVERED", "COMPLETE", "ACCEPTED", "ANSWERED", "EXPORT"}
    assert (await exported(city, "court", case, tmp_path / "court.zip")).err.splitlines()[-1] == "编号：XB-2009"
    assert not (tmp_path / "court.zip").exists()


async def test_dossiers_come_only_when_asked_for_and_contents_only_with_a_further_word(
    city: City, case: str, tmp_path: Path
) -> None:
    asked: dict[str, tuple[str, ...]] = {"none": (), "manifests": ("--dossiers",), "files": ("--dossiers", "--files")}
    found: dict[str, dict[str, bytes]] = {}
    for name, more in asked.items():
        assert (await exported(city, "police", case, tmp_path / f"{name}.zip", *more)).code == 0
        data = (tmp_path / f"{name}.zip").read_bytes()
        found[name] = unpack(data).members
        assert verify(data, pins=pinned(city)).verdict == "pass"
    assert not any(name.startswith("dossiers/") for name in found["none"])
    assert sum(name.endswith("/salt") for name in found["manifests"]) == 3
    assert not any("/files/" in name for name in found["manifests"])
    assert any(data == "示例文书".encode() for data in found["files"].values())


async def test_nobody_gets_dossiers_from_the_committees_profile_or_from_another_agencys_node(
    city: City, case: str, tmp_path: Path
) -> None:
    ran = await exported(city, "committee", case, tmp_path / "x.zip", "--dossiers")
    assert (ran.code, "XB-1001" in ran.err) == (1, True)
    for caller in ("clients/procuratorate", "clients/committee", "nodes/procuratorate", "nodes/gateway"):
        async with channel(city, city.home.folder / caller, to=PS) as wire:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for _ in dossier_pb2_grpc.DossierServiceStub(wire).ExportDossiers(
                    dossier_pb2.ExportDossiersRequest(eids=["ab" * 32]), timeout=10
                ):
                    pytest.fail("a dossier was shown")
            assert error_from_rpc(raised.value).reason is Reason.CALLER_UNKNOWN


async def test_an_operator_of_the_sandbox_exports_nothing(city: City, case: str) -> None:
    async with channel(city, city.home.client("sandbox"), to=Agency.GATEWAY) as wire:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in log_pb2_grpc.LogServiceStub(wire).ExportCase(
                log_pb2.ExportCaseRequest(case_id=case), timeout=10
            ):
                pytest.fail("a case was shown")
    assert error_from_rpc(raised.value).reason is Reason.CALLER_UNKNOWN


async def test_every_case_of_a_city_in_which_much_has_happened_passes_for_all_who_are_party_to_it(
    tmp_path: Path,
) -> None:
    """Returns, a second content under a used name, warnings, a supervision with its replies."""
    kinds: set[str] = set()
    async with lived_in(tmp_path, roads=1) as city:
        for case in cases_of(city):
            for who in ("committee", "police", "procuratorate"):
                why = Purpose.PETITION if who == "committee" else None
                async with LogClient.open(Profile.load(city.home.client(who)).at_gateway()) as client:
                    members = await client.export(case, purpose=why)
                report = verify(pack(members), pins=pinned(city))
                assert report.verdict == "pass", (case, who, report.as_json())
                kinds |= {
                    json.loads(data)["kind"]
                    for name, data in members.items()
                    if name.endswith("json") and "entr" in name
                }
    assert kinds >= {
        "RETURNED",
        "ANSWERED",
        "EQUIVOCATION",
        "NOTICE",
        "SUPERVISION",
        "REPLY",
        "OVERDUE",
        "EXPORT",
    }


def cases_of(city: City) -> list[str]:
    file = city.home.node(Agency.GATEWAY) / "data.db"
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        return [case for (case,) in database.execute("SELECT case_id FROM case_file ORDER BY case_id")]


async def test_a_file_that_exists_is_not_written_over(city: City, case: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    out.write_bytes(b"other")
    assert (await exported(city, "committee", case, out)).code == 1
    assert out.read_bytes() == b"other"


async def test_without_enough_witnesses_there_is_no_bundle_and_the_attempt_is_still_logged(
    city: City, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: Checkpoints, name: str, signed: Any) -> list[Any]:
        return []

    before = len(entries_of(city, case, "EXPORT"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_cosigned", silent)
        ran = await exported(city, "committee", case, tmp_path / "bundle.zip")
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "编号：XB-3008")
    assert len(entries_of(city, case, "EXPORT")) == before + 1
    assert (await exported(city, "committee", case, tmp_path / "bundle.zip")).code == 0


def entries_of(city: City, case: str, kind: str) -> list[str]:
    """Details of the entries of a kind about a case."""
    sql = "SELECT detail FROM log_entry WHERE kind = ? AND case_id = ? ORDER BY position"
    file = city.home.node(Agency.GATEWAY) / "data.db"
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        return [detail for (detail,) in database.execute(sql, (kind, case))]


async def test_a_bundle_opens_in_any_zip_program(city: City, case: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    assert (await exported(city, "committee", case, out)).code == 0
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("bundle.json"))["case"] == case


async def test_a_byte_changed_in_a_real_bundle_is_found_and_named(city: City, case: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    assert (await exported(city, "committee", case, out)).code == 0
    data = bytearray(out.read_bytes())
    data[data.index(b'"kind":"DELIVERED"') + 9] ^= 1
    out.write_bytes(data)
    ran = await xieban("log", "verify", str(out), "--roots", str(roots_file(city, tmp_path)), "--json")
    assert ran.code == 1
    failed = {check["check"] for check in ran.json["checks"] if check["verdict"] == "fail"}
    assert {"container", "inclusion", "entries"} <= failed


async def test_the_log_says_where_it_stands_and_who_has_cosigned(city: City, case: str) -> None:
    for who in ("committee", "police"):
        told = await xieban("log", "status", "--json", profile=city.home.client(who))
        assert told.code == 0, told.err
        found = told.json["log"]
        assert found["origin"] == "xieban.lanzhou/log"
        assert found["size"] > 0
        assert {one["name"] for one in found["witnesses"]} <= {f"xieban.lanzhou/{agency}" for agency in (PS, PP, CT)}
    shown = await xieban("log", "status", profile=city.home.client("committee"))
    assert "树根" in shown.out


async def test_a_statements_proofs_are_had_by_command(city: City, case: str, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    assert (await exported(city, "police", case, out)).code == 0
    headers = [row["eid"] for row in verify(out.read_bytes(), pins=None).rows]
    told = await xieban("log", "proof", headers[0], "--json", profile=city.home.client("police"))
    rules = policy(parse((city.home.folder / "trust.json").read_bytes(), pins=None).last.value, at=0)
    for row in told.json["proofs"]:
        proof = tlogproof.decode(row["proof"].encode())
        proof.verify(merkle.leaf_hash(row["entry"].encode()), rules)
    shown = await xieban("log", "proof", headers[0], profile=city.home.client("police"))
    assert "LODGED" in shown.out
    refused = await xieban("log", "proof", headers[0], profile=city.home.client("court"))
    assert refused.err.splitlines()[-1] == "编号：XB-2008"
