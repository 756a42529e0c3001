"""The whole thing on this machine: fake cloud, embedded cluster, provider, each a process; and real kubectl."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from fakes.api_client import ApiClient
from fakes.up import NODE_NAME, Local, Settings, is_ready, start, start_cluster, start_provider
from tests.leaks import note
from tests.programs import NO_KUBECTL


class World:
    """A running local cluster, with the words the tests need."""

    def __init__(self, stack: AsyncExitStack, local: Local, api: ApiClient) -> None:
        self._stack = stack
        self.local = local
        self.api = api

    def needs_networks(self) -> None:
        """For servers that are dialled at their pod's address, or share a port: skips where there are none."""
        if "on paper only" in self.local.cloud.log.read_text():
            pytest.skip("pods have no networks of their own here; run as root, who may make bridges (CAP_NET_ADMIN)")

    # --- kubectl ---

    async def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """What kubectl prints. Raises AssertionError with its words when it fails."""
        process = await self.start_kubectl(*arguments)
        output, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 120)
        text = output.decode()
        assert not check or process.returncode == 0, f"kubectl {' '.join(arguments)}: {text}"
        return text

    async def start_kubectl(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            os.environ.get("KUBECTL", "kubectl"),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "KUBECONFIG": str(self.local.kubeconfig)},
            limit=2**20,
        )

    async def apply(self, *documents: dict) -> None:
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    async def namespace(self, name: str = "vk") -> None:
        labels = {"virtual-node-affinity-injection": "enabled"}
        await self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    # --- what there is ---

    async def pods(self, namespace: str = "vk", **params: str) -> list[dict]:
        return (await self.api.get(f"/api/v1/namespaces/{namespace}/pods", **params))["items"]

    async def pod(self, name: str, namespace: str = "vk") -> dict:
        return await self.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    async def events(self, uid: str, namespace: str = "vk") -> list[dict]:
        path = f"/api/v1/namespaces/{namespace}/events"
        events = (await self.api.get(path, fieldSelector=f"involvedObject.uid={uid}"))["items"]
        return sorted(events, key=lambda each: (each.get("lastTimestamp") or "", each["metadata"]["name"]))

    async def cloud(self, path: str, method: str = "GET", body: dict | None = None) -> dict:
        """The fake cloud's admin API, as state, bill, journal, faults."""
        url = f"{self.local.endpoint}/_admin/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as answer:
            assert answer.status < 400, await answer.text()
            return await answer.json()

    async def groups(self) -> list[dict]:
        return (await self.cloud("state"))["groups"]

    async def until(self, holds, *, within_s: float = 120, what: str = "") -> object:
        """Wait until the awaitable function gives something true, and give that."""
        deadline = asyncio.get_running_loop().time() + within_s
        last: object = None
        while asyncio.get_running_loop().time() < deadline:
            last = await holds()
            if last:
                return last
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {within_s:g} s: {what or holds.__name__}; {self.local.provider.tail(15)}")

    async def phase(self, name: str, wanted: str, *, within_s: float = 120) -> dict:
        async def reached():
            found = await self.pods(fieldSelector=f"metadata.name={name}")
            return found[0] if found and found[0]["status"].get("phase") == wanted else None

        return await self.until(reached, within_s=within_s, what=f"pod {name} is {wanted}")

    async def until_gone(self, uid: str, *, within_s: float = 90) -> None:
        """Neither the pod nor an instance of it is left."""

        async def gone():
            pods = [pod for pod in await self.pods() if pod["metadata"]["uid"] == uid]
            groups = [group for group in await self.groups() if uid in group["tags"].values()]
            return not pods and not groups

        await self.until(gone, within_s=within_s)

    # --- the provider's life ---

    async def tell_all(self) -> None:
        """Write down what a user could read, for the watch over secrets."""
        pods = (await self.api.get("/api/v1/pods"))["items"]
        nodes = (await self.api.get("/api/v1/nodes"))["items"]
        events = (await self.api.get("/api/v1/events"))["items"]
        told = [{"name": each["metadata"]["name"], "status": each.get("status")} for each in [*pods, *nodes]]
        note(self.local.settings.directory, "told", *told, *events)

    async def crash(self) -> None:
        """kill -9."""
        self.local.provider.kill()
        await self.local.provider.wait()

    async def restart(self) -> None:
        self.local.provider = await start_provider(self._stack, self.local.settings, self.local.endpoint)


async def make_world(stack: AsyncExitStack, directory: Path, **settings) -> World:
    if shutil.which(os.environ.get("KUBECTL", "kubectl")) is None:
        pytest.skip(NO_KUBECTL)
    flags = ("--log-level=debug", *settings.pop("provider_arguments", ()))
    made = Settings(directory=directory, kubeconfig=directory / "kubeconfig", provider_arguments=flags, **settings)
    local = await start(stack, made, lambda part: None)
    api = await stack.enter_async_context(ApiClient.from_kubeconfig(local.kubeconfig))
    world = World(stack, local, api)
    stack.push_async_callback(world.tell_all)
    await api.wait_for(f"/api/v1/nodes/{NODE_NAME}", is_ready, within_s=60, alive=local.provider)
    await world.namespace()
    return world


async def make_neighbour(stack: AsyncExitStack, world: World) -> World:
    """Another cluster of the same settings in the same account."""
    directory = world.local.settings.directory / "neighbour"
    settings = replace(world.local.settings, directory=directory, kubeconfig=directory / "kubeconfig")
    local = await start_cluster(stack, settings, world.local)
    api = await stack.enter_async_context(ApiClient.from_kubeconfig(local.kubeconfig))
    neighbour = World(stack, local, api)
    await api.wait_for(f"/api/v1/nodes/{NODE_NAME}", is_ready, within_s=60, alive=local.provider)
    await neighbour.namespace()
    return neighbour


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    """Real processes behind the pods; shared by a module, whose tests use names of their own."""
    async with AsyncExitStack() as stack:
        yield await make_world(stack, tmp_path_factory.mktemp("local"))


@pytest.fixture
async def make(tmp_path):
    """Makes a world of the test's own: `await make(scenario=TOML)` has a simulated cloud, without it a real one."""
    async with AsyncExitStack() as stack:

        async def made(*, scenario: str | None = None, **settings) -> World:
            if scenario is None:
                return await make_world(stack, tmp_path, **settings)
            file = tmp_path / "scenario.toml"
            file.write_text(scenario)
            arguments = (f"--scenario={file}", "--no-rate-limits", *settings.pop("cloud_arguments", ()))
            return await make_world(stack, tmp_path, runtime="simulated", cloud_arguments=arguments, **settings)

        yield made


def pod(name: str, *command: str, image: str = "busybox", **spec) -> dict:
    """A manifest. command: a shell line, or nothing for the image's own."""
    container = {"name": "c", "image": image, **({"command": ["sh", "-c", *command]} if command else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "vk"},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }


def job(name: str, *command: str, namespace: str = "vk", **spec) -> dict:
    template = pod(name, *command)
    template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": template["spec"]}, **spec},
    }
