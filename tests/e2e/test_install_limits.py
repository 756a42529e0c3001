"""What deploy/hardening keeps the provider's ServiceAccount from, on a real API server: whatever took it over."""

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.kube.client import MERGE, Answer, Client
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.installed import ACCOUNT, NAMESPACE, remove
from tests.e2e.manifests import Json

NODE, WORKER = "virtual-kubelet", "worker"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@pytest.fixture(scope="module")
def limited(empty: Cluster, deploy: Path) -> Iterator[Client]:
    """Who speaks as the provider, with those for the webhook as well, once the limits are in force."""
    if not empty.serves("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"):
        pytest.skip("this Kubernetes is older than 1.30 and has no ValidatingAdmissionPolicy: there is RBAC alone")
    folder = deploy / "overlays" / "self-built"
    empty.kubectl("apply", "-k", str(folder))
    empty.kubectl("apply", "-k", str(deploy / "placement" / "webhook"))
    try:
        client = Client(empty.kubeconfig, token=empty.token_of(ACCOUNT, namespace=NAMESPACE))
        within(30, lambda: "no node of the provider" in said(client.create("/api/v1/nodes?dryRun=All", node("trial"))))
        yield client
    finally:
        empty.kubectl("delete", "--ignore-not-found", "-k", str(deploy / "placement" / "webhook"))
        remove(empty, folder)


@pytest.fixture
def space(empty: Cluster, limited: Client) -> Iterator[Space]:
    """With a pod on the virtual node and one on a worker."""
    space = Space(empty, f"t-{uuid.uuid4().hex[:8]}")
    space.make()
    for name, where in (("ours", NODE), ("theirs", WORKER)):
        spec = {"nodeName": where, "containers": [{"name": "c", "image": "busybox"}]}
        space.create({"kind": "Pod", "metadata": {"name": name}, "spec": spec})
    yield space
    for name in ("ours", "theirs"):
        space.delete("Pod", name, gracePeriodSeconds=0)
    empty.delete(f"/api/v1/namespaces/{space.name}")


def certificate_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anybody")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def node(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def said(answer: Answer) -> str:
    return str(answer.body.get("message", "")) if answer.status == 403 else ""


def test_only_nodes_of_the_settings_and_their_leases_are_written(limited: Client, empty: Cluster) -> None:
    assert limited.create("/api/v1/nodes?dryRun=All", node(NODE)).status == 201
    assert said(limited.create("/api/v1/nodes?dryRun=All", node("virtual-kubelet-2")))
    empty.create("/api/v1/nodes", node(WORKER))
    try:
        change = {"metadata": {"labels": {"a": "b"}}}
        assert said(limited.patch(f"/api/v1/nodes/{WORKER}", change, MERGE))
        assert said(limited.patch(f"/api/v1/nodes/{WORKER}/status", {"status": {"phase": "Running"}}, MERGE))
    finally:
        empty.delete(f"/api/v1/nodes/{WORKER}")
    lease: Json = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "spec": {"holderIdentity": "x"}}
    assert limited.create(f"{LEASES}?dryRun=All", {**lease, "metadata": {"name": NODE}}).status == 201
    assert said(limited.create(f"{LEASES}?dryRun=All", {**lease, "metadata": {"name": WORKER}}))
    own = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases?dryRun=All"
    assert limited.create(own, {**lease, "metadata": {"name": "of-a-leader"}}).status == 201


def test_only_pods_of_these_nodes_are_written_and_removed(limited: Client, space: Space) -> None:
    status = {"status": {"message": "written"}}
    assert limited.patch(f"{space.path('Pod', 'ours')}/status?dryRun=All", status, MERGE).status == 200
    assert said(limited.patch(f"{space.path('Pod', 'theirs')}/status?dryRun=All", status, MERGE))
    assert limited.delete(f"{space.path('Pod', 'ours')}?dryRun=All").status == 200
    assert said(limited.delete(f"{space.path('Pod', 'theirs')}?dryRun=All"))


def test_tokens_are_bound_to_pods_and_none_is_of_the_system(limited: Client, space: Space, empty: Cluster) -> None:
    def asked(namespace: str, account: str, bound: Json | None) -> Answer:
        spec = {"expirationSeconds": 600, **({"boundObjectRef": bound} if bound else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return limited.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", body)

    bound = {"kind": "Pod", "apiVersion": "v1", "name": "ours", "uid": space.get("Pod", "ours")["metadata"]["uid"]}
    assert asked(space.name, "default", bound).status == 201
    assert "tokens of pods only" in said(asked(space.name, "default", None))
    assert said(asked(space.name, "default", {"kind": "Secret", "apiVersion": "v1", "name": "x", "uid": "y"}))
    assert said(asked("kube-system", "namespace-controller", None))
    assert said(asked("kube-system", "default", bound))
    # The API server's own part: that pod uses another ServiceAccount.
    empty.create(f"/api/v1/namespaces/{space.name}/serviceaccounts", {"metadata": {"name": "admin"}})
    assert "different serviceaccount" in str(asked(space.name, "admin", bound).body)


def test_no_webhook_but_its_own_and_no_certificate_of_others(limited: Client) -> None:
    body: Json = {"kind": "MutatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1"}
    assert said(limited.create(f"{WEBHOOKS}?dryRun=All", {**body, "metadata": {"name": "anything"}, "webhooks": []}))
    assert limited.get(f"{WEBHOOKS}/virtual-node-placement.vk-provider.io").status == 200
    request = {"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1", "metadata": {"name": "c"}}
    spec = {"request": certificate_request(), "usages": ["client auth"], "signerName": "example.com/client"}
    assert "no request for the serving certificate" in said(
        limited.create(f"{CSRS}?dryRun=All", {**request, "spec": spec})
    )
