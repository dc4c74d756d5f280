"""Two verifiers written apart say the same, verdict by verdict, of honest, tampered and crooked bundles."""

from __future__ import annotations

from functools import cache

import pytest

from tests.library.bundles import crooked, second, tampering, unapproved
from tests.library.bundles.tampering import MISBARRED, PROFILES, Case, base, cases, misbarring
from tests.library.bundles.town import pins
from xieban.verify.container import pack

FEW, MANY = 100, 2000


def honest() -> list[Case]:
    return [
        Case(f"honest-{seed}-{profile}", pack(base(seed, profile)), pins(), honest=True)
        for seed in range(4)
        for profile in PROFILES
    ]


def deceived() -> list[Case]:
    """Lists that the roots should not have signed."""
    return [
        Case(f"misbarred-{number}", pack(misbarring(base(0, "court"), rows)), pins())
        for number, rows in enumerate(MISBARRED)
    ]


@cache
def crooks() -> tuple[Case, ...]:
    return tuple(Case(name, pack(make()), pins()) for name, (make, _) in (crooked.ALL | unapproved.ALL).items())


@pytest.mark.skipif(second.NODE is None, reason="no Node here")
async def test_node_and_python_agree() -> None:
    chosen = [*honest(), *crooks(), *deceived(), *cases(FEW, seed=1)]
    differ = second.disagreements(chosen, second.by_python(chosen), await second.by_node(chosen))
    assert differ == []


async def test_a_browser_and_python_agree() -> None:
    chosen = [*honest()[:3], *crooks()[::4], *cases(FEW // 4, seed=2)]
    async with second.chromium() as run:
        differ = second.disagreements(chosen, second.by_python(chosen), await run(chosen))
    assert differ == []


@pytest.mark.slow
async def test_python_node_and_a_browser_agree_on_thousands() -> None:
    chosen = [*honest(), *crooks(), *deceived(), *cases(MANY, seed=3)]
    told = second.by_python(chosen)
    async with second.chromium() as run:
        assert second.disagreements(chosen, told, await run(chosen)) == []
    if second.NODE is not None:
        assert second.disagreements(chosen, told, await second.by_node(chosen)) == []


def test_every_tampering_is_part_of_the_agreement() -> None:
    drawn = {case.name.removesuffix("+pins") for case in cases(FEW, seed=1)}
    assert drawn >= set(tampering.ALL)


async def test_a_verifier_that_sees_less_is_found_out() -> None:
    made = crooked.ALL["accepted_and_returned"][0]
    chosen = [*honest()[:1], Case("accepted_and_returned", pack(made()), pins())]
    told = second.by_python(chosen)
    blind = second.by_python([chosen[0], chosen[0]])
    assert [name for name, _, _ in second.disagreements(chosen, told, blind)] == ["accepted_and_returned"]
