"""Whatever it is let in by, or others know it by, changes under a running provider: it goes on, and no request fails.

The provider runs as in a pod: the API server's address from the environment, CA and token as files that are replaced.
"""

import base64
import datetime as dt
import hashlib
import http.client
import os
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e import build
from tests.e2e import provider as providers
from tests.e2e.authority import Authority, Pair
from tests.e2e.cloud import ACCESS_KEY, SECRET_KEY, Cloud
from tests.e2e.cluster import Cluster, condition, within
from tests.e2e.conftest import make_space
from tests.e2e.controlplane import ControlPlane
from tests.e2e.door import Door
from tests.e2e.manifests import FOR_EVER, pod
from tests.e2e.processes import Process
from tests.e2e.provider import NAMESPACE, free_port

NODE = "virtual-kubelet"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
LIFE_S = 60  # of the first serving certificate
CLIENT_CA = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"


class Rotating:
    """A provider and all that can be changed of what it was given."""

    def __init__(self, plane: ControlPlane, cluster: Cluster, cloud: Cloud, folder: Path) -> None:
        self.cluster, self.cloud, self._plane, self._folder = cluster, cloud, plane, folder
        self.authority, self.next_authority = Authority("first"), Authority("second")
        self.account = folder / "account"
        self.account.mkdir()
        config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        self.door = Door("127.0.0.1", free_port("127.0.0.1"), upstream=config["server"])
        self.tokens = [cluster.token_of(providers.ACCOUNT, namespace=NAMESPACE) for _ in range(2)]
        self.write(self.account / "ca.crt", self.authority.pair.certificate)
        self.write(self.account / "token", self.tokens[0].encode())
        self.write_access_key(ACCESS_KEY, SECRET_KEY)
        self.port = free_port(cluster.address)
        self.process = Process("rotating", self._command(), directory=folder)

    def write(self, path: Path, content: bytes) -> None:
        """At once, as a kubelet does."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(content)
        unfinished.rename(path)

    def write_access_key(self, key: str, secret: str) -> None:
        self.write(self._folder / "access_key", key.encode())
        self.write(self._folder / "secret_key", secret.encode())

    def _command(self) -> list[str]:
        """In mounts of its own, so that it finds the ServiceAccount where a pod has it."""
        script = self._folder / "inside.sh"
        lines = ["set -e", "mount -t tmpfs tmpfs /run", f"mkdir -p {SERVICE_ACCOUNT}"]
        lines += [f"mount --bind {self.account} {SERVICE_ACCOUNT}", 'exec "$@"']
        script.write_text("\n".join(lines))
        place = urlsplit(self.door.url)
        env = [
            f"KUBERNETES_SERVICE_HOST={place.hostname}",
            f"KUBERNETES_SERVICE_PORT={place.port}",
            "PATH=/usr/bin:/bin",
        ]
        flags = [
            f"--node-name={NODE}",
            f"--node-ip={self.cluster.address}",
            f"--kubelet-port={self.port}",
            f"--leader-lease={NAMESPACE}/{NODE}",
            f"--serving-certificate-secret={NAMESPACE}/vk-provider-serving",
            f"--eci-endpoint={self.cloud.endpoint}",
            "--eci-region=cn-hangzhou",
            "--eci-vswitch=vsw-e2e",
            "--eci-security-group=sg-e2e",
            f"--eci-access-key-file={self._folder / 'access_key'}",
            f"--eci-secret-key-file={self._folder / 'secret_key'}",
            "--poll-interval-s=1",
        ]
        program = [sys.executable, "-m", "vk_provider", "run", *flags]
        return ["unshare", "--mount", "sh", str(script), "env", "-i", *env, *program]

    def keep_certificate(self, pair: Pair) -> None:
        """In the Secret, as an earlier life of the provider would have left it for this address."""
        entry = f"{NODE}.{hashlib.sha256(self.cluster.address.encode()).hexdigest()[:12]}"
        data = {f"{entry}.crt": _text(pair.certificate), f"{entry}.key": _text(pair.key)}
        body = {"metadata": {"name": "vk-provider-serving"}, "type": "Opaque", "data": data}
        self.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", body)

    def start(self) -> None:
        self.door.open(self.authority.server(["127.0.0.1"]))
        self.process.start()
        within(60, self._is_ready, self.process.tail)

    def _is_ready(self) -> bool:
        assert self.process.runs, self.process.tail()
        node = self.cluster.get(f"/api/v1/nodes/{NODE}")
        return node is not None and all(condition(node, each) == "True" for each in ("Ready", "CloudAPIAvailable"))

    def stop(self) -> None:
        self.process.stop()
        self.door.close()

    def shown(self) -> tuple[int, float]:
        """Serial number, and Unix time of its end, of the certificate that it shows; it must be the cluster's."""
        context = ssl.create_default_context(cadata=self._plane.authority.pair.certificate.decode())
        connection = http.client.HTTPSConnection(self.cluster.address, self.port, context=context, timeout=10)
        try:
            connection.connect()
            found = connection.sock.getpeercert()
            return int(found["serialNumber"], 16), ssl.cert_time_to_seconds(found["notAfter"])
        finally:
            connection.close()

    def answers(self, client: Pair) -> int:
        """What it says to who shows this certificate."""
        context = ssl.create_default_context(cadata=self._plane.authority.pair.certificate.decode())
        for name, content in (("c.crt", client.certificate), ("c.key", client.key)):
            (self._folder / name).write_bytes(content)
        context.load_cert_chain(self._folder / "c.crt", self._folder / "c.key")
        connection = http.client.HTTPSConnection(self.cluster.address, self.port, context=context, timeout=10)
        try:
            connection.request("GET", "/pods")
            return connection.getresponse().status
        finally:
            connection.close()

    def counted(self, metric: str) -> dict[str, float]:
        """By the labels in their own words."""
        said = self.cluster.client.get(f"/api/v1/nodes/{NODE}/proxy/metrics")
        assert said.status == 200, said.body
        found = re.findall(rf"^{metric}{{(.*)}} (\S+)$", str(said.body), re.MULTILINE)
        return {labels: float(value) for labels, value in found}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def rotating(plane: ControlPlane | None, directory: Path) -> Iterator[Rotating]:
    """On a control plane of its own, whose API server verifies kubelets; and a cloud of its own, which changes keys."""
    if plane is None:
        pytest.skip("the cluster's API server is not ours to set up")
    if os.geteuid() != 0:
        pytest.skip("only root can give a process the files of a pod where the pod has them")
    folder = directory / "rotation"
    folder.mkdir()
    cloud = Cloud(folder)
    second = ControlPlane(build.programs(), folder / "plane", address=plane.address, verifies_kubelets=True)
    try:
        cloud.start()
        second.start()
        cluster = Cluster(second.kubeconfig, address=second.address)
        providers.install(cluster)
        made = Rotating(second, cluster, cloud, folder)
        soon = dt.timedelta(seconds=LIFE_S)
        made.keep_certificate(second.authority.server([second.address], name=f"system:node:{NODE}", life=soon))
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        second.stop()
        cloud.stop()


