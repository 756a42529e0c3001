"""A day of a shared quota: what the forecast is worth, and that regular pods win when it is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.idle.day import HEAD, JOBS, QUOTA_CPU, TICK_S, Day, Plan, table

QUICKEST_S = 30  # the start of an instance
LONGEST_S = 70 + TICK_S  # grace 30, release 5, start 30, and at most one evaluation more


@pytest.fixture(scope="module")
def days():
    return [Day(Plan(is_naive=is_naive)).run() for is_naive in (False, True)]


def test_a_regular_pod_is_never_refused_with_a_forecast_and_often_without(days):
    forecast, naive = days
    assert (forecast.refusals, forecast.reclaims, forecast.wait_s(1)) == (0, 0, QUICKEST_S)
    assert naive.refusals > 20
    assert naive.reclaims > 20
    assert naive.wait_s(0.99) > QUICKEST_S


def test_every_job_is_done_for_a_fraction_of_the_price(days):
    for outcome in days:
        assert outcome.completed == JOBS
        assert outcome.spot_cost <= 0.4 * outcome.on_demand_cost


def test_the_quota_is_never_exceeded_nor_is_more_offered_than_is_safe(days):
    for outcome in days:
        assert outcome.most_used_cpu <= QUOTA_CPU
    assert days[0].overpublished <= 0


def test_the_idle_capacity_of_the_night_is_used(days):
    at_22 = next(sample for sample in days[0].samples if sample.when_s == 22 * 3600)
    assert at_22.preemptible > 80
    assert at_22.regular + at_22.preemptible > 0.7 * QUOTA_CPU


def test_a_load_that_nobody_could_foresee_ends_as_many_as_it_takes_and_no_regular_pod_waits_long():
    outcome = Day(Plan(surge_cpu=150)).run()
    assert outcome.reclaims >= 3
    assert outcome.wait_s(1) <= LONGEST_S
    assert outcome.completed == JOBS  # what was reclaimed was done again
    assert outcome.most_used_cpu <= QUOTA_CPU
    surge = [sample for sample in outcome.samples if 7_200 <= sample.when_s < 14_400]
    assert max(sample.reclaims for sample in surge) == max(sample.reclaims for sample in outcome.samples)


def test_the_same_seed_is_the_same_day():
    assert Day(Plan(seed=3, hours=3, jobs=60)).run() == Day(Plan(seed=3, hours=3, jobs=60)).run()


def test_the_table_has_a_row_for_each(days):
    lines = table(days).splitlines()
    assert len(lines) == 3
    assert lines[0].split()[0] == HEAD[0]


TICKS = st.frozensets(st.integers(0, 1_080), max_size=8)


@settings(max_examples=12)
@given(
    seed=st.integers(1, 3),
    surge_cpu=st.sampled_from([0, 60, 150, 400]),
    nodes=st.integers(1, 3),
    restarts=TICKS,
    outages=st.lists(st.tuples(st.integers(0, 1_080), st.integers(1, 40)), max_size=3),
    lags=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_whatever_the_load_and_whoever_dies(seed, surge_cpu, nodes, restarts, outages, lags):
    """Random surges, restarts, pauses without a leader, nodes that publish late: never more is offered than is safe,
    the quota holds, no regular pod waits longer than a reclaim and a start take, and no Job is stuck."""
    pauses = frozenset(tick for begin, length in outages for tick in range(begin, begin + length))
    day = Day(
        Plan(
            seed=seed,
            surge_cpu=surge_cpu,
            hours=3,
            jobs=60,
            nodes=nodes,
            restarts=restarts,
            pauses=pauses,
            lags=lags,
        )
    )
    outcome = day.run()
    assert day.violations == []
    assert outcome.wait_s(1) <= LONGEST_S
    assert outcome.completed == 60
