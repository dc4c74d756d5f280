"""Drills in a running city: a key is rotated while statements are in flight, a key or a certificate is stolen, a list is put back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from tests import ledger
from tests.attacks.certificates import Authority, fingerprint
from tests.library.trust.city import seal
from tests.system.ceremony import amended, listed, put
from tests.system.rig import PP, PS, City, whole_city
from xieban import subjects
from xieban.agency import Agency
from xieban.client import XiebanClient
from xieban.errors import Reason, XiebanError
from xieban.keys import algorithm, files
from xieban.seal import SealKey
from xieban.trust import add, bar, revoke, rotate

OVERLAP = 3
"""Log entries: fewer than a handoff makes on its way."""


def new_key(city: City, agency: Agency) -> SealKey:
    """A fresh seal key in the place of the node's own; the node uses it from its next start."""
    file = city.home.node(agency) / "seal.key"
    file.rename(file.with_name("seal.old.key"))
    key = algorithm("ed25519+sha256").generate()
    files.save_private(file, key)
    return SealKey(key)


def log_size(city: City) -> int:
    with closing(
        sqlite3.connect(f"{(city.home.node(Agency.GATEWAY) / 'data.db').as_uri()}?mode=ro", uri=True)
    ) as database:
        return int(database.execute("SELECT COUNT(*) FROM log_entry").fetchone()[0])


def refusals_at_gateway(city: City) -> list[str]:
    with closing(
        sqlite3.connect(f"{(city.home.node(Agency.GATEWAY) / 'data.db').as_uri()}?mode=ro", uri=True)
    ) as database:
        return [row[0] for row in database.execute("SELECT number FROM refused")]


def lists_in_the_log(city: City) -> list[tuple[int, str, str]]:
    """Position, eid and detail of what the log says of trust lists."""
    with closing(
        sqlite3.connect(f"{(city.home.node(Agency.GATEWAY) / 'data.db').as_uri()}?mode=ro", uri=True)
    ) as database:
        sql = "SELECT position, eid, detail FROM log_entry WHERE kind = 'TRUSTLIST' ORDER BY position"
        return list(database.execute(sql))


async def restart(city: City, *agencies: Agency) -> None:
    for agency in agencies:
        await city.node(agency).restart()
    await city.stop_gateway()
    await city.start_gateway()


async def test_a_seal_key_is_rotated_while_statements_are_in_flight_and_none_is_lost(tmp_path: Path) -> None:
    async with whole_city(tmp_path) as city:
        old = city.key(PS)
        await city.node(PP).stop()
        flying = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.quiet_bus()

        # The list first, everywhere; then the node changes its key.
        index = log_size(city)
        fresh = algorithm("ed25519+sha256").generate()
        put(city.home, rotate(listed(city.home), id=old.keyid, to=fresh.public, overlap=OVERLAP, issue=amended(index)))
        await restart(city)
        await city.node(PP).start()
        await city.arrive(city.procuratorate, flying.eid)
        key_file = city.home.node(PS) / "seal.key"
        key_file.unlink()
        files.save_private(key_file, fresh)
        await city.node(PS).restart()
        sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        assert city.sealed(PS, sent.eid).signatures[0].keyid == SealKey(fresh).keyid
        await city.arrive(city.procuratorate, sent.eid)
        await city.quiet()

        # Behind the overlap the old key is refused, by the agency and by the gateway; what it sealed before stays proven.
        size = log_size(city)
        assert size >= index + OVERLAP
        closing_list = add(
            listed(city.home), seal(SealKey.generate().public, Agency.COURT, from_index=size), issue=amended(size)
        )
        put(city.home, closing_list)
        await restart(city, PS, PP)
        late = await city.say_header(city.header(), key=old)
        assert await city.reject_heard(PS, late.eid) == [Reason.KEY_OUT_OF_SPAN.name]
        assert not city.rows(PP, "SELECT 1 FROM handoff WHERE eid = ?", late.eid)
        # Told again, it is known: taken while its key counted, and no forgery now.
        sealed = city.rows(PS, "SELECT sealed FROM handoff WHERE eid = ?", flying.eid)[0]["sealed"]
        await city.say(subjects.handoff("lanzhou", PS, PP), sealed)
        honest = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, honest.eid)
        await city.quiet_bus()
        assert [row["digest"] for row in city.rows(PP, "SELECT digest FROM refused")] == [late.eid]
        assert len(refusals_at_gateway(city)) == 1
        findings = ledger.compare(city.home)
        assert findings.unverified == []
        assert findings.handoffs >= 2


