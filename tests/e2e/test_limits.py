"""What a namespace's own rules say, and pods that cannot run, or not yet."""

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Space, within
from tests.e2e.manifests import FOR_EVER, Json, deployment, job, pod, pod_spec
from tests.leaks import planted


def test_quota_counts_and_frees_what_virtual_pods_use(space: Space, node: str) -> None:
    space.create({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})
    within(20, lambda: space.get("ResourceQuota", "q").get("status", {}).get("used"))
    space.create(deployment("web", 3, pod_spec(FOR_EVER, node=node)))
    within(30, lambda: space.get("Deployment", "web")["status"].get("readyReplicas") == 2)
    used = within(20, lambda: space.get("ResourceQuota", "q")["status"]["used"]["pods"] == "2")
    assert used
    space.kubectl("scale", "deployment/web", "--replicas=0")
    within(40, lambda: space.get("ResourceQuota", "q")["status"]["used"]["pods"] == "0")


def test_ended_pods_use_no_quota(space: Space, node: str) -> None:
    space.create({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    within(20, lambda: space.get("ResourceQuota", "q").get("status", {}).get("used"))
    space.create(job("row", pod_spec(node=node), completions=2, parallelism=1))
    space.when("Job", "row", lambda found: found["status"].get("succeeded") == 2, within_s=60)


def test_limit_range_sizes_the_instance(space: Space, node: str, cloud: Cloud) -> None:
    limits = [{"type": "Container", "default": {"cpu": "2", "memory": "4Gi"}}]
    space.create({"kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}})
    space.create(pod("sized", node=node))
    instance = cloud.of_pod(space.when_phase("sized", "Succeeded"))
    assert (instance["cpu"], instance["memory_gib"]) == (2, 4)


def test_unsupported_pod_is_refused_by_name_and_others_go_on(space: Space, node: str, cloud: Cloud) -> None:
    volume = {"name": "host", "hostPath": {"path": "/etc"}}
    mounts = {"volumeMounts": [{"name": "host", "mountPath": "/host"}]}
    space.create(pod("wrong", node=node, volumes=[volume], container=mounts), pod("right", node=node))
    refused = space.when_phase("wrong", "Failed")
    assert "spec.volumes" in refused["status"]["message"]
    assert "hostPath" in refused["status"]["message"]
    event = space.when_event("wrong", refused["status"]["reason"])
    assert (event["type"], "hostPath" in event["message"]) == ("Warning", True)
    space.when_phase("right", "Succeeded")
    assert cloud.ever(vk_pod_uid=refused["metadata"]["uid"]) == []


def test_pod_starts_when_its_secret_appears(space: Space, node: str, cloud: Cloud) -> None:
    word = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "late", "key": "word"}}}
    file = {"name": "files", "secret": {"secretName": "late"}}
    container = {"env": [word], "volumeMounts": [{"name": "files", "mountPath": "/files"}]}
    space.create(pod("patient", "echo $WORD; cat /files/word", node=node, volumes=[file], container=container))
    waiting = space.when("Pod", "patient", waits)
    assert waiting["status"]["phase"] == "Pending"
    assert 'secret "late" not found' in space.when_event("patient", "FailedMount")["message"]
    assert cloud.ever(vk_pod_uid=waiting["metadata"]["uid"]) == []
    space.create({"kind": "Secret", "metadata": {"name": "late"}, "stringData": {"word": planted("swordfish")}})
    space.when_phase("patient", "Succeeded", within_s=60)
    assert space.kubectl("logs", "patient") == f"{planted('swordfish')}\n{planted('swordfish')}"


def waits(pod: Json) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return any("waiting" in each["state"] for each in statuses)


def test_pod_sees_its_files_variables_and_account(space: Space, node: str) -> None:
    """The pod's own view: what a kubelet would have laid out for it."""
    space.create({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"colour": "blue"}})
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (
        f"echo $COLOUR $NAME $KUBERNETES_SERVICE_PORT; cat {account}/namespace; echo; test -s {account}/token &&"
        f" grep -c BEGIN {account}/ca.crt"
    )
    env = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "colour"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    space.create(pod("eyes", script, node=node, container={"env": env}))
    space.when_phase("eyes", "Succeeded")
    assert space.kubectl("logs", "eyes").split() == ["blue", "eyes", "443", space.name, "1"]
