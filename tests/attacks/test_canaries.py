"""What is in a dossier is nowhere but at its sender and its receiver: looked for after a whole case, with every log and trace on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from services.provision import NODES, Home, provision
from services.stack.processes import Stack, free_ports
from tests.attacks.canaries import all_files, search, search_files
from tests.ledger import compare
from tests.system.rig import CT, PATIENCE, PP, PS, spans
from tests.world import DIVISION, START, until
from xieban.agency import Agency, office
from xieban.client import XiebanClient
from xieban.dossier import CaseNumbers, Document, Dossier, EvidenceItem, File, Person
from xieban.errors import Reason, XiebanError
from xieban.handoff import State
from xieban.sandbox_client import SandboxCity
from xieban.views import ActView, DefectView, Draft, HandoffView

pytestmark = pytest.mark.asyncio(loop_scope="module")
CASE = "A6201020000002026090001"
LEFT = "A6201020000002026090002"
"""Nobody takes this one any further, so that its limit runs out."""
CONTENT = "䶮鹮卷宗正文：" + "𠮷㐂䴉" * 40
CANARIES = {
    "name": "𠮷䶮·阿鹮木㐂某",
    "name in Latin letters": "Qvx-Zyxwv Canaryson",
    "place": "䴉洲看守所七监区",
    "charge": "窃鹮䴉罪名存疑",
    "evidence": "鹮䴉辨认笔录其三",
    "title": "㛃䶮意见书之副本",
    "date": "戊戌鹮月䴉日",
    "number": "㛃鹮诉〔2026〕9471号",
    "remark": "䴉䶮：承办人另函说明",
    "file": "鹮㛃讯问笔录.txt",
    "media type": "text/x-canary-qvxz",
    "content": CONTENT,
    "part of the content": "𠮷㐂䴉" * 3,
    "case number of the police": "㐂鹮公立〔2026〕31号",
}


def dossier(number: str) -> Dossier:
    """One that carries every canary; `number` is the document's."""
    return Dossier(
        document=Document(title=CANARIES["title"], number=number, date=CANARIES["date"]),
        persons=(
            Person(tag="P1", name=CANARIES["name"], in_custody=True, place=CANARIES["place"]),
            Person(tag="P2", name=CANARIES["name in Latin letters"], in_custody=False, place=""),
        ),
        evidence=(EvidenceItem(kind="witness", title=CANARIES["evidence"], pages=3),),
        files=(
            File(name=CANARIES["file"], media_type=CANARIES["media type"], content=CONTENT.encode(), pages=2),
            File(name="b.bin", media_type="", content=CONTENT.encode("utf-16-le")),
        ),
        case_numbers=CaseNumbers(police=CANARIES["case number of the police"]),
        charge=CANARIES["charge"],
        remark=CANARIES["remark"],
    )


def draft(kind: str, sender: Agency, receiver: Agency, outcome: str = "", *acts: str, step: int) -> Draft:
    return Draft(
        client_ref=f"{CANARIES['number']}之{step}",
        kind=kind,
        case_id=CASE,
        sender=office(sender, DIVISION),
        receiver=office(receiver, DIVISION),
        dossier=dossier(f"{CANARIES['number']}之{step}"),
        outcome=outcome,
        acts=tuple(ActView(act, START, "P1") for act in acts),
    )


@dataclass
class Road:
    """The three agency systems, and what they do with the case."""

    police: XiebanClient
    procuratorate: XiebanClient
    court: XiebanClient

    async def walk(self) -> None:
        """From arrest to an indictment that the court gives back, with every refusal on the way that could tell too much."""
        ask = await self.police.send(draft("arrest_request", PS, PP, "", "detained", step=1))
        await self.refusals()
        await self.arrive(self.procuratorate, ask)
        decide = await self.procuratorate.answer(ask.eid, draft("arrest_decision", PP, PS, "approved", step=2))
        await self.arrive(self.police, decide)
        await self.police.accept(decide.eid)
        transfer = await self.police.send(draft("prosecution_transfer", PS, PP, "", "arrested", step=3))
        await self.arrive(self.procuratorate, transfer)
        await self.procuratorate.accept(transfer.eid)
        sued = await self.procuratorate.send(draft("public_prosecution", PP, CT, "", "prosecuted", "arrested", step=4))
        await self.arrive(self.court, sued)
        await self.court.return_(sued.eid, [DefectView(code="ct.present", article="解释218", item="document:1")])
        await until(self.procuratorate, lambda view: view.eid == sued.eid and view.state is State.RETURNED)
        left = replace(draft("arrest_request", PS, PP, "", "detained", step=5), case_id=LEFT)
        await self.arrive(self.procuratorate, await self.police.send(left))

    async def refusals(self) -> None:
        """Errors are made of what was sent; none of it may get into a log."""
        sound = draft("arrest_request", PS, PP, "", "detained", step=1)
        marked = replace(
            sound.dossier,
            document=msgspec.structs.replace(sound.dossier.document, title=CANARIES["title"] + "（机密）"),
        )
        for wrong, reason in (
            (
                replace(sound, dossier=replace(sound.dossier, charge=CANARIES["charge"] + "二")),
                Reason.CLIENT_REF_REUSED,
            ),
            (replace(sound, client_ref="甲1", dossier=marked), Reason.SECRET_MARK),
            (replace(sound, client_ref="甲2", case_id=CANARIES["name"]), Reason.FIELD_INVALID),
            (replace(sound, client_ref="甲3", kind=CANARIES["name"]), Reason.KIND_UNKNOWN),
            (
                replace(sound, client_ref="甲4", acts=(ActView("detained", START, CANARIES["name"]),)),
                Reason.FIELD_INVALID,
            ),
            (replace(sound, client_ref="甲5", acts=(ActView(CANARIES["charge"], START, "P1"),)), Reason.FIELD_INVALID),
            (replace(sound, client_ref="甲6", outcome=CANARIES["remark"]), Reason.OUTCOME_NOT_ALLOWED),
        ):
            with pytest.raises(XiebanError) as raised:
                await self.police.send(wrong)
            assert raised.value.reason is reason
        with pytest.raises(XiebanError):
            await self.police.get(CANARIES["name"])

    async def arrive(self, client: XiebanClient, sent: HandoffView) -> None:
        await until(client, lambda view: view.incoming and view.eid == sent.eid and view.state is State.COMPLETE)