async def test_of_a_stolen_key_nothing_is_taken_any_more_and_what_was_taken_before_the_theft_stands(
    tmp_path: Path,
) -> None:
    async with whole_city(tmp_path) as city:
        before = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, before.eid)
        await city.quiet()
        stolen, index = city.key(PS), log_size(city)

        fresh = new_key(city, PS)
        draft = revoke(listed(city.home), id=stolen.keyid, reason="compromised", from_index=None, issue=amended(index))
        put(city.home, add(draft, seal(fresh.public, from_index=index), issue=amended(index)))
        await restart(city, PS, PP)

        forged = await city.say_header(city.header(), key=stolen)
        assert await city.reject_heard(PS, forged.eid) == [Reason.KEY_OUT_OF_SPAN.name]
        honest = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, honest.eid)
        await city.quiet()
        assert refusals_at_gateway(city).count(Reason.KEY_OUT_OF_SPAN.number) == 1

        archive = listed(city.home).last.value.directory()
        sealed = city.sealed(PP, before.eid)
        archive.verify(sealed, city="lanzhou", agency=PS, index=index - 1)
        with pytest.raises(XiebanError):
            archive.verify(sealed, city="lanzhou", agency=PS, index=index)


async def test_the_certificate_of_an_agencys_system_is_stolen_barred_and_replaced_and_its_work_goes_on(
    tmp_path: Path,
) -> None:
    """As docs/trust.md has it: bar it, the list to every node, restart; the system with its new certificate."""
    async with whole_city(tmp_path / "city") as city:
        before = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, before.eid)
        await city.quiet()
        place = city.home.client("police")
        stolen = tmp_path / "stolen"
        shutil.copytree(place, stolen)
        size = log_size(city)
        put(
            city.home,
            bar(listed(city.home), fingerprint=fingerprint(stolen), reason="compromised", issue=amended(size)),
        )
        await restart(city, PS, PP, Agency.COURT)
        with pytest.raises(XiebanError) as raised:
            await city.police.get(before.eid)
        assert raised.value.reason is Reason.CERTIFICATE_BARRED

        fresh = Authority.of_city(city.home.folder, tmp_path / "registrar").issue(
            "spiffe://xieban.lanzhou/police/system"
        )
        for name in ("key.pem", "certificate.pem"):
            shutil.copyfile(fresh / name, place / name)
        async with XiebanClient.open(place) as system, XiebanClient.open(stolen) as thief:
            sent = await system.send(city.draft("arrest_request", case=city.new_case()))
            await city.arrive(city.procuratorate, sent.eid)
            await city.quiet()
            for act in (thief.get(sent.eid), thief.send(city.draft("arrest_request", case=city.new_case()))):
                with pytest.raises(XiebanError) as raised:
                    await act
                assert raised.value.reason is Reason.CERTIFICATE_BARRED
        findings = ledger.compare(city.home)
        assert (findings.unverified, findings.handoffs) == ([], 2)


async def test_a_node_whose_certificate_is_barred_stays_down_until_it_has_another(tmp_path: Path) -> None:
    async with whole_city(tmp_path / "city") as city:
        place = city.home.node(PP)
        barred = bar(listed(city.home), fingerprint=fingerprint(place), reason="lost", issue=amended(log_size(city)))
        put(city.home, barred)
        await city.node(PP).stop()
        with pytest.raises(XiebanError) as raised:
            await city.node(PP).start()
        assert raised.value.reason is Reason.CERTIFICATE_BARRED
        await city.node(PP).stop()
        fresh = Authority.of_city(city.home.folder, tmp_path / "registrar").issue(
            "spiffe://xieban.lanzhou/procuratorate/node", x509.DNSName("xieban.procuratorate")
        )
        for name in ("key.pem", "certificate.pem"):
            shutil.copyfile(fresh / name, place / name)
        await city.node(PP).start()
        await restart(city, PS)
        sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, sent.eid)


async def test_a_node_does_not_come_up_again_with_the_list_from_before_the_theft(tmp_path: Path) -> None:
    async with whole_city(tmp_path) as city:
        file = city.home.folder / "trust.json"
        first = file.read_bytes()
        stolen = city.key(PS)
        fresh = new_key(city, PS)
        put(
            city.home,
            rotate(listed(city.home), id=stolen.keyid, to=fresh.public, overlap=0, issue=amended(log_size(city))),
        )
        await restart(city, PS, PP)
        file.write_bytes(first)
        await city.node(PP).stop()
        with pytest.raises(XiebanError) as raised:
            await city.node(PP).start()
        assert raised.value.reason is Reason.TRUST_OLDER
        await city.node(PP).stop()
        assert city.node(PP).process is None


async def test_the_log_says_which_list_its_gateway_goes_by_once_for_each_version(tmp_path: Path) -> None:
    async with whole_city(tmp_path) as city:
        first = listed(city.home).last.sealed.eid
        assert lists_in_the_log(city) == [(1, first, f"1:{first[:16]}")]
        await restart(city)
        assert lists_in_the_log(city) == [(1, first, f"1:{first[:16]}")]

        sent = await city.police.send(city.draft("arrest_request", case=city.new_case()))
        await city.arrive(city.procuratorate, sent.eid)
        await city.quiet()
        index = log_size(city)
        other = seal(SealKey.generate().public, Agency.COURT, from_index=index)
        second = put(city.home, add(listed(city.home), other, issue=amended(index))).last.sealed.eid
        assert len(lists_in_the_log(city)) == 1  # a list counts from the next start
        await restart(city)
        assert lists_in_the_log(city) == [(1, first, f"1:{first[:16]}"), (index + 1, second, f"2:{second[:16]}")]
