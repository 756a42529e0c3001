"""A real Kubernetes control plane on this machine: etcd, API server, controller manager, scheduler; no kubelet.

`python -m tests.e2e.controlplane COMMAND …` starts the parts that the contract tests want (as `--bare`: no scheduler,
no workload controllers; `--controllers` before the command starts those, too, for tests/contract/controllers), sets
VK_E2E_KUBECONFIG and VK_E2E_NODE_IP, and runs the command. Nothing here asks for the server's version: what differs
between versions is asked of each program's own `--help`.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.contract.kube.client import Client
from tests.e2e import build, network
from tests.e2e.authority import Authority, Pair, private_pem, public_pem, write_private
from tests.e2e.processes import Process

ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVICE_ADDRESSES, FIRST_SERVICE = "10.96.0.0/16", "10.96.0.1"  # the API server's own is the first
GRACE_S = 25  # a node without beats for so long is unknown: short for the tests, yet more than two beats
BARE_CONTROLLERS = "namespace,garbagecollector,serviceaccount,root-ca-cert-publisher,serviceaccount-token"
READY_WITHIN_S = 240  # on a machine that does much else
OPTIONAL = frozenset({"port", "unsafe-no-fsync"})  # flags that not every version has


class ControlPlane:
    """directory: everything it writes. address: that of this machine, for nodes and webhooks.

    verifies_kubelets: the API server believes a node's kubelet API only with a certificate of the cluster's authority.
    """

    def __init__(
        self, programs: Path, directory: Path, *, address: str, bare: bool = False, verifies_kubelets: bool = False
    ) -> None:
        self._programs = programs
        self._directory = directory
        self.address = address
        self._bare = bare
        self._verifies_kubelets = verifies_kubelets
        self._authority = Authority()
        self._etcd_port, self._peer_port, self._port = _free_ports(3)
        self._parts: dict[str, Process] = {}
        self.kubeconfig = directory / "admin.kubeconfig"

    def start(self) -> None:
        """All parts, once the API server is ready. Fails with the log of the part that does not start."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self._write_kubeconfig(self.kubeconfig, self._authority.client("kubernetes-admin", ["system:masters"]))
        self._start("etcd", self._etcd_flags())
        self._start("kube-apiserver", self._api_server_flags())
        self._wait_until_ready()
        self._allow_kubelet_api()
        self._start("kube-controller-manager", self._controller_flags())
        if not self._bare:
            self._start("kube-scheduler", self._scheduler_flags())

    def stop(self) -> None:
        for part in reversed(self._parts.values()):
            part.stop(grace_s=2)

    def stop_api_server(self) -> None:
        self._parts["kube-apiserver"].kill()

    def start_api_server(self) -> None:
        self._parts["kube-apiserver"].start()
        self._wait_until_ready()

    @property
    def pids(self) -> list[int]:
        return [part.pid for part in self._parts.values() if part.runs]

    @property
    def authority(self) -> Authority:
        """By whose certificates the cluster knows everybody."""
        return self._authority

    def audited(self) -> list[dict[str, Any]]:
        """Its audit log; of those that ask, only the accounts of deploy/ are in it."""
        lines = (self._directory / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    # --- the parts

    def _start(self, name: str, flags: Mapping[str, object]) -> None:
        absent = OPTIONAL - _flags_of(self._programs / name)
        given = [f"--{flag}={_spelled(value)}" for flag, value in flags.items() if flag not in absent]
        part = Process(name, [str(self._programs / name), *given], directory=self._directory, dies_by=signal.SIGKILL)
        self._parts[name] = part
        part.start()

    def _etcd_flags(self) -> Mapping[str, object]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return {
            "data-dir": self._directory / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": True,  # nothing here outlives the run
        }

    def _api_server_flags(self) -> Mapping[str, object]:
        serving = self._pair("apiserver", self._authority.server(["127.0.0.1", self.address, FIRST_SERVICE]))
        kubelet_client = self._pair("kubelet-client", self._authority.client("kube-apiserver-kubelet-client"))
        believed = {"kubelet-certificate-authority": self._directory / "ca.crt"} if self._verifies_kubelets else {}
        return {
            **believed,
            "etcd-servers": f"http://127.0.0.1:{self._etcd_port}",
            # Pods come to the other address; in a network of our own nobody else can.
            "bind-address": "127.0.0.1" if self.address == "127.0.0.1" else "0.0.0.0",
            "advertise-address": self.address,
            "secure-port": self._port,
            "allow-privileged": "true",  # as in every cluster with a network; who may is up to admission, and to us
            "tls-cert-file": serving[0],
            "tls-private-key-file": serving[1],
            "client-ca-file": self._directory / "ca.crt",
            "cert-dir": self._directory / "certificates",
            "kubelet-client-certificate": kubelet_client[0],
            "kubelet-client-key": kubelet_client[1],
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": ISSUER,
            "service-account-key-file": self._directory / "accounts.pub",
            "service-account-signing-key-file": self._directory / "accounts.key",
            **self._aggregation_flags(),
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": SERVICE_ADDRESSES,
            "audit-policy-file": self._audit_policy(),
            "audit-log-path": self._directory / "audit.log",
        }

    def _aggregation_flags(self) -> Mapping[str, object]:
        """For API servers that stand behind this one, as metrics-server does: whose word for a user they take."""
        name = "front-proxy-client"
        proxy = self._pair(name, self._authority.client(name))
        return {
            "proxy-client-cert-file": proxy[0],
            "proxy-client-key-file": proxy[1],
            "requestheader-client-ca-file": self._directory / "ca.crt",
            "requestheader-allowed-names": name,
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        }

    def _controller_flags(self) -> Mapping[str, object]:
        flags: dict[str, object] = {
            "kubeconfig": self._part_kubeconfig("kube-controller-manager"),
            "leader-elect": False,
            "port": 0,  # old ones serve a second, open port
            "secure-port": 0,
            "use-service-account-credentials": True,
            "service-account-private-key-file": self._directory / "accounts.key",
            "root-ca-file": self._directory / "ca.crt",
            "cluster-signing-cert-file": self._directory / "ca.crt",
            "cluster-signing-key-file": self._directory / "ca.key",
            "node-monitor-grace-period": f"{GRACE_S}s",
            "node-monitor-period": "1s",
            # A claim that it sees before its volume is looked at again only then; by default every 15 s.
            "pvclaimbinder-sync-period": "1s",
            "horizontal-pod-autoscaler-sync-period": "5s",
            "kube-api-qps": 200,
            "kube-api-burst": 400,
        }
        return {**flags, "controllers": BARE_CONTROLLERS} if self._bare else flags

    def _scheduler_flags(self) -> Mapping[str, object]:
        return {
            "kubeconfig": self._part_kubeconfig("kube-scheduler"),
            "leader-elect": False,
            "port": 0,
            "secure-port": _free_ports(1)[0],
            "bind-address": "127.0.0.1",
            "cert-dir": self._directory / "certificates",
        }

    def _wait_until_ready(self) -> None:
        """Every check of the API server's own is good, that of the default roles too."""
        client = Client(self.kubeconfig)
        server, deadline = self._parts["kube-apiserver"], time.monotonic() + READY_WITHIN_S
        while True:
            for part in (self._parts["etcd"], server):
                assert part.runs, f"{part.name} ended with code {part.exit_code}:\n{part.tail()}"
            try:
                if client.get("/readyz").status == 200:
                    return
            except OSError:
                pass  # it does not listen yet
            assert time.monotonic() < deadline, f"the API server did not get ready:\n{server.tail()}"
            time.sleep(0.05)

    def _allow_kubelet_api(self) -> None:
        """The API server asks kubelets as a user of its own, which needs the right to, as every installer gives it."""
        binding = {
            "metadata": {"name": "kubelet-api-admin"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:kubelet-api-admin",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kube-apiserver-kubelet-client"}
            ],
        }
        made = Client(self.kubeconfig).create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        assert made.status == 201, made.body

    # --- files

    def _write_keys(self) -> None:
        self._pair("ca", self._authority.pair)
        accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private(self._directory / "accounts.key", private_pem(accounts))
        (self._directory / "accounts.pub").write_bytes(public_pem(accounts))

    def _pair(self, name: str, pair: Pair) -> tuple[Path, Path]:
        certificate = self._directory / f"{name}.crt"
        certificate.write_bytes(pair.certificate)
        return certificate, write_private(self._directory / f"{name}.key", pair.key)

    def _part_kubeconfig(self, part: str) -> Path:
        path = self._directory / f"{part}.kubeconfig"
        self._write_kubeconfig(path, self._authority.client(f"system:{part}"))
        return path

    def _write_kubeconfig(self, path: Path, pair: Pair) -> None:
        user = {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}
        config = kubeconfig(f"https://127.0.0.1:{self._port}", _text(self._authority.pair.certificate), user)
        write_private(path, config.encode())

    def _audit_policy(self) -> Path:
        """Who asked for what, without what was in it; only what the provider asks is of interest."""
        path = self._directory / "audit-policy.yaml"
        rules = [
            {"level": "Metadata", "userGroups": ["system:serviceaccounts:vk-provider"]},
            {"level": "None"},
        ]
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": rules,
        }
        path.write_text(yaml.safe_dump(policy))
        return path


