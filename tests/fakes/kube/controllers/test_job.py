"""Jobs over a real Api: what runs, what is counted, how it ends, and at which second."""

from itertools import pairwise

import pytest

from .world import job, pod


def status(world, name="pi"):
    return world.get("jobs.batch", name)["status"]


def ending(world, name="pi"):
    """(type, reason) of the terminal condition, or None."""
    for item in status(world, name).get("conditions", ()):
        if item["type"] in ("Complete", "Failed") and item["status"] == "True":
            return item["type"], item["reason"]
    return None


@pytest.fixture
def virtual(world):
    world.virtual_node()
    world.namespace("vk", {"virtual-node-affinity-injection": "enabled"})
    return world


async def test_parallelism_and_completions(world):
    world.make("jobs.batch", job(parallelism=2, completions=5), "default")
    for done in range(5):
        await world.settle()
        assert len(world.live()) == min(2, 5 - done)
        assert ending(world) is None
        world.end_pod(world.live()[0])
    await world.settle()
    assert ending(world) == ("Complete", "CompletionsReached")
    final = status(world)
    assert final["succeeded"] == 5
    assert final["uncountedTerminatedPods"] == {}
    assert "active" not in final
    assert [item["type"] for item in final["conditions"]] == ["SuccessCriteriaMet", "Complete"]


