"""The provider as deploy/ runs it: its ServiceAccount, its rights, its flags and its settings."""

import base64
import json
import re
import socket
import sys
import time
import tomllib
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cloud import ACCESS_KEY, SECRET_KEY
from tests.e2e.cluster import Cluster, condition, within
from tests.e2e.processes import Process

MANIFESTS = Path(__file__).parents[2] / "deploy" / "base" / "vk-provider.yaml"
NAMESPACE, ACCOUNT = "vk-provider", "vk-provider"
CONFIG_MOUNT = "/etc/vk-provider"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

REFUSED = re.compile(
    r'cannot (\S+) resource "([^"]+)" in API group "([^"]*)" (?:at the cluster scope|in the namespace "([^"]+)")'
)

Json = dict[str, Any]


def manifests() -> list[Json]:
    return [each for each in yaml.safe_load_all(MANIFESTS.read_text()) if each]


def install(cluster: Cluster) -> None:
    """Everything of deploy/, as its first lines say; but no pod of the provider, whose image nobody built here."""
    if cluster.get(f"/api/v1/namespaces/{NAMESPACE}") is None:
        cluster.kubectl("create", "namespace", NAMESPACE)
    wanted = manifests()
    _of_kind(wanted, "Deployment")["spec"]["replicas"] = 0
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(wanted))


class Provider:
    """One process and its node. port: of its kubelet API, 0: any. flags: what a test needs beside those of deploy/.

    replica: tells several processes of one node apart. nodes: of a process that serves several of one group, `node`: by
    name, the settings of its section.
    """

    def __init__(
        self,
        cluster: Cluster,
        directory: Path,
        *,
        endpoint: str,
        node: str,
        account: str = ACCOUNT,
        port: int = 0,
        flags: Sequence[str] = (),
        replica: str = "",
        nodes: Mapping[str, Json] | None = None,
    ) -> None:
        self.node = node
        self.webhook_url = ""  # of a test that gives it one
        self.identity = f"{node}{replica}"  # in the Lease
        self._cluster = cluster
        self._account = account
        self._port = port or free_port(cluster.address)
        folder = directory / f"{node}{replica}"
        folder.mkdir()
        config = folder / "kubeconfig"
        token = cluster.token_of(account, namespace=NAMESPACE)
        self.credential = f"JTI={_claims(token).get('jti', '')}"  # as the API server's audit log names it, since 1.32
        config.write_text(cluster.kubeconfig_of(token))
        self._health = f"127.0.0.1:{free_port('127.0.0.1')}"
        deployed = manifests()
        self.ports = {name: free_port(cluster.address) for name in nodes or ()}
        sections = {name: {"kubelet_port": self.ports[name], **own} for name, own in (nodes or {}).items()}
        settings = _settings(deployed, cluster_name=f"e2e-{node}", nodes=sections)
        (folder / "vk-provider.toml").write_text(settings)
        container = _of_kind(deployed, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        own = [
            *([] if nodes else [f"--node-name={node}"]),
            f"--leader-lease={NAMESPACE}/{node}",
            f"--leader-identity={self.identity}",
            f"--kubelet-port={self._port}",
            f"--health-address={self._health}",
            f"--eci-endpoint={endpoint}",
            "--poll-interval-s=0.5",
            "--log-level=debug",
            *flags,
        ]
        command = [
            *(sys.executable, "-m", "vk_provider"),
            *_replaced([word.replace(CONFIG_MOUNT, str(folder)) for word in container["args"]], own),
        ]
        env = {
            "KUBECONFIG": str(config),
            "VK_NODE_IP": cluster.address,
            "ECI_ACCESS_KEY": ACCESS_KEY,
            "ECI_SECRET_KEY": SECRET_KEY,
        }
        self.process = Process(f"provider{replica}", command, directory=folder, env=env)

    @property
    def url(self) -> str:
        """Of its kubelet API."""
        return f"https://{self._cluster.address}:{self._port}"

    def start(self, *, within_s: float = 40) -> None:
        """Running, its node Ready and the node's heart beating since."""
        began = time.time()
        self.process.start()

        def ready() -> bool:
            assert self.process.runs, f"the provider ended with {self.process.exit_code}:\n{self.process.tail()}"
            node = self._cluster.get(f"/api/v1/nodes/{self.node}")
            return node is not None and condition(node, "Ready") == "True" and self.beat_at() >= began

        within(within_s, ready, self.process.tail)

    def is_ready(self) -> bool:
        """By its readiness probe: who waits for the lease is, too."""
        assert self.process.runs, f"the provider ended with {self.process.exit_code}:\n{self.process.tail()}"
        try:
            with urllib.request.urlopen(f"http://{self._health}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def beat_at(self) -> float:
        """When its lease was renewed last, in Unix seconds; 0: there is none."""
        lease = self._cluster.get(f"{LEASES}/{self.node}")
        return stamp(lease["spec"]["renewTime"]) if lease else 0.0

    def stop(self) -> None:
        self.process.stop()

    def remove(self) -> None:
        """Stopped, and its node gone."""
        self.process.stop()
        self._cluster.delete(f"/api/v1/nodes/{self.node}")

    def complaints(self) -> list[str]:
        """Lines of its log that no good day has."""
        return [line for line in self._said() if "Traceback" in line or " ERROR " in line]

    def missing_rights(self) -> list[str]:
        """What it was refused and may not do now either: an API server that has just started refuses much at first."""
        refused = {match.groups(default="") for line in self._said() if (match := REFUSED.search(line))}
        return [" ".join(each) for each in sorted(refused) if not self._may(*each)]

    def _may(self, verb: str, resource: str, group: str, namespace: str) -> bool:
        resource, _, sub = resource.partition("/")
        attributes = {"verb": verb, "resource": resource, "subresource": sub, "group": group, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:{NAMESPACE}:{self._account}", "resourceAttributes": attributes}
        answer = self._cluster.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        return bool(answer["status"]["allowed"])

    def _said(self) -> list[str]:
        return self.process.log.read_text(errors="replace").splitlines()


def _claims(token: str) -> Json:
    part = token.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def stamp(text: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def _settings(deployed: Sequence[Json], *, cluster_name: str, nodes: Mapping[str, Json]) -> str:
    """The ConfigMap's file with the values that its reader is told to edit."""
    text = _of_kind(deployed, "ConfigMap")["data"]["vk-provider.toml"]
    settings = tomllib.loads(text) | {"cluster_name": cluster_name}
    eci = settings.pop("eci") | {"vswitch": ["vsw-e2e"], "security_group": "sg-e2e"}
    if nodes:
        settings.pop("node_name")
    lines = [*_lines(settings), "[eci]\n", *_lines(eci)]
    for name, own in nodes.items():
        lines += ["[[nodes]]\n", *_lines({"node_name": name, **own})]
    return "".join(lines)


def _lines(table: Json) -> list[str]:
    return [f"{key} = {json.dumps(value)}\n" for key, value in table.items()]


def _of_kind(documents: Sequence[Json], kind: str) -> Json:
    return next(each for each in documents if each["kind"] == kind)


def free_port(address: str) -> int:
    with socket.socket() as trial:
        trial.bind((address, 0))
        return int(trial.getsockname()[1])


def _replaced(deployed: Sequence[str], own: Sequence[str]) -> list[str]:
    """The arguments of deploy/, but for the options that a test gives itself: an option may be given once only."""
    merged = {word.partition("=")[0]: word for word in (*deployed, *own)}
    return list(merged.values())
