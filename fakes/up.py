"""The whole thing on one machine: fake cloud, embedded cluster and the provider, each a process of its own.

`python -m fakes up` keeps it running until Ctrl-C. The provider is started with the flags a user would give; nothing
of it is imported here.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from fakes.api_client import ApiClient, ApiRefused
from fakes.console import Console
from fakes.processes import Child, ChildFailed
from fakes.startup import port

ACCESS_KEY, SECRET_KEY = "testid", "testsecret"
NODE_NAME = "virtual-kubelet"
REGION = "cn-hangzhou"
METRICS_INTERVAL_S = 15  # as metrics-server's own manifest has it


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose of the local cluster. Ports: 0 = any free one. dashboard_port None: no live page.

    kubeconfig: where the embedded cluster writes its own; where is_running, that of a cluster that runs already.
    node_ip: where that cluster reaches the kubelet API.
    """

    directory: Path
    kubeconfig: Path
    is_running: bool = False
    node_ip: str = "127.0.0.1"
    runtime: str = "process"
    images: Path | None = None
    cloud_port: int = 0
    kube_port: int = 0
    kubelet_port: int = 0
    dashboard_port: int | None = None
    cloud_arguments: tuple[str, ...] = ()
    provider_arguments: tuple[str, ...] = ()


@dataclass(slots=True)
class Local:
    """The running parts and how to reach them. containers: how the fake cloud runs pods' commands, for people.

    kube: None where the cluster is somebody else's.
    """

    settings: Settings
    cloud: Child
    kube: Child | None
    provider: Child
    endpoint: str
    containers: str

    @property
    def kubeconfig(self) -> Path:
        return self.settings.kubeconfig

    @property
    def children(self) -> tuple[Child, ...]:
        return self.cloud, *([self.kube] if self.kube else []), self.provider

    async def first_to_end(self) -> Child:
        """The part that ends first; none should."""
        waits = {asyncio.ensure_future(child.wait()): child for child in self.children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for wait in waits:
                wait.cancel()


async def start(stack: AsyncExitStack, settings: Settings, said: Callable[[str], None]) -> Local:
    """Start all three; `stack` stops them in reverse order. Raises ChildFailed."""
    directory = settings.directory
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("cloud", "kube"):
        (directory / f"{name}.ready").unlink(missing_ok=True)
    said("fake ECI cloud")
    cloud = await _child(stack, "cloud", _cloud_arguments(settings), directory)
    kube = None
    if not settings.is_running:
        said("embedded cluster")
        kube = await _child(stack, "kube", _kube_arguments(settings), directory)
    endpoint = str((await cloud.ready(directory / "cloud.ready", within_s=30))["endpoint"])
    if kube is not None:
        await kube.ready(directory / "kube.ready", within_s=30)
    said("provider")
    provider = await start_provider(stack, settings, endpoint)
    return Local(settings, cloud, kube, provider, endpoint, await _containers(endpoint))


async def _containers(endpoint: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{endpoint}/_admin/runtime") as answer:
        return str((await answer.json())["containers"])


async def start_cluster(stack: AsyncExitStack, settings: Settings, beside: Local) -> Local:
    """Another cluster, whose provider uses the same cloud and account as that of `beside`. Raises ChildFailed."""
    settings.directory.mkdir(parents=True, exist_ok=True)
    kube = await _child(stack, "kube", _kube_arguments(settings), settings.directory)
    await kube.ready(settings.directory / "kube.ready", within_s=30)
    provider = await start_provider(stack, settings, beside.endpoint)
    return Local(settings, beside.cloud, kube, provider, beside.endpoint, beside.containers)


async def start_provider(stack: AsyncExitStack, settings: Settings, endpoint: str) -> Child:
    arguments = [
        "vk_provider",
        "run",
        f"--kubeconfig={settings.kubeconfig}",
        f"--node-name={NODE_NAME}",
        f"--node-ip={settings.node_ip}",
        f"--kubelet-port={settings.kubelet_port}",
        *([f"--dashboard-address=127.0.0.1:{settings.dashboard_port}"] if settings.dashboard_port is not None else []),
        f"--eci-endpoint={endpoint}",
        f"--eci-region={REGION}",
        "--cluster-name=local",
        "--serving-certificate=self-signed",  # the embedded cluster signs none
        *settings.provider_arguments,
    ]
    keys = {"ECI_ACCESS_KEY": ACCESS_KEY, "ECI_SECRET_KEY": SECRET_KEY}
    return await _child(stack, "provider", arguments, settings.directory, keys)


async def _child(
    stack: AsyncExitStack, name: str, arguments: list[str], directory: Path, env: Mapping[str, str] | None = None
) -> Child:
    child = await Child.start(name, arguments, directory=directory, env=env)
    stack.push_async_callback(child.stop)
    return child


def _cloud_arguments(settings: Settings) -> list[str]:
    images = [f"--images={settings.images}"] if settings.images else []
    return [
        "fakes",
        "cloud",
        f"--port={settings.cloud_port}",
        f"--runtime={settings.runtime}",
        f"--ready-file={settings.directory / 'cloud.ready'}",
        f"--state-dir={settings.directory / 'cloud'}",
        *images,
        *settings.cloud_arguments,
    ]


def _kube_arguments(settings: Settings) -> list[str]:
    return [
        "fakes",
        "kube",
        f"--port={settings.kube_port}",
        f"--kubeconfig={settings.kubeconfig}",
        f"--ready-file={settings.directory / 'kube.ready'}",
        f"--metrics-interval={METRICS_INTERVAL_S}",
    ]


# --- python -m fakes up ---


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """What `up` and `demo` have in common: where things are written, and on which cluster they play."""
    parser.add_argument("--dir", type=Path, help="where kubeconfig and logs go (default: a new temporary folder)")
    parser.add_argument("--kubeconfig", type=Path, help="of a cluster that runs already (default: the embedded one)")
    parser.add_argument("--node-ip", default="127.0.0.1", help="where that cluster reaches the kubelet API")


def cluster_of(args: argparse.Namespace, directory: Path) -> Mapping[str, Any]:
    """Those arguments as fields of Settings."""
    found: Path | None = args.kubeconfig
    kubeconfig = found or directory / "kubeconfig"
    return {"directory": directory, "kubeconfig": kubeconfig, "is_running": found is not None, "node_ip": args.node_ip}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cluster_arguments(parser)
    parser.add_argument("--runtime", choices=("process", "simulated"), default="process", help="of the fake cloud")
    parser.add_argument("--images", type=Path, help="images file of the fake cloud (TOML)")
    parser.add_argument("--cloud-port", type=port, default=0, help="port of the fake cloud; 0 = any")
    parser.add_argument("--kube-port", type=port, default=0, help="port of the embedded API server; 0 = any")
    parser.add_argument("--kubelet-port", type=port, default=0, help="port of the kubelet API; 0 = any")
    parser.add_argument("--dashboard-port", type=port, default=0, help="port of the provider's live page; 0 = any")


async def serve(args: argparse.Namespace) -> None:
    """Start everything, say how to use it, and stay until told to stop or a part ends."""
    console = Console.of_terminal()
    directory = args.dir or Path(tempfile.mkdtemp(prefix="vk-local-"))
    settings = Settings(
        **cluster_of(args, directory),
        runtime=args.runtime,
        images=args.images,
        cloud_port=args.cloud_port,
        kube_port=args.kube_port,
        kubelet_port=args.kubelet_port,
        dashboard_port=args.dashboard_port,
    )
    try:
        async with AsyncExitStack() as stack:
            local = await start(stack, settings, lambda part: console.step(f"starting the {part}"))
            await _wait_for_node(local)
            await _wait_for_dashboard(local)
            console.text(welcome(local))
            ended = await local.first_to_end()
            raise SystemExit(f"{ended.name} ended with code {ended.ended}:\n{ended.tail()}\nlogs: {directory}")
    except (ChildFailed, ApiRefused, TimeoutError, aiohttp.ClientError) as error:
        raise SystemExit(f"fakes up: {error}\nlogs: {directory}") from error
    except asyncio.CancelledError:  # as it should end; else the logs are wanted
        if args.dir is None:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        console.text("stopped; nothing is left running")


async def _wait_for_node(local: Local) -> None:
    async with ApiClient.from_kubeconfig(local.kubeconfig) as api:
        await api.wait_for(f"/api/v1/nodes/{NODE_NAME}", is_ready, within_s=60, alive=local.provider)


async def _wait_for_dashboard(local: Local, *, within_s: float = 10.0) -> None:
    """The page is no condition for anything: without it the cluster is up all the same."""
    for _ in range(round(within_s / 0.1)):
        if local.settings.dashboard_port is None or dashboard_url(local):
            return
        await asyncio.sleep(0.1)


def is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def dashboard_url(local: Local) -> str:
    """As the provider's log names it last; empty where it serves none (yet)."""
    found = re.findall(r"dashboard url=([^\s\"]+)", local.provider.log.read_text(errors="replace"))
    return found[-1] if found else ""


def welcome(local: Local) -> str:
    kubectl = "kubectl" if shutil.which("kubectl") else "kubectl (not installed here; any version from 1.20 on)"
    cluster = "the cluster is yours" if local.settings.is_running else "it is no Kubernetes"
    return f"""
The local cluster is up (a stand-in for local use: {cluster}, and the cloud is no cloud).

How pods' commands run here: {local.containers}

  export KUBECONFIG={local.kubeconfig}

Things to try with {kubectl}:

  kubectl get nodes -o wide
  kubectl create namespace vk
  kubectl label namespace vk virtual-node-affinity-injection=enabled
  kubectl -n vk create job hello --image=busybox -- sh -c 'echo hello from $(hostname); date'
  kubectl -n vk get pods -w
  kubectl -n vk describe pod -l job-name=hello
  kubectl -n vk logs -f job/hello
  curl -s {local.endpoint}/_admin/bill        # what the cloud charges
  vk-provider status                          # what the provider does; also: explain NAMESPACE/POD, instances

  export ECI_REGION={REGION} ECI_ENDPOINT={local.endpoint} ECI_ACCESS_KEY={ACCESS_KEY} ECI_SECRET_KEY={SECRET_KEY}
  vk-provider doctor                          # is all there that pods need? It asks the cloud, too

What the provider does, live: {dashboard_url(local) or "(no page)"}

Logs of the parts: {local.settings.directory}   (process {os.getpid()}; Ctrl-C stops everything)
"""
