"""A short run by a fixed seed, in every run of CI; `make chaos` runs longer ones by new seeds."""

import asyncio

import pytest

from tests.chaos import neighbours
from tests.chaos.bugs import BUGS, COMPLAINTS, NEIGHBOUR_COMPLAINTS
from tests.chaos.run import Plan, play


async def test_after_every_kind_of_trouble_all_is_as_it_should_be(tmp_path):
    said: list[str] = []
    outcome = await play(Plan(seed=7, faults=26, jobs=40, lasts_s=25), tmp_path, said.append)
    assert outcome.complaints == [], "\n".join(said)
    assert outcome.facts["pods that ever were"] >= 60, "the story was told"
    assert outcome.facts["requests that met an accident"] > 0


async def test_a_provider_with_a_bug_is_complained_of(tmp_path):
    """Without any trouble, so that it is the bug that is seen; each in a world of its own, side by side."""

    async def complaints(bug: str) -> list[str]:
        (tmp_path / bug).mkdir()
        plan = Plan(seed=0, faults=0, jobs=20, lasts_s=6, bug=bug, settles_within_s=25)
        return (await play(plan, tmp_path / bug, lambda _: None)).complaints

    found = dict(zip(BUGS, await asyncio.gather(*map(complaints, BUGS)), strict=True))
    for bug, expected in COMPLAINTS.items():
        for text in expected:
            assert any(text in line for line in found[bug]), f"{bug}: {found[bug]}"


@pytest.mark.xfail(
    strict=False, reason="in one order of mad servers, on a busy machine, pods ran 9 s late: not understood"
)
async def test_bad_neighbours_do_no_harm(tmp_path):
    said: list[str] = []
    outcome = await neighbours.play(7, tmp_path, said.append)
    assert outcome.complaints == [], "\n".join(said)


async def test_a_provider_that_tells_or_shows_what_is_anothers_is_complained_of(tmp_path):
    """Side by side; the other bugs of NEIGHBOUR_COMPLAINTS are about seconds, and want a machine of their own."""

    async def complaints(bug: str) -> list[str]:
        (tmp_path / bug).mkdir()
        return (await neighbours.play(7, tmp_path / bug, lambda _: None, bug=bug, servers=())).complaints

    bugs = ("talkative", "shows-others", "double-create")
    found = dict(zip(bugs, await asyncio.gather(*map(complaints, bugs)), strict=True))
    for bug in bugs:
        assert any(NEIGHBOUR_COMPLAINTS[bug] in line for line in found[bug]), f"{bug}: {found[bug]}"
