"""The kubelet API's certificate: our own at first, the cluster's once somebody has approved it."""

import base64
import socket
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e import build
from tests.e2e import provider as providers
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, within
from tests.e2e.conftest import make_space
from tests.e2e.controlplane import ControlPlane
from tests.e2e.manifests import FOR_EVER, pod
from tests.e2e.provider import Provider


@pytest.fixture(scope="module")
def strict(plane: ControlPlane | None, directory: Path) -> Iterator[Cluster]:
    """A second cluster, whose API server verifies what kubelets show."""
    if plane is None:
        pytest.skip("the cluster's API server is not ours to set up")
    second = ControlPlane(build.programs(), directory / "strict", address=plane.address, verifies_kubelets=True)
    try:
        second.start()
        cluster = Cluster(second.kubeconfig, address=second.address)
        providers.install(cluster)
        yield cluster
    finally:
        second.stop()


def is_the_cluster_s(cluster: Cluster, provider: Provider) -> bool:
    """Whether the certificate served is one that the cluster's CA has signed for this address."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    place = urlsplit(provider.url)
    try:
        with (
            socket.create_connection((place.hostname, place.port or 443), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=place.hostname) as connection,
        ):
            return connection.version() is not None
    except ssl.SSLCertVerificationError:
        return False


def test_the_cluster_signs_the_certificate_once_it_is_approved(cluster: Cluster, own: Provider) -> None:
    assert not is_the_cluster_s(cluster, own), "nobody has approved it yet; logs and exec work all the same"
    name = f"kubelet-serving-{own.node}"
    within(30, lambda: cluster.get(f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}"))
    cluster.kubectl("certificate", "approve", name)
    within(40, lambda: is_the_cluster_s(cluster, own))


def test_nobody_approves_again_after_a_restart(cluster: Cluster, own: Provider) -> None:
    path = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/kubelet-serving-{own.node}"
    within(60, lambda: cluster.get(path))
    cluster.kubectl("certificate", "approve", f"kubelet-serving-{own.node}")
    secret = f"/api/v1/namespaces/{providers.NAMESPACE}/secrets/vk-provider-serving"
    within(60, lambda: any(own.node in key for key in (cluster.get(secret) or {"data": {}})["data"]))
    before = cluster.get(path)
    own.process.kill()
    own.start(within_s=120)
    within(60, lambda: is_the_cluster_s(cluster, own))
    after = cluster.get(path)
    assert before is not None
    assert after is None or after["metadata"]["uid"] == before["metadata"]["uid"], "there was no further request"


def test_an_api_server_that_verifies_believes_the_signed_one_only(
    strict: Cluster, cloud: Cloud, directory: Path, kubectl: str
) -> None:
    provider = Provider(strict, directory, endpoint=cloud.endpoint, node=f"vk-{uuid.uuid4().hex[:6]}")
    provider.start()
    with make_space(strict) as space:
        space.create(pod("p", f"echo said; {FOR_EVER}", node=provider.node))
        space.when_ready("p")
        words = ("--namespace", space.name)
        refused = strict.run_kubectl(*words, "logs", "p", program=kubectl)
        assert refused.returncode != 0
        assert "x509" in refused.stderr
        strict.kubectl("certificate", "approve", f"kubelet-serving-{provider.node}")
        within(40, lambda: strict.run_kubectl(*words, "logs", "p", program=kubectl).stdout == "said\n")
        done = strict.run_kubectl(*words, "exec", "p", "--", "sh", "-c", "echo out; exit 7", program=kubectl)
        assert (done.returncode, done.stdout) == (7, "out\n")
        space.delete("Pod", "p")
        space.when_gone("Pod", "p")
    provider.remove()
