"""A city in the middle of its work, for pages to show: cases at every stage, limits near and past, handoffs on the way."""

from __future__ import annotations

from tests.services.gateway.script import Script, at, road
from xieban.handoff import Defect

NOW = "2026-06-10 10:00"
WHOLE_ROAD = "A6201020000002026010001"
OVERDUE = "A6201050000002026030007"
POLICE, PP, COURT = "police", "procuratorate", "court"
S20, S30, S40 = "S20_prosecution_review", "S30_court_intake", "S40_first_instance"


def write_city(script: Script) -> None:
    """Statements until `NOW`."""
    road(script, WHOLE_ROAD)
    _arrests(script)
    _reviews(script)
    _trials(script)
    _on_the_way(script)
    script.messages.sort(key=lambda message: message.sequence)


def _arrests(script: Script) -> None:
    for case, division, detained, when in (
        ("A6201020000002026060011", "620102", "2026-06-01 21:00", "2026-06-03 10:00"),
        ("A6201030000002026060004", "620103", "2026-06-02 15:00", "2026-06-04 09:20"),
        ("A6201040000002026060002", "620104", "2026-06-06 08:00", "2026-06-09 16:40"),
    ):
        request = script.send(
            case, "arrest_request", POLICE, PP, when, division=division, acts=[("detained", detained)], pages=86
        )
        script.settle(request, PP, POLICE, when)
    case, division = "A6201050000002026050021", "620105"
    request = script.send(case, "arrest_request", POLICE, PP, "2026-05-20 09:00", division=division, pages=64)
    script.settle(request, PP, POLICE, "2026-05-20 09:20")


def _reviews(script: Script) -> None:
    for case, division, detained, arrested, when in (
        (OVERDUE, "620105", "2026-04-20 11:00", "2026-04-23 10:00", "2026-05-06 09:00"),
        ("A6201020000002026040016", "620102", "", "", "2026-05-11 10:30"),
        ("A6201230000002026050003", "620123", "2026-05-02 20:00", "2026-05-05 16:00", "2026-05-12 15:00"),
        ("A6201110000002026050009", "620111", "", "", "2026-05-26 11:00"),
        ("A6201020000002026050030", "620102", "2026-05-21 09:00", "2026-05-24 09:00", "2026-06-02 09:00"),
    ):
        acts = [("detained", detained), ("arrested", arrested)] if detained else []
        transfer = script.send(case, "prosecution_transfer", POLICE, PP, when, division=division, acts=acts, pages=214)
        script.settle(transfer, PP, POLICE, when)
    case, division = "A6201210000002026040002", "620121"
    transfer = script.send(case, "prosecution_transfer", POLICE, PP, "2026-04-20 09:00", division=division)
    script.settle(transfer, PP, POLICE, "2026-04-20 09:30")
    back = script.send(
        case, "return_supplementary_investigation", PP, POLICE, "2026-05-12 16:00", division=division, stage=S20
    )
    script.settle(back, POLICE, PP, "2026-05-12 16:10")


def _trials(script: Script) -> None:
    for case, division, track, when in (
        ("A6201020000002026030008", "620102", "summary_procedure", "2026-05-22"),
        ("A6201040000002026040005", "620104", "fast_procedure", "2026-06-03"),
        ("A6201220000002026020001", "620122", "", "2026-04-15"),
    ):
        first = script.send(case, "prosecution_transfer", POLICE, PP, "2026-04-01 09:00", division=division)
        script.settle(first, PP, POLICE, "2026-04-01 10:00")
        indict = script.send(
            case, "public_prosecution", PP, COURT, f"{when} 09:00",
            division=division, stage=S20, acts=[("prosecuted", f"{when} 09:00")], pages=310,
        )  # fmt: skip
        script.settle(indict, COURT, PP, f"{when} 09:30")
        acts = [("case_accepted", f"{when} 15:00")] + ([(track, f"{when} 15:00")] if track else [])
        intake = script.send(
            case, "court_intake_result", COURT, PP, f"{when} 15:00",
            division=division, stage=S30, outcome="accepted", re=[indict], acts=acts,
        )  # fmt: skip
        script.settle(intake, PP, COURT, f"{when} 15:05")


def _on_the_way(script: Script) -> None:
    fresh = script.send(
        "A6201050000002026060033", "arrest_request", POLICE, PP, "2026-06-10 09:41",
        division="620105", acts=[("detained", "2026-06-07 19:00")], pages=72,
    )  # fmt: skip
    script.receipt(PP, POLICE, [(fresh, "delivered", "2026-06-10 09:41")])
    script.send(
        OVERDUE, "evidence_supply_request", PP, POLICE, "2026-06-08 17:20", division="620105", stage=S20, pages=2
    )
    waiting = script.send(
        "A6201110000002026060012", "prosecution_transfer", POLICE, PP, "2026-06-09 11:05", division="620111", pages=402
    )
    script.receipt(PP, POLICE, [(waiting, "delivered", "2026-06-09 11:05"), (waiting, "complete", "2026-06-09 11:06")])
    faulty = script.send(
        "A6201230000002026060001", "prosecution_transfer", POLICE, PP, "2026-06-05 09:00", division="620123", pages=118
    )
    script.receipt(PP, POLICE, [(faulty, "delivered", "2026-06-05 09:00"), (faulty, "complete", "2026-06-05 09:01")])
    missing = Defect(code="pp.opinion_present", article="检规158", item="document:3")
    script.receipt(PP, POLICE, [(faulty, "returned", "2026-06-05 14:30")], defects=[missing])


__all__ = ["NOW", "OVERDUE", "WHOLE_ROAD", "at", "write_city"]
