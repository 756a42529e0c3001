"""Pods are sent to the virtual node by the API server, alike by webhook and by MutatingAdmissionPolicy."""

import copy
import http.client
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.admission.placements import CASES, Case
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, within
from tests.e2e.provider import NAMESPACE, Provider, free_port
from vk_provider.admission import policy
from vk_provider.admission.webhook import NAME

Json = dict[str, Any]
PLACEMENT = Path(__file__).parents[2] / "deploy" / "placement"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/vk-provider-webhook-certificate"


class Namespaces:
    """One for each set of labels."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._made: dict[str, str] = {}

    def with_labels(self, labels: Mapping[str, str]) -> str:
        key = repr(sorted(labels.items()))
        if key not in self._made:
            name = f"placed-{uuid.uuid4().hex[:8]}"
            self._cluster.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels)}})
            trial = {"metadata": {"name": "trial"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
            path = f"/api/v1/namespaces/{name}/pods?dryRun=All"
            within(20, lambda: self._cluster.client.create(path, trial).status == 201)
            self._made[key] = name
        return self._made[key]

    def remove(self) -> None:
        for name in self._made.values():
            self._cluster.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[Namespaces]:
    made = Namespaces(cluster)
    yield made
    made.remove()


def admitted(cluster: Cluster, namespaces: Namespaces, case: Case) -> tuple[Json, list[Json]]:
    """Affinity and tolerations of the pod as the API server would store it."""
    path = f"/api/v1/namespaces/{namespaces.with_labels(case.namespace)}/pods?dryRun=All"
    spec = cluster.create(path, case.pod())["spec"]
    added = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    own = [each for each in spec.get("tolerations") or () if each.get("key") not in added]
    return spec.get("affinity") or {}, own


def check_all(cluster: Cluster, namespaces: Namespaces) -> None:
    different = {
        case.name: (found, case.wanted)
        for case in CASES
        if _plain(found := admitted(cluster, namespaces, case)) != _plain(case.wanted)
    }
    assert not different


def _plain(found: tuple[Json, list[Json]]) -> object:
    """Without what the API writes for what was left out: an operator, and empty objects."""
    affinity, tolerations = copy.deepcopy(found)
    for each in tolerations:
        each.setdefault("operator", "Equal")
    return {kind: rules for kind, rules in affinity.items() if rules}, tolerations


@pytest.fixture
def by_webhook(cluster: Cluster, make_provider: Callable[..., Provider]) -> Iterator[Provider]:
    """A provider that serves the webhook, with the rights of deploy/placement beside the usual ones."""
    manifests = [each for each in yaml.safe_load_all((PLACEMENT / "webhook" / "webhook.yaml").read_text()) if each]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    port = free_port(cluster.address)
    provider = make_provider(
        f"--webhook-address={cluster.address}:{port}", f"--webhook-url=https://{cluster.address}:{port}"
    )
    provider.webhook_url = f"https://{cluster.address}:{port}"
    provider.start()
    within(20, lambda: cluster.get(f"{CONFIGURATIONS}/{NAME}") is not None, provider.process.tail)
    yield provider
    provider.stop()
    cluster.delete(f"{CONFIGURATIONS}/{NAME}")
    cluster.delete(SECRET)


def is_on(cluster: Cluster, namespaces: Namespaces) -> Callable[[], bool]:
    """Whether the simplest case is carried out already: API servers read configurations by a watch."""
    return lambda: admitted(cluster, namespaces, CASES[0]) == CASES[0].wanted


def test_the_webhook_places_every_pod_of_the_table(
    cluster: Cluster, namespaces: Namespaces, by_webhook: Provider
) -> None:
    within(20, is_on(cluster, namespaces), by_webhook.process.tail)
    check_all(cluster, namespaces)
    assert by_webhook.missing_rights() == []


def test_without_its_webhook_pods_are_created_all_the_same(
    cluster: Cluster, namespaces: Namespaces, by_webhook: Provider
) -> None:
    within(20, is_on(cluster, namespaces), by_webhook.process.tail)
    by_webhook.stop()
    assert admitted(cluster, namespaces, CASES[0]) == ({}, [])
    by_webhook.start()
    within(20, is_on(cluster, namespaces), by_webhook.process.tail)


def selectors_are_followed(cluster: Cluster, namespaces: Namespaces, provider: Provider) -> None:
    """Those of the profile send pods as soon as it is there, and none once it is gone."""
    selectors = """[{"name": "batch", "namespaceSelector": {"matchLabels": {"team": "a"}},
      "objectSelector": {"matchLabels": {"tier": "batch"}}, "effect": {"labels": {"by": "profile"}}}]"""
    profile = {"metadata": {"name": "eci-profile"}, "data": {"selectors": selectors}}
    chosen = Case(name="chosen", namespace={"team": "a"}, labels={"tier": "batch"})
    other = Case(name="other", namespace={"team": "a"}, affinity=None)
    cluster.create("/api/v1/namespaces/kube-system/configmaps", profile)
    try:
        within(60, lambda: admitted(cluster, namespaces, chosen) == chosen.wanted, provider.process.tail)
        assert admitted(cluster, namespaces, other) == ({}, [])
    finally:
        cluster.delete("/api/v1/namespaces/kube-system/configmaps/eci-profile")
    within(60, lambda: admitted(cluster, namespaces, chosen) == ({}, []), provider.process.tail)


def test_selectors_of_the_profile_send_pods_by_the_webhook(
    cluster: Cluster, namespaces: Namespaces, by_webhook: Provider
) -> None:
    selectors_are_followed(cluster, namespaces, by_webhook)


def test_a_replica_that_only_waits_answers_as_well(
    cluster: Cluster, cloud: Cloud, directory: Path, by_webhook: Provider
) -> None:
    """The Service leads API servers to any replica."""
    port = free_port(cluster.address)
    address = f"{cluster.address}:{port}"
    waiting = Provider(
        cluster,
        directory,
        endpoint=cloud.endpoint,
        node=by_webhook.node,
        replica="-2",
        flags=(f"--webhook-address={address}", f"--webhook-url={by_webhook.webhook_url}"),
    )
    waiting.process.start()
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE

    def answers() -> bool:
        connection = http.client.HTTPSConnection(address, context=tls, timeout=5)
        try:
            connection.request("POST", "/place", b"{}", {"Content-Type": "application/json"})
            return connection.getresponse().status == 400  # a review is expected
        except OSError:
            return False
        finally:
            connection.close()

    try:
        within(40, answers, waiting.process.tail)
        assert "leading lease" not in waiting.process.log.read_text()
    finally:
        waiting.process.stop()


def test_a_lost_certificate_and_a_changed_configuration_are_made_good(
    cluster: Cluster, namespaces: Namespaces, by_webhook: Provider
) -> None:
    within(20, is_on(cluster, namespaces), by_webhook.process.tail)
    before = cluster.get(SECRET)
    cluster.delete(SECRET)
    cluster.merge(f"{CONFIGURATIONS}/{NAME}", {"webhooks": []})
    within(60, lambda: cluster.get(SECRET) is not None, by_webhook.process.tail)
    within(60, is_on(cluster, namespaces), by_webhook.process.tail)
    assert (cluster.get(SECRET) or {})["data"] != (before or {})["data"]


def test_the_policy_places_every_pod_of_the_table(cluster: Cluster, namespaces: Namespaces) -> None:
    if not cluster.serves(policy.API_VERSION, "MutatingAdmissionPolicy"):
        pytest.skip("this Kubernetes is older than 1.36 and has no MutatingAdmissionPolicy: it takes the webhook")
    cluster.kubectl("apply", "-f", str(PLACEMENT / "policy" / "policy.yaml"))
    try:
        within(20, is_on(cluster, namespaces))
        check_all(cluster, namespaces)
    finally:
        cluster.kubectl("delete", "-f", str(PLACEMENT / "policy" / "policy.yaml"))


def test_selectors_of_the_profile_send_pods_by_the_policy(
    cluster: Cluster, namespaces: Namespaces, make_provider: Callable[..., Provider]
) -> None:
    if not cluster.serves(policy.API_VERSION, "MutatingAdmissionPolicy"):
        pytest.skip("this Kubernetes is older than 1.36 and has no MutatingAdmissionPolicy: it takes the webhook")
    files = (
        PLACEMENT / "policy" / "policy.yaml",
        PLACEMENT.parent / "components" / "profile-selectors" / "rights.yaml",
    )
    for file in files:
        cluster.kubectl("apply", "-f", str(file))
    provider = make_provider("--placement-bindings")
    try:
        provider.start()
        selectors_are_followed(cluster, namespaces, provider)
        assert provider.missing_rights() == []
    finally:
        provider.stop()
        for file in files:
            cluster.kubectl("delete", "-f", str(file))
