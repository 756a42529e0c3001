"""Where the cases are played: the stand-in cluster with the fake cloud, the built control plane, or a real node."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fakes.api_client import ApiClient
from fakes.up import NODE_NAME, Settings, is_ready, start
from tests.contract.kube.client import Client
from tests.e2e import build, network
from tests.e2e import provider as providers
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster
from tests.e2e.controlplane import ControlPlane
from tests.oracle import images

REAL_NODE = "real"  # the node of realnode/
# What the records' kubelet was told: its cluster's resolver, and no unsafe sysctls, which is a kubelet's default.
FLAGS = ("--cluster-dns=10.96.0.10", "--allowed-unsafe-sysctls=")


@dataclass(frozen=True, slots=True)
class Stage:
    """placed: pods must be sent to the node, since the cluster has others."""

    client: Client
    kubeconfig: Path
    node: str
    placed: bool


def of_environment(directory: Path) -> AbstractContextManager[Stage]:
    """As PLANE says: `real` is the built control plane, anything else the stand-in cluster."""
    return built(directory) if os.environ.get("PLANE") == "real" else local(directory)


@contextmanager
def local(directory: Path) -> Iterator[Stage]:
    """The stand-in cluster, the fake cloud and the provider, as processes; gone at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    began = threading.Event()
    stop: list[Callable[[], object]] = []
    trouble: list[BaseException] = []
    kubeconfig = directory / "kubeconfig"

    async def up() -> None:
        async with AsyncExitStack() as stack:
            settings = Settings(
                directory=directory,
                kubeconfig=kubeconfig,
                images=images.write(directory),
                cloud_arguments=("--no-rate-limits",),
                provider_arguments=FLAGS,
            )
            running = await start(stack, settings, lambda part: None)
            async with ApiClient.from_kubeconfig(kubeconfig) as api:
                await api.wait_for(f"/api/v1/nodes/{NODE_NAME}", is_ready, within_s=60, alive=running.provider)
            done = asyncio.Event()
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(done.set))
            began.set()
            await done.wait()

    def run() -> None:
        try:
            asyncio.run(up())
        except BaseException as error:  # told to the caller, who waits
            trouble.append(error)
        finally:
            began.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        began.wait()
        if trouble:
            raise trouble[0]
        yield Stage(Client(kubeconfig), kubeconfig, NODE_NAME, placed=True)
    finally:
        for each in stop:
            each()
        thread.join()


@contextmanager
def built(directory: Path) -> Iterator[Stage]:
    """The control plane of `make e2e`, the fake cloud and the provider as deploy/ runs it."""
    directory.mkdir(parents=True, exist_ok=True)
    programs = build.programs()
    plane = ControlPlane(programs, directory / "plane", address=network.enter())
    cloud = Cloud(directory, images=images.write(directory / "images").read_text())
    try:
        plane.start()
        cloud.start()
        cluster = Cluster(plane.kubeconfig, address=plane.address)
        providers.install(cluster)
        provider = providers.Provider(cluster, directory, endpoint=cloud.endpoint, node=NODE_NAME, flags=FLAGS)
        try:
            provider.start()
            yield Stage(Client(plane.kubeconfig), plane.kubeconfig, NODE_NAME, placed=True)
        finally:
            provider.remove()
    finally:
        cloud.stop()
        plane.stop()
