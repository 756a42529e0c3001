"""The Job that is larger than the cluster: Pending on workers, at home on the virtual node."""

from .world import container, job

PI = {"cpu": "16", "memory": "32Gi"}


async def test_job_waits_in_a_plain_namespace_and_runs_in_a_labelled_one(world):
    world.namespace("vk", {"virtual-node-affinity-injection": "enabled"})
    world.namespace("plain")
    world.hollow("worker-1")
    world.hollow("worker-2")
    world.virtual_node()
    for namespace in ("plain", "vk"):
        world.make("jobs.batch", job(pod_spec={"containers": [container(**PI)]}, backoffLimit=4), namespace)
    await world.settle()

    waiting, running = world.pods("plain")[0], world.pods("vk")[0]
    assert "nodeName" not in waiting["spec"]
    scheduled = world.condition(waiting, "PodScheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert scheduled["message"] == (
        "0/3 nodes are available: 1 node(s) had untolerated taint {virtual-kubelet.io/provider: alibabacloud}, "
        "2 Insufficient cpu, 2 Insufficient memory. preemption: 0/3 nodes are available: "
        "3 Preemption is not helpful for scheduling."
    )
    assert world.messages("FailedScheduling", "plain") == [scheduled["message"]]
    assert running["spec"]["nodeName"] == "virtual-kubelet"
    name = running["metadata"]["name"]
    assert world.messages("Scheduled", "vk") == [f"Successfully assigned vk/{name} to virtual-kubelet"]
    assert world.get("jobs.batch", "pi", "vk")["status"]["active"] == 1

    world.run_pod(running)
    world.end_pod(running)
    await world.settle()
    done = world.get("jobs.batch", "pi", "vk")["status"]
    assert done["succeeded"] == 1
    assert "active" not in done
    assert world.condition({"status": done}, "Complete")["status"] == "True"
    assert done["completionTime"]
    assert world.messages("Completed", "vk") == ["Job completed"]
    assert "finalizers" not in world.pods("vk")[0]["metadata"]
