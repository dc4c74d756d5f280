"""A node starts only with a list that is signed, current, newer than what it has used, and that lists the node itself."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services import trusted
from services.ceremony import LIFE
from services.provision import Home, provision
from services.trusted import Own, Trust, Trusted
from tests.attacks.certificates import Authority
from tests.library.trust.city import seal, signed
from tests.system.ceremony import amended, roots
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.keys import algorithm, files
from xieban.keys.certificates import fingerprints
from xieban.trust import Chain, add, bar, parse, pinned, revoke, rotate, sign

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Node:
    """The police node of a provisioned city, as it would load its trust."""

    home: Home
    settings: Trust
    own: Own
    seen: Path

    def load(self, *, now: datetime = NOW, city: str = "lanzhou") -> Trusted:
        return trusted.load(self.settings, city=city, agency=Agency.POLICE, own=self.own, seen=self.seen, now=now)

    def refused(self, *, now: datetime = NOW, city: str = "lanzhou") -> XiebanError:
        with pytest.raises(XiebanError) as raised:
            self.load(now=now, city=city)
        return raised.value

    def chain(self) -> Chain:
        return parse(self.settings.file.read_bytes(), pins=None)

    def put(self, chain: Chain) -> None:
        self.settings.file.write_bytes(chain.encode())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    home = provision(tmp_path / "city", now=NOW)
    place = home.node(Agency.POLICE)
    text = (place / "config.toml").read_text(encoding="utf-8")
    assert "threshold = 3" in text
    chain = parse((home.folder / "trust.json").read_bytes(), pins=None)
    return Node(
        home=home,
        settings=Trust(file=home.folder / "trust.json", roots=tuple(pinned(chain.last.value).roots)),
        own=Own(
            place / "seal.key",
            None,
            ca=home.folder / "ca.pem",
            certificate=place / "certificate.pem",
            tls_key=place / "key.pem",
        ),
        seen=place / "trust.seen",
    )


def test_a_provisioned_node_finds_its_key_its_authority_and_its_peers_in_the_list(node: Node) -> None:
    found = node.load()
    sealed = found.key.seal("header", b"{}")
    assert found.directory.verify(sealed, city="lanzhou", agency=Agency.POLICE).agency is Agency.POLICE
    assert node.seen.exists()
    node.load()


def test_provisioning_again_keeps_the_list(node: Node) -> None:
    before = node.settings.file.read_bytes()
    provision(node.home.folder, now=NOW + timedelta(days=1))
    assert node.settings.file.read_bytes() == before


def test_an_expired_list_is_refused_and_one_that_soon_will_be_is_spoken_of(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    assert node.refused(now=NOW + LIFE).reason is Reason.TRUST_EXPIRED
    with caplog.at_level(logging.WARNING):
        node.load()
        assert not caplog.records
        node.load(now=NOW + LIFE - timedelta(days=29))
    assert [record.message for record in caplog.records] == ["the trust list expires soon"]


def test_a_list_under_other_roots_is_refused(node: Node, tmp_path: Path) -> None:
    """Everything else about it may be right: the same city, the same keys."""
    other = provision(tmp_path / "other", now=NOW)
    node.settings.file.write_bytes((other.folder / "trust.json").read_bytes())
    assert node.refused().reason is Reason.TRUST_BROKEN


def test_a_draft_is_refused(node: Node) -> None:
    draft = add(
        node.chain(),
        seal(algorithm("ed25519+sha256").generate().public, Agency.COURT, from_index=40),
        issue=amended(40),
    )
    node.put(sign(draft, roots(node.home)[0]))
    assert node.refused().reason is Reason.TRUST_UNSIGNED


def test_a_list_older_than_the_one_used_before_is_refused_and_so_is_another_history(node: Node) -> None:
    first = node.chain()
    fresh = [seal(algorithm("ed25519+sha256").generate().public, Agency.COURT, from_index=40) for _ in range(2)]
    second, fork = (signed(add(first, row, issue=amended(40)), *roots(node.home)[:3]) for row in fresh)
    node.put(second)
    node.load()
    node.put(first)
    error = node.refused()
    assert error.reason is Reason.TRUST_OLDER
    assert "第 1 版不能接续本节点用过的第 2 版" in error.explain()
    node.put(fork)
    assert node.refused().reason is Reason.TRUST_OLDER
    node.put(second)
    node.load()


def test_what_was_refused_is_not_remembered_as_seen(node: Node) -> None:
    node.load()
    before = node.seen.read_bytes()
    stolen = node.load().key.keyid
    node.put(
        signed(
            revoke(node.chain(), id=stolen, reason="lost", from_index=None, issue=amended(40)), *roots(node.home)[:3]
        )
    )
    assert node.refused().reason is Reason.TRUST_LACKS
    assert node.seen.read_bytes() == before


def test_a_damaged_note_of_what_was_seen_is_not_taken_for_none(node: Node) -> None:
    node.load()
    node.seen.write_bytes(b"{}")
    assert node.refused().reason is Reason.CONFIG_INVALID


def test_another_citys_list_is_refused(node: Node) -> None:
    assert node.refused(city="jiuquan").reason is Reason.TRUST_BROKEN


def test_a_node_whose_own_key_is_not_listed_or_is_another_agencys_does_not_start(node: Node) -> None:
    court = node.home.node(Agency.COURT) / "seal.key"
    for key in (court, node.home.folder / "fresh.key"):
        if not key.exists():
            files.save_private(key, algorithm("ed25519+sha256").generate())
        assert replace(node, own=replace(node.own, seal_key=key)).refused().reason is Reason.TRUST_LACKS


def test_a_node_whose_key_was_rotated_out_does_not_start_with_the_old_one_once_it_has_ended(node: Node) -> None:
    fresh = algorithm("ed25519+sha256").generate()
    old = node.load().key.keyid
    node.put(signed(rotate(node.chain(), id=old, to=fresh.public, overlap=0, issue=amended(40)), *roots(node.home)[:3]))
    assert node.refused().reason is Reason.TRUST_LACKS
    files.save_private(node.home.folder / "fresh.key", fresh)
    found = replace(node, own=replace(node.own, seal_key=node.home.folder / "fresh.key")).load()
    assert found.value.version == 2


def test_an_authority_that_is_not_listed_is_refused(node: Node, tmp_path: Path) -> None:
    other = provision(tmp_path / "other", now=NOW)
    assert replace(node, own=replace(node.own, ca=other.folder / "ca.pem")).refused().reason is Reason.TRUST_LACKS
    both = tmp_path / "both.pem"
    both.write_bytes(node.own.ca.read_bytes() + (other.folder / "ca.pem").read_bytes())
    assert replace(node, own=replace(node.own, ca=both)).refused().reason is Reason.TRUST_LACKS


def test_a_node_whose_own_certificate_is_barred_does_not_start_until_it_has_another(node: Node) -> None:
    (own,) = fingerprints(node.own.certificate.read_bytes())
    (peer,) = fingerprints((node.home.node(Agency.COURT) / "certificate.pem").read_bytes())
    three = roots(node.home)[:3]
    node.put(signed(bar(node.chain(), fingerprint=peer, reason="lost", issue=amended(40)), *three))
    node.load()
    node.put(signed(bar(node.chain(), fingerprint=own, reason="compromised", issue=amended(41)), *three))
    error = node.refused()
    assert error.reason is Reason.CERTIFICATE_BARRED
    assert f"证书 {own[:16]} 已由信任清单第 3 版停用" in error.explain()
    fresh = Authority.of_city(node.home.folder, node.home.folder / "fresh").issue("spiffe://xieban.lanzhou/police/node")
    replace(node, own=replace(node.own, certificate=fresh / "certificate.pem")).load()


def test_a_barred_certificate_behind_the_nodes_own_in_its_file_keeps_it_from_starting_too(node: Node) -> None:
    """The whole file is what the node shows."""
    old = Authority.of_city(node.home.folder, node.home.folder / "old").issue("spiffe://xieban.lanzhou/police/node")
    pem = (old / "certificate.pem").read_bytes()
    with node.own.certificate.open("ab") as file:
        file.write(pem)
    node.load()
    draft = bar(node.chain(), fingerprint=fingerprints(pem)[0], reason="superseded", issue=amended(40))
    node.put(signed(draft, *roots(node.home)[:3]))
    assert node.refused().reason is Reason.CERTIFICATE_BARRED


@pytest.mark.parametrize("which", ["seal_key", "tls_key"])
def test_private_keys_that_others_can_read_keep_the_node_from_starting(node: Node, which: str) -> None:
    getattr(node.own, which).chmod(0o640)
    assert node.refused().reason is Reason.KEY_FILE_EXPOSED


def test_an_encrypted_seal_key_is_opened_with_a_passphrase_file(node: Node) -> None:
    key = files.load_private(node.own.seal_key)
    encrypted, passphrase = node.home.folder / "seal.enc", node.home.folder / "passphrase"
    files.save_private(encrypted, key, passphrase="口令")
    passphrase.touch(0o600)
    passphrase.write_text("口令\n", encoding="utf-8")
    locked = replace(node, own=replace(node.own, seal_key=encrypted))
    assert locked.refused().reason is Reason.KEY_FILE_INVALID
    assert replace(locked, own=replace(locked.own, passphrase=passphrase)).load().key.public == key.public


@pytest.mark.parametrize(
    "missing", ["trust.json", "ca.pem", "nodes/police/certificate.pem", "nodes/police/key.pem", "nodes/police/seal.key"]
)
def test_a_missing_file_is_a_refusal_in_words(node: Node, missing: str) -> None:
    (node.home.folder / missing).unlink()
    assert node.refused().reason in {Reason.CONFIG_INVALID, Reason.KEY_FILE_INVALID}


@pytest.mark.parametrize(("agency", "spoil"), [("police", "cut"), ("gateway", "expire")])
def test_a_process_given_a_list_that_does_not_hold_ends_with_78_and_says_why(
    tmp_path: Path, agency: str, spoil: str
) -> None:
    spoilers: dict[str, Callable[[Home], str]] = {"cut": _cut, "expire": lambda home: "XB-3028"}
    long_ago = NOW - LIFE - timedelta(days=400)
    home = provision(tmp_path / "city", now=long_ago if spoil == "expire" else NOW)
    number = spoilers[spoil](home)
    ran = subprocess.run(
        [sys.executable, "-m", f"services.{agency}", "--config", str(home.node(Agency(agency)) / "config.toml")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 78, ran.stderr
    assert number in ran.stderr
    assert "Traceback" not in ran.stderr


def _cut(home: Home) -> str:
    file = home.folder / "trust.json"
    file.write_bytes(file.read_bytes()[:-1])
    return "XB-3006"
