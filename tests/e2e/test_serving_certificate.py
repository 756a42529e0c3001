"""The kubelet API's certificate: our own at first, the cluster's once somebody has approved it."""

import base64
import socket
import ssl
from urllib.parse import urlsplit

import yaml

from tests.e2e.cluster import Cluster, within
from tests.e2e.provider import Provider


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
