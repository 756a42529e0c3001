"""No right of deploy/ is missing and none is unneeded: with all of them all works, without any one something breaks.

One exercise goes through all that the provider does with the API server. It is run with the rights as they are, and
once more for each right that is there, by a provider that lacks just that one.
"""

import http.client
import json
import ssl
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.kube.client import MERGE
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, hopeless_once, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import FOR_EVER, Json, claimed, pod
from tests.e2e.provider import NAMESPACE, Provider, manifests

RBAC = "/apis/rbac.authorization.k8s.io/v1"
AT_ONCE = 8
STEP_S = 30.0
LABEL = "node.kubernetes.io/instance-type"


@dataclass(frozen=True)
class Right:
    """One verb on one resource, of a role of deploy/; or a whole binding, where verb and resource are empty."""

    role: str
    namespace: str
    group: str = ""
    resource: str = ""
    verb: str = ""

    def __str__(self) -> str:
        what = f"{self.verb} {self.resource}" if self.verb else f"binding {self.role}"
        return f"{what} in {self.namespace}" if self.namespace else what


def rights(documents: Sequence[Json]) -> Iterator[Right]:
    """All of them, one by one."""
    for each in documents:
        name, namespace = each["metadata"]["name"], each["metadata"].get("namespace", "")
        if each["kind"] in ("Role", "ClusterRole"):
            for rule in each["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        yield from (Right(name, namespace, group, resource, verb) for verb in rule["verbs"])
        elif each["kind"] == "RoleBinding" and not _has_role(documents, each):
            yield Right(name, namespace)  # of a role that the cluster brings


def _has_role(documents: Sequence[Json], binding: Json) -> bool:
    return any(
        (each["kind"], each["metadata"]["name"]) == (binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for each in documents
    )


def without(documents: Sequence[Json], lacking: Right | None, account: str) -> Iterator[Json]:
    """Account, roles and bindings of deploy/ under other names, less one right."""
    for each in deepcopy(list(documents)):
        kind, meta = each["kind"], each["metadata"]
        here = lacking is not None and (meta["name"], meta.get("namespace", "")) == (lacking.role, lacking.namespace)
        if kind in ("Role", "ClusterRole"):
            each["rules"] = list(_rules(each["rules"], lacking if here else None))
        elif kind in ("RoleBinding", "ClusterRoleBinding"):
            if here and lacking is not None and not lacking.verb:
                continue
            if _has_role(documents, each):
                each["roleRef"]["name"] = f"{each['roleRef']['name']}-{account}"
            each["subjects"][0]["name"] = account
        elif kind != "ServiceAccount":
            continue
        meta["name"] = account if kind == "ServiceAccount" else f"{meta['name']}-{account}"
        yield each


def _rules(rules: Sequence[Json], lacking: Right | None) -> Iterator[Json]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                here = lacking is not None and (group, resource) == (lacking.group, lacking.resource)
                verbs = [verb for verb in rule["verbs"] if not (here and lacking and verb == lacking.verb)]
                if verbs:
                    yield {**rule, "apiGroups": [group], "resources": [resource], "verbs": verbs}


@pytest.fixture(scope="module")
def metrics_reader(cluster: Cluster) -> Iterator[str]:
    """The token of one who may ask kubelets, as a metrics collector does."""
    name = f"reader-{uuid.uuid4().hex[:6]}"
    cluster.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": name}})
    binding = {
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:kubelet-api-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }
    cluster.create(f"{RBAC}/clusterrolebindings", binding)
    yield cluster.token_of(name, namespace=NAMESPACE)
    cluster.delete(f"{RBAC}/clusterrolebindings/{name}")


class Exercise:
    """All that the provider needs rights for, in one go; fails at the first thing that does not happen."""

    def __init__(self, cluster: Cluster, cloud: Cloud, directory: Path, *, reader: str) -> None:
        self._cluster = cluster
        self._cloud = cloud
        self._directory = directory
        self._reader = reader

    def run(self, documents: Sequence[Json]) -> None:
        """With these rights, made for it and taken away after it."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        self._cluster.kubectl("apply", "-f", "-", stdin=given)
        (account,) = (each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount")
        provider = Provider(
            self._cluster,
            self._directory,
            endpoint=self._cloud.endpoint,
            node=f"vk-{uuid.uuid4().hex[:6]}",
            account=account,
            flags=("--orphan-age-s=0", "--log-level=debug"),
        )
        try:
            with make_space(self._cluster) as space, hopeless_once(provider.missing_rights):
                self._go(space, provider)
        finally:
            provider.remove()
            self._cloud.clear(vk_node=provider.node)
            self._cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=given)

    def _go(self, space: Space, provider: Provider) -> None:
        node = provider.node
        provider.start(within_s=STEP_S)
        self._node_says(node, "CloudAPIAvailable")
        space.create({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}})
        space.create({"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"b": "2"}})
        space.create(
            pod("reads", 'echo "$A" "$KUBERNETES_SERVICE_PORT"; test -s /t/token && cat /s/b', node=node, **READS),
            pod("runs", FOLLOWS, node=node, **SHOWS),
            pod("lost", FOR_EVER, node=node),
            pod("keeps", "echo kept >/s/x; cat /s/x", node=node, nodeName=node, **KEEPS),
            pod("waits", node=node, volumes=[{"name": "v", "secret": {"secretName": "none"}}], container=MOUNT),
        )
        space.when_phase("reads", "Succeeded", within_s=STEP_S)
        assert space.kubectl("logs", "reads") == "1 443\n2"
        self._kubelet_knows(provider)
        self._told(space, "reads", "Started", count=1)
        self._told(space, "waits", "FailedMount", count=2)
        for name in ("runs", "lost"):
            space.when_ready(name)
        self._claims(space)
        for path, value in ((space.path("ConfigMap", "c"), "3"), (space.path("Secret", "s"), "NA==")):
            self._cluster.merge(path, {"data": {"a": value}})
        within(STEP_S, lambda: "3 4" in space.kubectl("logs", "runs"), lambda: space.kubectl("logs", "runs"))
        space.delete("Pod", "runs")
        space.when_gone("Pod", "runs", within_s=STEP_S)
        provider.process.kill()
        space.delete("Pod", "lost", gracePeriodSeconds=0)
        self._cluster.client.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {LABEL: None}}}, MERGE)
        provider.start(within_s=STEP_S)
        within(STEP_S, lambda: LABEL in (self._cluster.get(f"/api/v1/nodes/{node}") or {})["metadata"]["labels"])
        within(STEP_S, lambda: not self._cloud.billed(vk_namespace=space.name))
        assert provider.missing_rights() == []

    def _claims(self, space: Space) -> None:
        """A pod that waits for its claim gets it once it is bound."""
        self._told(space, "keeps", "FailedMount", count=1)
        claim, volume = claimed("d", namespace=space.name, disk=f"d-{space.name}")
        self._cluster.create("/api/v1/persistentvolumes", volume)
        try:
            space.create(claim)
            space.when("PersistentVolumeClaim", "d", _is_bound, within_s=STEP_S)  # the cluster's own part
            space.when_phase("keeps", "Succeeded", within_s=STEP_S)
        finally:
            self._cluster.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")

    def _node_says(self, node: str, kind: str) -> None:
        within(STEP_S, lambda: condition(self._cluster.get(f"/api/v1/nodes/{node}") or {}, kind) == "True")

    def _told(self, space: Space, name: str, reason: str, *, count: int) -> None:
        def look() -> bool:
            return any(each["reason"] == reason and (each.get("count") or 1) >= count for each in space.events(name))

        within(STEP_S, look, lambda: [(each["reason"], each.get("count")) for each in space.events(name)])

    def _kubelet_knows(self, provider: Provider) -> None:
        """Who has a token and the right to asks the kubelet API itself."""
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # it made its certificate itself
        connection = http.client.HTTPSConnection(provider.url.removeprefix("https://"), context=tls, timeout=10)
        try:
            connection.request("GET", "/pods", headers={"Authorization": f"Bearer {self._reader}"})
            assert connection.getresponse().status == 200
        finally:
            connection.close()


def _is_bound(claim: Json) -> bool:
    return bool(claim["status"].get("phase") == "Bound")


MOUNT: Json = {"volumeMounts": [{"name": "v", "mountPath": "/s"}]}
KEEPS: Json = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "d"}}], "container": MOUNT}
FOLLOWS = f"until test $(cat /c/a) = 3 && test -e /s/a; do sleep 0.2; done; echo $(cat /c/a) $(cat /s/a); {FOR_EVER}"
SHOWS: Json = {
    "volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "c", "configMap": {"name": "c"}}],
    "container": {"volumeMounts": [*MOUNT["volumeMounts"], {"name": "c", "mountPath": "/c"}]},
}
READS: Json = {
    "volumes": [
        {"name": "v", "secret": {"secretName": "s"}},
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ],
    "container": {
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "a"}}}],
        "volumeMounts": [*MOUNT["volumeMounts"], {"name": "t", "mountPath": "/t"}],
    },
}


@pytest.fixture(scope="module")
def profile(cluster: Cluster) -> Iterator[None]:
    """One that selects by namespace, so that namespaces have to be looked at; it selects none."""
    selector = {
        "name": "none",
        "namespaceSelector": {"matchLabels": {"selected-by": "nobody"}},
        "effect": {"annotations": {"k8s.aliyun.com/eci-auto-imc": "true"}},
    }
    folder = "/api/v1/namespaces/kube-system/configmaps"
    cluster.create(folder, {"metadata": {"name": "eci-profile"}, "data": {"selectors": json.dumps([selector])}})
    yield
    cluster.delete(f"{folder}/eci-profile")


@pytest.fixture(scope="module")
def exercise(cluster: Cluster, cloud: Cloud, directory: Path, metrics_reader: str, profile: None) -> Exercise:
    return Exercise(cluster, cloud, directory, reader=metrics_reader)


def test_with_all_its_rights_everything_works(exercise: Exercise) -> None:
    exercise.run(list(without(manifests(), None, "vk-all")))


# Of several nodes a process, of one that waits for another's lease, and of a serving key that is kept in a Secret;
# tests/leader, tests/kubelet, test_leadership.py and test_several_nodes.py use them.
OF_SETTINGS_NOT_USED_HERE = {
    "list leases in vk-provider",
    "watch leases in vk-provider",
    "delete leases in vk-provider",
    "patch secrets in vk-provider",
    "create secrets in vk-provider",
}


def test_without_any_one_right_something_breaks(exercise: Exercise) -> None:
    documents = manifests()
    wanted = list(rights(documents))

    def breaks(number: int) -> bool:
        try:
            exercise.run(list(without(documents, wanted[number], f"vk-lacks-{number}")))
        except AssertionError:
            return True
        return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        broke = list(pool.map(breaks, range(len(wanted))))
    unneeded = {str(right) for right, broken in zip(wanted, broke, strict=True) if not broken}
    assert unneeded - OF_SETTINGS_NOT_USED_HERE == set()
