"""The agent's rounds: what it publishes, when it writes, whom it ends, and what a new process makes of it."""

import asyncio

import pytest

from tests.qos_agent.node import GIB, UNREADABLE, World
from vk_provider.qos_agent.agent import kubelet_url


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_it_publishes_and_then_writes_nothing_while_nothing_changes(world):
    assert world.rounds(5)[-1] == 3  # without a history half is taken for used: 7.2 - 4
    assert world.reasons == ["UpdateNode", "UpdateNode"]  # 0 at first, for it is not known what is idle
    written = len(world.api.writes)
    world.rounds(200)
    assert len(world.api.writes) == written


def test_use_that_rises_is_published_within_two_readings(world):
    world.rounds(5)
    world.cpu = 6.0
    assert world.rounds(2)[-1] == 1
    world.cpu = 2.0
    assert world.rounds(4)[-1] == 1  # for a minute or two, and until three readings agree
    assert world.rounds(30)[-1] == 3


def test_a_kubelet_that_writes_its_own_status_takes_the_figure_away_for_a_round_at_most(world):
    world.rounds(5)
    node = next(world.nodes.values())
    sides = {side: {**node["status"][side], "gocrane.io/cpu": "0"} for side in ("capacity", "allocatable")}
    world.put_node({**node, "status": {**node["status"], **sides}})
    assert world.rounds(1) == [3]


def test_a_kubelet_that_is_silent(world):
    world.rounds(5)
    world.kubelet.trouble = UNREADABLE
    assert world.rounds(6)[-1] == 0
    world.kubelet.trouble = None
    assert world.rounds(5)[-1] == 3


def test_what_its_own_pods_hold_stays_published_without_readings(world):
    world.rounds(5)
    world.job("pi", cpu=2)
    world.kubelet.trouble = UNREADABLE
    assert world.rounds(8)[-1] == 2


def test_nothing_more_is_published_while_others_take_us_for_dead(world):
    world.alive = False
    assert world.rounds(6)[-1] == 0


def test_a_new_process_goes_on_with_the_history_and_with_what_is_published(world):
    world.rounds(5)
    asyncio.run(world.agent.retire())
    assert world.published == 0
    node = next(world.nodes.values())
    sides = {side: {**node["status"][side], "gocrane.io/cpu": "3"} for side in ("capacity", "allocatable")}
    world.put_node({**node, "status": {**node["status"], **sides}})
    assert world.begin().rounds(3) == [3, 3, 3]
    assert len(world.agent._publication.cpu.history) >= 1


def test_a_prediction_says_how_to_forecast_and_its_status_says_what_came_of_it(world):
    metric = {"resourceIdentifier": "cpu", "type": "ResourceQuery", "resourceQuery": "cpu"}
    wrong = {"resourceIdentifier": "disk", "type": "MetricQuery"}
    percentile = {"algorithmType": "percentile", "percentile": {"percentile": "0.9", "marginFraction": "0.5"}}
    spec = {"predictionWindowSeconds": 600, "predictionMetrics": [{**metric, "algorithm": percentile}, wrong]}
    metadata = {"namespace": "crane-system", "name": "noderesource-n", "uid": "t", "resourceVersion": "1"}
    world.predictions.apply({"metadata": metadata, "spec": spec})
    world.rounds(10)
    assert world.agent._publication.cpu.algorithm.margin == 0.5
    status = next(world.predictions.values())["status"]
    assert [(each["resourceIdentifier"], each["ready"]) for each in status["predictionMetrics"]] == [
        ("cpu", True),
        ("disk", False),
    ]
    assert status["conditions"][0]["reason"] == "PredictPartial"
    assert "needs a source of metrics" in status["conditions"][0]["message"]
    written = len(world.api.writes)
    world.rounds(40)
    assert len(world.api.writes) == written


# --- contention -------------------------------------------------------------------------------------------------------

ALL = {
    "kind": "PodQOS",
    "metadata": {"name": "all-be-pods"},
    "spec": {
        "scopeSelector": {"matchExpressions": [{"scopeName": "QOSClass", "operator": "In", "values": ["BestEffort"]}]},
        "allowedActions": ["reclaim", "slow"],
    },
}
RECLAIM = {
    "kind": "AvoidanceAction",
    "metadata": {"name": "reclaim"},
    "spec": {"coolDownSeconds": 60, "eviction": {"terminationGracePeriodSeconds": 5}},
}


def rule(metric, value, *, action="reclaim", **more):
    spec = {"name": "r", "metricRule": {"name": metric, "value": value}, "actionName": action, "avoidanceThreshold": 2}
    return {"kind": "NodeQOS", "metadata": {"name": "contention"}, "spec": {"rules": [{**spec, **more}]}}


def full(world, **more):
    """Three pods of 2 GiB each, the last one the youngest; the node's memory rises to 90 %."""
    world.rules(ALL, RECLAIM, rule("memory_total_utilization", "80", **more))
    for minute, name in enumerate(("old", "middle", "young")):
        world.job(name, memory="2Gi", uses=(0.1, 2.0 * GIB), started=f"2026-01-01T00:0{minute}:00Z")
    world.rounds(3)
    world.memory = 14.4 * GIB


