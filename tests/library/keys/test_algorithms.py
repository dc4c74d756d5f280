"""Every algorithm signs and verifies alike; SM2 agrees with an implementation that is not ours, in both directions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.library.trust.city import LATER, LIFE, NOW, issue, pins, seal, signed
from xieban.agency import Agency
from xieban.errors import Reason, XiebanError
from xieban.keys import ALGORITHMS, AlgorithmName, algorithm, files, fingerprint, keyid
from xieban.seal import Directory, SealKey, entry
from xieban.trust import add, begin, parse, rotate

SIGNER = "1234567812345678"
MESSAGE = "DSSEv1 6 header 12 报文".encode()
NAMES = sorted(ALGORITHMS)


def openssl(*arguments: str | Path, cwd: Path) -> str:
    """Run the command; its failure is the test's."""
    ran = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _why_no_openssl() -> str:
    if shutil.which("openssl") is None:
        return "no openssl command"
    version = re.match(
        r"OpenSSL (\d+)\.", subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout
    )
    if version is None or int(version[1]) < 3:
        return "the openssl command is older than 3"
    curves = subprocess.run(["openssl", "ecparam", "-list_curves"], capture_output=True, text=True).stdout
    return "" if "SM2" in curves else "this openssl was built without SM2"


NO_OPENSSL = _why_no_openssl()
needs_openssl = pytest.mark.skipif(bool(NO_OPENSSL), reason=NO_OPENSSL)


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_holds_for_its_message_and_key_alone(name: AlgorithmName) -> None:
    one, other = algorithm(name).generate(), algorithm(name).generate()
    signature = one.sign(MESSAGE)
    assert one.public.holds(signature, MESSAGE)
    assert not one.public.holds(signature, MESSAGE + b"\0")
    assert not other.public.holds(signature, MESSAGE)
    assert one.public != other.public
    assert one.public == algorithm(name).public(one.public.raw)
    assert keyid(one.public) == fingerprint(one.public)[:16]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_signature_does_not_hold_and_does_not_raise(name: AlgorithmName) -> None:
    key = algorithm(name).generate()
    signature = key.sign(MESSAGE)
    for wrong in (b"", b"\0", b"\x30", signature[:-1], signature + b"\0", b"\0" * 64, b"\xff" * 72, b"\x30" * 5000):
        assert not key.public.holds(wrong, MESSAGE)
    for position in range(len(signature)):
        changed = bytearray(signature)
        changed[position] ^= 1
        assert not key.public.holds(bytes(changed), MESSAGE)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_no_key_are_refused(name: AlgorithmName) -> None:
    for raw in (b"", b"\1" * 31, b"\1" * 33, b"\1" * 63, b"\1" * 65):
        with pytest.raises(XiebanError) as raised:
            algorithm(name).public(raw)
        assert raised.value.reason is Reason.KEY_MALFORMED
        with pytest.raises(XiebanError):
            algorithm(name).private(raw, b"")


def test_a_point_beside_the_curve_is_no_sm2_key() -> None:
    raw = bytearray(algorithm("sm2+sm3").generate().public.raw)
    raw[-1] ^= 1
    for wrong in (bytes(raw), b"\0" * 64, b"\xff" * 64):
        with pytest.raises(XiebanError) as raised:
            algorithm("sm2+sm3").public(wrong)
        assert raised.value.reason is Reason.KEY_MALFORMED


def test_a_private_key_with_anothers_public_key_is_refused() -> None:
    for name in NAMES:
        one, other = algorithm(name).generate(), algorithm(name).generate()
        with pytest.raises(XiebanError) as raised:
            algorithm(name).private(one.raw, other.public.raw)
        assert raised.value.reason is Reason.KEY_MALFORMED


def test_an_sm2_signature_has_one_spelling() -> None:
    key = algorithm("sm2+sm3").generate()
    signature = key.sign(MESSAGE)
    r, s = decode_dss_signature(signature)
    assert encode_dss_signature(r, s) == signature
    longer = b"\x02\x22\x00" + r.to_bytes(33, "big") + b"\x02\x22\x00" + s.to_bytes(33, "big")
    order = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
    for other in (
        b"\x30" + bytes([len(longer)]) + longer,
        encode_dss_signature(r + order, s),
        encode_dss_signature(0, s),
    ):
        assert not key.public.holds(other, MESSAGE)


