"""`status`, `explain`, `doctor` and `instances` on a real control plane: in 80 columns, piped, as JSON."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cloud import ACCESS_KEY, SECRET_KEY, Cloud
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.manifests import FOR_EVER, pod
from tests.e2e.provider import Provider
from tests.verbs import Verbs

LARGE = {"requests": {"cpu": "32", "memory": "64Gi"}}  # a size of its own, which can be sold out for one test alone


def settings(cloud: Cloud, node: str, **more: str) -> dict[str, str]:
    """As whoever runs the provider has them in the environment."""
    return {
        "ECI_ACCESS_KEY": ACCESS_KEY,
        "ECI_SECRET_KEY": SECRET_KEY,
        "ECI_REGION": "cn-hangzhou",
        "ECI_ENDPOINT": cloud.endpoint,
        "ECI_VSWITCH": "vsw-e2e",
        "ECI_SECURITY_GROUP": "sg-e2e",
        "VK_NODE_NAME": node,
        **more,
    }


@pytest.fixture
def verbs(cluster: Cluster, cloud: Cloud, node: str) -> Verbs:
    """Asked by an administrator."""
    return Verbs(cluster.kubeconfig, settings(cloud, node))


@contextmanager
def sold_out(cloud: Cloud, size: str) -> Iterator[None]:
    cloud.say("nostock", on=True, size=size)
    try:
        yield
    finally:
        cloud.say("nostock", on=False, size=size)


def failed(verbs: Verbs, *words: str) -> dict[str, str]:
    """Of doctor: what is red, and what it advises."""
    found = verbs.document("doctor", *words, code=1)
    assert not found["isWell"]
    return {each["check"]: each["fix"] for each in found["findings"] if each["verdict"] == "failed"}


def test_what_runs_what_waits_and_why(space: Space, cloud: Cloud, node: str, verbs: Verbs) -> None:
    lost = pod("lost", node="nowhere")
    with sold_out(cloud, "32-64"):
        space.create(
            pod("steady", FOR_EVER, node=node),
            pod("refused", node=node, hostPID=True),
            pod("large", node=node, container={"resources": LARGE}),
            lost,
        )
        space.when_ready("steady")
        space.when_phase("refused", "Failed")
        space.when_event("large", "NoStock")

        # status
        def groups() -> dict[str, int]:
            [shot] = verbs.document("status", "--node", node)
            return {each["reason"]: each["count"] for each in shot["podCounts"]["waiting"]}

        within(20, lambda: {"NoStock", "UnsupportedPod"} <= groups().keys(), groups)
        for text in (verbs.shown("status"), verbs.piped("status")):
            assert f"{node}  ready" in text
            assert f"leads by lease vk-provider/{node}" in text
            assert "eci cn-hangzhou answers" in text
            assert "NoStock" in text

        # instances
        name = f"{space.name}/steady"
        [instance] = [each for each in verbs.document("instances") if f"{each['namespace']}/{each['name']}" == name]
        assert instance["instance"] == cloud.of_pod(space.get("Pod", "steady"))["id"]
        assert instance["instance"] in verbs.piped("instances")
        assert instance["instance"] in verbs.shown("instances")

        # explain
        explained = {
            "steady": f"the pod runs on instance {instance['instance']}",
            "refused": "the pod is refused and will not run",
            "large": "the pod waits: ",
            "lost": "the scheduler has not bound the pod to a node yet: ",
        }
        for pod_name, answer in explained.items():
            found = verbs.document("explain", f"{space.name}/{pod_name}")
            assert found["answer"].startswith(answer), found
            assert found["events"], "the real API server's, or the scheduler's"
            text = " ".join(verbs.shown("explain", pod_name, "--namespace", space.name).split())
            assert " ".join(answer.split()) in text
            assert f"{space.name}/{pod_name}" in verbs.piped("explain", f"{space.name}/{pod_name}")
        assert "hostPID" in verbs.shown("explain", f"{space.name}/refused")
        assert "next try" in verbs.shown("explain", f"{space.name}/large")
    space.delete("Pod", "lost")
    assert f"there is no pod {space.name}/none" in verbs.piped("explain", f"{space.name}/none", code=1)


def test_doctor_where_all_is_well(space: Space, directory: Path, cloud: Cloud, node: str, verbs: Verbs) -> None:
    """Asked by an administrator, and by the provider's own ServiceAccount with the rights of deploy/."""
    space.create(pod("steady", FOR_EVER, node=node))
    space.when_ready("steady")
    for text in (verbs.shown("doctor"), verbs.piped("doctor")):
        for line in ("ok    API server", "ok    permissions", "ok    node", "ok    kubelet API", "ok    logs"):
            assert line in text
        for line in ("ok    cloud credentials", "ok    quota", "ok    stock"):
            assert line in text
        assert "FAIL" not in text
    own = Verbs(directory / node / "kubeconfig", settings(cloud, node, VK_LEADER_LEASE=f"vk-provider/{node}"))
    found = own.document("doctor")
    verdicts = {each["check"]: each["verdict"] for each in found["findings"]}
    assert verdicts["permissions"] == "ok", found
    assert "failed" not in verdicts.values(), found


