"""Agencies, cities, divisions and offices: who can be a party, at which level, and who its counterpart is.

Same-level rule: police deal with the procuratorate of their own division, the procuratorate with the court of its own division
(公规10; 检规328①). Anything to a higher level goes up the agency's own line.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Literal

from xieban.errors import Reason, failure

Level = Literal["county", "city", "province"]


class Agency(StrEnum):
    """The parties of the wire. The committee's gateway watches: no part of a case is ever sent to it or by it, only registrations of
    what an agency's acts do to time limits."""

    POLICE = "police"
    PROCURATORATE = "procuratorate"
    COURT = "court"
    GATEWAY = "gateway"


PARTIES = (Agency.POLICE, Agency.PROCURATORATE, Agency.COURT)
NAMES = {Agency.POLICE: "公安", Agency.PROCURATORATE: "检察", Agency.COURT: "法院", Agency.GATEWAY: "政法委"}


@dataclass(frozen=True, slots=True)
class City:
    """A pilot city: its token on the bus, division code, name."""

    token: str
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Office:
    """One office: an agency at a division (six digits, GB/T 2260)."""

    agency: Agency
    division: str

    @property
    def level(self) -> Level:
        if self.division.endswith("0000"):
            return "province"
        return "city" if self.division.endswith("00") else "county"

    @property
    def city(self) -> City:
        return _divisions().cities[self.division[:4] + "00"]

    @property
    def name(self) -> str:
        """Full Chinese name, e.g. 兰州市城关区人民检察院."""
        table = _divisions()
        place = table.names[self.division]
        city = table.names[self.division[:4] + "00"]
        county = self.level == "county"
        if self.agency is Agency.GATEWAY:
            return f"中共{place}委政法委员会"
        if self.agency is Agency.POLICE:
            if county and place.endswith("区"):
                return f"{city}公安局{place[:-1]}分局"
            return f"{place}公安局"
        suffix = "人民检察院" if self.agency is Agency.PROCURATORATE else "人民法院"
        if self.agency is Agency.COURT and self.level == "city":
            suffix = "中级人民法院"
        return f"{city if county and place.endswith('区') else ''}{place}{suffix}"

    def counterpart(self, agency: Agency) -> Office:
        """The office of `agency` at the same division."""
        return office(agency, self.division)

    def upper(self) -> Office:
        """The office one level up in the same line. Errors: OFFICE_UNKNOWN above the city (the province federates later)."""
        return office(self.agency, self.division[:4] + "00" if self.level == "county" else self.division[:2] + "0000")


@dataclass(frozen=True, slots=True)
class _Divisions:
    names: dict[str, str]
    cities: dict[str, City]


@cache
def _divisions() -> _Divisions:
    document = tomllib.loads(resources.files("xieban").joinpath("divisions.toml").read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    cities: dict[str, City] = {}
    for code, row in document["city"].items():
        cities[code] = City(token=row["token"], code=code, name=row["name"])
        names[code] = row["name"]
        names.update(row["divisions"])
    return _Divisions(names=names, cities=cities)


def office(agency: Agency | str, division: str) -> Office:
    """The office of `agency` at `division`; the committee has one, at the city itself. Errors: OFFICE_UNKNOWN."""
    known = division in _divisions().names and (
        agency in PARTIES or (agency == Agency.GATEWAY and division.endswith("00"))
    )
    if not known:
        raise failure(Reason.OFFICE_UNKNOWN, office=f"{agency}-{division}"[:40])
    return Office(agency=Agency(agency), division=division)


def city(token: str) -> City:
    """The pilot city of that token. Errors: OFFICE_UNKNOWN."""
    for row in _divisions().cities.values():
        if row.token == token:
            return row
    raise failure(Reason.OFFICE_UNKNOWN, office=token[:40])


def cities() -> tuple[City, ...]:
    """The pilot cities in code order."""
    return tuple(_divisions().cities.values())


def counties(of: City) -> tuple[str, ...]:
    """Division codes of the counties and districts of a city, in code order."""
    return tuple(sorted(code for code in _divisions().names if code[:4] == of.code[:4] and code != of.code))
