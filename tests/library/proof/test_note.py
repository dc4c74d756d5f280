"""Notes are those other implementations write and read; one character elsewhere, and they are refused with a code."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.library.proof.refusal import holds, reason_of
from xieban.errors import Reason
from xieban.proof import note, spelling
from xieban.proof.note import Algorithm, Note, Signature, SigningKey, VerifierKey

# The examples of golang.org/x/mod/sumdb/note, and the one of C2SP signed-note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)

PETER_KEY = note.parse_vkey(PETER)
ENOCH_KEY = note.parse_vkey(ENOCH)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = SigningKey("witness.example/w1", Algorithm.COSIGNATURE_V1, PRIVATE)
BOTH = f"{PETER_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="+"), min_size=1)
KEYS = st.builds(VerifierKey, NAMES, st.sampled_from(Algorithm), st.binary(min_size=32, max_size=32))


def refused(data: bytes) -> bool:
    return reason_of(note.parse, data) is Reason.PROOF_MALFORMED


def test_the_published_examples_are_read_verified_and_written_again() -> None:
    for data, keys in ((BOTH, (PETER_KEY, ENOCH_KEY)), (FOO_NOTE.encode(), (note.parse_vkey(FOO),))):
        found = note.parse(data)
        assert found.verify(keys) == dict.fromkeys(keys)
        assert found.encode() == data


def test_the_published_keys_sign_the_published_signatures() -> None:
    peter = SigningKey("PeterNeumann", Algorithm.ED25519, private(base64.b64decode(PETER_SEED)[1:]))
    enoch = SigningKey("EnochRoot", Algorithm.ED25519, private(bytes(32)))
    assert (peter.public.vkey, enoch.public.vkey) == (PETER, ENOCH)
    assert Note(PETER_TEXT, (peter.sign(PETER_TEXT), enoch.sign(PETER_TEXT))).encode() == BOTH


def private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def test_the_text_ends_at_the_last_blank_line() -> None:
    text = "one\n\n\n— a fake= line\n\ntwo\n"
    key = SigningKey("log.example", Algorithm.ED25519, PRIVATE)
    found = note.parse(Note(text, (key.sign(text),)).encode())
    assert found.text == text
    assert found.verify([key.public]) == {key.public: None}


def test_a_cosignature_signs_its_time_and_the_whole_text() -> None:
    signature = WITNESS.sign("text\n", at=1679315147)
    assert signature.value[:8] == (1679315147).to_bytes(8, "big")
    PRIVATE.public_key().verify(signature.value[8:], b"cosignature/v1\ntime 1679315147\ntext\n")
    assert WITNESS.public.verify("text\n", signature.value) == 1679315147
    other_time = (1679315148).to_bytes(8, "big") + signature.value[8:]
    for text, value in (("text \n", signature.value), ("text\n", other_time), ("text\n", b""), ("text\n", b"\x00" * 7)):
        assert reason_of(WITNESS.public.verify, text, value) is Reason.SEAL_INVALID


@pytest.mark.parametrize("at", [0, 2**63])
def test_a_cosignature_of_no_possible_time_is_refused_although_its_key_signed_it(at: int) -> None:
    value = at.to_bytes(8, "big") + PRIVATE.sign(b"cosignature/v1\ntime %d\ntext\n" % at)
    assert reason_of(WITNESS.public.verify, "text\n", value) is Reason.SEAL_INVALID


def test_the_key_id_is_taken_over_name_kind_and_key() -> None:
    public = PRIVATE.public_key().public_bytes_raw()
    for kind in Algorithm:
        key = VerifierKey("a", kind, public)
        assert key.key_id == hashlib.sha256(b"a\n" + bytes([kind]) + public).digest()[:4]
    assert len({VerifierKey(name, kind, public).key_id for name in "ab" for kind in Algorithm}) == 4


def test_a_time_belongs_to_a_cosignature_and_to_nothing_else() -> None:
    log = SigningKey("log.example", Algorithm.ED25519, PRIVATE)
    for act in (
        lambda: log.sign("text\n", at=1),
        lambda: WITNESS.sign("text\n"),
        lambda: WITNESS.sign("text\n", at=0),
        lambda: WITNESS.sign("text\n", at=-1),
        lambda: WITNESS.sign("text\n", at=2**63),
    ):
        assert reason_of(act) is Reason.FIELD_INVALID


@pytest.mark.parametrize("text", ["", "text", "a\tb\n", "a\x00\n", "a\r\n", "\ud800\n"])
def test_no_text_is_signed_that_no_note_could_hold(text: str) -> None:
    log = SigningKey("log.example", Algorithm.ED25519, PRIVATE)
    assert reason_of(log.sign, text) is Reason.PROOF_MALFORMED


def test_signatures_of_unknown_keys_are_ignored_even_under_a_known_name_or_id() -> None:
    found = note.parse(BOTH)
    assert found.verify([PETER_KEY]) == {PETER_KEY: None}
    assert found.verify([]) == {}
    stranger = Signature("PeterNeumann", b"\x00" * 4, b"nothing")
    namesake = Signature("Stranger", PETER_KEY.key_id, b"nothing")
    crowd = note.parse(replace(found, signatures=(*found.signatures, stranger, namesake)).encode())
    assert crowd.verify([PETER_KEY]) == {PETER_KEY: None}


def test_a_known_keys_false_signature_condemns_the_note_however_many_others_hold() -> None:
    found = note.parse(BOTH)
    forged = replace(found.signatures[0], value=b"\x00" * 64)
    for signatures in ((forged, found.signatures[1]), (found.signatures[1], replace(forged, value=b"short"))):
        bad = replace(found, signatures=signatures)
        assert reason_of(bad.verify, [PETER_KEY, ENOCH_KEY]) is Reason.SEAL_INVALID
    assert reason_of(replace(found, text=found.text + "\n").verify, [PETER_KEY]) is Reason.SEAL_INVALID


def test_two_known_keys_of_one_name_and_id_are_refused() -> None:
    assert reason_of(note.parse(BOTH).verify, [PETER_KEY, PETER_KEY]) is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PETER_TEXT.encode(), id="no signature"),
        pytest.param(f"{PETER_TEXT}\n".encode(), id="no signature after the blank line"),
        pytest.param(BOTH[:-1], id="no line feed at the end"),
        pytest.param(BOTH + b"\n", id="a blank line at the end"),
        pytest.param(BOTH + b"Unexpected line.\n", id="a line that is no signature"),
        pytest.param(b"\x01" + BOTH, id="a control character"),
        pytest.param(BOTH.replace(b"\n", b"\r\n"), id="carriage returns"),
        pytest.param(b"\tx" + BOTH, id="a tab"),
        pytest.param(b"\xff" + BOTH, id="no UTF-8"),
        pytest.param(b"\xed\xa0\x80" + BOTH, id="a surrogate"),
        pytest.param(PETER_LINE.encode(), id="no text"),
        pytest.param(f"{PETER_TEXT}\n{PETER_LINE}{PETER_LINE}".encode(), id="a signature twice"),
        pytest.param(BOTH.replace(b"PeterNeumann x", b"Peter Neumann x"), id="a space in the name"),
        pytest.param(
            BOTH.replace(b"PeterNeumann x", "Peter\u00a0Neumann x".encode()), id="a Unicode space in the name"
        ),
        pytest.param(
            BOTH.replace(b"PeterNeumann x", "Peter\u2028Neumann x".encode()), id="a line separator in the name"
        ),
        pytest.param(BOTH.replace(b"PeterNeumann x", b"Peter+Neumann x"), id="a plus in the name"),
        pytest.param(BOTH.replace(b"PeterNeumann x", b" x"), id="no name"),
        pytest.param(BOTH.replace("—".encode(), b"-"), id="a hyphen for the dash"),
        pytest.param(BOTH.replace("— ".encode(), "—  ".encode()), id="two spaces"),
        pytest.param(BOTH.replace("— ".encode(), b""), id="no dash"),
        pytest.param(BOTH.replace(b"AM=\n", b"AM\n"), id="no padding"),
        pytest.param(BOTH.replace(b"AM=\n", b"AN=\n"), id="bits behind the end"),
        pytest.param(BOTH.replace(b"AM=\n", b"AM= \n"), id="a space at the end"),
        pytest.param(BOTH.replace(b"/ZJ", b"_ZJ"), id="base64 of the other alphabet"),
        pytest.param(f"{PETER_TEXT}\n— a eDA4\n".encode(), id="three bytes"),
        pytest.param(f"{PETER_TEXT}\n— a eDA4eA==\n".encode(), id="a key id and no signature"),
        pytest.param(f"{PETER_TEXT}\n— a\n".encode(), id="a name and no signature"),
    ],
)
def test_what_is_not_exactly_a_note_is_refused(data: bytes) -> None:
    assert refused(data)


def test_sixty_four_signatures_are_read_and_no_more() -> None:
    lines = [Signature(f"n{number}", b"\x00" * 4, b"x").line for number in range(65)]
    assert len(note.parse(("text\n\n" + "".join(lines[:64])).encode()).signatures) == 64
    assert refused(("text\n\n" + "".join(lines)).encode())


def test_a_note_over_the_limit_is_refused_before_it_is_read() -> None:
    tail = b"\n\n" + PETER_LINE.encode()
    assert holds(note.parse, b"x" * (note.MAX_NOTE - len(tail)) + tail)
    assert reason_of(note.parse, b"x" * (note.MAX_NOTE - len(tail) + 1) + tail) is Reason.MESSAGE_TOO_LARGE


def test_every_piece_and_every_neighbour_of_a_key_text_is_refused() -> None:
    for begin in range(len(PETER)):
        for end in range(begin + 1, len(PETER) + 1):
            piece = PETER[begin:end]
            assert piece == PETER or not holds(note.parse_vkey, piece)
    for at, character in enumerate(PETER):
        other = PETER[:at] + chr(ord(character) + 1) + PETER[at + 1 :]
        assert not holds(note.parse_vkey, other)


def test_a_key_of_another_length_or_kind_is_refused_although_its_id_fits() -> None:
    public = PETER_KEY.public
    for data in (
        b"\x01" + public + b"\x00",
        b"\x01" + public[:-1],
        b"\x02" + public,
        b"\x00" + public,
        b"\x06" + public,
        b"",
    ):
        key_id = hashlib.sha256(b"PeterNeumann\n" + data).digest()[:4].hex()
        text = f"PeterNeumann+{key_id}+{base64.b64encode(data).decode()}"
        assert reason_of(note.parse_vkey, text) is Reason.PROOF_MALFORMED
    assert reason_of(note.parse_vkey, PETER.replace("c74f20a3", "C74F20A3")) is Reason.PROOF_MALFORMED
    assert reason_of(VerifierKey, "a b", Algorithm.ED25519, public) is Reason.PROOF_MALFORMED
    assert reason_of(VerifierKey, "\ud800", Algorithm.ED25519, public) is Reason.PROOF_MALFORMED


@given(KEYS)
@settings(max_examples=100, deadline=None)
def test_a_key_survives_its_text(key: VerifierKey) -> None:
    assert note.parse_vkey(key.vkey) == key


@given(
    st.text(max_size=80)
    | st.builds("{}+{}+{}".format, NAMES, st.text("0123456789abcdef", max_size=9), st.text(max_size=50))
)
@settings(max_examples=300, deadline=None)
def test_noise_is_no_key(noise: str) -> None:
    assert not holds(note.parse_vkey, noise)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(["\n", "— ", "a", " ", "+", "eDA4eDA4", "=", "\u2003", PETER_LINE])).map(
        lambda parts: "".join(parts).encode()
    )
)
@settings(max_examples=500, deadline=None)
def test_noise_is_a_note_of_its_own_spelling_or_refused(noise: bytes) -> None:
    if holds(note.parse, noise):
        assert note.parse(noise).encode() == noise


@given(st.integers(0, len(BOTH) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_change_of_one_byte_is_refused_or_leaves_one_signer_less(position: int, difference: int) -> None:
    changed = bytearray(BOTH)
    changed[position] ^= difference
    if holds(note.parse, bytes(changed)):
        found = note.parse(bytes(changed))
        assert not holds(found.verify, [PETER_KEY, ENOCH_KEY]) or len(found.verify([PETER_KEY, ENOCH_KEY])) < 2


@pytest.mark.parametrize(
    "text", ["", "00", "01", "-1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "٣", "x", "9223372036854775808", "9" * 5000]
)
def test_a_number_has_one_spelling(text: str) -> None:
    assert reason_of(spelling.number, text, what="x") is Reason.PROOF_MALFORMED
    assert [spelling.number(str(value), what="x") for value in (0, 7, 2**63 - 1)] == [0, 7, 2**63 - 1]


@given(st.text("AB+/=-_ \n", max_size=12) | st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_octets_have_one_spelling(text: str) -> None:
    if holds(spelling.octets, text, what="x"):
        assert spelling.spell(spelling.octets(text, what="x")) == text