def kubeconfig(server: str, authority: str, user: Mapping[str, str]) -> str:
    """A kubeconfig with one of each. authority: base64."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "e2e", "user": dict(user)}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    return yaml.safe_dump(config)


@cache
def _flags_of(program: Path) -> frozenset[str]:
    """The flags that a program says it takes."""
    said = subprocess.run([str(program), "--help"], capture_output=True, text=True, check=False)
    return frozenset(re.findall(r"^\s+--([a-z][-a-z0-9]*)", said.stdout + said.stderr, re.MULTILINE))


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main(command: Sequence[str]) -> int:
    """Run the command with VK_E2E_KUBECONFIG naming a bare control plane, or the cluster that it names already."""
    if os.environ.get("VK_E2E_KUBECONFIG"):
        return subprocess.run(command, check=False).returncode
    controllers = command[:1] == ["--controllers"]
    command = command[1:] if controllers else command
    programs = build.programs()
    address = network.enter()
    with tempfile.TemporaryDirectory(prefix="vk-e2e-") as folder:
        plane = ControlPlane(programs, Path(folder), address=address, bare=not controllers)
        try:
            plane.start()
            env = {**os.environ, "VK_E2E_KUBECONFIG": str(plane.kubeconfig), "VK_E2E_NODE_IP": address}
            env |= {"VK_E2E_CONTROLLERS": "1"} if controllers else {}
            return subprocess.run(command, env=env, check=False).returncode
        finally:
            plane.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
