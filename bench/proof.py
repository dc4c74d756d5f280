"""What the supervision log costs: appending, proving and verifying in a log of a million entries, a day's log, a bundle off line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.clock import SystemClock
from services.chassis.database import Database, Transaction
from services.gateway import log
from services.gateway.app import MIGRATIONS
from services.gateway.log import Note
from xieban.log_client import LogClient
from xieban.lookup import Purpose
from xieban.proof import checkpoint, merkle, note, tlogproof
from xieban.proof.checkpoint import Checkpoint, Policy
from xieban.proof.note import Algorithm, SigningKey
from xieban.trust import parse, pinned
from xieban.verify.container import pack
from xieban.verify.trustlist import Pins
from xieban.verify.verifier import verify

ORIGIN = "xieban.lanzhou/log"
FILL = 5_000  # entries a transaction while the log is being filled
SAMPLES = 500
REPEATED = 50
DAY = 100_000  # entries a busy city writes in a day
ROWS = {
    "append_one": ("log entries/s, one a transaction, durable", ""),
    "append_64": ("log entries/s, 64 a transaction, durable", "≥ 1,500"),
    "prove_tenth_ms": ("an inclusion proof, ms, a tenth of the entries", ""),
    "prove_ms": ("an inclusion proof, ms, all entries", ""),
    "verify_ms": ("a proof verified from its text, ms, all entries", "≤ 50"),
    "reread_s": ("a day's log of 100,000 entries checked against leaves and root, s", "≤ 30"),
}
NOTE = Note("LODGED", "A6201020000002026030001", "0" * 64, "prosecution_transfer")


@dataclass(frozen=True, slots=True)
class Proofs:
    """Seconds a proof, a verification and a verification from the proof's text; `entries` in the log."""

    made: float
    verified: float
    entries: int


async def rounds(count: int, *, folder: Path, entries: int, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Every figure of every round; the logs are filled once."""
    figures: dict[str, list[float]] = {name: [] for name in ROWS}
    day, tenth, whole = [await fill(folder, entries=size) for size in (DAY, entries // 10 + FILL, entries)]
    tell(f"a log of {entries:,} entries")
    for number in range(count):
        figures["append_one"].append(await append(folder / f"{number}", count=1_000, batch=1))
        figures["append_64"].append(await append(folder / f"{number}", count=20_000, batch=64))
        figures["prove_tenth_ms"].append(1000 * (await proofs(tenth)).made)
        large = await proofs(whole)
        figures["prove_ms"].append(1000 * large.made)
        figures["verify_ms"].append(1000 * large.verified)
        figures["reread_s"].append(await reread(day))
        tell(f"log {number + 1}/{count}: {figures['append_64'][-1]:,.0f} entries/s")
    return figures


async def append(folder: Path, *, count: int, batch: int) -> float:
    """Entries a second, `batch` in a transaction, each transaction on disk before the next begins."""
    clock = SystemClock()
    async with await Database.open(folder / f"append-{batch}.db", migrations=MIGRATIONS) as database:
        begun = clock.ticks()
        for _ in range(count // batch):
            await database.write(lambda tx: log.append(tx, [NOTE] * batch, at=1))
        passed = clock.ticks() - begun
        assert await database.read(log.size) == count // batch * batch
    return count / passed


async def fill(folder: Path, *, entries: int) -> Path:
    """A log of so many entries."""
    file = folder / f"log-{entries}.db"
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        for _ in range(entries // FILL):
            await database.write(lambda tx: log.append(tx, [NOTE] * FILL, at=1))
        assert await database.read(log.size) == entries
    return file


async def proofs(file: Path) -> Proofs:
    """Inclusion proofs of entries all over the log, made from the database and verified from their text with one witness."""
    clock = SystemClock()
    key = SigningKey(ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.generate())
    witness = SigningKey("witness", Algorithm.COSIGNATURE_V1, Ed25519PrivateKey.generate())
    policy = Policy(log=key.public, witnesses=(witness.public,), threshold=1)
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        count = await database.read(log.size)
        tree = Checkpoint(ORIGIN, count, await database.read(lambda tx: log.frontier(tx).root()))
        signatures = (checkpoint.sign(tree, key), checkpoint.cosign(tree, witness, at=1))
        data = note.Note(tree.text, signatures).encode()
        positions = [1 + number * (count - 1) // (SAMPLES - 1) for number in range(SAMPLES)]
        begun = clock.ticks()
        made = await database.read(
            lambda tx: [log.prove(tx, position, count=count, checkpoint=data) for position in positions]
        )
        made_in = clock.ticks() - begun
        leaves = await database.read(lambda tx: list(_leaves(tx, positions)))
    begun = clock.ticks()
    for leaf, proof in zip(leaves, made, strict=True):
        tlogproof.decode(proof).verify(leaf, policy)
    return Proofs(made_in / SAMPLES, (clock.ticks() - begun) / SAMPLES, count)


@dataclass(frozen=True, slots=True)
class Offline:
    """Seconds to verify a whole bundle without any server; what is in it."""

    seconds: float
    receipts: int
    statements: int
    size: int


async def offline(profile: Path, case_id: str, *, trust: bytes) -> Offline:
    """Export a case of a running city as the committee, and verify the bundle: of a case with one receipt, the cost of one receipt.

    `profile`: the committee's folder; `trust`: the file of the city's trust list, whose own roots are taken for granted.
    """
    clock = SystemClock()
    first = parse(trust, pins=None).versions[0].value
    pins = Pins(pinned(first).roots, first.threshold)
    async with LogClient.open(profile) as client:
        data = pack(await client.export(case_id, purpose=Purpose.INSPECTION))
    begun = clock.ticks()
    for _ in range(REPEATED):
        report = verify(data, pins=pins)
    passed = clock.ticks() - begun
    assert report.verdict == "pass"
    receipts = sum(len(row["facts"]) for row in report.rows)
    return Offline(passed / REPEATED, receipts, report["canonical"].checked, len(data))


async def reread(file: Path) -> float:
    """Seconds to check every entry of a log against its leaf and all leaves against the root."""
    clock = SystemClock()
    async with await Database.open(file, migrations=MIGRATIONS) as database:
        begun = clock.ticks()
        assert await database.read(_sound)
    return clock.ticks() - begun


def _sound(tx: Transaction) -> bool:
    rows = tx.all("SELECT * FROM log_entry ORDER BY position")
    changed = log.first_changed(rows)
    return changed is None and merkle.root(row["leaf"] for row in rows) == log.frontier(tx).root()


def _leaves(tx: Transaction, positions: list[int]) -> Iterator[bytes]:
    for position in positions:
        row = tx.one("SELECT * FROM log_entry WHERE position = ?", (position,))
        assert row is not None
        yield log.entry_of(row).leaf()
