"""The events of the law that exclude time, restart or anchor a limit: the strict loader of events.toml.

Which event touches which limit is data. Adding up the time is in `intervals`; whether an event was lawful, nobody here knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from xieban.timelimits.names import EventId, RuleId
from xieban.timelimits.terms import Effect
from xieban.timelimits.toml_rows import Row, parse, read_package_file, tables

_FILE = "events.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of events.toml. `rules` None: it touches every limit."""

    id: EventId
    name: str
    effect: Effect
    rules: frozenset[RuleId] | None
    span: str
    proof: str
    article: str
    words: tuple[str, ...]
    readings: tuple[str, ...]
    cap_days: int
    cap_months: int
    fallback_months: int

    def touches(self, rule: RuleId) -> bool:
        """Whether the law lets this event act on that limit."""
        return self.rules is None or rule in self.rules


@cache
def events() -> dict[EventId, Event]:
    """Every event, in the order of the file."""
    return read_events(read_package_file(_FILE))


def read_events(text: str) -> dict[EventId, Event]:
    """Parse and check an events file. Raises STATUTES_INVALID."""
    found: dict[EventId, Event] = {}
    content = parse(text, file=_FILE, keys=frozenset({"event"}))
    for number, table in enumerate(tables(content["event"], file=_FILE, row="0"), 1):
        row = Row(table, file=_FILE, name=str(table.get("id", number)))
        event = _read(row)
        if event.id in found:
            raise row.refuse("编号重复")
        found[event.id] = event
    if missing := set(EventId) - set(found):
        raise Row({}, file=_FILE, name="0").refuse(f"缺少 {sorted(missing)}")
    return found


def find_event(text: str) -> EventId | None:
    """The event a document or data line means: its id first, then the longest word of the table found in the text."""
    head = text.replace("\u3000", " ").split(" ", 1)[0].strip()
    if head in EventId._value2member_map_:
        return EventId(head)
    hits = [
        (len(word), event.id) for event in events().values() for word in event.words if word.lower() in text.lower()
    ]
    return max(hits, key=lambda hit: hit[0])[1] if hits else None


def _read(row: Row) -> Event:
    touched = row.texts("rules")
    event = Event(
        id=row.choice("id", EventId),
        name=row.text("name"),
        effect=row.choice("effect", Effect),
        rules=None if touched == ("*",) else frozenset(row.member(RuleId, item, "rules") for item in touched),
        span=row.text("span"),
        proof=row.text("proof"),
        article=row.text("article"),
        words=row.texts("words"),
        readings=row.texts("readings", optional=True),
        cap_days=row.number("cap_days", default=0),
        cap_months=row.number("cap_months", default=0),
        fallback_months=row.number("fallback_months", default=0),
    )
    row.finish()
    return event
