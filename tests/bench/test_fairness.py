"""A namespace that floods, beside one that does not: what the honest pods wait for is the budget, not the flood."""

from __future__ import annotations

import pytest

from tests.bench.fairness import Case, measured, table

MINUTE_S = 61.0  # until the calls of a minute are there again


@pytest.mark.parametrize("later_s", [2.0])
def test_where_the_budget_holds_for_all_honest_pods_start_at_most_twice_as_late(later_s):
    case = Case(per_minute=1000, later_s=later_s, honest=30, hostile=200)
    alone, beside = measured(case, flood=False), measured(case, flood=True)
    assert beside.percentile(0.99) <= 2 * alone.percentile(0.99)


@pytest.mark.parametrize("honest", [5, 40])
def test_where_the_flood_came_first_and_used_the_budget_honest_pods_wait_for_the_next_minute_only(honest):
    """Though the flood waits for four minutes' calls more. In rotation forty honest pods would wait for two minutes."""
    case = Case(per_minute=40, later_s=2.0, honest=honest, hostile=200)
    alone, beside = measured(case, flood=False), measured(case, flood=True)
    assert beside.percentile(0.95) <= MINUTE_S + 2 * alone.percentile(0.99)
    assert beside.flood_s <= (200 + honest) / 40 * MINUTE_S * 1.05, "nothing of the budget is lost"


@pytest.mark.parametrize("later_s", [1.0, 70.0])
def test_a_few_honest_pods_among_a_flood_never_wait_longer_than_until_the_next_minute(later_s):
    case = Case(per_minute=40, later_s=later_s, honest=5, hostile=200)
    assert measured(case, flood=True).percentile(1.0) <= MINUTE_S + 3.0


def test_a_burst_of_one_namespace_alone_is_as_fast_as_the_budget_allows():
    whole = measured(Case(per_minute=40, later_s=0.0, honest=40), flood=False)
    assert whole.percentile(1.0) <= 4.0, "a minute's calls at once"
    long = measured(Case(per_minute=40, later_s=0.0, honest=200), flood=False)
    assert long.percentile(1.0) <= 4 * MINUTE_S * 1.05


def test_the_table_has_a_row_for_each_case():
    lines = list(table([Case(per_minute=100, later_s=0.0, honest=2, hostile=3)]))
    assert len(lines) == 3
    assert "3 in " in lines[-1]
