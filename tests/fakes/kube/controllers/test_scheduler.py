"""The scheduler over a real Api: what is bound when, and what is said meanwhile."""

import time

import pytest

from .world import container, pod


def asks(name, cpu, **spec):
    return pod(name, **{"containers": [container(cpu=cpu)], **spec})


async def test_no_nodes_at_all(world):
    world.make("pods", pod("lone"), "default")
    await world.settle()
    assert world.messages("FailedScheduling") == ["no nodes available to schedule pods"]


async def test_a_pod_that_waits_is_bound_when_room_appears(world):
    world.node("n1", cpu="2")
    world.make("pods", asks("first", "2"), "default")
    await world.settle()
    world.make("pods", asks("second", "2"), "default")
    await world.settle()
    assert world.messages("FailedScheduling") == [
        (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod."
        )
    ]
    world.end_pod(world.get("pods", "first"))
    await world.until(lambda: world.get("pods", "second")["spec"].get("nodeName") == "n1", within_s=11)
    assert world.condition(world.get("pods", "second"), "PodScheduled")["status"] == "True"


async def test_extended_resources_are_counted_as_nodes_come_to_offer_them(world):
    world.hollow("n1")
    for name in ("first", "second"):
        amounts = {"gocrane.io/cpu": "2", "gocrane.io/memory": "1Gi"}
        asking = {**container(), "resources": {"limits": amounts}}
        world.make("pods", pod(name, containers=[asking]), "default")
        await world.settle()
    assert [text.partition(". preemption")[0] for text in world.messages("FailedScheduling")] == [
        "0/1 nodes are available: 1 Insufficient gocrane.io/cpu, 1 Insufficient gocrane.io/memory"
    ] * 2
    body = {"status": {"capacity": {"gocrane.io/cpu": "3", "gocrane.io/memory": "8Gi"}}}
    world.api.patch("nodes", "n1", None, body, kind="merge", subresource="status")
    await world.until(lambda: world.get("pods", "first")["spec"].get("nodeName") == "n1", within_s=11)
    await world.settle(20)
    assert world.get("nodes", "n1", None)["status"]["allocatable"]["gocrane.io/cpu"] == "3"
    assert not world.get("pods", "second")["spec"].get("nodeName")
    assert "0/1 nodes are available: 1 Insufficient gocrane.io/cpu" in {
        text.partition(". preemption")[0] for text in world.messages("FailedScheduling")
    }


async def test_a_repeated_failure_counts_up_one_event(world):
    world.node("n1", cpu="2")
    world.make("pods", asks("big", "3"), "default")
    await world.settle(2)
    world.node("n2", cpu="1")
    await world.settle(2)
    world.api.delete("nodes", "n2")
    world.node("n3", cpu="1")
    await world.settle(20)
    counts = {item["message"]: item["count"] for item in world.events("FailedScheduling")}
    assert sorted(counts.values()) == [1, 2]


async def test_heartbeats_do_not_wake_waiting_pods(world):
    world.node("n1", cpu="2")
    world.make("pods", asks("big", "3"), "default")
    await world.settle(2)
    for _beat in range(20):
        world.beat("n1")
        await world.settle(5)
    assert [item["count"] for item in world.events("FailedScheduling")] == [1]


@pytest.mark.parametrize(
    ("field", "value"), [("schedulerName", "mine"), ("schedulingGates", [{"name": "example.com/wait"}])]
)
async def test_pods_that_are_not_ours_are_left_alone(world, field, value):
    world.node("n1")
    world.make("pods", pod("other", **{field: value}), "default")
    await world.settle()
    assert "nodeName" not in world.get("pods", "other")["spec"]
    assert world.events("FailedScheduling") == []


async def test_a_gate_removed_lets_the_pod_go(world):
    world.node("n1")
    world.make("pods", pod("gated", schedulingGates=[{"name": "example.com/wait"}]), "default")
    await world.settle()
    world.api.patch("pods", "gated", "default", {"spec": {"schedulingGates": None}}, kind="merge")
    await world.settle()
    assert world.get("pods", "gated")["spec"]["nodeName"] == "n1"


async def test_preemption_evicts_and_then_binds(world):
    world.make("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "high"}, "value": 1000})
    world.node("n1", cpu="2")
    world.make("pods", asks("low", "2"), "default")
    await world.settle()
    world.run_pod(world.get("pods", "low"))
    world.make("pods", asks("high", "2", priorityClassName="high"), "default")
    await world.settle()
    low, high = world.get("pods", "low"), world.get("pods", "high")
    assert low["metadata"]["deletionTimestamp"]
    assert world.condition(low, "DisruptionTarget")["reason"] == "PreemptionByScheduler"
    assert world.messages("Preempted") == [f"Preempted by pod {high['metadata']['uid']} on node n1"]
    assert high["status"]["nominatedNodeName"] == "n1"
    world.make("pods", asks("third", "2"), "default")
    world.remove_pod(low)
    await world.until(lambda: world.get("pods", "high")["spec"].get("nodeName"), within_s=11)
    await world.settle(15)
    assert "nodeName" not in world.get("pods", "third")["spec"]


async def test_a_missing_claim_is_named(world):
    world.node("n1")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    world.make("pods", pod("db", volumes=[volume]), "default")
    await world.settle()
    assert world.messages("FailedScheduling")[0].startswith(
        '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available: 1 Pre'
    )


async def test_spread_over_equal_nodes_by_room(world):
    for name in ("n1", "n2", "n3"):
        world.node(name)
    for number in range(6):
        world.make("pods", asks(f"p{number}", "1"), "default")
    await world.settle()
    placed = sorted(item["spec"]["nodeName"] for item in world.pods())
    assert placed == ["n1", "n1", "n2", "n2", "n3", "n3"]


async def test_a_thousand_pods_are_bound_in_seconds(world):
    for number in range(10):
        world.node(f"n{number}", cpu="200", memory="400Gi", pods="500")
    for number in range(1000):
        world.make("pods", asks(f"p{number}", "1"), "default")
    began = time.perf_counter()
    await world.until(lambda: all(item["spec"].get("nodeName") for item in world.pods()), within_s=60)
    # Far above what it takes (about 1.5 s), far below what work per placed pod would cost.
    assert time.perf_counter() - began < 15


async def test_only_news_that_can_help_wakes_a_waiting_pod(world):
    world.node("n1")
    world.make("pods", pod("picky", nodeSelector={"disk": "ssd"}), "default")
    for number in range(3):
        world.make("pods", pod(f"p{number}"), "default")
        await world.settle(15)
        world.end_pod(world.get("pods", f"p{number}"))
        conditions = [{**world.get("nodes", "n1", None)["status"]["conditions"][0], "lastHeartbeatTime": world.now()}]
        world.api.patch("nodes", "n1", None, {"status": {"conditions": conditions}}, kind="merge", subresource="status")
    await world.settle(15)
    assert [item["count"] for item in world.events("FailedScheduling")] == [1]
    world.api.patch("nodes", "n1", None, {"metadata": {"labels": {"disk": "ssd"}}}, kind="merge")
    await world.settle()
    assert world.get("pods", "picky")["spec"]["nodeName"] == "n1"
