"""The parts of a run, each a process: a control plane, the simulated cloud, the provider; and the proxy between."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from fakes.api_client import ApiClient, ApiRefused
from tests.chaos.clock import SetClock
from tests.chaos.proxy import Proxy
from tests.chaos.story import NAMESPACE, SCENARIO
from tests.chaos.witness import Witness
from tests.e2e import build, network
from tests.e2e.controlplane import ControlPlane
from tests.e2e.processes import Process

NODE = "virtual-kubelet"
KEY_ID, KEY_SECRET = "testid", "chaos-planted-secret-5Yq"
READY_WITHIN_S = 60
MERGE = "application/merge-patch+json"
Json = dict[str, Any]


class Stage:
    """Everything of a run. `plane` is None with the stand-in cluster, which forgets all when it ends.

    bug: the name of one in `bugs` that the provider is started with. extra: instances that we made, by the uid on them.
    """

    def __init__(self, directory: Path, *, bug: str = "") -> None:
        self.directory = directory
        self._bug = bug
        self.clock = SetClock(directory / "clock")
        self.plane: ControlPlane | None = None
        self._fakes: list[Process] = []
        self.endpoint = ""
        self.provider_starts = 0
        self.crashed: list[str] = []
        self.disruptions = 0
        self.extra: Counter[str] = Counter()

    @asynccontextmanager
    async def set_up(self, *, real: bool) -> AsyncIterator[Stage]:
        async with AsyncExitStack() as stack:
            kubeconfig = self._real_plane(stack) if real else await self._embedded_plane(stack)
            await self._cloud(stack)
            self.api = await stack.enter_async_context(ApiClient.from_kubeconfig(kubeconfig))
            self.server, self.tls = ApiClient.access(kubeconfig)
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls))
            )
            self.proxy = await stack.enter_async_context(
                Proxy(self.server, self.tls, directory=self.directory).serving()
            )
            await self.cloud("credentials", access_key_id=KEY_ID, access_key_secret=KEY_SECRET)
            (self.directory / "provider.kubeconfig").write_text(self.proxy.kubeconfig)
            stack.callback(self._stop_provider)
            self.start_provider()
            await self.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            await self.until_node_is_ready()
            self.witness = Witness(self.server, self.tls, NAMESPACE)
            watching = asyncio.create_task(self.witness.run())
            try:
                yield self
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    def _real_plane(self, stack: AsyncExitStack) -> Path:
        programs = build.programs()
        self.plane = ControlPlane(programs, self.directory / "plane", address=network.enter())
        stack.callback(self.plane.stop)
        self.plane.start()
        return self.plane.kubeconfig

    async def _embedded_plane(self, stack: AsyncExitStack) -> Path:
        kubeconfig = self.directory / "kubeconfig"
        ready = self.directory / "kube.ready"
        await self._fake(stack, "kube", f"--kubeconfig={kubeconfig}", ready=ready)
        return kubeconfig

    async def _cloud(self, stack: AsyncExitStack) -> None:
        scenario = self.directory / "scenario.toml"
        scenario.write_text(SCENARIO)
        ready = self.directory / "cloud.ready"
        arguments = ("--runtime=simulated", "--start-delay=0.5", "--no-rate-limits", f"--scenario={scenario}")
        await self._fake(stack, "cloud", *arguments, ready=ready)
        self.endpoint = str(json.loads(ready.read_text())["endpoint"])

    async def _fake(self, stack: AsyncExitStack, name: str, *arguments: str, ready: Path) -> None:
        command = [sys.executable, "-m", "fakes", name, "--port=0", f"--ready-file={ready}", *arguments]
        process = Process(name, command, directory=self.directory)
        stack.callback(process.stop)
        process.start()
        self._fakes.append(process)

        def told() -> bool:
            assert process.runs, f"{name} ended:\n{process.tail()}"
            return ready.exists() and bool(ready.read_text())

        await self.until(lambda: asyncio.to_thread(told), within_s=READY_WITHIN_S, what=f"{name} is ready")

    # --- the provider ---

    def start_provider(self, *, log_is_full: bool = False) -> None:
        self.provider_starts += 1
        name = "full" if log_is_full else "provider"
        if log_is_full:
            link = self.directory / "full.log"
            if not link.is_symlink():
                link.symlink_to("/dev/full")
        self.provider = self._process(name)
        self.provider.start()

    def rival(self) -> Process:
        """Another provider on the same node's name, not started yet."""
        return self._process("rival")

    def _process(self, name: str) -> Process:
        command = [
            *(sys.executable, "-m", "tests.chaos.provider", str(self.directory / "clock")),
            *([f"--bug={self._bug}"] if self._bug else []),
            "run",
            f"--kubeconfig={self.directory / 'provider.kubeconfig'}",
            f"--node-name={NODE}",
            "--node-ip=127.0.0.1",
            "--kubelet-port=0",
            f"--eci-endpoint={self.endpoint.replace('127.0.0.1', 'localhost')}",
            "--eci-region=cn-hangzhou",
            "--cluster-name=chaos",
            "--serving-certificate=self-signed",
            "--sweep-interval-s=15",
            "--orphan-age-s=10",
        ]
        keys = {"ECI_ACCESS_KEY": KEY_ID, "ECI_SECRET_KEY": KEY_SECRET}
        return Process(name, command, directory=self.directory, env=keys)

    def _stop_provider(self) -> None:
        self.signal_provider(signal.SIGCONT)
        self.provider.stop()

    def crash_provider(self) -> None:
        self.note_end()
        self.provider.kill()

    def note_end(self) -> None:
        """An end that nobody ordered is kept for the auditor."""
        if self.provider.exit_code is not None:
            self.crashed.append(f"the provider ended by itself with {self.provider.exit_code}: {self.provider.tail(4)}")

    def signal_provider(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.provider_pid, number)

    @property
    def provider_pid(self) -> int:
        return self.provider.pid

    def pids(self) -> list[int]:
        """Of all parts that a pod's start goes through, ourselves among them."""
        parts = [each.pid for each in (*self._fakes, self.provider) if each.runs]
        return [os.getpid(), *parts, *(self.plane.pids if self.plane else ())]

    def limit_provider(self, kind: int, soft: int) -> tuple[int, int]:
        """Set one of its limits while it runs, as `prlimit` does; gives the old one."""
        old = resource.prlimit(self.provider_pid, kind)
        resource.prlimit(self.provider_pid, kind, (soft, old[1]))
        return old

    def proc(self, file: str) -> str:
        """What the kernel says of it, as `statm`."""
        return Path(f"/proc/{self.provider_pid}/{file}").read_text()

    def provider_log(self) -> str:
        return (self.directory / "provider.log").read_text(errors="replace")

    async def until_node_is_ready(self) -> None:
        async def ready() -> bool:
            try:
                node = await self.api.get(f"/api/v1/nodes/{NODE}")
            except (ApiRefused, aiohttp.ClientError):
                return False
            conditions = node.get("status", {}).get("conditions", ())
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

        await self.until(ready, within_s=READY_WITHIN_S, what="the node is Ready")

    # --- what is asked of the others ---

    async def cloud(self, order: str, **body: Any) -> Json:
        """An order to the cloud's admin API; `faults` takes a rule."""
        async with aiohttp.ClientSession() as session:
            url = f"{self.endpoint}/_admin/{order}"
            async with session.request("POST", url, json=body) as answer:
                assert answer.status < 400, await answer.text()
                return dict(await answer.json())

    async def cloud_says(self, what: str) -> Json:
        async with aiohttp.ClientSession() as session, session.get(f"{self.endpoint}/_admin/{what}") as answer:
            return dict(await answer.json())

    async def cloud_calm(self) -> None:
        async with aiohttp.ClientSession() as session, session.delete(f"{self.endpoint}/_admin/faults") as answer:
            assert answer.status < 400

    async def journal(self) -> list[Json]:
        entries: list[Json] = []
        while True:
            more = (await self.cloud_says(f"journal?since={entries[-1]['number'] if entries else 0}"))["entries"]
            if not more:
                return entries
            entries += more

    async def call(self, method: str, path: str, body: Json | None = None) -> int:
        """As a user of the cluster, past the proxy. Gives the status code; 0: no answer."""
        media = MERGE if method == "PATCH" else "application/json"
        try:
            async with self._session.request(
                method, self.server + path, data=json.dumps(body) if body is not None else None,
                headers={"Content-Type": media},
            ) as answer:  # fmt: skip
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def text(self, path: str) -> str:
        """What a user of the cluster reads there; empty: no answer."""
        try:
            async with self._session.get(self.server + path, timeout=aiohttp.ClientTimeout(total=20)) as answer:
                return (await answer.read()).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def until(self, holds: Any, *, within_s: float, what: str) -> None:
        end_s = asyncio.get_running_loop().time() + within_s
        while not await holds():
            if asyncio.get_running_loop().time() > end_s:
                raise AssertionError(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(0.2)
