"""Requests a pod and their growth, beside the figures recorded last: counts only, never the time that anything took."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench import shape
from tests.bench.shape import HELD, RECORDED, SIZES, Figures

SLACK = 1.02  # of requests: the very looks at the cloud that fall into a story
CALLS_SLACK = 1.25  # of our own functions' calls: another Python calls some of them more or less often
GROWTH = 1.05
ADVICE = "if that is meant: python -m tests.bench.shape records it anew"


@pytest.fixture(scope="module")
def measured() -> Figures:
    return shape.measure()


def worse(measured: Figures, recorded: Figures, path: str = "") -> Iterator[str]:
    """What costs more than it was recorded to; what is not recorded costs too much at once."""
    for name in sorted(measured.keys() | recorded.keys()):
        now, then = measured.get(name, 0), recorded.get(name, 0)
        here = f"{path}/{name}"
        if isinstance(now, dict) or isinstance(then, dict):
            yield from worse(now or {}, then or {}, here)
        elif now > then * (CALLS_SLACK if name == "function_calls" else SLACK) + (0 if then else 0.001):
            yield f"{here}: {now}, recorded {then}"


def test_no_pod_costs_more_requests_than_recorded(measured):
    assert [*worse(measured, json.loads(RECORDED.read_text()))] == [], ADVICE


def test_a_pod_takes_no_more_patches_than_promised(measured):
    assert measured["burst"]["to_running"]["PATCH pods"] <= 2
    assert measured["jobs"]["PATCH pods"] <= 3
    assert measured["burst"]["to_running"]["cloud create"] == 1


def test_a_pod_is_reconciled_thrice_at_the_most_until_it_runs(measured):
    assert set(measured["reconciles_to_running"]) == {str(size) for size in SIZES}
    assert max(measured["reconciles_to_running"].values()) <= 3


def test_an_idle_node_writes_nothing_about_its_pods(measured):
    writes = [kind for kind in measured["idle_minute"] if kind.split()[0] in ("PATCH", "POST", "PUT", "DELETE")]
    assert writes == []


def test_one_change_costs_the_same_however_many_pods_are_held(measured):
    few, *more = (measured["one_change"][str(held)] for held in HELD)
    for many in more:
        assert many["requests"] == few["requests"]
        assert many["function_calls"] <= few["function_calls"] * GROWTH


@pytest.mark.parametrize(
    ("now", "then", "told"),
    [
        ({"a": {"PATCH pods": 2.0}}, {"a": {"PATCH pods": 2.0}}, []),
        ({"a": {"PATCH pods": 2.1}}, {"a": {"PATCH pods": 2.0}}, ["/a/PATCH pods: 2.1, recorded 2.0"]),
        ({"a": {"GET pods": 0.01}}, {"a": {}}, ["/a/GET pods: 0.01, recorded 0"]),
        ({"b": {"GET pods": 1.0}}, {}, ["/b/GET pods: 1.0, recorded 0"]),
        ({"a": {}}, {"a": {"PATCH pods": 2.0}}, []),
        ({"function_calls": 1300}, {"function_calls": 1000}, ["/function_calls: 1300, recorded 1000"]),
    ],
)
def test_the_comparison_can_fail(now, then, told):
    assert [*worse(now, then)] == told
