"""One case as a picture: three lanes, the handoffs between them, the limits that ran meanwhile. Geometry only.

`draw` turns a timeline into shapes with coordinates; the template prints them as SVG. Time runs to the right. Every event gets room
for its mark even when a whole afternoon's events share one date, and a silence of over thirty days is shortened and marked as such.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from services.gateway.clocks import SHANGHAI, Limit
from services.gateway.record import Handoff
from services.gateway.web import wording
from services.gateway.web.wording import Badge
from xieban.agency import PARTIES
from xieban.marshal import moment

WIDTH = 900
GUTTER = 64
RIGHT = 36
HEAD = 40
TRACK = 30
BAR_ROW = 34
LANE_END = 8
STEP = 27
LONG_GAP = 30 * wording.DAY
LETTER = 11.5


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane of one agency: its band and the line its handoffs start from."""

    name: str
    top: float
    height: float
    track: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """A handoff: a vertical arrow, or a hook within one lane (`hook`), with its number in the list below."""

    number: int
    x: float
    start: float
    end: float
    tip: float
    mark: float
    hook: bool
    badge: Badge
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit: in time from `x` to `end`, over time on to `over`, remaining to `due`; `tick` is where it runs out, if shown."""

    x: float
    end: float
    over: float
    due: float
    tick: float | None
    y: float
    label: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A date on the axis, or the place where a silence was cut short."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to print. Sizes in SVG units."""

    width: float
    height: float
    head: float
    gutter: float
    lanes: tuple[Lane, ...]
    arrows: tuple[Arrow, ...]
    bars: tuple[Bar, ...]
    dates: tuple[Mark, ...]
    gaps: tuple[Mark, ...]
    now: Mark | None


def draw(handoffs: Sequence[Handoff], limits: Sequence[Limit], *, now: int) -> Picture:
    """The picture of a case with at least one handoff."""
    running = [limit for limit in limits if limit.ended_at is None]
    axis = _Axis.over(handoffs, limits, now=now if running else None)
    # No lane for what no office bears, and no bar for what is counted backward from a day to come.
    rows, bars = _bars(
        (item for item in limits if item.bearer_agency and item.overdue_from > item.started_at), axis, now=now
    )
    lanes, top = {}, float(HEAD)
    for party in PARTIES:
        height = TRACK + max(rows.get(party, 0), 1) * BAR_ROW + LANE_END
        lanes[str(party)] = Lane(name=wording.agency(party), top=top, height=height, track=top + TRACK / 2)
        top += height + 4
    return Picture(
        width=max([axis.width, *(bar.x + len(bar.label) * LETTER + RIGHT / 2 for _, bar in bars)]),
        height=top + 4,
        head=HEAD,
        gutter=GUTTER,
        lanes=tuple(lanes.values()),
        arrows=tuple(_arrow(number, handoff, lanes, axis) for number, handoff in enumerate(handoffs, start=1)),
        bars=tuple(_placed(bar, lanes[agency]) for agency, bar in bars),
        dates=axis.dates(),
        gaps=axis.gaps(),
        now=Mark(axis.x(now), "今天") if running else None,
    )


