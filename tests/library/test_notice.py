"""Notices and replies as they are sealed and opened: what is sound goes through unchanged, what is not is refused on both sides."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from tests.library.samples import (
    CITY,
    DIVISION,
    GATEWAY_KEY,
    NOTICES,
    POLICE_KEY,
    STRANGER_KEY,
    demand,
    notice,
    reply,
)
from tests.library.samples import NOTICE as TO_POLICE
from tests.library.samples import REPLY as FROM_POLICE
from xieban import canonical
from xieban.errors import Reason, XiebanError
from xieban.handoff import Node, Party
from xieban.marshal import sealed_to_bytes
from xieban.notice import OCCASION_NAMES, OCCASIONS, SCOPE, Notice, Occasion, Reply, short_text
from xieban.seal import Sealed, SealKey
from xieban.statement import open_notice, open_reply, seal_notice, seal_reply
from xieban.subjects import Address
from xieban.supervision import Act, Cause, Measure, State


def raw(value: Notice | Reply, key: SealKey) -> Sealed:
    """Sealed without the checks of the writer."""
    return key.seal("notice" if isinstance(value, Notice) else "reply", canonical.encode(value))


def test_the_sentence_is_one_sentence_about_procedure_time_and_completeness() -> None:
    assert SCOPE.count("。") == 1
    assert all(word in SCOPE for word in ("程序", "期限", "齐全", "不涉及", "证据"))


def test_every_occasion_has_its_chinese_and_every_step_of_the_gateway_its_occasion() -> None:
    assert set(OCCASION_NAMES) == set(Occasion)
    assert set(OCCASIONS) == set(Act) - {Act.ACKNOWLEDGE, Act.EXPLAIN}


@pytest.mark.parametrize(
    "value",
    [
        notice(),
        notice(occasion=Occasion.OVERDUE, rung=""),
        notice(occasion=Occasion.ISSUED, rung="", demand=demand()),
        notice(occasion=Occasion.CLOSED, rung="", demand=demand(state=State.CLOSED, reply_by="")),
    ],
    ids=lambda value: str(value.occasion),
)
def test_a_sound_notice_is_read_as_it_was_written(value: Notice) -> None:
    sealed = seal_notice(value, GATEWAY_KEY)
    assert open_notice(sealed_to_bytes(sealed), address=TO_POLICE, directory=NOTICES) == (sealed, value)


UNSOUND: list[tuple[dict[str, Any], Reason]] = [
    ({"scope": SCOPE[:-1]}, Reason.FIELD_INVALID),
    ({"v": 2}, Reason.FIELD_INVALID),
    ({"rung": ""}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.OVERDUE}, Reason.FIELD_INVALID),
    ({"demand": demand()}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.ISSUED, "rung": ""}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.UNMET, "rung": ""}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.DRAFTED, "rung": "", "demand": demand(state=State.DRAFTED)}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.LIFTED, "rung": "", "demand": demand(state=State.DRAFTED)}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(step=0)}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(remark=" 请说明")}, Reason.FIELD_INVALID),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(remark="（秘密）")}, Reason.SECRET_MARK),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(by="张三")}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(id="督办3号")}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"occasion": Occasion.ISSUED, "rung": "", "demand": demand(remark="字" * 501)}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"receiver": Party(city=CITY, agency="court", office=DIVISION)}, Reason.FIELD_INVALID),
    ({"sender": Node(city=CITY, agency="police")}, Reason.FIELD_INVALID),
]


@pytest.mark.parametrize(("changes", "reason"), UNSOUND)
def test_an_unsound_notice_is_refused_by_its_reader(changes: dict[str, Any], reason: Reason) -> None:
    data = sealed_to_bytes(raw(notice(**changes), GATEWAY_KEY))
    with pytest.raises(XiebanError) as wrong:
        open_notice(data, address=TO_POLICE, directory=NOTICES)
    assert wrong.value.reason is reason


def test_what_a_service_target_misses_is_never_a_breach_nor_supervised() -> None:
    basis = msgspec.structs.replace(notice().basis, kind="target", rule="立即释放")
    seal_notice(notice(basis=basis), GATEWAY_KEY)
    seal_notice(notice(basis=basis, occasion=Occasion.UNMET, rung=""), GATEWAY_KEY)
    for changes in (
        {"occasion": Occasion.OVERDUE, "rung": ""},
        {"occasion": Occasion.ISSUED, "rung": "", "demand": demand()},
    ):
        with pytest.raises(XiebanError, match="XB-1001"):
            seal_notice(notice(basis=basis, **changes), GATEWAY_KEY)


@pytest.mark.parametrize(
    ("key", "address", "reason"),
    [
        (POLICE_KEY, TO_POLICE, Reason.KEY_UNKNOWN),
        (STRANGER_KEY, TO_POLICE, Reason.KEY_UNKNOWN),
        (POLICE_KEY, Address(city=CITY, what="notice", sender="police", receiver="police"), Reason.FIELD_INVALID),
        (GATEWAY_KEY, Address(city=CITY, what="reply", sender="gateway", receiver="police"), Reason.FIELD_INVALID),
        (GATEWAY_KEY, Address(city=CITY, what="notice", sender="gateway", receiver="court"), Reason.FIELD_INVALID),
    ],
    ids=["another agency's key", "a stranger's key", "an agency that gives notice", "as a reply", "on another's subject"],
)  # fmt: skip
def test_nobody_but_the_gateway_gives_notice_and_only_to_whom_it_says(
    key: SealKey, address: Address, reason: Reason
) -> None:
    value = notice(sender=Node(city=CITY, agency=address.sender))
    with pytest.raises(XiebanError) as wrong:
        open_notice(sealed_to_bytes(raw(value, key)), address=address, directory=NOTICES)
    assert wrong.value.reason is reason


EXPLAINED: dict[str, Any] = {
    "act": "explain", "cause": Cause.WORKLOAD, "measures": [Measure.EXPEDITE, Measure.REINFORCE], "expected": "2026-03-12",
    "text": "已增加承办人，三日内办结",
}  # fmt: skip


@pytest.mark.parametrize("value", [reply(), reply(**EXPLAINED)], ids=["signature", "explanation"])
def test_a_sound_reply_is_read_as_it_was_written(value: Reply) -> None:
    sealed = seal_reply(value, POLICE_KEY)
    assert open_reply(sealed_to_bytes(sealed), address=FROM_POLICE, directory=NOTICES) == (sealed, value)


BAD_REPLIES: list[tuple[dict[str, Any], Reason]] = [
    ({"scope": ""}, Reason.FIELD_INVALID),
    ({"v": 0}, Reason.FIELD_INVALID),
    ({"text": "顺便说明"}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "act": "acknowledge"}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "cause": None}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "measures": []}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "measures": [Measure.DONE, Measure.DONE]}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "expected": ""}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "expected": "2026-02-30"}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "text": ""}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "text": "机密★"}, Reason.SECRET_MARK),
    ({**EXPLAINED, "text": "某人11010119900307775X"}, Reason.FIELD_INVALID),
    ({**EXPLAINED, "text": "a\u202eb"}, Reason.PAYLOAD_NOT_CANONICAL),
    ({**EXPLAINED, "text": "字" * 501}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"by": "张三"}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"of": "ab"}, Reason.PAYLOAD_NOT_CANONICAL),
    ({"sender": Party(city=CITY, agency="court", office=DIVISION)}, Reason.FIELD_INVALID),
    ({"receiver": Node(city=CITY, agency="court")}, Reason.FIELD_INVALID),
]


@pytest.mark.parametrize(("changes", "reason"), BAD_REPLIES)
def test_an_unsound_reply_is_refused_by_its_reader(changes: dict[str, Any], reason: Reason) -> None:
    data = sealed_to_bytes(raw(reply(**changes), POLICE_KEY))
    with pytest.raises(XiebanError) as wrong:
        open_reply(data, address=FROM_POLICE, directory=NOTICES)
    assert wrong.value.reason is reason


def test_the_writer_refuses_what_its_reader_would() -> None:
    for changes, _ in BAD_REPLIES[:12]:
        if "v" not in changes:
            with pytest.raises(XiebanError):
                seal_reply(reply(**changes), POLICE_KEY)


def test_a_short_text_is_normalised_and_its_refusal_says_nothing_of_it() -> None:
    assert short_text("  e\u0301 承办人交接 ", field="text") == "é 承办人交接"
    with pytest.raises(XiebanError) as wrong:
        short_text("密级：绝密 某某案", field="text")
    assert not re.search("绝密|某某", wrong.value.explain())
    assert short_text("案件编号A6201020000002026030001，商业秘密罪", field="text")
