"""Who may request idle capacity and how: verdicts of the webhook, and again at bind."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.admission.placement import Target
from vk_provider.idle.admission import ALLOWED, PRIORITY_CLASS, check, job_patch
from vk_provider.idle.resources import is_preemptible, requested

CPU, MEMORY = "gocrane.io/cpu", "gocrane.io/memory"
BOTH = {CPU: "2", MEMORY: "2Gi"}


def container(limits=BOTH, requests=None, **more):
    return {
        "name": "main",
        "image": "perl",
        "resources": {"limits": limits, "requests": limits if requests is None else requests},
        **more,
    }


def template(*containers, **spec):
    return {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": list(containers) or [container()], **spec}}


def job(*containers, **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi"},
        "spec": {"template": template(*containers, **spec)},
    }


def cron_job(*containers, **spec):
    inner = job(*containers, **spec)
    return {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": inner["spec"]}}}


def pod(*containers, owner=("batch/v1", "Job"), **spec):
    meta = {"namespace": "default", "name": "pi-x", "uid": "u"}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": owner[0], "kind": owner[1], "controller": True}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template(*containers, **spec)["spec"]}


def other(kind, version="apps/v1"):
    return {"apiVersion": version, "kind": kind, "spec": {"template": template()}}


GOOD = [
    pytest.param(job(), id="a Job"),
    pytest.param(cron_job(), id="a CronJob"),
    pytest.param(pod(), id="a Job's pod"),
    pytest.param(job(container(requests={})), id="limits alone, which the API server copies"),
    pytest.param(job(container({CPU: 2, MEMORY: 2147483648})), id="plain numbers"),
    pytest.param(job(container({CPU: "1", MEMORY: "1.5Gi"})), id="whole bytes"),
    pytest.param(job(container({**BOTH, "cpu": "0", "memory": "0"})), id="zeros that keep a LimitRange away"),
    pytest.param(job(container(), {"name": "side"}), id="a container that requests nothing"),
    pytest.param(job(container({CPU: "64", MEMORY: "512Gi"})), id="the largest"),
    pytest.param(job(initContainers=[container({CPU: "64", MEMORY: "512Gi"})]), id="an init container is not added"),
    pytest.param(job(container({**BOTH, "ephemeral-storage": "50Gi"})), id="temporary storage"),
    pytest.param(
        {"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"template": template({"name": "web"})}},
        id="without any",
    ),
]


@pytest.mark.parametrize("document", GOOD)
def test_allowed(document):
    assert check(document) == ALLOWED


IN = "spec.template.spec.containers[0].resources"
BAD = [
    pytest.param(
        job(container({CPU: "0.5", MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "0.5 is not possible", id="half a vCPU"
    ),
    pytest.param(
        job(container({CPU: "1500m", MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "the next would be 2", id="1500m"
    ),
    pytest.param(job(container({CPU: "0", MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "whole vCPU", id="none"),
    pytest.param(
        job(container({CPU: "-1", MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "-1 is not possible", id="negative"
    ),
    pytest.param(
        job(container({CPU: "1", MEMORY: "100m"})), f"{IN}.limits[{MEMORY}]", "whole bytes", id="part of a byte"
    ),
    pytest.param(
        job(container({CPU: "much", MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "much is not possible", id="no number"
    ),
    pytest.param(
        job(container(requests={CPU: "1", MEMORY: "2Gi"})),
        f"{IN}.limits[{CPU}]",
        "the request 1",
        id="limit over request",
    ),
    pytest.param(job(container({}, BOTH)), f"{IN}.limits[{CPU}]", "is missing", id="requests alone"),
    pytest.param(job(container({CPU: "2"})), f"{IN}.limits[{MEMORY}]", "alone is not enough", id="cpu alone"),
    pytest.param(job(container({MEMORY: "2Gi"})), f"{IN}.limits[{CPU}]", "alone is not enough", id="memory alone"),
    pytest.param(job(container({**BOTH, "cpu": "1"})), f"{IN}.requests[cpu]", "cannot stand beside", id="cpu beside"),
    pytest.param(
        job(container(), container({"memory": "1Gi"})),
        "spec.template.spec.containers[1].resources.requests[memory]",
        "cannot stand beside",
        id="another container with memory",
    ),
    pytest.param(
        job(initContainers=[container({"cpu": "1"})]),
        "spec.template.spec.initContainers[0].resources.requests[cpu]",
        "cannot stand beside",
        id="an init container with cpu",
    ),
    pytest.param(
        job(container({**BOTH, "nvidia.com/gpu": 1})), f"{IN}.requests[nvidia.com/gpu]", "cannot stand", id="a GPU"
    ),
    pytest.param(
        job(overhead={"cpu": "250m"}), "spec.template.spec.overhead[cpu]", "cannot stand", id="a runtime's overhead"
    ),
    pytest.param(
        job(resources={"limits": {"cpu": "2"}}), "spec.template.spec.resources.limits[cpu]", "cannot", id="pod level"
    ),
    pytest.param(job(container({CPU: "65", MEMORY: "2Gi"})), "spec.template.spec.containers", "65 vCPU", id="65 vCPU"),
    pytest.param(job(container({CPU: "8", MEMORY: "513Gi"})), "spec.template.spec.containers", "513 GiB", id="513 GiB"),
    pytest.param(
        job(*[container({CPU: "33", MEMORY: "1Gi"})] * 2), "spec.template.spec.containers", "66 vCPU", id="in sum"
    ),
    pytest.param(
        cron_job(container({CPU: "0.5", MEMORY: "2Gi"})),
        f"spec.jobTemplate.{IN}.limits[{CPU}]",
        "0.5",
        id="in a CronJob",
    ),
    pytest.param(other("Deployment"), "kind", "a pod of a Deployment may not", id="a Deployment"),
    pytest.param(other("StatefulSet"), "kind", "only CronJobs and Jobs may", id="a StatefulSet"),
    pytest.param(other("Job", "other.io/v1"), "kind", "a pod of a Job may not", id="somebody else's Job"),
    pytest.param(pod(owner=None), "metadata.ownerReferences", "a pod without a controller", id="a bare pod"),
    pytest.param(
        pod(owner=("apps/v1", "ReplicaSet")), "metadata.ownerReferences", "of a ReplicaSet", id="a ReplicaSet's pod"
    ),
    pytest.param(pod(container({CPU: "2"})), f"spec.containers[0].resources.limits[{MEMORY}]", "alone", id="at bind"),
]


@pytest.mark.parametrize(("document", "field", "words"), BAD)
def test_refused(document, field, words):
    [refusal] = [each for each in check(document).refusals if each.field == field]
    assert words in refusal.reason


def test_all_faults_are_said_at_once():
    faults = check(pod(container({CPU: "0.5", "cpu": "1"}), owner=None)).refusals
    assert len(faults) == 5


def test_more_owners_may_be_allowed():
    spark = pod(owner=("sparkoperator.k8s.io/v1beta2", "SparkApplication"))
    assert check(spark).refusals
    assert check(spark, owner_kinds=("Job.batch", "SparkApplication.sparkoperator.k8s.io")) == ALLOWED
    assert check(pod(owner=("v1", "Pod")), owner_kinds=("Pod",)) == ALLOWED


@pytest.mark.parametrize(
    ("spec", "words"),
    [({"restartPolicy": "OnFailure"}, "backoffLimit"), ({"terminationGracePeriodSeconds": 600}, "180 s at most")],
)
def test_warned_and_allowed(spec, words):
    verdict = check(job(**spec))
    assert not verdict.refusals
    assert words in verdict.warnings[0]


def test_the_sum_is_the_schedulers():
    sidecar = container({CPU: "1", MEMORY: "1Gi"}, restartPolicy="Always")
    init = container({CPU: "8", MEMORY: "1Gi"})
    assert requested(pod(container(), container(), initContainers=[sidecar, init])).cpu == 9
    assert requested(pod(*[container()] * 6, initContainers=[sidecar, init])).cpu == 13


# --- mutation ---------------------------------------------------------------------------------------------------------


def patched(job, **options):
    """The Job as an API server makes it of the patch."""
    result = copy.deepcopy(job)
    for each in job_patch(job, Target(), **options):
        assert each["op"] == "add"
        *path, last = each["path"].removeprefix("/").split("/")
        parent = result
        for part in path:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        if isinstance(parent, list):
            parent.append(each["value"]) if last == "-" else parent.insert(int(last), each["value"])
        else:
            parent[last] = copy.deepcopy(each["value"])
    return result


def test_a_job_gets_what_its_pods_need():
    changed = patched(job())
    spec = changed["spec"]["template"]["spec"]
    assert changed["spec"]["template"]["metadata"]["labels"] == {"preemptible_job": "true"}
    assert spec["priorityClassName"] == PRIORITY_CLASS
    assert spec["tolerations"] == [Target().toleration]
    assert changed["spec"]["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == {
        "nodeSelectorTerms": [{"matchExpressions": [Target().requirement]}]
    }
    assert check(changed) == ALLOWED


def test_twice_is_once_and_others_are_left_alone():
    assert job_patch(patched(job(), zero_ordinary=True), Target(), zero_ordinary=True) == []
    for document in (job({"name": "web"}), other("Deployment"), pod(), cron_job()):  # a CronJob's Jobs are, one by one
        assert job_patch(document, Target()) == []


def test_what_the_job_says_stays():
    given_job = job(priorityClassName="mine", tolerations=[{"operator": "Exists"}], restartPolicy="OnFailure")
    given_job["spec"]["template"]["metadata"]["labels"] = {"preemptible_job": "no", "app": "x"}
    changed = patched(given_job)
    assert changed["spec"]["template"]["metadata"]["labels"] == {"preemptible_job": "no", "app": "x"}
    assert changed["spec"]["template"]["spec"]["priorityClassName"] == "mine"
    assert changed["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert "podFailurePolicy" not in changed["spec"]
    own = job()
    own["spec"]["podFailurePolicy"] = {"rules": [{"action": "Count"}]}
    assert patched(own)["spec"]["podFailurePolicy"] == {"rules": [{"action": "Count"}]}


ELSEWHERE = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]}]},
}
ZONE = {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("affinity", "preferred"),
    [
        (None, [ELSEWHERE]),
        ({"podAffinity": {}}, [ELSEWHERE]),
        ({"nodeAffinity": {}}, [ELSEWHERE]),
        ({"nodeAffinity": {PREFERRED: [ZONE]}}, [ZONE, ELSEWHERE]),
        ({"nodeAffinity": {PREFERRED: [{**ELSEWHERE, "weight": 3}]}}, [{**ELSEWHERE, "weight": 3}]),
        ({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [Target().requirement]}]}}}, None),
    ],
)
def test_worker_nodes_first_where_it_is_wanted(affinity, preferred):
    changed = patched(job(**({} if affinity is None else {"affinity": affinity})), workers_first=True)
    spec = changed["spec"]["template"]["spec"]
    assert spec["affinity"]["nodeAffinity"].get(PREFERRED) == preferred
    assert (spec.get("tolerations") == [Target().toleration]) is (preferred is not None)
    assert job_patch(changed, Target(), workers_first=True) == []
    assert check(changed) == ALLOWED


def test_a_job_that_names_its_kind_of_node_keeps_it():
    chosen = job(nodeSelector={"type": "worker"})
    assert "affinity" not in patched(chosen, workers_first=True)["spec"]["template"]["spec"]


def test_zeros_where_the_namespace_has_defaults():
    changed = patched(job(container(), {"name": "side"}), zero_ordinary=True)
    for each in changed["spec"]["template"]["spec"]["containers"]:
        assert each["resources"]["requests"]["cpu"] == each["resources"]["limits"]["memory"] == "0"
    assert changed["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"][CPU] == "2"
    assert check(changed) == ALLOWED


VALUES = st.one_of(
    st.sampled_from(["0", "1", "0.5", "2Gi", "-1", "x", "1e9", "9" * 400]),
    st.integers(-1, 99),
    st.none(),
    st.booleans(),
)
AMOUNTS = st.dictionaries(st.sampled_from([CPU, MEMORY, "cpu", "memory", "nvidia.com/gpu"]), VALUES, max_size=5)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=3), st.sampled_from([job, cron_job, pod]))
def test_any_amounts_get_a_verdict_and_what_is_allowed_is_what_the_pool_counts(stated, kind):
    document = kind(*[container(limits, requests) for limits, requests in stated])
    verdict = check(document)
    json.dumps([str(each) for each in verdict.refusals])
    inner = document if kind is pod else pod(*[container(limits, requests) for limits, requests in stated])
    if is_preemptible(inner) and not verdict.refusals:
        amount = requested(inner)
        assert 1 <= amount.cpu <= 64
        assert amount.memory >= 1