def test_the_algorithm_belongs_to_the_key_and_never_to_the_message() -> None:
    """One directory with keys of both kinds: a statement says nothing of algorithms, and neither key takes the other's signature."""
    keys = {agency: SealKey.generate(name) for agency, name in zip((Agency.POLICE, Agency.COURT), NAMES, strict=True)}
    directory = Directory([entry(key, city="lanzhou", agency=agency) for agency, key in keys.items()])
    for agency, key in keys.items():
        sealed = key.seal("header", b"{}")
        assert directory.verify(sealed, city="lanzhou", agency=agency).key.name == NAMES[list(keys).index(agency)]
        for other in keys.keys() - {agency}:
            with pytest.raises(XiebanError):
                directory.verify(sealed, city="lanzhou", agency=other)


# --- against openssl


@needs_openssl
def test_openssl_accepts_our_sm2_signature_under_our_key_file(tmp_path: Path) -> None:
    key = algorithm("sm2+sm3").generate()
    files.save_public(tmp_path / "key.pub", key.public)
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "signature").write_bytes(key.sign(MESSAGE))
    told = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-in", "message", "-digest", "sm3",
        "-pkeyopt", f"distid:{SIGNER}", "-sigfile", "signature", cwd=tmp_path,
    )  # fmt: skip
    assert "Verified Successfully" in told


@needs_openssl
def test_we_accept_openssls_sm2_signature_under_its_key_file_and_only_with_the_same_signer(tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "SM2", "-out", "key.pem", cwd=tmp_path)
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub", cwd=tmp_path)
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "key.pem").chmod(0o600)
    public = files.load_public(tmp_path / "key.pub")
    assert files.load_private(tmp_path / "key.pem").public == public
    for signer, holds in ((SIGNER, True), ("8765432187654321", False)):
        openssl(
            "pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "message", "-digest", "sm3",
            "-pkeyopt", f"distid:{signer}", "-out", "signature", cwd=tmp_path,
        )  # fmt: skip
        assert public.holds((tmp_path / "signature").read_bytes(), MESSAGE) is holds


@needs_openssl
@pytest.mark.parametrize("name", NAMES)
def test_openssl_reads_our_encrypted_key_files_and_we_read_its_own(tmp_path: Path, name: AlgorithmName) -> None:
    key = algorithm(name).generate()
    files.save_private(tmp_path / "ours.key", key, passphrase="一二三 four")
    openssl("pkey", "-in", "ours.key", "-passin", "pass:一二三 four", "-out", "clear.key", cwd=tmp_path)
    (tmp_path / "clear.key").chmod(0o600)
    assert files.load_private(tmp_path / "clear.key").public == key.public
    openssl(
        "pkcs8", "-topk8", "-in", "clear.key", "-scrypt", "-passout", "pass:other", "-out", "theirs.key", cwd=tmp_path
    )
    (tmp_path / "theirs.key").chmod(0o600)
    assert files.load_private(tmp_path / "theirs.key", passphrase="other").public == key.public


# --- without the extra

WITHOUT = """
import sys
sys.modules["gmssl_pyx"] = None
from xieban.keys import algorithm
from xieban.errors import XiebanError
public = algorithm("sm2+sm3").public(bytes.fromhex(sys.argv[1]))
for act in (lambda: public.holds(bytes.fromhex(sys.argv[2]), b"x"), algorithm("sm2+sm3").generate):
    try:
        act()
    except XiebanError as error:
        print(error.reason.name)
print(algorithm("ed25519+sha256").generate().public.holds(b"x", b"x"))
"""


def test_without_the_extra_sm2_keys_can_be_listed_but_a_signature_is_neither_made_nor_called_false() -> None:
    key = algorithm("sm2+sm3").generate()
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, key.public.raw.hex(), key.sign(b"x").hex()], capture_output=True, text=True
    )
    assert ran.stdout.split() == ["ALGORITHM_MISSING", "ALGORITHM_MISSING", "False"], ran.stderr


def test_a_whole_list_can_be_founded_and_rotated_on_sm2_roots() -> None:
    roots = [algorithm("sm2+sm3").generate() for _ in range(3)]
    police, fresh = SealKey.generate("sm2+sm3"), SealKey.generate("ed25519+sha256")
    begun = begin(city="lanzhou", roots=[r.public for r in roots], threshold=2, issued_at=NOW, expires_at=NOW + LIFE)
    first = signed(add(begun, seal(police.public), issue=issue(0, at=NOW)), *roots[:2])
    moved = signed(rotate(first, id=police.keyid, to=fresh.public, overlap=5, issue=issue(40)), *roots[1:])
    value = parse(moved.encode(), pins=pins(moved)).effective(now=LATER)
    assert [row.covers(40) for row in value.entries] == [True, True]
