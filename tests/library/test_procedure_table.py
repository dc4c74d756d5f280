"""The loader of the procedure tables takes what is whole and refuses everything else by name."""

from __future__ import annotations

from importlib import resources

import pytest

from xieban.agency import PARTIES, Agency
from xieban.errors import InvalidInput, Reason, XiebanError
from xieban.procedure import Table, table
from xieban.procedure.table import load
from xieban.timelimits import RULES
from xieban.timelimits.terms import Policy

SUPERVISION = {"limit_registration", "supervision_notice", "supervision_reply"}
FILES = resources.files("xieban.procedure")
SHIPPED = {name: FILES.joinpath(f"{name}.toml").read_bytes() for name in ("handoffs", "acts", "stages")}
KIND = b"""
[[handoff]]
id = "test_kind"
name = "n"
document = "d"
from = ["police"]
to = ["procuratorate"]
level = "same"
stages = ["S10_investigation"]
articles = ["a"]
"""


def loaded(handoffs: bytes = b"", *, extra: bytes = b"", **tables: bytes) -> Table:
    files = {**SHIPPED, **tables}
    return load(handoffs or files["handoffs"] + KIND + extra, files["acts"], files["stages"])


def refused(handoffs: bytes = b"", *, extra: bytes = b"", **tables: bytes) -> str:
    with pytest.raises(InvalidInput) as raised:
        loaded(handoffs, extra=extra, **tables)
    assert raised.value.reason is Reason.CONFIG_INVALID
    return str(raised.value.metadata["detail"])


def test_an_additional_sound_row_is_taken() -> None:
    assert "test_kind" in loaded(extra=b'outcomes = ["x"]\nreturning = ["x"]\n').kinds


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (b"surprise = 1\n", "surprise"),
        (b'answers = ["nothing"]\n', "nothing"),
        (b'acts = ["flying"]\n', "flying"),
        (b'acts = ["x:arrested"]\n', "x"),
        (b'returning = ["x"]\n', "x"),
        (b'moves = [{ on = "sent", from = "S99", to = "S10_investigation" }]\n', "S99"),
        (b'moves = [{ on = "sent", from = "S10_investigation", to = "S99" }]\n', "S99"),
        (b'moves = [{ on = "delivered", from = "S10_investigation", to = "S20_prosecution_review" }]\n', "delivered"),
        (b'moves = [{ on = "sent", from = "S10_investigation", to = "S20_prosecution_review", outcome = "x" }]\n', "x"),
        (b'limits = [{ start = "no_rule", on = "sent", bearer = "to" }]\n', "no_rule"),
        (b'limits = [{ stop = ["no_rule"], on = "sent" }]\n', "no_rule"),
        (b'limits = [{ start = "prosecution_review", on = "sent" }]\n', "test_kind"),
        (b'limits = [{ on = "sent" }]\n', "test_kind"),
        (
            b'limits = [{ start = "prosecution_review", stop = ["fast_trial"], on = "sent", bearer = "to" }]\n',
            "test_kind",
        ),
        (b'limits = [{ start = "prosecution_review", on = "sent", bearer = "court" }]\n', "court"),
        (b'limits = [{ start = "prosecution_review", on = "sent", bearer = "to", act = "flying" }]\n', "flying"),
        (b'limits = [{ start = "prosecution_review", on = "sent", bearer = "to", track = "slow" }]\n', "slow"),
        (b'counts = { counter = "coffee", max = 2 }\n', "coffee"),
        (b'counts = { counter = "returns", max = "2" }\n', "max"),
        (b'opens = "yes"\n', "opens"),
        (b'extends = ["no_rule"]\n', "no_rule"),
        (b'extends = ["x:inv_custody"]\n', "x"),
        (b'limits = [{ start = "prosecution_review", on = "sent", bearer = "to", answers = "nothing" }]\n', "nothing"),
        (b'limits = [{ start = "prosecution_review", on = "sent", bearer = "to", receiver = "army" }]\n', "army"),
    ],
)
def test_an_unknown_key_and_a_dangling_name_are_refused_by_name(extra: bytes, named: str) -> None:
    detail = refused(extra=extra)
    assert named in detail or "handoff[" in detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'level = "same"\nstages = ["S10_investigation"]\narticles = ["a"]', b'level = "near"\nstages = []\narticles = []'),
        (b'stages = ["S10_investigation"]\narticles = ["a"]', b'stages = ["S11"]\narticles = ["a"]'),
        (b'from = ["police"]\nto = ["procuratorate"]\nlevel = "same"\nstages = ["S10_investigation"]\narticles = ["a"]',
         b'from = ["army"]\nto = ["procuratorate"]\nlevel = "same"\nstages = ["S10_investigation"]\narticles = ["a"]'),
        (b'id = "test_kind"', b'id = "arrest_request"'),
        (b'name = "n"\n', b""),
        (b'name = "n"\n', b"name = 1\n"),
    ],
)  # fmt: skip
def test_a_row_that_is_not_of_the_form_is_refused(old: bytes, new: bytes) -> None:
    whole = SHIPPED["handoffs"] + KIND
    assert whole.count(old) == 1
    refused(whole.replace(old, new))