@dataclass(slots=True)
class _Axis:
    """From times to places: piecewise linear between the events."""

    times: list[int] = field(default_factory=list)
    places: list[float] = field(default_factory=list)
    handoffs: list[float] = field(default_factory=list)
    sent: dict[str, tuple[int, float]] = field(default_factory=dict)
    width: float = WIDTH

    @classmethod
    def over(cls, handoffs: Sequence[Handoff], limits: Sequence[Limit], *, now: int | None) -> _Axis:
        marks = [(handoff.sent_at, True) for handoff in handoffs]
        for limit in limits:
            marks += [(limit.started_at, False), (limit.ended_at or limit.overdue_from, False)]
            if limit.state == "late":
                marks.append((limit.overdue_from, False))
        if now is not None:
            marks.append((now, False))
        marks.sort(key=lambda item: item[0])
        room = [STEP if is_handoff else 5.0 for _, is_handoff in marks]
        gaps = [min(after[0] - before[0], LONG_GAP) for before, after in pairwise(marks)]
        spare = max(WIDTH - GUTTER - RIGHT - sum(room), 0.0)
        unit = spare / max(sum(gaps), 1)
        axis = cls()
        place = float(GUTTER)
        for index, (time, is_handoff) in enumerate(marks):
            place += (gaps[index - 1] * unit if index else 0) + room[index] / 2
            axis.times.append(time)
            axis.places.append(place)
            if is_handoff:
                axis.handoffs.append(place)
            place += room[index] / 2
        axis.width = max(float(WIDTH), place + RIGHT)
        axis.sent = {
            handoff.eid: (handoff.sent_at, axis.handoffs[index])
            for index, handoff in enumerate(sorted(handoffs, key=lambda item: item.sent_at))
        }
        return axis

    def beside(self, eid: str, time: int) -> float:
        """The place of `time`, or of the handoff that caused it on the same day: a bar begins and ends at its arrow."""
        sent, place = self.sent.get(eid, (0, 0.0))
        return place if sent and abs(time - sent) < wording.DAY else self.x(time)

    def x(self, time: int) -> float:
        index = bisect_right(self.times, time)
        if index == 0:
            return self.places[0]
        if index == len(self.times):
            return self.places[-1]
        before, after = self.times[index - 1], self.times[index]
        share = (time - before) / (after - before)
        return self.places[index - 1] + share * (self.places[index] - self.places[index - 1])

    def dates(self) -> tuple[Mark, ...]:
        """Days with an event, as many as have room; the year where it changes."""
        marks: list[Mark] = []
        day, year, free = "", 0, 0.0
        for time, place in zip(self.times, self.places, strict=True):
            local = moment(time - 1 if time == self.times[-1] else time).astimezone(SHANGHAI)
            label = f"{local:%m-%d}" if local.year == year else f"{local:%Y-%m-%d}"
            if f"{local:%F}" == day or place < free:
                continue
            marks.append(Mark(place, label))
            day, year, free = f"{local:%F}", local.year, place + (46 if len(label) == 5 else 76)
        return tuple(marks)

    def gaps(self) -> tuple[Mark, ...]:
        pairs = list(zip(self.times, self.places, strict=True))
        return tuple(
            Mark((start[1] + end[1]) / 2, f"{(end[0] - start[0]) // wording.DAY}天")
            for start, end in pairwise(pairs)
            if end[0] - start[0] > LONG_GAP
        )


def _arrow(number: int, handoff: Handoff, lanes: dict[str, Lane], axis: _Axis) -> Arrow:
    # What goes to or comes from the gateway touches one lane only.
    start = lanes.get(handoff.sender[0]) or lanes[handoff.receiver[0]]
    end = lanes.get(handoff.receiver[0], start)
    down = end.top > start.top
    badge = wording.handoff_state(handoff)
    ends = f"{wording.office_name(handoff.sender)}发往{wording.office_name(handoff.receiver)}"
    return Arrow(
        number=number,
        x=axis.handoffs[number - 1],
        start=start.track,
        end=end.track,
        tip=end.track - 9 if down else end.track + 9,
        mark=start.track,
        hook=start is end,
        badge=badge,
        title=f"{number}. {wording.kind(handoff.kind)}，{ends}，{wording.at(handoff.sent_at)}，{badge.word}",
    )


def _bars(limits: Iterable[Limit], axis: _Axis, *, now: int) -> tuple[dict[str, int], list[tuple[str, Bar]]]:
    """Bars in rows, so that neither bars nor their labels touch; how many rows each lane needs."""
    ends: dict[str, list[float]] = {}
    bars: list[tuple[str, Bar]] = []
    for limit in limits:
        badge = wording.urgency(limit, now=now)
        x, due = axis.beside(limit.start_eid, limit.started_at), axis.x(limit.overdue_from)
        over = axis.beside(limit.end_eid, limit.ended_at) if limit.ended_at is not None else axis.x(now)
        over = max(over, x + 3)
        breached = badge.tone == "overdue"
        end = min(over, due) if breached else over
        name = wording.limit_name(limit.rule)
        label = name.removesuffix("期限") + (
            "" if limit.state == "met" else f" {badge.sign} {wording.remaining(limit, now=now)}"
        )
        shown = limit.ended_at is None or breached
        right = max(over, due if shown else over, x + len(label) * LETTER)
        rows = ends.setdefault(limit.bearer_agency, [])
        row = next((index for index, taken in enumerate(rows) if taken + 8 <= x), len(rows))
        if row == len(rows):
            rows.append(0.0)
        rows[row] = right
        bar = Bar(
            x=x,
            end=end,
            over=over,
            due=max(due, over) if limit.ended_at is None else over,
            tick=due if shown else None,
            y=TRACK + row * BAR_ROW,
            label=label,
            tone=badge.tone,
            title=f"{name}，{wording.at(limit.started_at)} 起算，{wording.due(limit.due)} 届满，"
            f"{badge.word}，{wording.remaining(limit, now=now)}",
        )
        bars.append((limit.bearer_agency, bar))
    return {agency: len(rows) for agency, rows in ends.items()}, bars


def _placed(bar: Bar, lane: Lane) -> Bar:
    return replace(bar, y=lane.top + bar.y)
