"""The Job controller's arithmetic as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from fakes.kube.controllers import job_rules as rules

NOW = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


def ended(seconds_ago, *, code=1, phase="Failed", name="p"):
    when = (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"terminated": {"exitCode": code, "finishedAt": when}}
    return {
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": when},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    }


@pytest.mark.parametrize(
    ("finished", "wait_s"),
    [
        pytest.param([], 0, id="no failure, no wait"),
        pytest.param([ended(0)], 10, id="first failure"),
        pytest.param([ended(4)], 6, id="time passed counts"),
        pytest.param([ended(30), ended(0)], 20, id="second doubles"),
        pytest.param([ended(60), ended(30), ended(0)], 40, id="third doubles again"),
        pytest.param([ended(second) for second in range(20)], 360, id="six minutes at most"),
        pytest.param([ended(5), ended(2, phase="Succeeded")], 0, id="a success resets"),
        pytest.param([ended(5, phase="Succeeded"), ended(2)], 8, id="and failures start anew"),
    ],
)
def test_backoff(finished, wait_s):
    assert rules.Backoff().after(finished).remaining_s(NOW) == wait_s


@pytest.mark.parametrize(
    ("indexes", "text"),
    [
        (set(), ""),
        ({1}, "1"),
        ({1, 2}, "1,2"),
        ({0, 1, 2, 3}, "0-3"),
        ({1, 3, 4, 5, 7}, "1,3-5,7"),
        ({1, 2, 4}, "1,2,4"),
    ],
)
def test_indexes_round_trip(indexes, text):
    assert rules.format_indexes(indexes) == text
    assert rules.parse_indexes(text) == indexes


@pytest.mark.parametrize(
    ("spec", "active", "succeeded", "wanted"),
    [
        ({"parallelism": 3, "completions": 10}, 0, 0, 3),
        ({"parallelism": 3, "completions": 10}, 2, 9, 1),
        ({"parallelism": 3, "completions": 10}, 0, 10, 0),
        ({"parallelism": 3}, 1, 0, 3),
        ({"parallelism": 3}, 2, 1, 2),
        ({"parallelism": 0, "completions": 1}, 0, 0, 0),
        ({"completions": 1}, 0, 0, 1),
    ],
)
def test_wanted_active(spec, active, succeeded, wanted):
    assert rules.wanted_active({"spec": spec}, active=active, succeeded=succeeded) == wanted


def policy(*rule):
    return {"spec": {"podFailurePolicy": {"rules": list(rule)}}}


CODES = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}


@pytest.mark.parametrize(
    ("job", "pod", "verdict"),
    [
        ({"spec": {}}, ended(0), "Count"),
        (policy(CODES), ended(0, code=42), "FailJob"),
        (policy(CODES), ended(0, code=41), "Count"),
        (policy({**CODES, "action": "Ignore"}), ended(0, code=42), "Ignore"),
        (
            policy({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [42]}}),
            ended(0, code=1),
            "Ignore",
        ),
        (policy({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [42]}}), ended(0, code=0), "Count"),
        (
            policy({"action": "Ignore", "onExitCodes": {"containerName": "other", "operator": "In", "values": [1]}}),
            ended(0),
            "Count",
        ),
        (
            policy({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
            {**ended(0), "status": {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}},
            "Ignore",
        ),
    ],
)
def test_failure_policy(job, pod, verdict):
    assert rules.failure_verdict(job, pod)[0] == verdict


def test_the_failure_policy_says_what_matched():
    assert rules.failure_verdict(policy(CODES), ended(0, code=42, name="pi-1"))[1] == (
        "Container main for pod default/pi-1 failed with exit code 42 matching FailJob rule at index 0"
    )
