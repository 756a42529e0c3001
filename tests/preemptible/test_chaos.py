"""Random loads, markets, deletions, deaths and leader changes: nothing amiss, and each planted fault is found."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.preemptible import happenings as h
from tests.preemptible.chaos import story_of
from tests.preemptible.plants import PLANTS

SEEDS = 4  # python -m tests.preemptible.chaos --seeds 100 plays more
FINDING = {"one-too-many": 6, "double-victim": 6, "above-the-pool": 6}  # the first seeds of which one finds it


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_nothing_is_amiss(seed):
    story = story_of(h.drawn(seed), seed=seed)
    assert story.found == [], "\n".join(story.said)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(plant):
    assert any(story_of(h.drawn(seed), plant=plant).found for seed in range(1, FINDING[plant] + 1))


WHEN = st.integers(0, 600).map(float)
PICK = st.sampled_from([0.0, 0.3, 0.6, 0.9])
JOBS = st.builds(
    lambda at_s, size, image: h.JobComes(at_s / 3, *size, image),
    WHEN,
    st.sampled_from(h.SIZES),
    st.sampled_from(h.IMAGES),
)
REGULARS = st.builds(h.RegularComes, WHEN, st.sampled_from(h.REGULAR_CPU))
TROUBLES = st.one_of(
    st.builds(h.LoadChanges, WHEN, st.sampled_from(h.LOADS)),
    st.builds(lambda at_s, market: h.MarketChanges(at_s, *market), WHEN, st.sampled_from(h.MARKETS)),
    st.builds(h.ProviderDies, WHEN, st.integers(0, 1), st.integers(1, 60), st.sampled_from(h.AWAY_S)),
    st.builds(h.LeaderChanges, WHEN, st.integers(0, 1)),
    st.builds(h.PodIsDeleted, WHEN, PICK),
    st.builds(h.QuotaIsSilent, WHEN, st.sampled_from(h.SILENCES_S)),
    st.builds(h.CloudTakesBack, WHEN, PICK),
)
PLANS = st.builds(
    lambda processes, jobs, regulars, troubles: h.Plan(processes, (*jobs, *regulars, *troubles)),
    st.sampled_from(h.PROCESSES),
    st.lists(JOBS, min_size=1, max_size=6),
    st.lists(REGULARS, max_size=4),
    st.lists(TROUBLES, max_size=6),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(PLANS)
def test_whatever_happens(plan):
    """What is offered never exceeds the pool, no regular pod waits longer than grace and start while enough could
    yield, nobody ends who could be left out, no instance is left, every Job is done."""
    story = story_of(plan)
    assert story.found == [], "\n".join(story.said)