@contextmanager
def unfailing(what: Callable[[], object]) -> Iterator[None]:
    """Done again and again meanwhile; it never fails."""
    over, failures, rounds = threading.Event(), list[str](), list[int]()

    def go() -> None:
        while not over.wait(0.5):
            try:
                what()
                rounds.append(1)
            except Exception as error:
                failures.append(f"{time.time():.1f}: {error!r}")

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)
    assert failures == []
    assert len(rounds) > 20


def test_certificates_keys_authorities_and_tokens_change_under_it_and_no_request_fails(rotating: Rotating) -> None:
    cluster, cloud, door = rotating.cluster, rotating.cloud, rotating.door
    first, ends = rotating.shown()
    assert 0 < ends - time.time() <= LIFE_S, "what an earlier life kept is served"
    with make_space(cluster) as space:
        space.create(pod("p", f"echo said; {FOR_EVER}", node=NODE))
        space.when_ready("p")

        def used() -> None:
            assert space.kubectl("logs", "p") == "said\n"  # by an API server that verifies
            rotating.shown()

        with unfailing(used):
            written = time.time()
            bundle = rotating.authority.pair.certificate + rotating.next_authority.pair.certificate
            rotating.write(rotating.account / "ca.crt", bundle)
            rotating.write(rotating.account / "token", rotating.tokens[1].encode())
            cloud.say("credentials", access_key_id="nextid", access_key_secret="nextsecret")
            rotating.write_access_key("nextid", "nextsecret")
            _a_new_client_ca_is_believed(rotating)
            within(45, lambda: _approved(cluster))
            within(30, lambda: rotating.shown()[0] != first)
            # A token and a CA that were replaced are read within a minute.
            within(90, lambda: time.time() - written > 65 and _uses(door, rotating.tokens[1]))
            assert time.time() > ends, "the first certificate has ended"
            door.refused.add(f"Bearer {rotating.tokens[0]}")
            cloud.say("credentials", access_key_id=ACCESS_KEY, access_key_secret="disabled")
            door.move(rotating.next_authority.server(["127.0.0.1"]))
            rotating.write(rotating.account / "ca.crt", rotating.next_authority.pair.certificate)
            space.create(pod("after", node=NODE))
            space.when_phase("after", "Succeeded")
        for name in ("p", "after"):
            space.delete("Pod", name)
        # An instance is kept as long as its pod, also of one that has ended; nobody comes after this provider.
        within(60, lambda: not cloud.instances(), cloud.instances)
    assert rotating.process.runs
    failed = [each for each in door.passed if each.status in (401, 403) or each.status >= 500]
    assert failed == []
    unanswered = {each for each in rotating.counted("vk_kube_requests_total") if 'code="none"' in each}
    assert unanswered == set()
    codes = {re.search(r'code="([^"]*)"', each).group(1) for each in rotating.counted("vk_cloud_calls_total")}  # type: ignore[union-attr]
    assert codes == {"OK"}


def _a_new_client_ca_is_believed(rotating: Rotating) -> None:
    """And the old one still is: the API server goes on with its own."""
    another = Authority("clients")
    client = another.client(KUBELET_CLIENT)
    assert rotating.answers(client) == 401
    known = (rotating.cluster.get(CLIENT_CA) or {})["data"]["client-ca-file"]
    both = known + another.pair.certificate.decode()
    rotating.cluster.merge(CLIENT_CA, {"data": {"client-ca-file": both}})
    within(30, lambda: rotating.answers(client) == 200)


def _approved(cluster: Cluster) -> bool:
    return cluster.run_kubectl("certificate", "approve", f"kubelet-serving-{NODE}").returncode == 0


def _uses(door: Door, token: str) -> bool:
    """Whether the last requests show it."""
    return {each.authorization for each in door.passed[-5:]} == {f"Bearer {token}"}