def test_doctor_names_what_is_planted(
    space: Space, cluster: Cluster, cloud: Cloud, node: str, own: Provider, tmp_path: Path
) -> None:
    """Faults between real parts: each one red, and nothing besides."""

    def of(asked: str, **more: str) -> Verbs:
        return Verbs(cluster.kubeconfig, settings(cloud, asked, **more))

    assert set(failed(of(node, ECI_SECRET_KEY="wrong"))) == {"cloud credentials"}
    assert set(failed(of(node, ECI_ENDPOINT="http://127.0.0.1:9"))) == {"cloud endpoint"}
    cloud.say("faults", action="CreateContainerGroup", kind="error", code="InvalidVSwitchId.NotFound",
              http_status=404, count=1)  # fmt: skip
    assert set(failed(of(node))) == {"vSwitch"}
    assert set(failed(of("another"))) == {"node"}
    cluster.create(f"/api/v1/namespaces/{space.name}/serviceaccounts", {"metadata": {"name": "nobody"}})
    config = tmp_path / "nobody"
    config.write_text(cluster.kubeconfig_of(cluster.token_of("nobody", namespace=space.name)))
    assert set(failed(Verbs(config, settings(cloud, node)))) == {"permissions"}
    config.write_text(cluster.kubeconfig_of("nobody-has-this-token"))
    assert set(failed(Verbs(config, settings(cloud, node)))) == {"API server"}
    own.stop()
    within(60, lambda: own.node not in cluster.ready_nodes())  # else a slow doctor sees it go, and a quick one does not
    red = failed(of(own.node))
    assert set(red) == {"kubelet API", "node"}
    assert "see that the provider runs" in red["kubelet API"]
    verbs = of(own.node)
    text = " ".join(verbs.shown("status", "--node", own.node, code=1).split())
    assert f"{own.node} no answer" in text
    assert "see that it runs" in text


def test_as_a_plugin_and_into_a_pipe_that_is_closed(verbs: Verbs, node: str) -> None:
    assert f"{node}  ready" in verbs.piped("eci", "status", program="kubectl")
    words = "vk-provider status | head -n 1"
    done = subprocess.run(["sh", "-c", words], env=verbs.env, capture_output=True, text=True, timeout=60, check=True)
    assert (node in done.stdout, done.stderr) == (True, "")


def test_who_may_not_ask_is_told_which_right_it_takes(
    space: Space, cluster: Cluster, cloud: Cloud, node: str, tmp_path: Path
) -> None:
    """Somebody who may see nodes and pods, but not what kubelets say."""
    cluster.create(f"/api/v1/namespaces/{space.name}/serviceaccounts", {"metadata": {"name": "viewer"}})
    role = f"seeing-{space.name}"
    rule = {"apiGroups": [""], "resources": ["nodes", "pods", "events"], "verbs": ["get", "list"]}
    roles = "/apis/rbac.authorization.k8s.io/v1"
    cluster.create(f"{roles}/clusterroles", {"metadata": {"name": role}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "viewer", "namespace": space.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    binding = {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]}
    cluster.create(f"{roles}/clusterrolebindings", binding)
    try:
        config = tmp_path / "viewer"
        config.write_text(cluster.kubeconfig_of(cluster.token_of("viewer", namespace=space.name)))
        verbs = Verbs(config, settings(cloud, node))
        _eventually(lambda: "nodes/proxy" in verbs.piped("status", code=1))
        space.create(pod("steady", FOR_EVER, node=node))
        space.when_ready("steady")
        found = verbs.document("explain", f"{space.name}/steady")
        assert "nodes/proxy" in found["trouble"]
        assert [each["reason"] for each in found["events"]], "what the API server says is shown all the same"
    finally:
        cluster.delete(f"{roles}/clusterrolebindings/{role}")
        cluster.delete(f"{roles}/clusterroles/{role}")


def _eventually(holds: Callable[[], bool]) -> None:
    """A right takes a moment to reach the authorizer."""
    within(20, holds)