def test_text_that_is_no_toml_or_no_utf8_is_refused() -> None:
    refused(b"this is not toml")
    refused(b"\xff\xfe")
    refused(b'edition = "x"\n')


def test_acts_and_stages_are_as_strict() -> None:
    refused(acts=SHIPPED["acts"] + b'[x]\nname = "x"\narticle = "a"\nmore = 1\n')
    refused(acts=SHIPPED["acts"].replace(b"[arrested]", b"[seized]"))
    for limits in (
        b'[{ start = "no_rule" }]',
        b'[{ stop = ["no_rule"] }]',
        b'[{ start = "inv_custody", stages = ["S99"] }]',
        b'[{ start = "inv_custody", stop = ["inv_custody"] }]',
        b'[{ stages = ["S10_investigation"] }]',
        b'[{ start = "inv_custody", bearer = "from" }]',
    ):
        refused(acts=SHIPPED["acts"] + b'[x]\nname = "x"\narticle = "a"\nlimits = ' + limits + b"\n")
    refused(stages=SHIPPED["stages"] + b'[x]\nname = "x"\nholder = "gateway2"\n')
    refused(stages=SHIPPED["stages"].replace(b"[S25_supplementary_investigation]", b"[S26]"))


def test_the_shipped_tables_name_only_parties_and_every_kind_has_an_article() -> None:
    for kind in table().kinds.values():
        # The committee writes and is written to about supervision only; nothing of a case's way is sent to it or by it.
        assert (Agency.GATEWAY in (*kind.senders, *kind.receivers)) == (kind.id in SUPERVISION)
        assert set(kind.senders) | set(kind.receivers) <= {*PARTIES, Agency.GATEWAY}
        assert kind.articles
        assert kind.article
        assert kind.name
        assert kind.document
    assert {stage.holder for stage in table().stages.values()} == set(PARTIES)


def test_every_limit_that_starts_by_itself_is_ended_by_something_or_is_a_right_that_lapses() -> None:
    rows = [row for kind in table().kinds.values() for row in kind.limits]
    acts = [row for act in table().acts.values() for row in act.limits]
    started = {row.start for row in rows if row.start} | {row.start for row in acts if row.start}
    ended = {rule for row in rows for rule in row.stop} | {rule for row in acts for rule in row.stop}
    assert len(started) == 20
    assert {rule for rule in started - ended if RULES[rule].policy is not Policy.RIGHTS} == set()
    assert ended <= started


def test_every_kind_of_the_main_road_is_there() -> None:
    wanted = [
        "early_opinion_request",
        "early_opinion",
        "arrest_request",
        "arrest_evidence_supplement",
        "arrest_decision",
        "arrest_execution_receipt",
        "arrest_reconsideration",
        "custody_extension_request",
        "custody_extension_decision",
        "prosecution_transfer",
        "prosecution_intake_result",
        "evidence_supply_request",
        "evidence_supply_reply",
        "return_supplementary_investigation",
        "resubmission_after_supplement",
        "nonprosecution_decision",
        "public_prosecution",
        "court_intake_result",
        "hearing_notice",
        "judgment_service",
        "appeal_transfer",
        "second_instance_judgment",
    ]
    assert set(wanted) <= set(table().kinds)


def test_an_unknown_kind_is_refused_with_its_name_cut_short() -> None:
    with pytest.raises(XiebanError) as raised:
        table().kind("x" * 500)
    assert raised.value.reason is Reason.KIND_UNKNOWN
    assert len(raised.value.metadata["kind"]) == 64


def test_what_may_answer_a_request_is_found_from_the_request() -> None:
    assert table().replies("arrest_request") == ("arrest_decision",)
    assert set(table().replies("prosecution_transfer")) == {"prosecution_intake_result"}
    assert table().replies("judgment_service") == ()
