"""C.8 21: a day with 500 Jobs and a random market on the real provider, and what a forecast is worth."""

from __future__ import annotations

import sys

import pytest

from tests.preemptible.soak import HEAD, Outcome, Plan, day_of, table

JOBS = 500


@pytest.fixture(scope="module")
def days() -> list[Outcome]:
    days = [day_of(Plan(is_naive=is_naive, jobs=JOBS)) for is_naive in (False, True)]
    sys.stdout.write(f"\n{table(days)}\n")
    return days


def test_every_job_is_done_and_none_counts_a_failure(days: list[Outcome]) -> None:
    for each in days:
        assert len(each.completed) == JOBS
        assert not each.failed


def test_regular_pods_run_in_time_and_see_no_error_of_the_quota(days: list[Outcome]) -> None:
    forecast, _ = days
    assert len(forecast.waits_s) == forecast.regular > 100
    assert forecast.wait_s(0.99) <= 70
    assert len(forecast.waited) <= 0.01 * forecast.regular
    for each in days:
        assert each.troubled == set()


def test_a_naive_policy_refuses_regular_pods_and_ends_more(days: list[Outcome]) -> None:
    forecast, naive = days
    assert len(naive.waited) > 5
    assert naive.reclaims > forecast.reclaims
    assert naive.wait_s(0.99) > forecast.wait_s(0.99)


def test_the_bill_is_a_fraction_of_that_on_demand(days: list[Outcome]) -> None:
    for each in days:
        assert each.bill <= 0.4


def test_the_table_has_a_row_for_each(days: list[Outcome]) -> None:
    lines = table(days).splitlines()
    assert len(lines) == 4
    assert HEAD[0] in lines[0]
