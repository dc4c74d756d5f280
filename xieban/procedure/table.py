"""The strict loader of the procedure tables.

The tables are TOML a lawyer can review (`handoffs.toml`, `acts.toml`, `stages.toml`). Loading refuses unknown keys, unknown names
and rows that contradict one another, so that a typing error cannot become a rule.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal, TypeVar

import msgspec

from xieban.agency import Agency
from xieban.errors import Reason, failure
from xieban.timelimits.names import RuleId

Moment = Literal["sent", "delivered", "accepted"]
Track = Literal["ordinary", "summary", "fast"]
ANY_STAGE = "*"

_T = TypeVar("_T")


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every row: immutable, closed."""


class Move(_Row, frozen=True):
    """A change of stage at a moment of a handoff."""

    on: Literal["sent", "accepted"]
    origin: str = msgspec.field(name="from")
    to: str
    outcome: str = ""


class Count(_Row, frozen=True):
    """A counter the handoff raises when sent, with its legal maximum."""

    counter: Literal["returns"]
    max: int


class LimitRow(_Row, frozen=True):
    """A statutory limit the handoff starts, or limits it stops, at a moment of it."""

    on: Moment
    start: str = ""
    stop: tuple[str, ...] = ()
    bearer: Literal["from", "to", ""] = ""
    act: str = ""
    custody: bool | None = None
    track: Track | None = None
    outcome: str = ""
    answers: str = ""
    receiver: Agency | None = None


class ActLimit(_Row, frozen=True):
    """A limit of one person that a legal act starts, or limits it stops, at its legal time, whichever handoff tells of it."""

    start: str = ""
    stop: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class Kind(_Row, frozen=True):
    """One kind of handoff."""

    id: str
    name: str
    document: str
    senders: tuple[Agency, ...] = msgspec.field(name="from")
    receivers: tuple[Agency, ...] = msgspec.field(name="to")
    level: Literal["same", "upper", "lower", "city"]
    stages: tuple[str, ...]
    articles: tuple[str, ...]
    opens: bool = False
    approval: str = ""
    answers: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    returning: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    extends: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    counts: Count | None = None
    limits: tuple[LimitRow, ...] = ()

    @property
    def article(self) -> str:
        return "、".join(self.articles)

    def required_acts(self, outcome: str) -> tuple[str, ...]:
        """Acts that must be given with this outcome."""
        return _with_outcome(self.acts, outcome)

    def required_extensions(self, outcome: str) -> tuple[str, ...]:
        """Limits whose extension must be stated with this outcome."""
        return _with_outcome(self.extends, outcome)


class Act(_Row, frozen=True):
    """A legal act: what it says about custody and about the procedure the case is on, and what it does to limits by itself."""

    name: str
    article: str
    custody: bool | None = None
    track: Track | None = None
    limits: tuple[ActLimit, ...] = ()


class Stage(_Row, frozen=True):
    """A stage of a case and the agency that holds the case in it."""

    name: str
    holder: Agency


class _Handoffs(_Row, frozen=True):
    edition: str
    handoff: tuple[Kind, ...]


class Table(_Row, frozen=True):
    """The loaded tables; `edition` is written into every header."""

    edition: str
    kinds: dict[str, Kind]
    acts: dict[str, Act]
    stages: dict[str, Stage]

    def kind(self, name: str) -> Kind:
        """Errors: KIND_UNKNOWN."""
        found = self.kinds.get(name)
        if found is None:
            raise failure(Reason.KIND_UNKNOWN, kind=name[:64])
        return found

    def replies(self, name: str) -> tuple[str, ...]:
        """Kinds that may answer kind `name`, in table order."""
        return tuple(kind.id for kind in self.kinds.values() if name in kind.answers)


def load(handoffs: bytes, acts: bytes, stages: bytes) -> Table:
    """Read and cross-check the three tables. Errors: CONFIG_INVALID naming the row."""
    document = _read("handoffs.toml", handoffs, _Handoffs)
    result = Table(
        edition=document.edition,
        kinds={kind.id: kind for kind in document.handoff},
        acts=_read("acts.toml", acts, dict[str, Act]),
        stages=_read("stages.toml", stages, dict[str, Stage]),
    )
    if len(result.kinds) != len(document.handoff):
        raise _wrong("handoffs.toml", "两行使用了同一个标识")
    for kind in result.kinds.values():
        _check(kind, result)
    for name, act in result.acts.items():
        _check_act(name, act, result)
    return result


@cache
def table() -> Table:
    """The tables shipped with the library."""
    files = resources.files("xieban.procedure")
    return load(*(files.joinpath(f"{name}.toml").read_bytes() for name in ("handoffs", "acts", "stages")))


def _read(name: str, content: bytes, schema: type[_T]) -> _T:
    try:
        return msgspec.toml.decode(content, type=schema)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _wrong(name, str(error)) from error


def _check(kind: Kind, tables: Table) -> None:
    stages = [stage for stage in kind.stages if stage != ANY_STAGE]
    stages += [stage for move in kind.moves for stage in (move.origin, move.to)]
    acts = [act.rpartition(":") for act in kind.acts] + [("", "", row.act) for row in kind.limits if row.act]
    extends = [rule.rpartition(":") for rule in kind.extends]
    rules = [rule for row in kind.limits for rule in ((row.start,) if row.start else ()) + row.stop]
    rules += [rule for _, _, rule in extends]
    outcomes = [move.outcome for move in kind.moves] + [row.outcome for row in kind.limits] + [act[0] for act in acts]
    outcomes += [rule[0] for rule in extends]
    outcomes += kind.returning
    answers = [*kind.answers, *(row.answers for row in kind.limits if row.answers)]
    known_rules = {str(rule) for rule in RuleId}
    for wrong, what in (
        ([stage for stage in stages if stage not in tables.stages], "阶段"),
        ([act for _, _, act in acts if act not in tables.acts], "法律行为"),
        ([answered for answered in answers if answered not in tables.kinds], "环节"),
        ([rule for rule in rules if rule not in known_rules], "期限"),
        ([outcome for outcome in outcomes if outcome and outcome not in kind.outcomes], "结果"),
    ):
        if wrong:
            raise _wrong("handoffs.toml", f"{kind.id} 引用了不存在的{what} {wrong[0]}")
    for row in kind.limits:
        if bool(row.start) == bool(row.stop) or (row.start and not row.bearer):
            raise _wrong("handoffs.toml", f"{kind.id} 的期限行须写明起算（及责任方）或者终止")


def _check_act(name: str, act: Act, tables: Table) -> None:
    known_rules = {str(rule) for rule in RuleId}
    for row in act.limits:
        stray = [rule for rule in (row.start, *row.stop) if rule and rule not in known_rules]
        stray += [stage for stage in row.stages if stage not in tables.stages]
        if stray:
            raise _wrong("acts.toml", f"{name} 引用了不存在的 {stray[0]}")
        if bool(row.start) == bool(row.stop):
            raise _wrong("acts.toml", f"{name} 的期限行须写明起算或者终止")


def _with_outcome(names: tuple[str, ...], outcome: str) -> tuple[str, ...]:
    """Of `name` and `outcome:name`, the names that count with this outcome."""
    pairs = [name.rpartition(":") for name in names]
    return tuple(name for wanted, _, name in pairs if wanted in ("", outcome))


def _wrong(file: str, detail: str) -> Exception:
    return failure(Reason.CONFIG_INVALID, file=file, detail=detail)
