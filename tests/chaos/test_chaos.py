"""A short run by a fixed seed, in every run of CI; `make chaos` runs longer ones by new seeds."""

import asyncio

from tests.chaos import neighbours
from tests.chaos.bugs import BUGS, COMPLAINTS, NEIGHBOUR_BUGS, NEIGHBOUR_COMPLAINTS
from tests.chaos.run import Plan, play

AT_ONCE = 3


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


async def test_bad_neighbours_do_no_harm(tmp_path):
    said: list[str] = []
    outcome = await neighbours.play(7, tmp_path, said.append)
    assert outcome.complaints == [], "\n".join(said)


async def test_a_provider_with_a_bug_that_takes_a_neighbour_is_complained_of(tmp_path):
    """Each beside the neighbours that it takes."""
    bugs, few = (*NEIGHBOUR_BUGS, "double-create"), asyncio.Semaphore(AT_ONCE)

    async def complaints(bug: str) -> list[str]:
        (tmp_path / bug).mkdir()
        async with few:
            return (await neighbours.play(7, tmp_path / bug, lambda _: None, bug=bug)).complaints

    found = dict(zip(bugs, await asyncio.gather(*map(complaints, bugs)), strict=True))
    missed = {bug: found[bug] for bug in bugs if not any(NEIGHBOUR_COMPLAINTS[bug] in line for line in found[bug])}
    assert missed == {}
