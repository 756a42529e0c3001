"""Pods: what is filled in, what is refused, binding, status, and the end."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.kube.client import MERGE, Answer, Client, eventually, pod

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def bind(client: Client, core: str, node: str, name: str = "p") -> Any:
    body = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
    return client.create(f"{core}/pods/{name}/binding", body)


def test_defaults(client: Client, core: str) -> None:
    made = client.create(f"{core}/pods", pod()).body
    spec, container = made["spec"], made["spec"]["containers"][0]
    expected = {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
        "securityContext": {},
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    assert {key: spec.get(key) for key in expected} == expected
    expected = {
        "imagePullPolicy": "Always",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "resources": {},
    }
    assert {key: container.get(key) for key in expected} == expected
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    tolerated = {(item["key"], item["effect"], item["tolerationSeconds"]) for item in spec["tolerations"]}
    assert tolerated == {
        ("node.kubernetes.io/not-ready", "NoExecute", 300),
        ("node.kubernetes.io/unreachable", "NoExecute", 300),
    }


def test_token_volume_is_mounted(client: Client, core: str) -> None:
    made = client.create(f"{core}/pods", pod(initContainers=[{"name": "i", "image": "busybox"}])).body["spec"]
    volume = made["volumes"][0]["name"]
    for container in made["containers"] + made["initContainers"]:
        assert container["volumeMounts"] == [{"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}]
    plain = client.create(f"{core}/pods", pod("q", automountServiceAccountToken=False)).body["spec"]
    assert "volumes" not in plain
    own = [{"name": "c", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": TOKEN_PATH}]}]
    kept = client.create(f"{core}/pods", pod("r", containers=own, volumes=[{"name": "v"}])).body["spec"]
    assert [mount["name"] for mount in kept["containers"][0]["volumeMounts"]] == ["v"]
    assert kept["volumes"][0] == {"name": "v", "emptyDir": {}}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy(client: Client, core: str, image: str, policy: str) -> None:
    made = client.create(f"{core}/pods?dryRun=All", pod(containers=[{"name": "c", "image": image}]))
    assert made.body["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "quality", "stored"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", {"cpu": "1", "memory": "1Gi"}),
        ({"requests": {"cpu": 0.5}}, "Burstable", {"cpu": "500m"}),
        ({"requests": {"cpu": 16, "memory": "32768Mi"}}, "Burstable", {"cpu": "16", "memory": "32Gi"}),
        ({"requests": {"memory": "1500k"}}, "Burstable", {"memory": "1500k"}),
        ({"requests": {"memory": "0.5Gi"}}, "Burstable", {"memory": "512Mi"}),
        ({"requests": {"memory": "1e3"}}, "Burstable", {"memory": "1e3"}),
        ({"requests": {"cpu": "0"}}, "BestEffort", {"cpu": "0"}),
    ],
)
def test_quality_and_quantities(client: Client, core: str, resources: Any, quality: str, stored: Any) -> None:
    made = client.create(
        f"{core}/pods?dryRun=All", pod(containers=[{"name": "c", "image": "a", "resources": resources}])
    ).body
    assert made["status"]["qosClass"] == quality
    assert made["spec"]["containers"][0]["resources"]["requests"] == stored


CONTAINER = {"name": "c", "image": "a"}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        pytest.param({"containers": []}, {"spec.containers"}, id="no containers"),
        pytest.param({"containers": [{"image": "a"}]}, {"spec.containers[0].name"}, id="no name"),
        pytest.param({"containers": [{"name": "A_B", "image": "a"}]}, {"spec.containers[0].name"}, id="bad name"),
        pytest.param({"containers": [{"name": "c"}]}, {"spec.containers[0].image"}, id="no image"),
        pytest.param({"containers": [CONTAINER, CONTAINER]}, {"spec.containers[1].name"}, id="same name twice"),
        pytest.param(
            {"initContainers": [CONTAINER]},
            {"spec.initContainers[0].name"},
            id="name of an init container taken",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            {"spec.containers[0].volumeMounts[0].name"},
            id="unknown volume",
        ),
        pytest.param({"volumes": [{"name": "v"}, {"name": "v"}]}, {"spec.volumes[1].name"}, id="same volume twice"),
        pytest.param(
            {"volumes": [{"name": "v", "secret": {}}]}, {"spec.volumes[0].secret.secretName"}, id="secret without name"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            {"spec.volumes[0].hostPath"},
            id="two sources",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]},
            {"spec.containers[0].resources.requests"},
            id="request above limit",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "-1"}}}]},
            {"spec.containers[0].resources.requests[cpu]"},
            id="negative request",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"gpu": "1"}}}]},
            {"spec.containers[0].resources.requests[gpu]"},
            id="unknown resource",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"requests": {"x.io/gpu": "1"}}}]},
            {"spec.containers[0].resources.limits"},
            id="extended resource without limit",
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "resources": {"limits": {"x.io/gpu": "500m"}}}]},
            {"spec.containers[0].resources.limits[x.io/gpu]", "spec.containers[0].resources.requests[x.io/gpu]"},
            id="half an extended resource",
        ),
        pytest.param({"restartPolicy": "Sometimes"}, {"spec.restartPolicy"}, id="restart policy"),
        pytest.param({"dnsPolicy": "Maybe"}, {"spec.dnsPolicy"}, id="dns policy"),
        pytest.param({"activeDeadlineSeconds": 0}, {"spec.activeDeadlineSeconds"}, id="deadline"),
        pytest.param({"nodeSelector": {"a b": "c"}}, {"spec.nodeSelector"}, id="node selector"),
        pytest.param(
            {"tolerations": [{"operator": "Equal"}]}, {"spec.tolerations[0].operator"}, id="keyless toleration"
        ),
        pytest.param(
            {"containers": [{**CONTAINER, "ports": [{"containerPort": 70000}]}]},
            {"spec.containers[0].ports[0].containerPort"},
            id="port",
        ),
        pytest.param(
            {
                "containers": [
                    {
                        **CONTAINER,
                        "env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    }
                ]
            },
            {"spec.containers[0].env[0].valueFrom"},
            id="value twice",
        ),
        pytest.param(
            {
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
            {"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"},
            id="affinity without terms",
        ),
    ],
)
def test_invalid_pods(client: Client, core: str, spec: dict[str, Any], fields: set[str]) -> None:
    answer = client.create(f"{core}/pods", pod(**spec))
    assert (answer.status, answer.reason) == (422, "Invalid"), answer.body
    assert answer.fields == fields


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"containers": "c"}, id="text for a list"),
        pytest.param({"activeDeadlineSeconds": "1"}, id="text for a number"),
        pytest.param({"hostNetwork": "yes"}, id="text for a boolean"),
        pytest.param({"containers": [{**CONTAINER, "env": [{"name": "A", "value": 1}]}]}, id="number for text"),
        pytest.param({"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "lots"}}}]}, id="no quantity"),
    ],
)
def test_undecodable_pods(client: Client, core: str, spec: dict[str, Any]) -> None:
    assert client.create(f"{core}/pods", pod(**spec)).status == 400


def test_unknown_fields_are_dropped(client: Client, core: str) -> None:
    made = client.create(f"{core}/pods", pod(colour="red"))
    assert made.status == 201
    assert "colour" not in made.body["spec"]


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        pytest.param({"spec": {"containers": [{"name": "c", "image": "new:1"}]}}, 200, id="image"),
        pytest.param({"spec": {"activeDeadlineSeconds": 60}}, 200, id="deadline"),
        pytest.param({"spec": {"tolerations": [{"key": "k", "operator": "Exists"}]}}, 422, id="toleration lost"),
        pytest.param(
            {"spec": {"tolerations": [{"key": "own", "operator": "Exists"}]}}, 200, id="usual tolerations come back"
        ),
        pytest.param({"spec": {"containers": [{"name": "c", "command": ["x"]}]}}, 422, id="command"),
        pytest.param({"spec": {"containers": [{"name": "d", "image": "x"}]}}, 422, id="another container"),
        pytest.param({"spec": {"nodeName": "n"}}, 422, id="node"),
        pytest.param({"spec": {"restartPolicy": "Never"}}, 422, id="restart policy"),
        pytest.param({"metadata": {"labels": {"a": "b"}}}, 200, id="labels"),
        pytest.param({"status": {"phase": "Running"}}, 200, id="status is ignored"),
    ],
)
def test_updates(client: Client, core: str, patch: dict[str, Any], status: int) -> None:
    client.create(f"{core}/pods", pod(tolerations=[{"key": "own", "operator": "Exists"}]))
    assert client.patch(f"{core}/pods/p", patch).status == status
    assert client.get(f"{core}/pods/p").body["status"]["phase"] == "Pending"


def test_tolerations_may_be_added(client: Client, core: str) -> None:
    spec = client.create(f"{core}/pods", pod()).body["spec"]
    more = [*spec["tolerations"], {"key": "k", "operator": "Exists"}]
    assert client.patch(f"{core}/pods/p", {"spec": {"tolerations": more}}).status == 200


def test_deadline_only_shrinks(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod(activeDeadlineSeconds=100))
    assert client.patch(f"{core}/pods/p", {"spec": {"activeDeadlineSeconds": 50}}).status == 200
    assert client.patch(f"{core}/pods/p", {"spec": {"activeDeadlineSeconds": 60}}).status == 422
    assert client.patch(f"{core}/pods/p", {"spec": {"activeDeadlineSeconds": None}}).status == 422


def test_binding(client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod())
    assert bind(client, core, node).status == 201
    made = client.get(f"{core}/pods/p").body
    assert made["spec"]["nodeName"] == node
    condition = made["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = bind(client, core, "elsewhere")
    assert (again.status, again.reason) == (409, "Conflict")
    assert f'pod p is already assigned to node "{node}"' in again.body["message"]
    assert bind(client, core, node, "absent").status == 404


def status_of(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    item = {"name": "c", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"status": {"containerStatuses": [item], **more}}


def test_status_patch_touches_status_and_little_else(client: Client, core: str, node: str) -> None:
    uid = client.create(f"{core}/pods", pod(nodeName=node)).body["metadata"]["uid"]
    patch = {
        "metadata": {"uid": uid, "labels": {"x": "y"}},
        "spec": {"nodeName": "other"},
        "status": {"phase": "Running"},
    }
    after = client.patch(f"{core}/pods/p/status", patch)
    assert after.status == 200
    assert after.body["status"]["phase"] == "Running"
    assert after.body["status"]["qosClass"] == "BestEffort"
    assert after.body["spec"]["nodeName"] == node
    assert after.body["metadata"]["labels"] == {"x": "y"}


def test_conditions_merge_by_type(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    for kind, state in (("Ready", "False"), ("example.com/gate", "True"), ("Ready", "True")):
        client.patch(f"{core}/pods/p/status", {"status": {"conditions": [{"type": kind, "status": state}]}})
    conditions = client.get(f"{core}/pods/p").body["status"]["conditions"]
    assert {item["type"]: item["status"] for item in conditions} == {"Ready": "True", "example.com/gate": "True"}


def test_addresses_merge_by_ip_unless_replaced(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    for ip in ("10.0.0.1", "10.0.0.2"):
        patch = {"status": {"podIP": ip, "podIPs": [{"$patch": "replace"}, {"ip": ip}]}}
        assert client.patch(f"{core}/pods/p/status", patch).status == 200
    assert client.get(f"{core}/pods/p").body["status"]["podIPs"] == [{"ip": "10.0.0.2"}]


def test_container_statuses_are_replaced_whole(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    client.patch(f"{core}/pods/p/status", status_of({"waiting": {"reason": "ContainerCreating"}}))
    client.patch(f"{core}/pods/p/status", status_of({"running": {"startedAt": "2026-01-02T03:04:05Z"}}))
    statuses = client.get(f"{core}/pods/p").body["status"]["containerStatuses"]
    assert [item["state"] for item in statuses] == [{"running": {"startedAt": "2026-01-02T03:04:05Z"}}]


@pytest.mark.parametrize(
    ("policy", "code", "status"),
    [
        ("Never", 0, 422),
        ("Never", 1, 422),
        ("OnFailure", 0, 422),
        ("OnFailure", 1, 200),
        ("Always", 0, 200),
        ("Always", 1, 200),
    ],
)
def test_ended_containers_stay_ended(client: Client, core: str, policy: str, code: int, status: int) -> None:
    client.create(f"{core}/pods", pod(restartPolicy=policy))
    assert client.patch(f"{core}/pods/p/status", status_of({"terminated": {"exitCode": code}})).status == 200
    answer = client.patch(f"{core}/pods/p/status", status_of({"running": {}}))
    assert answer.status == status
    if status == 422:
        assert answer.fields == {"status.containerStatuses[0].state"} or answer.fields == {"status.containerStatuses"}


def test_bad_pod_ip(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    assert client.patch(f"{core}/pods/p/status", {"status": {"podIP": "x", "podIPs": [{"ip": "x"}]}}).status == 422


@pytest.mark.parametrize(
    ("bound", "phase", "options", "grace"),
    [
        pytest.param(False, "Pending", {}, None, id="unbound goes at once"),
        pytest.param(True, "Pending", {}, 30, id="bound waits"),
        pytest.param(True, "Running", {"gracePeriodSeconds": 5}, 5, id="grace asked for"),
        pytest.param(True, "Running", {"gracePeriodSeconds": 0}, None, id="forced"),
        pytest.param(True, "Succeeded", {}, None, id="succeeded goes at once"),
        pytest.param(True, "Failed", {"gracePeriodSeconds": 5}, None, id="failed goes at once"),
    ],
)
def test_deletion(
    client: Client, core: str, node: str, bound: bool, phase: str, options: Any, grace: int | None
) -> None:
    client.create(f"{core}/pods", pod(**({"nodeName": node} if bound else {})))
    client.patch(f"{core}/pods/p/status", {"status": {"phase": phase}})
    answer = client.delete(f"{core}/pods/p", **options)
    assert (answer.status, answer.body["kind"]) == (200, "Pod")
    left = client.get(f"{core}/pods/p")
    if grace is None:
        assert left.status == 404
    else:
        assert left.body["metadata"]["deletionGracePeriodSeconds"] == grace
        assert left.body["metadata"]["deletionTimestamp"]
        client.delete(f"{core}/pods/p", gracePeriodSeconds=0)
        assert client.get(f"{core}/pods/p").status == 404


def test_grace_only_shrinks(client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod(nodeName=node))

    def grace_after(seconds: int | None) -> int:
        client.delete(f"{core}/pods/p", **({} if seconds is None else {"gracePeriodSeconds": seconds}))
        return int(client.get(f"{core}/pods/p").body["metadata"]["deletionGracePeriodSeconds"])

    assert [grace_after(seconds) for seconds in (20, 25, None, 10)] == [20, 20, 20, 10]
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)


def test_finalizer_outlives_the_grace_period(client: Client, core: str, node: str) -> None:
    body = pod(nodeName=node)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(f"{core}/pods", body)
    client.delete(f"{core}/pods/p")
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)
    meta = client.get(f"{core}/pods/p").body["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 0
    client.patch(f"{core}/pods/p", {"metadata": {"finalizers": None}}, MERGE)
    assert client.get(f"{core}/pods/p").status == 404


def test_finalizer_removed_during_the_grace_period(client: Client, core: str, node: str) -> None:
    body = pod(nodeName=node)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(f"{core}/pods", body)
    client.delete(f"{core}/pods/p")
    client.patch(f"{core}/pods/p", {"metadata": {"finalizers": None}}, MERGE)
    assert client.get(f"{core}/pods/p").body["metadata"]["deletionGracePeriodSeconds"] == 30
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)


def test_pod_being_deleted_cannot_be_bound(client: Client, core: str, node: str) -> None:
    body = pod()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(f"{core}/pods", body)
    client.delete(f"{core}/pods/p")
    assert bind(client, core, node).status == 409
    client.patch(f"{core}/pods/p", {"metadata": {"finalizers": None}}, MERGE)


def test_final_delete_with_uid(client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod(nodeName=node))
    client.delete(f"{core}/pods/p")
    wrong = {"uid": "44444444-4444-4444-4444-444444444444"}
    assert client.delete(f"{core}/pods/p", gracePeriodSeconds=0, preconditions=wrong).status == 409
    uid = client.get(f"{core}/pods/p").body["metadata"]["uid"]
    assert client.delete(f"{core}/pods/p", gracePeriodSeconds=0, preconditions={"uid": uid}).status == 200
    assert client.get(f"{core}/pods/p").status == 404


def test_priority_class(client: Client, core: str) -> None:
    assert client.create(f"{core}/pods", pod(priorityClassName="absent")).status == 403
    made = client.create(f"{core}/pods?dryRun=All", pod(priorityClassName="system-cluster-critical"))
    # outside kube-system real clusters may forbid it by quota
    assert made.status == 403 or made.body["spec"]["priority"] == 2_000_000_000
    assert client.create(f"{core}/pods", pod("q", priority=5)).status == 403


def test_missing_service_account(client: Client, core: str) -> None:
    answer = client.create(f"{core}/pods", pod(serviceAccountName="absent"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert 'serviceaccount "absent" not found' in answer.body["message"]


def test_job_selects_its_own_pods(client: Client, space: str) -> None:
    path = f"/apis/batch/v1/namespaces/{space}/jobs"
    template = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
    made = client.create(path, {"metadata": {"name": "j"}, "spec": {"template": template}}).body
    uid, labels = made["metadata"]["uid"], made["spec"]["template"]["metadata"]["labels"]
    assert (labels["controller-uid"], labels["job-name"]) == (uid, "j")
    assert set(made["spec"]["selector"]["matchLabels"].values()) == {uid}
    assert (made["spec"]["completions"], made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (1, 1, 6)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}}
    assert client.patch(f"{path}/j", patch).fields == {"spec.template"}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"template": {"spec": {"containers": [CONTAINER]}}}, {"spec.template.spec.restartPolicy"}),
        (
            {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}, "backoffLimit": -1},
            {"spec.backoffLimit"},
        ),
        ({"template": {"spec": {"restartPolicy": "Never"}}}, {"spec.template.spec.containers"}),
    ],
)
def test_invalid_jobs(client: Client, space: str, spec: dict[str, Any], fields: set[str]) -> None:
    answer = client.create(f"/apis/batch/v1/namespaces/{space}/jobs", {"metadata": {"name": "j"}, "spec": spec})
    assert answer.status == 422
    assert answer.fields == fields


def test_deployment_selector_must_match(client: Client, space: str) -> None:
    template = {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [CONTAINER]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    answer = client.create(f"/apis/apps/v1/namespaces/{space}/deployments", {"metadata": {"name": "d"}, "spec": spec})
    assert answer.fields == {"spec.template.metadata.labels"}


def test_eviction_deletes(client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod(nodeName=node))
    body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert client.create(f"{core}/pods/p/eviction", body).status == 201
    assert client.get(f"{core}/pods/p").body["metadata"]["deletionTimestamp"]
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)
    eventually(lambda: client.get(f"{core}/pods/p").status == 404)


def test_node_status_is_apart(client: Client, node: str) -> None:
    path = f"/api/v1/nodes/{node}"
    capacity = {"cpu": "1000", "memory": "20480Gi", "pods": "5000"}
    conditions = [{"type": "Ready", "status": "True"}]
    patch = {"spec": {"unschedulable": True}, "status": {"capacity": capacity, "conditions": conditions}}
    after = client.patch(f"{path}/status", patch).body
    assert after["status"]["capacity"] == {"cpu": "1k", "memory": "20Ti", "pods": "5k"}
    assert "unschedulable" not in after["spec"]
    foreign = [{"type": "Foreign", "status": "False"}]
    client.patch(f"{path}/status", {"status": {"conditions": foreign}})
    kinds = {item["type"] for item in client.get(path).body["status"]["conditions"]}
    assert kinds == {"Ready", "Foreign"}
    client.patch(path, {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
    assert [
        taint["key"] for taint in client.get(path).body["spec"]["taints"] if "kubernetes.io" not in taint["key"]
    ] == ["a"]


# --- another size -----------------------------------------------------------------------------------------------------


@pytest.fixture
def resize(client: Client, core: str) -> Callable[[dict[str, Any]], Answer]:
    """Asks for another size of a burstable pod; what a server before 1.33 answers, which knows no such door, is 404."""
    amounts = {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}}
    client.create(f"{core}/pods", pod(containers=[{"name": "c", "image": "busybox", "resources": amounts}]))

    def ask(changed: dict[str, Any]) -> Answer:
        return client.patch(f"{core}/pods/p/resize", {"spec": {"containers": [{"name": "c", **changed}]}})

    return ask


@pytest.fixture
def has_resize(client: Client) -> bool:
    return any(each["name"] == "pods/resize" for each in client.get("/api/v1").body["resources"])


def test_a_pod_is_resized_by_a_door_of_its_own(
    client: Client, core: str, resize: Callable[[dict[str, Any]], Answer], has_resize: bool
) -> None:
    answer = resize({"image": "other", "resources": {"requests": {"cpu": "80m"}, "limits": {"cpu": 0.2}}})
    assert answer.status == (200 if has_resize else 404)
    (container,) = client.get(f"{core}/pods/p").body["spec"]["containers"]
    cpu = ("80m", "200m") if has_resize else ("50m", "100m")
    assert container["resources"] == {
        "requests": {"cpu": cpu[0], "memory": "16Mi"},
        "limits": {"cpu": cpu[1], "memory": "32Mi"},
    }
    assert container["image"] == "busybox"  # what is no size is left as it was
    through_the_pod = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "60m"}}}]}}
    assert client.patch(f"{core}/pods/p", through_the_pod).status == 422


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param({"requests": {"cpu": "300m"}}, id="more than the limit"),
        pytest.param({"requests": {"ephemeral-storage": "1Gi"}}, id="another resource"),
        pytest.param({"requests": {"cpu": "100m", "memory": "32Mi"}}, id="another quality of service"),
    ],
)
def test_a_resize_is_of_cpu_and_memory_and_leaves_the_pods_class(
    client: Client,
    core: str,
    resize: Callable[[dict[str, Any]], Answer],
    has_resize: bool,
    resources: dict[str, Any],
) -> None:
    before = client.get(f"{core}/pods/p").body["spec"]
    assert resize({"resources": resources}).status == (422 if has_resize else 404)
    assert client.get(f"{core}/pods/p").body["spec"] == before