def test_memory_contention_ends_the_youngest_on_the_second_cycle_and_no_more_than_the_gap(world):
    full(world)
    world.rounds(2)
    assert world.api.evicted == []
    world.rounds(2)
    assert [name for name, _ in world.api.evicted] == ["young"]
    assert world.api.evicted[0][1] == {"preconditions": {"uid": "u-young"}, "gracePeriodSeconds": 5}
    world.rounds(4)  # it takes its time to end, and counts until its memory is free
    assert [name for name, _ in world.api.evicted] == ["young"]
    world.end_pod("young")
    world.memory = 12.4 * GIB
    world.rounds(6)
    assert [name for name, _ in world.api.evicted] == ["young"]
    assert "AvoidanceTriggered" in world.reasons
    assert "PreemptibleReclaim" in world.reasons
    assert world.reasons[-1] == "RestoreTriggered" or "RestoreTriggered" in world.reasons
    conditions = next(world.nodes.values())["status"]["conditions"]
    assert [(each["type"], each["status"]) for each in conditions] == [("interference-identified", "True")]
    world.rounds(20)
    conditions = next(world.nodes.values())["status"]["conditions"]
    assert [each["status"] for each in conditions] == ["False"]


def test_a_preview_ends_nobody(world):
    full(world, strategy="Preview")
    world.rounds(10)
    assert world.api.evicted == []
    assert "AvoidanceTriggered" in world.reasons


def test_a_pod_that_a_disruption_budget_keeps_is_spared_and_another_goes(world):
    full(world)
    world.api.refuses["young"] = 429
    world.rounds(6)
    assert [name for name, _ in world.api.evicted] == ["middle"]


def test_a_pod_of_a_higher_cpu_priority_is_never_ended(world):
    keep = {"labelSelector": {"matchLabels": {"keep": "yes"}}, "resourceQOS": {"cpuQOS": {"cpuPriority": 3}}}
    world.rules({"kind": "PodQOS", "metadata": {"name": "keep"}, "spec": keep})
    full(world)
    world.job("young", memory="2Gi", uses=(0.1, 2.0 * GIB), started="2026-01-01T00:09:00Z", labels={"keep": "yes"})
    world.rounds(6)
    assert [name for name, _ in world.api.evicted] == ["middle"]


def test_more_requested_than_published_ends_what_is_over(world):
    world.rules(ALL, RECLAIM, rule("ext_memory_total_distribute", "110"))
    world.rounds(5)
    world.job("old", memory="2Gi", uses=(0.1, 0.1 * GIB))
    world.job("young", memory="2Gi", uses=(0.1, 0.1 * GIB), started="2026-01-01T00:05:00Z")
    world.memory = 12.0 * GIB  # 2.4 GiB are left
    world.rounds(6)
    assert [name for name, _ in world.api.evicted] == ["young"]


def test_a_figure_that_fell_for_a_moment_and_grows_slowly_ends_nobody(world):
    world.rules(ALL, RECLAIM, rule("ext_cpu_total_distribute", "110"))
    world.rounds(5)
    world.job("pi", cpu=3)
    world.cpu = 7.0
    assert world.rounds(1) == [0]
    world.cpu = 2.0
    world.rounds(4)
    assert world.api.evicted == []


def test_a_throttle_takes_processor_in_steps_and_gives_it_back(world):
    slow = {"throttle": {"cpuThrottle": {"minCPURatio": 25, "stepCPURatio": 50}}}
    world.rules(
        ALL,
        {"kind": "AvoidanceAction", "metadata": {"name": "slow"}, "spec": slow},
        rule("cpu_total_utilization", "80", action="slow"),
    )
    world.job("busy", cpu=4, uses=(4.0, 0.0))
    world.cpu = 7.0
    seen = []
    for _ in range(10):
        world.rounds(2)
        seen.append(world.agent._around.yielding._quotas.get("u-busy"))
    assert seen[0] is None
    assert 200_000 in seen
    assert seen[-1] == 100_000  # a quarter of four cores
    world.cpu = 3.0
    world.rounds(12)
    assert world.agent._around.yielding._quotas == {}
    assert world.api.evicted == []


def test_the_cap_of_a_node_is_divided_by_request(world):
    limit = {"elasticNodeCpuLimit": {"percent": 50}}
    cap = rule("memory_total_utilization", "99")
    cap["spec"]["elasticCpuLimit"] = limit
    world.rules(cap)
    world.job("one", cpu=1)
    world.job("three", cpu=3)
    world.rounds(3)
    assert world.agent._around.yielding._quotas == {"u-one": 100_000, "u-three": 300_000}


@pytest.mark.parametrize(
    ("status", "url"),
    [
        ({}, ""),
        ({"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}, ""),
        (
            {
                "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
            "https://10.0.0.1:10250",
        ),
        (
            {
                "addresses": [{"type": "InternalIP", "address": "fd00::1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
            "https://[fd00::1]:10250",
        ),
    ],
)
def test_where_the_kubelet_is(status, url):
    assert kubelet_url({"status": status}) == url
    assert kubelet_url(None) == ""
