"""PodDisruptionBudgets over a real Api: what is allowed, and what an eviction means for the pod's owner."""

import pytest

from fakes.kube.api import ApiError
from fakes.kube.eviction import evict

from .world import job, pod, template

LABELS = {"app": "a"}
IGNORE = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


def budget(**spec):
    return {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": LABELS}, **spec}}


def status(world):
    return world.get("poddisruptionbudgets.policy", "b")["status"]


def send_away(world, name, **options):
    body = {"metadata": {"name": name}, "deleteOptions": options}
    return evict(world.api, "default", name, body, dry_run=False)


def reason(world):
    (found,) = status(world)["conditions"]
    return found["status"], found["reason"]


@pytest.fixture
async def three(world):
    """Three ready pods of one Deployment."""
    world.node("n")
    spec = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
    world.make("deployments.apps", {"metadata": {"name": "web"}, "spec": spec}, "default")
    await world.settle()
    for one in world.pods():
        world.run_pod(one)
    return world


@pytest.mark.parametrize(
    ("spec", "expected", "desired"),
    [
        ({"minAvailable": 2}, 3, 2),
        ({"minAvailable": "50%"}, 3, 2),
        ({"maxUnavailable": 1}, 3, 2),
        ({"maxUnavailable": "50%"}, 3, 1),
        ({"minAvailable": 3}, 3, 3),
        ({"maxUnavailable": 0}, 3, 3),
    ],
)
async def test_what_is_allowed(three, spec, expected, desired):
    three.make("poddisruptionbudgets.policy", budget(**spec), "default")
    await three.settle()
    found = status(three)
    assert (found["expectedPods"], found["desiredHealthy"], found["currentHealthy"]) == (expected, desired, 3)
    assert found["disruptionsAllowed"] == 3 - desired
    assert found["observedGeneration"] == 1
    assert reason(three) == (("True", "SufficientPods") if desired < 3 else ("False", "InsufficientPods"))


async def test_a_drain_takes_one_after_the_other(three):
    three.make("poddisruptionbudgets.policy", budget(minAvailable=2), "default")
    await three.settle()
    first, second, _third = [one["metadata"]["name"] for one in three.pods()]
    send_away(three, first)
    with pytest.raises(ApiError) as refused:
        send_away(three, second)
    assert refused.value.code == 429
    three.remove_pod(three.get("pods", first))
    await three.settle()
    (new,) = [one for one in three.live() if one["status"]["phase"] == "Pending"]
    assert status(three)["disruptionsAllowed"] == 0
    three.run_pod(new)
    await three.settle()
    assert status(three)["disruptionsAllowed"] == 1
    assert "disruptedPods" not in status(three)
    send_away(three, second)


async def test_an_evicted_pod_that_stays_is_counted_again_after_two_minutes(three):
    three.make("poddisruptionbudgets.policy", budget(minAvailable=2), "default")
    await three.settle()
    name = three.pods()[0]["metadata"]["name"]
    body = {"status": {"disruptedPods": {name: three.now()}}}
    three.api.patch("poddisruptionbudgets.policy", "b", "default", body, kind="merge", subresource="status")
    await three.settle()
    assert status(three)["disruptionsAllowed"] == 0
    for _ in range(8):
        three.beat("n")
        await three.settle(16)
    assert status(three)["disruptionsAllowed"] == 1


async def test_without_pods_nothing_is_allowed(world):
    world.make("poddisruptionbudgets.policy", budget(minAvailable=0), "default")
    await world.settle()
    assert status(world)["disruptionsAllowed"] == 0
    assert world.messages("NoPods") == ["No matching pods found"]


async def test_a_share_of_what_has_no_scale_cannot_be_told(world):
    world.node("n")
    world.make("jobs.batch", job(pod_spec={}, parallelism=1), "default")
    await world.settle()
    labels = {"job-name": "pi"}
    world.make(
        "poddisruptionbudgets.policy",
        {"metadata": {"name": "b"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}},
        "default",
    )
    await world.settle()
    assert reason(world) == ("False", "SyncFailed")
    assert world.messages("CalculateExpectedPodCountFailed") == [
        "Failed to calculate the number of expected pods: jobs.batch does not implement the scale subresource"
    ]


@pytest.mark.parametrize("policy", [IGNORE, None])
async def test_a_job_may_ignore_evictions(world, policy):
    world.node("n")
    more = {"podFailurePolicy": policy} if policy else {}
    world.make("jobs.batch", job(backoffLimit=0, **more), "default")
    await world.settle()
    (one,) = world.pods()
    world.run_pod(one)
    send_away(world, one["metadata"]["name"])
    await world.settle()
    world.end_pod(one, code=137)
    world.remove_pod(one)
    await world.settle(15)
    found = world.get("jobs.batch", "pi")["status"]
    ended = [item["type"] for item in found.get("conditions", ()) if item["status"] == "True"]
    if policy:
        assert (ended, found.get("failed", 0), found["active"]) == ([], 0, 1)
    else:
        assert (ended, found["failed"]) == (["FailureTarget", "Failed"], 1)


async def test_a_loose_pod_counts_for_a_number_only(world):
    world.node("n")
    world.make("pods", pod("p", labels=LABELS), "default")
    await world.settle()
    world.run_pod(world.get("pods", "p"))
    world.make("poddisruptionbudgets.policy", budget(minAvailable=0), "default")
    await world.settle()
    assert status(world)["disruptionsAllowed"] == 1
