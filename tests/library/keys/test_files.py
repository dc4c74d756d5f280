"""A private key is for its owner's eyes only, and a passphrase is what opens it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from xieban.errors import Reason, XiebanError
from xieban.keys import ALGORITHMS, AlgorithmName, algorithm, containers, files

KEY = algorithm("ed25519+sha256").private(b"\x07" * 32, b"")
CHEAP = (16, 1, 1)


def reason(file: Path, *, passphrase: str = "") -> Reason:
    with pytest.raises(XiebanError) as raised:
        files.load_private(file, passphrase=passphrase)
    return raised.value.reason


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_key_file_is_made_for_its_owner_only_and_read_back(tmp_path: Path, name: AlgorithmName) -> None:
    key, file = algorithm(name).generate(), tmp_path / "seal.key"
    files.save_private(file, key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not files.is_encrypted(file)
    again = files.load_private(file)
    assert again.raw == key.raw
    assert again.public == key.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o660, 0o644, 0o601])
def test_a_private_key_that_others_have_any_right_to_is_refused_with_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "seal.key"
    files.save_private(file, KEY)
    file.chmod(mode)
    with pytest.raises(XiebanError) as raised:
        files.load_private(file)
    assert raised.value.reason is Reason.KEY_FILE_EXPOSED
    assert f"{mode:03o}" in raised.value.explain()
    assert "chmod 600" in raised.value.explain()


def test_a_passphrase_file_that_others_can_read_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("一二三\nnot this\n", encoding="utf-8")
    with pytest.raises(XiebanError) as raised:
        files.load_passphrase(file)
    assert raised.value.reason is Reason.KEY_FILE_EXPOSED
    file.chmod(0o400)
    assert files.load_passphrase(file) == "一二三"
    file.chmod(0o600)
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(XiebanError):
        files.load_passphrase(file)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_encrypted_key_opens_with_its_passphrase_alone(tmp_path: Path, name: AlgorithmName) -> None:
    key, file = algorithm(name).generate(), tmp_path / "root.key"
    files.save_private(file, key, passphrase="口令")
    assert files.is_encrypted(file)
    assert key.raw not in file.read_bytes()
    assert files.load_private(file, passphrase="口令").raw == key.raw
    for wrong in ("", "口", "口令 "):
        assert reason(file, passphrase=wrong) is Reason.KEY_FILE_INVALID


def test_the_librarys_own_reader_opens_our_encrypted_file(tmp_path: Path) -> None:
    files.save_private(tmp_path / "root.key", KEY, passphrase="口令")
    found = load_pem_private_key((tmp_path / "root.key").read_bytes(), "口令".encode())
    assert isinstance(found, Ed25519PrivateKey)
    assert found.private_bytes_raw() == KEY.raw


def test_a_file_encrypted_with_a_weak_derivation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weak.key"
    file.touch(0o600)
    library = Ed25519PrivateKey.from_private_bytes(KEY.raw)
    file.write_bytes(library.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    assert reason(file, passphrase="x") is Reason.KEY_FILE_INVALID


def test_a_file_that_asks_for_more_work_than_allowed_is_refused_before_any_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    der = containers.encrypted(containers.private_to_der(KEY), passphrase="x", work=CHEAP)
    assert containers.decrypted(der, passphrase="x")
    monkeypatch.setattr(containers, "MAX_WORK", 15)
    with pytest.raises(ValueError, match="bounds"):
        containers.decrypted(der, passphrase="x")


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    files.save_private(file, KEY)
    with pytest.raises(XiebanError) as raised:
        files.save_private(file, algorithm("ed25519+sha256").generate())
    assert raised.value.reason is Reason.KEY_FILE_INVALID
    assert files.load_private(file).raw == KEY.raw


def test_public_and_private_files_are_not_taken_for_one_another(tmp_path: Path) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    files.save_private(private, KEY)
    files.save_public(public, KEY.public)
    public.chmod(0o600)
    assert files.load_public(public) == KEY.public
    assert reason(public) is Reason.KEY_FILE_INVALID
    with pytest.raises(XiebanError):
        files.load_public(private)
    with pytest.raises(XiebanError):
        files.load_public(tmp_path / "missing")


@settings(max_examples=300, deadline=1000)
@given(st.data())
def test_whatever_a_container_holds_reading_it_ends_soon_and_with_a_key_or_a_coded_refusal(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([containers.public_to_der(KEY.public), containers.private_to_der(KEY)]))
    start, end = (data.draw(st.integers(0, len(whole))) for _ in range(2))
    der = whole[: min(start, end)] + data.draw(st.binary(max_size=20)) + whole[max(start, end) :]
    refused = set()
    for read in (containers.public_from_der, containers.private_from_der):
        try:
            read(der)
        except XiebanError as error:
            refused.add(error.reason)
    assert refused <= {Reason.KEY_MALFORMED}