async def test_pods_carry_the_jobs_labels_and_owner(world):
    made = world.make("jobs.batch", job(), "default")
    await world.settle()
    (one,) = world.pods()
    uid = made["metadata"]["uid"]
    assert one["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "pi",
        "controller-uid": uid,
        "job-name": "pi",
    }
    (owner,) = one["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("Job", uid, True, True)
    assert one["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    assert world.messages("SuccessfulCreate") == [f"Created pod: {one['metadata']['name']}"]


async def test_failures_back_off_and_then_end_the_job(world):
    world.make("jobs.batch", job(backoffLimit=2), "default")
    await world.settle()
    born = []
    for _attempt in range(3):
        born.append(await world.until(world.live))
        world.end_pod(world.live()[0], code=1)
        await world.settle()
    assert [round(later - earlier) for earlier, later in pairwise(born)] == [10, 20]
    await world.settle()
    assert ending(world) == ("Failed", "BackoffLimitExceeded")
    assert status(world)["failed"] == 3
    assert world.messages("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]
    assert "completionTime" not in status(world)


async def test_a_work_queue_adds_no_pod_after_a_success(world):
    body = job(parallelism=2)
    body["spec"]["completions"] = None
    world.make("jobs.batch", body, "default")
    await world.settle()
    first, second = world.live()
    world.end_pod(first)
    await world.settle()
    assert len(world.live()) == 1
    assert ending(world) is None
    world.end_pod(second)
    await world.settle()
    assert ending(world) == ("Complete", "CompletionsReached")


async def test_the_deadline_ends_the_job_and_its_pods(world):
    world.hollow("w1")
    world.make("jobs.batch", job(activeDeadlineSeconds=30), "default")
    await world.settle()
    at = await world.until(lambda: ending(world))
    assert 30 <= at < 31.5
    assert ending(world) == ("Failed", "DeadlineExceeded")
    assert world.pods() == []
    assert len(world.events("SuccessfulDelete")) == 1
    assert status(world)["failed"] == 1


async def test_failed_waits_for_terminating_pods(virtual):
    virtual.make("jobs.batch", job(activeDeadlineSeconds=5), "vk")
    await virtual.settle()
    running = virtual.run_pod(virtual.pods("vk")[0])
    await virtual.settle(7)
    now = virtual.get("jobs.batch", "pi", "vk")["status"]
    assert [item["type"] for item in now["conditions"]] == ["FailureTarget"]
    assert now["terminating"] == 1
    virtual.end_pod(running, code=137)
    virtual.remove_pod(running)
    await virtual.settle()
    now = virtual.get("jobs.batch", "pi", "vk")["status"]
    assert [item["type"] for item in now["conditions"]] == ["FailureTarget", "Failed"]
    assert (now["failed"], now["terminating"]) == (1, 0)


async def test_restarts_in_place_count_against_the_limit(world):
    world.make("jobs.batch", job(backoffLimit=2, pod_spec={"restartPolicy": "OnFailure"}), "default")
    await world.settle()
    (one,) = world.live()
    broken = [{"name": "main", "restartCount": 2, "image": "x", "imageID": "", "ready": False}]
    world.status(one, {"phase": "Running", "containerStatuses": broken})
    await world.settle()
    assert ending(world) == ("Failed", "BackoffLimitExceeded")


async def test_indexed_jobs_number_their_pods(world):
    world.make("jobs.batch", job(completions=3, parallelism=3, completionMode="Indexed"), "default")
    await world.settle()
    key = "batch.kubernetes.io/job-completion-index"
    pods = {item["metadata"]["annotations"][key]: item for item in world.pods()}
    assert sorted(pods) == ["0", "1", "2"]
    assert pods["1"]["spec"]["hostname"] == "pi-1"
    assert pods["1"]["metadata"]["name"].startswith("pi-1-")
    assert pods["1"]["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    world.end_pod(pods["0"])
    world.end_pod(pods["2"])
    world.end_pod(pods["1"], code=1)
    await world.settle()
    assert status(world)["completedIndexes"] == "0,2"
    again = (await world.until(world.live), world.live())[1]
    assert again[0]["metadata"]["annotations"][key] == "1"
    world.end_pod(again[0])
    await world.settle()
    assert ending(world) == ("Complete", "CompletionsReached")
    assert (status(world)["completedIndexes"], status(world)["succeeded"], status(world)["failed"]) == ("0-2", 3, 1)


async def test_suspend_and_resume(world):
    world.make("jobs.batch", job(suspend=True), "default")
    await world.settle()
    assert world.pods() == []
    assert "startTime" not in status(world)
    assert world.condition(world.get("jobs.batch", "pi"), "Suspended")["status"] == "True"
    await world.settle(30)
    world.api.patch("jobs.batch", "pi", "default", {"spec": {"suspend": False}}, kind="merge")
    await world.settle()
    assert len(world.live()) == 1
    assert status(world)["startTime"] == "2026-03-02T10:00:30Z"
    assert world.messages("Resumed") == ["Job resumed"]
    world.api.patch("jobs.batch", "pi", "default", {"spec": {"suspend": True}}, kind="merge")
    await world.settle()
    assert world.live() == []
    assert ending(world) is None


async def test_ttl_removes_a_finished_job(world):
    world.make("jobs.batch", job(ttlSecondsAfterFinished=60), "default")
    await world.settle()
    world.end_pod(world.live()[0])

    def leaving():
        return not world.exists("jobs.batch", "pi") or world.get("jobs.batch", "pi")["metadata"].get(
            "deletionTimestamp"
        )

    at = await world.until(leaving)
    assert 60 <= at < 62


async def test_failure_policy_fails_the_job_at_once(world):
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    world.make("jobs.batch", job(backoffLimit=6, podFailurePolicy={"rules": [rule]}), "default")
    await world.settle()
    (one,) = world.live()
    world.end_pod(one, code=42)
    await world.settle()
    assert ending(world) == ("Failed", "PodFailurePolicy")
    assert world.messages("PodFailurePolicy")[0].endswith("failed with exit code 42 matching FailJob rule at index 0")


async def test_failure_policy_can_ignore_disruptions(world):
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    world.make("jobs.batch", job(backoffLimit=0, podFailurePolicy={"rules": [rule]}), "default")
    await world.settle()
    (one,) = world.live()
    world.status(one, {"conditions": [{"type": "DisruptionTarget", "status": "True"}], "phase": "Failed"})
    await world.settle()
    assert ending(world) is None
    assert len(world.live()) == 1
    assert "failed" not in status(world)


async def test_a_deleted_pod_counts_as_failed_and_is_replaced(world):
    world.make("jobs.batch", job(), "default")
    await world.settle()
    (one,) = world.live()
    world.api.delete("pods", one["metadata"]["name"], "default", grace_seconds=0)
    await world.settle()
    assert not world.exists("pods", one["metadata"]["name"])
    at = await world.until(world.live)
    assert 10 <= at < 11
    assert status(world)["failed"] == 1


async def test_replacement_policy_failed_waits_for_the_end(virtual):
    virtual.make("jobs.batch", job(podReplacementPolicy="Failed"), "vk")
    await virtual.settle()
    one = virtual.run_pod(virtual.live("vk")[0])
    virtual.api.delete("pods", one["metadata"]["name"], "vk")
    await virtual.settle(20)
    assert virtual.live("vk") == []
    virtual.end_pod(one, code=143)
    await virtual.settle(20)
    assert len(virtual.live("vk")) == 1


async def test_scaling_parallelism_down_removes_pods(world):
    world.make("jobs.batch", job(parallelism=4, completions=8), "default")
    await world.settle()
    assert len(world.live()) == 4
    world.api.patch("jobs.batch", "pi", "default", {"spec": {"parallelism": 1}}, kind="merge")
    await world.settle()
    assert len(world.live()) == 1


async def test_manual_selector_takes_over_orphans(world):
    world.make("pods", pod("stray", labels={"app": "x"}, restartPolicy="Never"), "default")
    body = job(manualSelector=True, selector={"matchLabels": {"app": "x"}})
    body["spec"]["template"]["metadata"]["labels"] = {"app": "x"}
    world.make("jobs.batch", body, "default")
    await world.settle()
    assert [item["metadata"]["name"] for item in world.pods()] == ["stray"]
    stray = world.get("pods", "stray")
    assert stray["metadata"]["ownerReferences"][0]["name"] == "pi"
    world.end_pod(stray)
    await world.settle()
    assert ending(world) == ("Complete", "CompletionsReached")


async def test_a_pod_whose_job_is_gone_is_let_go(world):
    world.make("jobs.batch", job(), "default")
    await world.settle()
    world.api.delete("jobs.batch", "pi", "default", propagation="Background")
    await world.settle()
    assert all("finalizers" not in item["metadata"] for item in world.pods())


async def test_refusals_are_told_and_retried_ever_more_slowly(world):
    world.api.delete("serviceaccounts", "default", "default")
    world.make("jobs.batch", job(), "default")
    await world.settle(30)
    count = sum(item["count"] for item in world.events("FailedCreate"))
    assert 5 < count < 20
    world.make("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    await world.until(world.live, within_s=61)


async def test_three_hundred_jobs_all_complete(world):
    for number in range(300):
        world.make("jobs.batch", job(f"j{number}"), "default")
    await world.until(lambda: len(world.live()) == 300, within_s=60)
    for one in world.live():
        world.end_pod(one)
    await world.until(lambda: all(ending(world, f"j{number}") for number in range(300)), within_s=60)


async def test_a_field_that_is_not_carried_is_named_and_nothing_runs(world):
    body = job(completions=2, completionMode="Indexed", backoffLimitPerIndex=1)
    world.make("jobs.batch", body, "default")
    await world.settle()
    assert world.messages("Unsupported") == [
        "this stand-in cluster does not carry spec.backoffLimitPerIndex: the Job is not run"
    ]
    assert world.pods() == []
