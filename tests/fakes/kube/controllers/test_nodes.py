"""Nodes that fall silent, hollow workers, and pods that nobody looks after."""

from .world import job, pod


def taints(world, name):
    return sorted(
        (item["key"].removeprefix("node.kubernetes.io/"), item["effect"])
        for item in world.get("nodes", name, None)["spec"]["taints"]
    )


def ready(world, name):
    return world.condition(world.get("nodes", name, None), "Ready")


UNREACHABLE = [("unreachable", "NoExecute"), ("unreachable", "NoSchedule")]


async def test_a_node_that_beats_stays(world):
    world.node("n1")
    for _beat in range(30):
        world.beat("n1")
        await world.settle(10)
    assert ready(world, "n1")["status"] == "True"
    assert taints(world, "n1") == []


async def test_a_silent_node_is_unknown_tainted_and_comes_back(world):
    world.node("n1")
    world.make("pods", pod("a"), "default")
    await world.settle()
    world.run_pod(world.get("pods", "a"))
    world.beat("n1")
    at = await world.until(lambda: ready(world, "n1")["status"] == "Unknown")
    assert 50 <= at <= 56
    await world.settle()
    assert ready(world, "n1")["message"] == "Kubelet stopped posting node status."
    assert ready(world, "n1")["reason"] == "NodeStatusUnknown"
    assert taints(world, "n1") == UNREACHABLE
    assert world.condition(world.get("pods", "a"), "Ready")["status"] == "False"
    assert world.messages("NodeNotReady", "default").count("Node n1 status is now: NodeNotReady") == 1
    node = world.get("nodes", "n1", None)
    alive = [
        {**item, "status": "True", "lastHeartbeatTime": world.now()}
        for item in node["status"]["conditions"]
        if item["type"] == "Ready"
    ]
    world.api.patch("nodes", "n1", None, {"status": {"conditions": alive}}, kind="merge", subresource="status")
    world.beat("n1")
    await world.settle()
    assert taints(world, "n1") == []
    assert not world.get("pods", "a")["metadata"].get("deletionTimestamp")


async def test_not_ready_evicts_after_the_toleration(world):
    world.node("n1")
    stay = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
        for key in ("unreachable", "not-ready")
    ]
    world.make("pods", pod("short", tolerations=stay), "default")
    forever = [{"operator": "Exists"}]
    world.make("pods", pod("long", tolerations=forever), "default")
    await world.settle()
    dark = await world.until(lambda: ready(world, "n1")["status"] == "Unknown")
    gone = await world.until(lambda: world.get("pods", "short")["metadata"].get("deletionTimestamp"))
    assert 99 <= gone - dark <= 101
    assert world.condition(world.get("pods", "short"), "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    assert world.messages("TaintManagerEviction") == ["Marking for deletion Pod default/short"]
    await world.settle(400)
    assert not world.get("pods", "long")["metadata"].get("deletionTimestamp")


async def test_a_no_execute_taint_set_by_hand_evicts_at_once(world):
    world.node("n1")
    world.make("pods", pod("a"), "default")
    await world.settle()
    taint = {"key": "example.com/out", "effect": "NoExecute"}
    world.api.patch("nodes", "n1", None, {"spec": {"taints": [taint]}}, kind="merge")
    await world.settle()
    assert world.get("pods", "a")["metadata"]["deletionTimestamp"]


async def test_cordon_and_pressure_become_taints(world):
    world.node("n1")
    await world.settle()
    world.api.patch("nodes", "n1", None, {"spec": {"unschedulable": True}}, kind="merge")
    await world.settle()
    assert taints(world, "n1") == [("unschedulable", "NoSchedule")]
    conditions = [*world.get("nodes", "n1", None)["status"]["conditions"], {"type": "MemoryPressure", "status": "True"}]
    world.api.patch("nodes", "n1", None, {"status": {"conditions": conditions}}, kind="merge", subresource="status")
    world.api.patch("nodes", "n1", None, {"spec": {"unschedulable": None}}, kind="merge")
    await world.settle()
    assert taints(world, "n1") == [("memory-pressure", "NoSchedule")]


async def test_hollow_nodes_stay_ready_and_run_nothing(world):
    world.hollow("w1", ready=False)
    world.make("pods", pod("a"), "default")
    await world.settle(200)
    assert ready(world, "w1")["status"] == "True"
    one = world.get("pods", "a")
    assert one["spec"]["nodeName"] == "w1"
    assert one["status"]["phase"] == "Pending"
    assert one["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "HollowNode"
    (event,) = world.events("HollowNode")
    assert event["type"] == "Warning"
    assert event["source"] == {"component": "hollow-kubelet", "host": "w1"}
    world.api.delete("pods", "a", "default")
    await world.settle()
    assert not world.exists("pods", "a")


async def test_a_hollow_jobs_pod_can_be_deleted_with_its_job(world):
    world.hollow("w1")
    world.make("jobs.batch", job(podReplacementPolicy="Failed"), "default")
    await world.settle()
    (one,) = world.pods()
    world.api.delete("pods", one["metadata"]["name"], "default")
    await world.settle()
    assert not world.exists("pods", one["metadata"]["name"])
    assert world.get("jobs.batch", "pi")["status"]["failed"] == 1


async def test_pods_of_a_node_that_is_gone_are_collected(world):
    world.node("n1")
    world.make("jobs.batch", job(), "default")
    await world.settle()
    (one,) = world.pods()
    world.run_pod(one)
    world.api.delete("nodes", "n1")
    await world.settle(30)
    assert world.exists("pods", one["metadata"]["name"])
    await world.until(lambda: not world.exists("pods", one["metadata"]["name"]), within_s=60)
    assert world.get("jobs.batch", "pi")["status"]["failed"] == 1


async def test_a_node_that_comes_back_keeps_its_pods(world):
    world.node("n1")
    world.make("pods", pod("a"), "default")
    await world.settle()
    world.run_pod(world.get("pods", "a"))
    world.api.delete("nodes", "n1")
    await world.settle(15)
    world.node("n1")
    for _beat in range(12):
        world.beat("n1")
        await world.settle(10)
    assert world.get("pods", "a")["status"]["phase"] == "Running"


async def test_unplaced_pods_held_by_a_finalizer_are_failed_when_deleted(world):
    body = pod("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    world.make("pods", body, "default")
    await world.settle()
    world.api.delete("pods", "held", "default")
    await world.until(lambda: world.get("pods", "held")["status"]["phase"] == "Failed", within_s=21)
