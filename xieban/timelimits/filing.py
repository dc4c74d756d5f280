"""Was an act done in time, was a request made in time, may a thing happen once more: yes/no questions beside the due date.

Posting counts by postmark (刑诉105③), oral acts when recorded, electronic ones when the platform accepted them (A20).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from xieban.errors import Reason, failure
from xieban.timelimits.local_time import local, local_day
from xieban.timelimits.table import Counter, Rule
from xieban.timelimits.terms import Policy

POST_ARTICLE = "刑诉105③"


class Channel(StrEnum):
    """How an act reached the office."""

    POST = "post"
    ORAL = "oral"
    ELECTRONIC = "electronic"
    IN_PERSON = "in_person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """An act with the moment that decides for its channel: postmark, record of the oral act, acceptance by the platform, receipt.

    `outage`: the platform was down on the last day; the sender then counts as in time (A20).
    """

    channel: Channel
    at: date | datetime
    outage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The answer to a request that had to come before an expiry. `late_lead`: in time, but with less lead than the law wants."""

    accepted: bool
    late_lead: bool
    latest: date


def filed_in_time(filing: Filing, *, due: date | datetime) -> bool:
    """Whether the act came before 24:00 of the due date, or at the due timestamp at the latest."""
    if filing.channel is Channel.ELECTRONIC and filing.outage:
        return True
    at = local(filing.at, field="filed.at")
    if isinstance(due, datetime):
        return isinstance(at, datetime) and at <= due
    return local_day(at, field="filed.at") <= due


def request_before_expiry(row: Rule, *, expiry: date | datetime, requested: date | datetime) -> Request:
    """Whether a request is still admissible: up to the expiry itself; short lead is a violation, not a bar (检规309)."""
    last = local_day(expiry, field="expiry")
    accepted = filed_in_time(Filing(channel=Channel.IN_PERSON, at=requested), due=local(expiry, field="expiry"))
    latest = last - timedelta(days=row.base) if row.policy is Policy.LEAD else last
    late_lead = accepted and local_day(requested, field="requested_at") > latest
    return Request(accepted=accepted, late_lead=late_lead, latest=latest)


def require_before_expiry(row: Rule, *, expiry: date | datetime, requested: date | datetime) -> Request:
    """The same, refusing a request after expiry. Raises REQUEST_AFTER_EXPIRY."""
    answer = request_before_expiry(row, expiry=expiry, requested=requested)
    if not answer.accepted:
        raise failure(
            Reason.REQUEST_AFTER_EXPIRY, expiry=expiry.isoformat(), requested=requested.isoformat(), article=row.article
        )
    return answer


def may_happen_again(counter: Counter, *, count: int) -> bool:
    """Whether a thing that has happened `count` times may happen once more."""
    return count < counter.max


def require_another(counter: Counter, *, count: int) -> None:
    """The same, refusing one too many. Raises LIMIT_COUNT_REACHED."""
    if not may_happen_again(counter, count=count):
        raise failure(
            Reason.LIMIT_COUNT_REACHED, what=counter.what, count=count, limit=counter.max, article=counter.article
        )
