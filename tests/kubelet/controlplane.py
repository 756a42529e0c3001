"""A real etcd and kube-apiserver beside a test's kubelet API, from the folder that KUBEBUILDER_ASSETS names."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .commands import Streaming

START_S = 60.0
TOKEN = "admin-of-one-test"


def assets() -> Path | None:
    """The folder with the binaries, if there is one."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", ""))
    return folder if (folder / "kube-apiserver").exists() and (folder / "etcd").exists() else None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def control_plane(world: Streaming, binaries: Path) -> AsyncIterator[Path]:
    """Gives a kubeconfig of an admin. The world must be serving; its pod is made there, bound to a node at its port."""
    folder = world.folder
    etcd_port, peer_port, api_port = _free_port(), _free_port(), _free_port()
    api = world.server_ca.issue("apiserver", server=True)
    client = world.client_ca.issue("kube-apiserver-kubelet-client", ["system:masters"])
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    files = {
        "api.crt": api.certificate, "api.key": api.key, "client.crt": client.certificate, "client.key": client.key,
        "sa.key": key, "tokens.csv": f'{TOKEN},admin,1,"system:masters"\n'.encode(),
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    etcd = [
        binaries / "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync",
        "--listen-client-urls", f"http://127.0.0.1:{etcd_port}",
        "--advertise-client-urls", f"http://127.0.0.1:{etcd_port}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer_port}",
    ]  # fmt: skip
    apiserver = [
        binaries / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--bind-address=127.0.0.1",
        f"--secure-port={api_port}", "--advertise-address=127.0.0.1", f"--tls-cert-file={folder}/api.crt",
        f"--tls-private-key-file={folder}/api.key", f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC", "--service-account-issuer=https://test", "--anonymous-auth=false",
        f"--service-account-key-file={folder}/sa.key", f"--service-account-signing-key-file={folder}/sa.key",
        "--service-cluster-ip-range=10.96.0.0/16", "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        f"--kubelet-client-certificate={folder}/client.crt", f"--kubelet-client-key={folder}/client.key",
        "--kubelet-preferred-address-types=InternalIP", f"--cert-dir={folder}",
    ]  # fmt: skip
    processes = []
    try:
        for name, words in (("etcd", etcd), ("apiserver", apiserver)):
            with (folder / f"{name}.log").open("wb") as log:
                processes.append(
                    await asyncio.create_subprocess_exec(*(str(word) for word in words), stdout=log, stderr=log)
                )
        await _prepare(world, f"https://127.0.0.1:{api_port}")
        config = folder / "kubeconfig"
        config.write_text(_kubeconfig(f"https://127.0.0.1:{api_port}", folder))
        yield config
    finally:
        for process in reversed(processes):
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _prepare(world: Streaming, url: str) -> None:
    (world.folder / "ca.crt").write_text(world.server_ca.pem)
    context = ssl.create_default_context(cadata=world.server_ca.pem)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(url, headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:
        async with asyncio.timeout(START_S):
            while not await _is_ready(session):  # noqa: ASYNC110 -- of another process
                await asyncio.sleep(0.1)
        node = {"metadata": {"name": "virtual"}}
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": world.port}},
        }
        pod = {
            "metadata": {"name": "api-0"},
            "spec": {"nodeName": "virtual", "containers": [{"name": "app", "image": "busybox"}]},
        }
        await _send(session, "POST", "/api/v1/nodes", node)
        await _send(session, "PATCH", "/api/v1/nodes/virtual/status", {"status": status})
        await _send(session, "POST", "/api/v1/namespaces", {"metadata": {"name": "web"}})
        await _send(session, "POST", "/api/v1/namespaces/web/pods", pod)
        running = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        await _send(session, "PATCH", "/api/v1/namespaces/web/pods/api-0/status", {"status": running})


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _send(session: aiohttp.ClientSession, method: str, path: str, body: object) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    async with session.request(method, path, data=json.dumps(body), headers={"Content-Type": kind}) as answer:
        assert answer.status < 300, await answer.text()


def _kubeconfig(url: str, folder: Path) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "t", "cluster": {"server": url, "certificate-authority": str(folder / "ca.crt")}},
            ],
            "users": [{"name": "t", "user": {"token": TOKEN}}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t", "namespace": "web"}}],
            "current-context": "t",
        }
    )
