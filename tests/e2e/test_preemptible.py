"""Preemptible Jobs on a real control plane: its scheduler, its Job controller and its admission."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import TOLERATION, Json
from tests.e2e.provider import NAMESPACE, Provider
from tests.thorough import THOROUGH
from tests.yamldocuments import documents
from vk_provider.admission.placement import Target
from vk_provider.idle.admission import job_patch
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.preemptible.checkpoint import KEY

DEPLOY = Path(__file__).parents[2] / "deploy" / "preemptible"
HISTORY = "vk-provider-idle-history"
DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
UNTIL_TOLD = "trap 'exit 143' TERM; until [ -e /tmp/done ]; do sleep 0.1; done"
SLOWLY_S = 180  # for what no limit is promised, on a machine that does other things too
RECLAIMS = 10 if THOROUGH else 3  # in a row; each takes a minute, for the offer grows slowly


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of its own, for its quota is 64 vCPU, of which others hold 16."""
    cloud = Cloud(tmp_path_factory.mktemp("market"))
    cloud.start()
    cloud.say("quota", cpu=64)
    cloud.say("load", cpu=16)
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(DEPLOY / "crds.yaml"))
    for each in documents(DEPLOY / "crds.yaml"):
        name = each["metadata"]["name"]
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    for file in ("objects", "provider/rights", "policy"):
        cluster.kubectl("apply", "-f", str(DEPLOY / f"{file}.yaml"))
    history, now_s = History(), int(time.time())
    for when_s in range(now_s - 7 * DAY_S, now_s, MINUTE_S):
        history.record(when_s, 16.0)
    cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{HISTORY}")
    body = {"metadata": {"name": HISTORY}, "data": {KEY: history.encode()}}
    cluster.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", body)


@pytest.fixture(scope="module")
def idle(
    cluster: Cluster, market: Cloud, installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    provider = Provider(
        cluster,
        tmp_path_factory.mktemp("idle"),
        endpoint=market.endpoint,
        node=f"idle-{uuid.uuid4().hex[:6]}",
        flags=["--preemptible-enabled", "--preemptible-first-spot-cpu=10000"],
    )
    provider.start(within_s=SLOWLY_S)
    yield provider
    assert provider.complaints() == []
    assert provider.missing_rights() == []
    provider.remove()


@pytest.fixture
def home(cluster: Cluster, idle: Provider, market: Cloud) -> Iterator[Space]:
    with make_space(cluster) as space:
        yield space
    within(SLOWLY_S, lambda: not market.instances(), market.instances)


def published(cluster: Cluster, idle: Provider) -> int:
    node = cluster.get(f"/api/v1/nodes/{idle.node}") or {}
    return int(node.get("status", {}).get("allocatable", {}).get("gocrane.io/cpu", 0))


def template(idle: Provider, resources: Json, script: str = UNTIL_TOLD, **more: Json) -> Json:
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], "resources": resources}
    return {
        "restartPolicy": "Never",
        "nodeSelector": {"kubernetes.io/hostname": idle.node},
        "tolerations": [TOLERATION],
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "containers": [container],
        **more,
    }


def amounts(cpu: int, memory: str) -> Json:
    both = {"gocrane.io/cpu": str(cpu), "gocrane.io/memory": memory}
    return {"limits": both, "requests": both}


def preemptible(
    name: str, idle: Provider, *, cpu: int = 8, memory: str = "16Gi", script: str = UNTIL_TOLD, **more: Json
) -> Json:
    spec = {
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [DISRUPTED]},
        "template": {"spec": template(idle, amounts(cpu, memory), script)},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**spec, **more}}


