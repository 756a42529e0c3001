"""What the controllers of a real cluster make of our pods."""

from collections.abc import Iterator

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import FOR_EVER, Json, deployment, job, pod, pod_spec


@pytest.fixture(scope="module")
def web(cluster: Cluster, node: str) -> Iterator[Space]:
    """A Deployment `web` of two, rolled out."""
    with make_space(cluster) as space:
        space.create(deployment("web", 2, pod_spec(FOR_EVER, node=node)))
        space.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
        yield space


def addresses(space: Space, name: str) -> tuple[set[str], set[str]]:
    """Ready and other addresses of a Service's Endpoints."""
    found = space.cluster.get(space.path("Endpoints", name)) or {}
    ready, other = (
        {each["ip"] for subset in found.get("subsets") or () for each in subset.get(kind) or ()}
        for kind in ("addresses", "notReadyAddresses")
    )
    return ready, other


def ips(space: Space, selector: str) -> set[str]:
    return {each["status"]["podIP"] for each in space.pods(selector) if condition(each, "Ready") == "True"}


def test_deployment_rolls_out_anew(web: Space) -> None:
    before = {each["metadata"]["name"] for each in web.pods("app=web")}
    web.kubectl("set", "env", "deployment/web", "VERSION=2")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    within(30, lambda: len(web.pods("app=web")) == 2)
    after = web.pods("app=web")
    assert before.isdisjoint(each["metadata"]["name"] for each in after)
    assert all({"name": "VERSION", "value": "2"} in each["spec"]["containers"][0]["env"] for each in after)


def test_deployment_scales_up_and_down(web: Space, cloud: Cloud) -> None:
    web.kubectl("scale", "deployment/web", "--replicas=4")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    within(30, lambda: len(cloud.billed(vk_namespace=web.name)) == 4)  # those of the roll-out before go meanwhile
    web.kubectl("scale", "deployment/web", "--replicas=1")
    within(30, lambda: len(web.pods("app=web")) == 1 and len(cloud.billed(vk_namespace=web.name)) == 1)
    assert web.get("Deployment", "web")["status"]["readyReplicas"] == 1


def test_service_endpoints_follow_readiness(space: Space, node: str) -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    slow = {"name": "wait", "image": "busybox", "command": ["sh", "-c", "sleep 3"]}
    space.create(
        service,
        pod("a", FOR_EVER, node=node, labels={"app": "api"}),
        pod("b", FOR_EVER, node=node, labels={"app": "api"}, initContainers=[slow]),
    )
    first = {space.when_ready("a")["status"]["podIP"]}
    within(20, lambda: addresses(space, "api")[0] == first, lambda: addresses(space, "api"))
    space.when_ready("b")
    both = ips(space, "app=api")
    assert len(both) == 2
    within(20, lambda: addresses(space, "api") == (both, set()), lambda: addresses(space, "api"))
    space.delete("Pod", "a")
    within(20, lambda: addresses(space, "api")[0] == both - first, lambda: addresses(space, "api"))
    space.when_gone("Pod", "a")


def test_ready_only_while_it_runs(space: Space, node: str) -> None:
    space.create(pod("short", "sleep 2; exit 3", node=node))
    space.when_ready("short")
    ended = space.when_phase("short", "Failed")
    assert condition(ended, "Ready") == "False"
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_crash_looping_container_restarts(space: Space, node: str) -> None:
    space.create(pod("loop", "echo again; exit 9", node=node, restartPolicy="Always"))

    def restarted(found: Json) -> bool:
        statuses = found["status"].get("containerStatuses") or [{}]
        return bool(statuses[0].get("restartCount", 0) >= 1)

    found = space.when("Pod", "loop", restarted)
    (container,) = found["status"]["containerStatuses"]
    assert found["status"]["phase"] == "Running"
    assert container["lastState"]["terminated"]["exitCode"] == 9


