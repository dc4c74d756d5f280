"""Scenarios that look for harm themselves, where laying the databases side by side does not show it. Each returns what harm it found."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.gateway.witnesses import witness_at
from tests.system.rig import PATIENCE, PP, PS, City, channel
from tests.system.test_clock_commands import opened, operator
from tests.system.test_supervision import OVERDUE_AT
from tests.system.test_supervision_survival import gateway_again
from tests.world import START
from xieban import canonical
from xieban.agency import Agency, office
from xieban.errors import Reason, XiebanError
from xieban.handoff import Receipt
from xieban.keys.files import load_private
from xieban.marshal import sealed_from_bytes
from xieban.notice import Notice
from xieban.proof import checkpoint, merkle, note
from xieban.proof.checkpoint import Checkpoint
from xieban.proof.note import Algorithm, SigningKey
from xieban.sandbox_client import SandboxCity
from xieban.seal import SealKey
from xieban.trust import log_name
from xieban.views import ClockView


def stated(city: City, agency: Agency, eid: str) -> list[str]:
    """Every fact that `agency` has sealed about a statement."""
    return [
        fact.kind
        for row in city.rows(agency, "SELECT sealed FROM receipt WHERE box = 'out'")
        for fact in canonical.read(sealed_from_bytes(row["sealed"]).payload, Receipt).facts
        if fact.of == eid
    ]


async def a_header_is_forged(city: City, case: str) -> list[str]:
    """What is refused at the door is nobody's: whoever is named as its sender hears that it was rejected, and nothing else."""
    forged = await city.say_header(city.header(), key=SealKey.generate())
    await city.reject_heard(PS, forged.eid)
    return [f"{kind} of what was refused" for kind in stated(city, PP, forged.eid) if kind != "rejected"]


# --- limits


async def asked_for_arrest(city: City) -> str:
    """A case in which the procuratorate has until 9 March to decide, with the gateway on."""
    await city.start_gateway()
    case = city.new_case()
    sent = await city.police.send(city.draft("arrest_request", case=case))
    await city.arrive(city.procuratorate, sent.eid)
    await city.quiet()
    return case


async def told_everything(city: City) -> None:
    """Until the gateway owes nobody a word."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with closing(opened(city)) as database:
                if not database.execute("SELECT COUNT(*) FROM outbox WHERE done = 0").fetchone()[0]:
                    return
            await asyncio.sleep(0.02)  # tickets come from other nodes


async def the_gateway_dies_after_it_has_told_a_breach(city: City, case: str) -> list[str]:
    """The office is told of a missed limit once, whenever the gateway dies."""
    case = await asked_for_arrest(city)
    async with SandboxCity.open(operator(city)) as clocks:
        await clocks.move(OVERDUE_AT - timedelta(seconds=1))
        await told_everything(city)
        await (
            city.quiet_bus()
        )  # its own warnings have come back to it, so that the next commits are the breach and its notice
        with city.crashing("G2", hits=2) as died, suppress(XiebanError):
            await clocks.move(OVERDUE_AT)
        assert died.is_set()
        await gateway_again(city)
        await clocks.move(OVERDUE_AT)
    await told_everything(city)
    notices = [
        canonical.read(sealed_from_bytes(row["sealed"]).payload, Notice)
        for row in city.rows(PP, "SELECT sealed FROM notice WHERE case_id = ?", case)
    ]
    told = Counter((one.basis.rule, str(one.occasion), one.rung) for one in notices if one.demand is None)
    assert any(occasion == "overdue" for _, occasion, _ in told), "the breach was not told at all"
    return [f"told ×{times}: {occasion} {rule} {rung}" for (rule, occasion, rung), times in told.items() if times > 1]


async def a_decision_is_registered_twice(city: City, case: str) -> list[str]:
    """The same act, stated in two statements, ends its limit as it would in one."""
    case = await asked_for_arrest(city)
    async with SandboxCity.open(operator(city)) as clocks:
        await clocks.move(START + timedelta(days=1))
    act = ClockView("stop", "arrest_review_custody", START + timedelta(days=1), document="兰城检〔2026〕3号")
    for _ in range(2):
        draft = city.draft("limit_registration", case=case, sender=PP, acts=(), clocks=(act,))
        await city.procuratorate.send(replace(draft, receiver=office(Agency.GATEWAY, "620100")))
    await city.quiet_bus()
    with closing(opened(city)) as database:
        sql = "SELECT state FROM limit_clock WHERE case_id = ? AND rule = 'arrest_review_custody'"
        states = [row["state"] for row in database.execute(sql, (case,))]
    assert states, "no such limit"
    return [f"limit is {state} and should be met" for state in states if state != "met"]


# --- witnesses


async def the_log_shows_a_witness_two_histories_around_its_death(city: City, case: str) -> list[str]:
    """Whoever has the log's key and the gateway's certificate gets one root of a size cosigned, and never a second one."""
    roots: dict[int, set[bytes]] = {}
    for history in ("what happened", "what should have happened"):
        leaves = [merkle.leaf_hash(f"{history} {number}".encode()) for number in range(3)]
        tree = Checkpoint(origin=log_name("lanzhou"), size=len(leaves), root=merkle.root(leaves))
        if await cosigned(city, tree):
            roots.setdefault(tree.size, set()).add(tree.root)
        await city.node(PS).restart()
    assert roots, "the first history was not cosigned either"
    return [f"{len(found)} roots of size {size} are cosigned" for size, found in roots.items() if len(found) > 1]


async def cosigned(city: City, tree: Checkpoint) -> bool:
    """Ask the police's witness for a cosignature, from where it says it stands."""
    private = load_private(city.home.node(Agency.GATEWAY) / "log.key")
    key = SigningKey(tree.origin, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(private.raw))
    shown = note.Note(tree.text, (checkpoint.sign(tree, key),)).encode()
    async with channel(city, city.home.node(Agency.GATEWAY), to=PS) as way:
        ask = witness_at(way)
        held, line = await ask(0, [], shown)
        if line or not held:
            return bool(line)
        try:
            return bool((await ask(held, [], shown))[1])
        except XiebanError as error:
            if error.reason is not Reason.LOG_FORKED:
                raise
            return False