def regular(name: str, idle: Provider, script: str = UNTIL_TOLD) -> Json:
    spec = {"template": {"spec": template(idle, {"requests": {"cpu": "16", "memory": "32Gi"}}, script)}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def finish(cluster: Cluster, space: Space, job: str) -> None:
    """Its pod that runs ends well."""
    [name] = [pod["metadata"]["name"] for pod in space.pods(f"job-name={job}") if pod["status"]["phase"] == "Running"]
    done = cluster.run_kubectl("exec", f"--namespace={space.name}", name, "--", "touch", "/tmp/done")
    assert done.returncode in (0, 137), done.stderr  # 137: the container has ended, and took `touch` with it


def has_condition(job: Json, kind: str) -> bool:
    return any((each["type"], each["status"]) == (kind, "True") for each in job["status"].get("conditions") or ())


def bound(pod: Json) -> datetime:
    """When it came to its node, in whole seconds."""
    [when] = [each["lastTransitionTime"] for each in pod["status"]["conditions"] if each["type"] == "PodScheduled"]
    return datetime.fromisoformat(when)


def skipped(space: Space, cron_job: str) -> int:
    """How many runs of it were due while the one before was not done yet."""
    found = [each for each in space.events(cron_job) if each["reason"] == "JobAlreadyActive"]
    return sum(each.get("count") or 1 for each in found)


def phases(space: Space, job: str) -> list[str]:
    return sorted(pod["status"]["phase"] for pod in space.pods(f"job-name={job}"))


def seen(space: Space) -> str:
    """All that a person would look at."""
    return space.kubectl("get", "jobs,pods,events", "--output=wide")


def test_5_6_and_8_a_regular_job_wins_again_and_again_and_the_preempted_job_never_fails(
    cluster: Cluster, home: Space, idle: Provider, market: Cloud
) -> None:
    within(SLOWLY_S, lambda: published(cluster, idle) == 41, idle.process.tail)
    for number in range(5):
        home.create(preemptible(f"p{number}", idle))
        within(SLOWLY_S, lambda n=number: phases(home, f"p{n}") == ["Running"], lambda: seen(home))
        [pod] = home.pods(f"job-name=p{number}")
        # The next one is younger by a second, so that it is known who is the youngest.
        within(5, lambda pod=pod: datetime.now(UTC) - bound(pod) >= timedelta(seconds=1))
    for number in range(RECLAIMS):
        name = f"pi-{number}"
        began = time.time()
        home.create(regular(name, idle))
        within(90, lambda n=name: phases(home, n) == ["Running"], idle.process.tail)
        assert time.time() - began <= 70
        within(SLOWLY_S, lambda n=number: phases(home, "p4") == ["Failed"] * (n + 1) + ["Pending"])
        for other in range(4):
            assert phases(home, f"p{other}") == ["Running"], "nobody else is touched"
        victim = next(pod for pod in home.pods("job-name=p4") if pod["status"]["phase"] == "Failed")
        assert victim["status"]["reason"] == "Preempted"
        [disruption] = [each for each in victim["status"]["conditions"] if each["type"] == "DisruptionTarget"]
        assert (disruption["status"], disruption["reason"]) == ("True", "TerminationByKubelet")
        assert home.when_event(victim["metadata"]["name"], "PreemptibleReclaim")["type"] == "Warning"
        ended = victim["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        assert ended == 143, "it was asked to end"

        def refused() -> str:
            for pod in home.pods("job-name=p4"):
                for each in pod["status"].get("conditions") or ():
                    if each["type"] == "PodScheduled" and each["status"] == "False":
                        return str(each["message"])
            return ""

        assert "Insufficient gocrane.io/cpu" in within(40, refused)
        finish(cluster, home, name)
        home.when("Job", name, lambda found: found["status"].get("succeeded") == 1, within_s=SLOWLY_S)
        within(90, lambda: phases(home, "p4")[-1] == "Running", idle.process.tail)
    for number in range(5):
        finish(cluster, home, f"p{number}")
        job = home.when("Job", f"p{number}", lambda found: has_condition(found, "Complete"), within_s=SLOWLY_S)
        assert (job["status"]["succeeded"], job["status"].get("failed", 0)) == (1, 0)


def test_8_without_the_policy_the_first_reclaim_fails_the_job(cluster: Cluster, home: Space, idle: Provider) -> None:
    within(SLOWLY_S, lambda: published(cluster, idle) == 41, idle.process.tail)
    body = preemptible("plain", idle, parallelism=5, completions=5)
    del body["spec"]["podFailurePolicy"]
    home.create(body)
    within(SLOWLY_S, lambda: phases(home, "plain") == ["Running"] * 5, idle.process.tail)
    home.create(regular("pi", idle))
    home.when("Job", "plain", lambda found: has_condition(found, "Failed"), within_s=SLOWLY_S)


BOTH = {"gocrane.io/cpu": "2", "gocrane.io/memory": "8Gi"}
GOOD = {"limits": BOTH, "requests": BOTH}
REFUSED = {
    "half a vCPU": {"limits": {**BOTH, "gocrane.io/cpu": "0.5"}},
    "millicores": {"limits": {**BOTH, "gocrane.io/cpu": "1500m"}},
    "limits over requests": {"limits": BOTH, "requests": {**BOTH, "gocrane.io/cpu": "1"}},
    "cpu alone": {"limits": {"gocrane.io/cpu": "2"}},
    "memory alone": {"limits": {"gocrane.io/memory": "8Gi"}},
    "cpu beside it": {"limits": {**BOTH, "cpu": "1"}, "requests": {**BOTH, "cpu": "1"}},
    "more than there is": {"limits": {"gocrane.io/cpu": "65", "gocrane.io/memory": "8Gi"}},
    "nothing": {"limits": {"gocrane.io/cpu": "0", "gocrane.io/memory": "0"}},
}


@pytest.mark.parametrize("resources", REFUSED.values(), ids=REFUSED)
def test_17_what_admission_refuses(home: Space, idle: Provider, resources: Json) -> None:
    body = preemptible("a", idle)
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    with pytest.raises(AssertionError) as refusal:
        home.create(body)
    assert "gocrane.io" in str(refusal.value) or "idle capacity" in str(refusal.value)


def test_17_who_may_not_ask_and_who_may(home: Space, idle: Provider, market: Cloud) -> None:
    spec = template(idle, GOOD)
    with pytest.raises(AssertionError, match="only a Job"):
        home.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": spec})
    labels = {"app": "a"}
    deployed = {**spec, "restartPolicy": "Always"}
    body = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": deployed}}
    with pytest.raises(AssertionError, match="only CronJobs and Jobs may"):
        home.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": body})
    init = {
        **template(idle, GOOD),
        "initContainers": [{"name": "i", "image": "busybox", "resources": {"requests": {"cpu": "1"}}}],
    }
    with pytest.raises(AssertionError, match="cannot stand beside"):
        home.create({**preemptible("a", idle), "spec": {"template": {"spec": init}}})
    cron = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": spec}}}}
    home.create({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": cron})
    home.create(preemptible("a", idle, script="true", memory="32Gi"))
    home.when("Job", "a", lambda found: found["status"].get("succeeded") == 1, within_s=SLOWLY_S)


def test_17_defaults_of_a_namespace_are_kept_away_by_the_zeros_that_the_webhook_writes(
    home: Space, idle: Provider
) -> None:
    defaults = {"type": "Container", "defaultRequest": {"cpu": "100m"}, "default": {"cpu": "1", "memory": "1Gi"}}
    ranges = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "a"}, "spec": {"limits": [defaults]}}
    home.create(ranges)
    home.create(preemptible("without", idle, script="true"))

    def refused() -> str:
        return next((each["message"] for each in home.events("without") if each["reason"] == "FailedCreate"), "")

    assert "cannot stand beside idle capacity" in within(SLOWLY_S, refused, lambda: seen(home))
    body = preemptible("with", idle)
    body["spec"]["template"]["spec"] = template(idle, GOOD, "true")
    operations = job_patch(body, Target(), zero_ordinary=True)
    [zeros] = [each["value"] for each in operations if each["path"].endswith("/resources")]
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = zeros
    home.create(body)
    home.when("Job", "with", lambda found: found["status"].get("succeeded") == 1, within_s=SLOWLY_S)


def test_17_what_no_admission_saw_fails_at_bind(cluster: Cluster, home: Space, idle: Provider, market: Cloud) -> None:
    policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/gocrane-preemptible"
    cluster.delete(policy)
    try:

        def made() -> bool:  # once the API server has noticed that the binding is gone
            name = f"bare-{uuid.uuid4().hex[:6]}"
            try:
                home.create(
                    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template(idle, GOOD)}
                )
            except AssertionError:
                return False
            return True

        within(30, made)
        within(SLOWLY_S, lambda: [pod["status"]["phase"] for pod in home.pods()] == ["Failed"], home.pods)
        [pod] = home.pods()
        assert pod["status"]["reason"] == "UnexpectedAdmissionError"
        assert "only CronJobs and Jobs may" in pod["status"]["message"]
        assert not market.ever(vk_pod_uid=pod["metadata"]["uid"])
    finally:
        cluster.kubectl("apply", "-f", str(DEPLOY / "policy.yaml"))


def test_18_a_cron_job_that_finds_no_room_has_one_pod_and_runs_later(
    cluster: Cluster, home: Space, idle: Provider, market: Cloud
) -> None:
    market.say("market", price=1.5)
    try:
        within(SLOWLY_S, lambda: published(cluster, idle) == 0, idle.process.tail)
        job = {"template": {"spec": template(idle, GOOD, "true")}}
        cron = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job}}
        home.create({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": cron})
        within(SLOWLY_S, home.pods)
        within(SLOWLY_S, lambda: skipped(home, "c") >= 2, lambda: seen(home))
        assert [pod["status"]["phase"] for pod in home.pods()] == ["Pending"]
    finally:
        market.say("market", price=0.3)
    within(2 * SLOWLY_S, lambda: [1 for pod in home.pods() if pod["status"]["phase"] == "Succeeded"], idle.process.tail)
    home.delete("CronJob", "c", propagationPolicy="Background")