async def settled(home: Home) -> None:
    """Until every node and the gateway hold both cases whole."""
    async with asyncio.timeout(PATIENCE):
        while not compare(home, cases=[CASE, LEFT]).clean:
            await asyncio.sleep(0.1)  # five foreign processes


async def pages(home: Home) -> bytes:
    """Every page of the gateway that has to do with the case, one after the other."""
    paths = (
        "/",
        "/cases",
        f"/cases/{CASE}",
        f"/cases/{CASE}?purpose=routine&officer=ZF0012",
        f"/cases/{LEFT}?purpose=routine",
        "/supervisions",
        "/nowhere",
    )
    async with httpx.AsyncClient(base_url=home.page, trust_env=False) as browser:
        return b"".join([(await browser.get(path)).content for path in paths])


@dataclass(frozen=True)
class After:
    """What is left of the case. The processes have ended, so all they had to write is on the disk."""

    home: Home
    pages: bytes
    while_running: bytes
    """The gateway's database with its write-ahead log, and the broker's store, before anybody tidied up."""

    def node(self, agency: Agency) -> list[Path]:
        return [file for file in all_files(self.home.node(agency)) if file.name.startswith("data.db")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def after(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[After]:
    folder = tmp_path_factory.mktemp("canaries") / "city"
    home = provision(folder, now=datetime.now(UTC), ports=free_ports(), sandbox_start=START)  # noqa: TID251 (certificates)
    for agency in NODES:
        file = home.node(agency) / "config.toml"
        telling = '\n[telemetry]\nexporter = "file"\nfile = "spans.jsonl"\n'
        file.write_text('log_level = "DEBUG"\n' + file.read_text(encoding="utf-8") + telling, encoding="utf-8")
    async with Stack(home, tell=lambda text: None).running(), AsyncExitStack() as stack:
        await Road(
            *[await stack.enter_async_context(XiebanClient.open(home.client(one))) for one in (PS, PP, CT)]
        ).walk()
        async with SandboxCity.open(home.client("sandbox")) as clocks:
            await clocks.move(START + timedelta(days=60))  # limits run out, and how late that was noticed is measured
        await settled(home)
        shown = await pages(home)
        files = [*all_files(home.node(Agency.GATEWAY)), *all_files(home.folder / "nats" / "store")]
        running = b"".join(file.read_bytes() for file in files)
    yield After(home, shown, running)


async def test_neither_the_gateway_nor_the_broker_holds_anything_of_a_dossier(after: After) -> None:
    assert CASE.encode() in after.while_running, "the case itself is there"
    assert search(after.while_running, CANARIES, where="while it ran") == []
    files = [*all_files(after.home.node(Agency.GATEWAY)), *all_files(after.home.folder / "nats")]
    assert search_files(files, CANARIES) == []


async def test_no_page_shows_anything_of_a_dossier(after: After) -> None:
    assert "提请批准逮捕".encode() in after.pages
    assert after.pages.count(CASE.encode()) > 5
    assert search(after.pages, CANARIES, where="pages") == []


async def test_no_log_line_at_the_finest_level_tells_anything_of_a_dossier(after: After) -> None:
    logs = all_files(after.home.logs)
    assert {f"{agency}.log" for agency in NODES} <= {file.name for file in logs}
    for agency in NODES:
        assert (after.home.logs / f"{agency}.log").stat().st_size > 0
    assert search_files(logs, CANARIES) == []


async def test_no_span_and_no_metric_tells_anything_of_a_dossier(after: After) -> None:
    files = [after.home.node(agency) / "spans.jsonl" for agency in NODES]
    assert {"handoff.send", "handoff.receive", "receipt.receive", "gateway.ingest"} <= {
        one["name"] for one in spans(*files)
    }
    assert "xieban.gateway.lateness" in files[-1].read_text(encoding="utf-8")
    assert search_files(files, CANARIES) == []


@pytest.mark.parametrize("agency", [PS, PP, CT])
async def test_the_search_finds_every_canary_where_it_belongs(after: After, agency: Agency) -> None:
    found = {one.canary for one in search_files(after.node(agency), CANARIES)}
    assert found == set(CANARIES)
