"""A short run by a fixed seed, in every run of CI; `make chaos` runs longer ones by new seeds."""

from tests.chaos.run import Plan, play


async def test_after_every_kind_of_trouble_all_is_as_it_should_be(tmp_path):
    said: list[str] = []
    outcome = await play(Plan(seed=7, faults=26, jobs=40, lasts_s=25), tmp_path, said.append)
    assert outcome.complaints == [], "\n".join(said)
    assert outcome.facts["pods that ever were"] >= 60, "the story was told"
    assert outcome.facts["requests that met an accident"] > 0