def test_job_tries_again_as_often_as_it_may(space: Space, node: str) -> None:
    space.create(job("bad", pod_spec("exit 5", node=node), backoffLimit=1))
    space.when("Job", "bad", lambda found: condition(found, "Failed") == "True", within_s=90)
    codes = [
        each["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for each in space.pods("job-name=bad")
    ]
    assert codes == [5, 5]


def test_job_counts_its_pods_and_lets_them_go(space: Space, node: str, cloud: Cloud) -> None:
    space.create(job("many", pod_spec("true", node=node), completions=6, parallelism=3))
    space.when("Job", "many", lambda found: condition(found, "Complete") == "True", within_s=90)
    assert space.get("Job", "many")["status"]["succeeded"] == 6
    # the Job's finalizer, where the version has one, is gone once it has counted the pod
    within(20, lambda: not any(each["metadata"].get("finalizers") for each in space.pods("job-name=many")))
    space.kubectl("delete", "job", "many")
    within(30, lambda: not space.pods("job-name=many") and not cloud.instances(vk_namespace=space.name))


def test_job_policy_sees_the_exit_code(space: Space, node: str, cluster: Cluster) -> None:
    """The rule is known from 1.25 on; an older server drops it, and the Job counts the failure like any other."""
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}}
    space.create(job("policy", pod_spec("exit 42", node=node), backoffLimit=1, podFailurePolicy={"rules": [rule]}))
    failed = space.when("Job", "policy", lambda found: condition(found, "Failed") == "True", within_s=90)
    (reason,) = (each["reason"] for each in failed["status"]["conditions"] if each["type"] == "Failed")
    known = "podFailurePolicy" in failed["spec"]
    assert reason == ("PodFailurePolicy" if known else "BackoffLimitExceeded")
    assert len(space.pods("job-name=policy")) == (1 if known else 2)


def test_job_past_its_deadline_is_stopped(space: Space, node: str, cloud: Cloud) -> None:
    space.create(job("late", pod_spec(FOR_EVER, node=node), activeDeadlineSeconds=4))
    failed = space.when("Job", "late", lambda found: condition(found, "Failed") == "True", within_s=40)
    assert [each["reason"] for each in failed["status"]["conditions"] if each["type"] == "Failed"] == [
        "DeadlineExceeded"
    ]
    within(30, lambda: not cloud.billed(vk_namespace=space.name))


def by_hand(space: Space, name: str) -> Json:
    """One run more, as `kubectl create job --from` makes it; that of 1.32 cannot for a CronJob of 1.20."""
    version = "batch/v1" if space.cluster.serves("batch/v1", "CronJob") else "batch/v1beta1"
    owner = space.cluster.get(f"/apis/{version}/namespaces/{space.name}/cronjobs/tick")
    assert owner is not None
    reference = {
        "apiVersion": version,
        "kind": "CronJob",
        "name": "tick",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    annotations = {"cronjob.kubernetes.io/instantiate": "manual"}
    metadata = {"name": name, "annotations": annotations, "ownerReferences": [reference]}
    return {"kind": "Job", "metadata": metadata, "spec": owner["spec"]["jobTemplate"]["spec"]}


def test_cron_job_keeps_as_many_as_it_may_and_costs_nothing_between(hourglass: Space, cloud: Cloud) -> None:
    """A schedule knows minutes only, so it began when the run did; two more runs are asked for by hand."""
    jobs = hourglass.path("Job")

    def by_schedule() -> list[str]:
        names = [each["metadata"]["name"] for each in hourglass.cluster.items(jobs)]
        return [name for name in names if name.startswith("tick-")]

    for name in ("first", "second"):
        hourglass.create(by_hand(hourglass, name))
    within(100, by_schedule)

    def tidy() -> bool:
        found = hourglass.cluster.items(jobs)
        return len(found) == 1 and condition(found[0], "Complete") == "True" and len(hourglass.pods()) == 1

    within(60, tidy, lambda: [each["metadata"]["name"] for each in hourglass.cluster.items(jobs)])
    within(30, lambda: len(cloud.instances(vk_namespace=hourglass.name)) <= 1)
    within(10, lambda: not cloud.billed(vk_namespace=hourglass.name))
