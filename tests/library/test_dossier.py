"""A dossier is what was packed, to the byte, or it is refused with the item named; a secret mark is refused, an innocent word is not."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from xieban import canonical, dossier
from xieban.dossier import CaseNumbers, Document, Dossier, EvidenceItem, File, Packed, Person
from xieban.errors import InvalidInput, NotAllowed, Reason, TooLarge
from xieban.handoff import Commitment

SALT = bytes(range(32))
SOUND = Dossier(
    document=Document(title="起诉意见书", number="甲公(刑)诉字〔2026〕1号", date="2026-03-02"),
    persons=(Person(tag="P1", name="𠮷·测试某", in_custody=True, place="示例看守所"),),
    evidence=(EvidenceItem(kind="witness", title="证人证言", pages=3),),
    files=(
        File(name="起诉意见书.txt", media_type="text/plain", content="示例文书".encode(), pages=2),
        File(name="照片.jpg", media_type="image/jpeg", content=b"\xff\xd8", pages=1),
    ),
    case_numbers=CaseNumbers(police="甲1"),
    charge="盗窃罪",
)
PACKED = dossier.pack(SOUND, salt=SALT)


def proven(packed: Packed = PACKED, **changes: Any) -> dossier.Manifest:
    values: dict[str, Any] = {"salt": packed.salt, "manifest": packed.manifest, "contents": packed.contents}
    return dossier.verify(packed.commitment, **{**values, **changes})


def mismatch(**changes: Any) -> str:
    with pytest.raises(NotAllowed) as raised:
        proven(**changes)
    assert raised.value.reason is Reason.DIGEST_MISMATCH
    return str(raised.value.metadata["item"])


def rewritten(**changes: Any) -> Packed:
    """A dossier whose sender commits to another manifest than `pack` would write."""
    manifest = canonical.encode(msgspec.structs.replace(proven(), **changes))
    commitment = msgspec.structs.replace(PACKED.commitment, commit=hashlib.sha256(SALT + manifest).hexdigest())
    return replace(PACKED, manifest=manifest, commitment=commitment)


def test_what_was_packed_is_proven_and_unpacked_as_it_was() -> None:
    assert dossier.unpack(proven(), PACKED.contents) == SOUND


def test_the_commitment_tells_sizes_and_nothing_else() -> None:
    expected = Commitment(
        commit=hashlib.sha256(SALT + PACKED.manifest).hexdigest(), files=2, bytes=len("示例文书".encode()) + 2, pages=6
    )
    assert PACKED.commitment == expected


def test_the_same_dossier_under_another_salt_has_another_commitment() -> None:
    assert dossier.pack(SOUND, salt=b"\x01" * 32).commitment.commit != PACKED.commitment.commit
    assert dossier.new_salt() != dossier.new_salt()
    assert len(dossier.new_salt()) == 32


@pytest.mark.parametrize("salt", [b"", SALT[:-1], b"\x01" * 32, SALT + b"\x00"])
def test_a_wrong_salt_is_a_mismatch_of_the_manifest(salt: bytes) -> None:
    assert mismatch(salt=salt) == "移送清单"


def test_a_changed_manifest_is_a_mismatch_of_the_manifest() -> None:
    assert mismatch(manifest=PACKED.manifest.replace("盗窃".encode(), "抢劫".encode())) == "移送清单"


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_file_is_named_by_its_place(number: int) -> None:
    contents = list(PACKED.contents)
    contents[number - 1] = bytes(len(contents[number - 1]))
    assert mismatch(contents=contents) == f"第 {number} 个文件"


@pytest.mark.parametrize("change", [lambda c: c[:1], lambda c: (), lambda c: (*c, b""), lambda c: (*c, c[0])])
def test_a_missing_or_additional_file_is_a_mismatch_of_the_manifest(change: Any) -> None:
    assert mismatch(contents=change(PACKED.contents)) == "移送清单"


def test_files_in_another_order_are_a_mismatch() -> None:
    assert mismatch(contents=PACKED.contents[::-1]) == "第 1 个文件"


@pytest.mark.parametrize("changes", [{"files": 1}, {"bytes": 1}, {"pages": 1}])
def test_a_commitment_whose_counts_differ_from_the_manifest_is_a_mismatch(changes: dict[str, int]) -> None:
    with pytest.raises(NotAllowed) as raised:
        proven(replace(PACKED, commitment=msgspec.structs.replace(PACKED.commitment, **changes)))
    assert raised.value.metadata["item"] == "移送清单"


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": [EvidenceItem(kind="rumour", title="", pages=3)]},
        {"evidence": [EvidenceItem(kind="witness", title="", pages=-1)]},
        {"persons": [Person(tag="张三", name="", in_custody=False, place="")]},
        {"charge": "a\u202eb"},
        {"v": 2},
    ],
)
def test_a_manifest_that_its_own_sender_committed_to_is_still_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as raised:
        proven(rewritten(**changes))
    assert raised.value.reason in (Reason.PAYLOAD_NOT_CANONICAL, Reason.FIELD_INVALID)


@pytest.mark.parametrize(
    "text",
    ["秘密", "机密", "绝密", " 机密 ", "机密★", "秘密★1年", "绝密★长期", "机密 ★ 10年", "（秘密）", "[机密]", "【绝密】",
     "密级：机密", "密级: 秘密", "关于某案的报告（机密）", "机密☆5年", "绝密（长期）", "秘密10年"],
)  # fmt: skip
def test_a_classification_mark_is_found(text: str) -> None:
    assert dossier.has_secret_mark(text)


@pytest.mark.parametrize(
    "text",
    ["侵犯商业秘密罪", "侵犯商业秘密", "非法获取国家秘密罪", "故意泄露国家秘密罪", "为境外窃取、刺探国家秘密罪", "商业秘密鉴定意见",
     "侵犯商业秘密3年", "非法获取国家秘密 2 年", "泄露商业秘密（2年）", "机密局证人证言", "秘密窃取", "秘密侦查笔录", "", "起诉意见书"],
)  # fmt: skip
def test_a_charge_or_a_plain_word_is_no_classification_mark(text: str) -> None:
    assert not dossier.has_secret_mark(text)


@pytest.mark.parametrize(
    "marked",
    [
        replace(SOUND, document=Document(title="起诉意见书（机密）", number="", date="")),
        replace(SOUND, document=Document(title="起诉意见书", number="秘密★1号", date="")),
        replace(SOUND, charge="绝密"),
        replace(SOUND, remark="密级：机密"),
        replace(SOUND, persons=(Person(tag="P1", name="某", in_custody=False, place="机密★"),)),
        replace(SOUND, evidence=(EvidenceItem(kind="witness", title="【绝密】", pages=1),)),
        replace(SOUND, files=(File(name="机密★长期.pdf", media_type="", content=b""),)),
    ],
)
def test_a_mark_anywhere_in_the_list_is_refused_without_repeating_it(marked: Dossier) -> None:
    with pytest.raises(NotAllowed) as raised:
        dossier.pack(marked, salt=SALT)
    assert raised.value.reason is Reason.SECRET_MARK
    assert raised.value.metadata == {}


@pytest.mark.parametrize("name", ["𠮷·测试某", "李", "阿卜杜热西提·买买提", "㛃䶮𬭚", "N" * 4096, "艾力·" * 800])
def test_names_of_any_length_and_script_travel_unchanged(name: str) -> None:
    packed = dossier.pack(replace(SOUND, persons=(Person(tag="P1", name=name, in_custody=False, place=""),)), salt=SALT)
    assert proven(packed).persons[0].name == name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"persons": (Person(tag="张三", name="张三", in_custody=False, place=""),)}, Reason.FIELD_INVALID),
        ({"persons": (Person(tag="P0", name="某", in_custody=False, place=""),)}, Reason.FIELD_INVALID),
        ({"persons": (Person(tag="P1", name="某\u202e", in_custody=False, place=""),)}, Reason.TEXT_FORBIDDEN),
        ({"evidence": (EvidenceItem(kind="rumour", title="", pages=1),)}, Reason.FIELD_INVALID),
        ({"document": Document(title=" ", number="", date="")}, Reason.FIELD_INVALID),
        ({"document": Document(title="书", number="长" * 129, date="")}, Reason.FIELD_INVALID),
        ({"files": (File(name="长" * 513, media_type="", content=b""),)}, Reason.FIELD_INVALID),
        ({"files": (File(name="a", media_type="", content=b""),) * 501}, Reason.FIELD_INVALID),
        ({"remark": "a\x00"}, Reason.TEXT_FORBIDDEN),
    ],
)
def test_what_cannot_be_in_a_manifest_is_refused_before_packing(changes: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(InvalidInput) as raised:
        dossier.pack(replace(SOUND, **changes), salt=SALT)
    assert raised.value.reason is reason


def test_a_dossier_of_exactly_four_mebibytes_passes_and_one_byte_more_does_not() -> None:
    whole = File(name="a", media_type="", content=bytes(dossier.MAX_DOSSIER))
    assert dossier.pack(replace(SOUND, files=(whole,)), salt=SALT).commitment.bytes == 4 * 1024 * 1024
    with pytest.raises(TooLarge) as raised:
        dossier.pack(replace(SOUND, files=(whole, File(name="b", media_type="", content=b"1"))), salt=SALT)
    assert raised.value.metadata["size"] == str(dossier.MAX_DOSSIER + 1)


def test_a_manifest_over_its_limit_is_refused() -> None:
    crowd = tuple(Person(tag=f"P{n}", name="名" * 4096, in_custody=False, place="") for n in range(1, 100))
    with pytest.raises(TooLarge):
        dossier.pack(replace(SOUND, persons=crowd), salt=SALT)
