"""What a sender may state about limits: the clock acts of one header, checked against the rows of law before anything is sealed.

Checked is what the header itself can show: rules, events, who may grant how much, intervals, and whether an extension came in time where
the header says when the limit began or was to expire. What lies in other headers the gateway finds out; it cannot break a case by it.
Pure; stricter on what we send than on what we accept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from xieban.errors import Reason, XiebanError, failure
from xieban.handoff import Act, ClockAct
from xieban.procedure.limits import act_starts
from xieban.procedure.table import Kind, table
from xieban.timelimits import Calendar, Facts, compute, rule
from xieban.timelimits.clock_acts import extension_of, moment_of, repeats_statute, restart_of, statutory, suspension_of
from xieban.timelimits.facts import Extension
from xieban.timelimits.grants import anchors, excluded, settle
from xieban.timelimits.names import EventId
from xieban.timelimits.table import Rule

REGISTRATION = "limit_registration"


def check_clocks(
    kind: Kind, *, outcome: str, acts: Sequence[Act], clocks: Sequence[ClockAct], calendar: Calendar | None = None
) -> None:
    """Refuse what the law does not know, naming the article.

    An extension's `until`, where given, is the day the limit was to expire. Errors: FIELD_INVALID, LIMIT_UNKNOWN, EXTENSION_NOT_ALLOWED,
    EXTENSION_TOO_LONG, EXTENSION_LATE, INTERVAL_REVERSED, INTERVAL_NOT_EXCLUDED, RESTART_NOT_ALLOWED, LIMIT_FACT_MISSING, …
    """
    if kind.id == REGISTRATION and not clocks:
        raise failure(Reason.FIELD_INVALID, field="clocks", detail="期限事项登记须写明期限变动")
    for name in kind.required_extensions(outcome):
        if not any(clock.effect == "extend" and clock.rule == name for clock in clocks):
            # Nobody else can tell how much was granted, and by whom; without it the limit would be overdue on paper.
            detail = f"须写明“{rule(name).name}”由谁批准、延长多少"
            raise failure(Reason.FIELD_INVALID, field="clocks", detail=detail)
    groups: dict[tuple[str, str], list[ClockAct]] = defaultdict(list)
    for clock in clocks:
        _check(rule(clock.rule[:64]), clock)
        groups[clock.rule, clock.person].append(clock)
    for (name, person), group in groups.items():
        row = rule(name)
        granted = sorted((item for item in group if item.effect == "extend"), key=lambda item: item.at)
        alone = _check_grants(row, [extension_of(row, item) for item in granted if not repeats_statute(row, item)])
        start = _start(kind, name, person, outcome=outcome, acts=acts, group=group)
        if start is not None:
            _compute(row, start, group, granted if alone else [], calendar or Calendar.published())


def _check(row: Rule, clock: ClockAct) -> None:
    """One act by itself."""
    if clock.event and clock.event not in EventId._value2member_map_ and clock.effect in ("start", "stop", "extend"):
        raise failure(Reason.FIELD_INVALID, field="clocks.event", detail=f"没有名为 {clock.event[:40]} 的事由")
    match clock.effect:
        case "exclude":
            excluded(row, [suspension_of(row, clock)])
        case "restart":
            restart = restart_of(row, clock)
            if restart.event is not EventId.FAST_TRACK_DROPPED:
                anchors(row, Facts(restarts=(restart,)))
        case "extend":
            extension_of(row, clock)
            if clock.until and moment_of(clock.at).date() > moment_of(clock.until).date():
                raise failure(
                    Reason.EXTENSION_LATE,
                    due=moment_of(clock.until).date().isoformat(),
                    granted=moment_of(clock.at).date().isoformat(),
                    article=row.article,
                )


def _check_grants(row: Rule, extensions: Sequence[Extension]) -> bool:
    """Whether the extensions stand on their own; those that follow on an earlier grant are judged as if it had been made."""
    refused: XiebanError | None = None
    for already in _histories(row):
        try:
            settle(row, [*statutory(row), *extensions], fallback=False, already=already)
        except XiebanError as error:
            refused = refused or error
        else:
            return not already
    if refused is not None:
        raise refused
    return True


def _histories(row: Rule) -> list[tuple[str, ...]]:
    """What may have been granted before: nothing, or the chain of grants that one of the row's own asks for."""
    after = {grant.article: grant.after for grant in row.extensions if grant.after != grant.article}
    found: list[tuple[str, ...]] = [()]
    for grant in row.extensions:
        chain: list[str] = []
        before = grant.after
        while before and before not in chain:
            chain.append(before)
            before = after.get(before, "")
        if chain and tuple(chain) not in found:
            found.append(tuple(chain))
    return found


def _start(
    kind: Kind, name: str, person: str, *, outcome: str, acts: Sequence[Act], group: Sequence[ClockAct]
) -> int | None:
    """When the header itself says the limit began: by an explicit start, or by an act from which the kind starts it."""
    stated = [item.at for item in group if item.effect == "start"]
    named = {row.act for row in kind.limits if row.start == name and row.act and row.outcome in ("", outcome)}
    for act in {item.what for item in acts} & table().acts.keys():
        if any(name in act_starts(table().acts[act], stage=stage) for stage in kind.stages):
            named.add(act)
    by_act = [act.at for act in acts if act.what in named and act.person in ("", person)]
    return max(stated, default=max(by_act, default=None))


def _compute(row: Rule, start: int, group: Sequence[ClockAct], granted: Sequence[ClockAct], calendar: Calendar) -> None:
    compute(
        row.id,
        Facts(
            start=moment_of(start),
            extensions=(
                *statutory(row), *(extension_of(row, item) for item in granted if not repeats_statute(row, item)),
            ),
            suspensions=tuple(suspension_of(row, item) for item in group if item.effect == "exclude"),
        ),
        calendar=calendar,
    )  # fmt: skip
