"""The processes of a run (control plane, fake cloud, provider, bare node, watcher) and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.processes import Child
from tests.bench.api import Api, Json
from tests.e2e import build, network
from tests.e2e.controlplane import ControlPlane

TICKS = os.sysconf("SC_CLK_TCK")
ACCESS_KEY, SECRET_KEY = "testid", "testsecret"
# The calls' limits would say how long a burst takes; here it is to be ourselves.
UNLIMITED = ",".join(
    f"{name}=1000000"
    for name in (
        "CreateContainerGroup",
        "DeleteContainerGroup",
        "DescribeContainerGroups",
        "DescribeContainerGroupStatus",
        "DescribeContainerGroupEvents",
    )
)


@dataclass(frozen=True, slots=True)
class Plane:
    name: str
    kubeconfig: Path
    address: str  # at which it reaches a node


@asynccontextmanager
async def control_plane(directory: Path, address: str, *, wanted: str) -> AsyncIterator[Plane]:
    """wanted: `real`, `embedded` or `auto`, which is real where the programs are there already."""
    programs = _programs() if wanted != "embedded" else None
    if programs is None and wanted == "real":
        programs = build.programs()
    if programs is not None:
        plane = ControlPlane(programs, directory / "plane", address=address, bare=True)
        try:
            await asyncio.to_thread(plane.start)
            async with Api(plane.kubeconfig) as api:
                version = (await api.get("/version"))["gitVersion"]
            yield Plane(f"kube-apiserver {version}", plane.kubeconfig, address)
        finally:
            await asyncio.to_thread(plane.stop)
        return
    kubeconfig, ready = directory / "kubeconfig", directory / "kube.ready"
    words = ["fakes", "kube", "--no-controllers", f"--kubeconfig={kubeconfig}", f"--ready-file={ready}", "--nodes=0"]
    child = await Child.start("kube", words, directory=directory)
    try:
        await child.ready(ready, within_s=30)
        yield Plane("the embedded control plane", kubeconfig, "127.0.0.1")
    finally:
        await child.stop()


def _programs() -> Path | None:
    """Those that are there; nothing is built."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        return build.programs()
    return build.built()


def own_network() -> str:
    """To be called before any thread is started."""
    return network.enter()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has used so far."""

    cpu_s: float
    rss_mb: float
    peak_mb: float

    @classmethod
    def of(cls, pid: int) -> Cost:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
        return cls((int(fields[11]) + int(fields[12])) / TICKS, int(status["VmRSS"]) / 1e3, int(status["VmHWM"]) / 1e3)


def parts_cpu_s() -> dict[str, float]:
    """CPU seconds so far of every process of this run that lives, by what it is."""
    found: dict[int, tuple[int, str, float]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_text().replace("\0", " ")
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(directory.name)] = int(fields[1]), words, (int(fields[11]) + int(fields[12])) / TICKS
    spent: Counter[str] = Counter()
    for pid, (parent, words, cpu_s) in found.items():
        while parent not in (0, os.getpid()) and parent in found:
            parent = found[parent][0]
        if parent == os.getpid() or pid == os.getpid():
            spent[next((name for mark, name in _PARTS if mark in words), "the rest")] += cpu_s
    return dict(spent)


_PARTS = (
    ("vk_provider run", "provider"),
    ("fakes cloud", "fake cloud"),
    ("kube-apiserver", "API server"),
    ("fakes kube", "API server"),
    ("etcd", "etcd"),
    ("tests.bench.watcher", "watcher"),
    ("tests.bench.barenode", "bare client"),
    ("--create-takes=", "Go library"),
    ("tests.bench", "whoever makes the pods"),
)


class Cloud:
    """The fake cloud. create_s: how long a create call takes."""

    def __init__(self, child: Child, endpoint: str, journal: Path) -> None:
        self.child, self.endpoint, self._journal = child, endpoint, journal

    @classmethod
    async def start(cls, directory: Path, *arguments: str, create_s: float = 0.1, name: str = "cloud") -> Cloud:
        ready, journal = directory / f"{name}.ready", directory / f"{name}.journal"
        ready.unlink(missing_ok=True)
        words = ["fakes", "cloud", f"--ready-file={ready}", f"--journal={journal}", "--no-rate-limits", *arguments]
        child = await Child.start(name, words, directory=directory)
        cloud = cls(child, str((await child.ready(ready, within_s=30))["endpoint"]), journal)
        if create_s:
            rule = {"kind": "delay", "action": "CreateContainerGroup", "seconds": create_s, "count": -1}
            await asyncio.to_thread(cloud._post, "faults", rule)
        return cloud

    def _post(self, what: str, body: Json) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.endpoint}/_admin/{what}", json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=30).close()

    def uids(self) -> dict[str, str]:
        """Instance id → pod uid, of all there ever were."""
        with urllib.request.urlopen(f"{self.endpoint}/_admin/bill", timeout=60) as answer:
            return {group["id"]: group["tags"].get("vk-pod-uid", "") for group in json.load(answer)["groups"]}

    def journal(self) -> list[Json]:
        return [json.loads(line) for line in self._journal.read_text().splitlines()]


class Watcher:
    """The watching process of one node, and what it has written down."""

    def __init__(self, child: Child, file: Path) -> None:
        self.child, self._file = child, file
        self._read = 0
        self.facts: dict[str, dict[str, float]] = {}  # uid → what → when
        self.names: dict[str, str] = {}

    @classmethod
    async def start(cls, directory: Path, kubeconfig: Path, node: str) -> Watcher:
        file = directory / f"watcher-{node}.facts"
        file.unlink(missing_ok=True)
        name = f"watcher-{node}"
        (directory / f"{name}.log").unlink(missing_ok=True)
        child = await Child.start(name, ["tests.bench.watcher", str(kubeconfig), node, str(file)], directory=directory)
        await until(lambda: "watching" in child.tail(), within_s=30, told=child.tail)
        return cls(child, file)

    def look(self) -> None:
        """Take in what was written since."""
        with self._file.open() as file:
            file.seek(self._read)
            while (line := file.readline()).endswith("\n"):
                self._read = file.tell()
                fact = json.loads(line)
                self.names[fact["uid"]] = fact["name"]
                self.facts.setdefault(fact["uid"], {}).setdefault(fact["what"], fact["at"])

    def count(self, what: str, prefix: str) -> int:
        self.look()
        return sum(1 for uid, facts in self.facts.items() if what in facts and self.names[uid].startswith(prefix))

    def times(self, what: str, prefix: str) -> dict[str, float]:
        """uid → when."""
        self.look()
        return {u: f[what] for u, f in self.facts.items() if what in f and self.names[u].startswith(prefix)}


class Provider:
    """The provider as a user starts it."""

    def __init__(
        self,
        directory: Path,
        plane: Plane,
        cloud: Cloud,
        node: str,
        flags: Sequence[str] = (),
        *,
        profile: Path | None = None,
        program: Sequence[str] = ("vk_provider",),
    ) -> None:
        """program: the module to run, and its first words."""
        self.node = node
        self._directory, self._plane, self._cloud, self._flags = directory, plane, cloud, flags
        self._profile, self._program = profile, program
        self.child: Child | None = None

    async def start(self) -> None:
        words = [
            *(("cProfile", "-o", str(self._profile), "-m") if self._profile else ()),
            *self._program,
            "run",
            f"--kubeconfig={self._plane.kubeconfig}",
            f"--node-name={self.node}",
            f"--node-ip={self._plane.address}",
            "--kubelet-port=0",
            f"--eci-endpoint={self._cloud.endpoint}",
            "--eci-region=cn-hangzhou",
            "--cluster-name=bench",
            "--serving-certificate=self-signed",
            "--quota-pods=20000",
            f"--eci-calls-per-minute={UNLIMITED}",
            *self._flags,
        ]
        keys = {"ECI_ACCESS_KEY": ACCESS_KEY, "ECI_SECRET_KEY": SECRET_KEY, "PYTHONUNBUFFERED": ""}
        self.child = await Child.start(f"provider-{self.node}", words, directory=self._directory, env=keys)

    async def ready(self, api: Api) -> None:
        child = self.child
        assert child is not None
        async with asyncio.timeout(60):
            while True:
                assert child.ended is None, child.tail(30)
                try:
                    node = await api.get(f"/api/v1/nodes/{self.node}")
                except RuntimeError:
                    node = {}
                conditions = node.get("status", {}).get("conditions", ())
                if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                    return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.child is not None:
            await self.child.stop()

    def cost(self) -> Cost:
        assert self.child is not None
        return Cost.of(self.child.pid)

    async def counts(self, api: Api) -> Counts:
        text = (await api.send("GET", f"/api/v1/nodes/{self.node}/proxy/metrics")).decode()
        counts = Counts()
        for name, labels, value in re.findall(r"^(vk_\w+_total)\{([^}]*)\} (\S+)$", text, re.MULTILINE):
            given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if name == "vk_kube_requests_total" and given["resource"] not in ("tokenreviews", "subjectaccessreviews"):
                counts.kube[f"{given['verb']} {given['resource']}"] += int(float(value))
            if name == "vk_reconcile_actions_total":
                counts.looks[given["action"]] += int(float(value))
            if name == "vk_cloud_calls_total":
                counts.cloud[given["action"]] += int(float(value))
        return counts


@dataclass(slots=True)
class Counts:
    """So far: requests to the API server by verb and resource, to the cloud by action; looks at pods by what they led
    to."""

    kube: Counter[str] = field(default_factory=Counter)
    cloud: Counter[str] = field(default_factory=Counter)
    looks: Counter[str] = field(default_factory=Counter)

    def __sub__(self, before: Counts) -> Counts:
        return Counts(self.kube - before.kube, self.cloud - before.cloud, self.looks - before.looks)


async def start_bare(directory: Path, plane: Plane, node: str, *, statuses: int = 2) -> Child:
    name = f"bare-{node}"
    (directory / f"{name}.log").unlink(missing_ok=True)
    words = ["tests.bench.barenode", str(plane.kubeconfig), node, f"--statuses={statuses}"]
    child = await Child.start(name, words, directory=directory)
    await until(lambda: "watching" in child.tail(), within_s=30, told=child.tail)
    return child


async def until(holds: Any, *, within_s: float, told: Any = lambda: "") -> float:
    """Seconds that it took. Raises TimeoutError."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"not within {within_s:g} s: {told()}")
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def machine() -> str:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} × {model.group(1) if model else 'CPU'}, Python {sys.version.split()[0]}"


async def begun(stack: AsyncExitStack, directory: Path, api: Api, provider: Provider, plane: Plane) -> Watcher:
    """Starts the provider and a watcher of its node, and gives both time to come to rest; ends them with the stack."""
    stack.push_async_callback(provider.stop)
    await provider.start()
    await provider.ready(api)
    watcher = await Watcher.start(directory, plane.kubeconfig, provider.node)
    stack.push_async_callback(watcher.child.stop)
    await asyncio.sleep(3)
    return watcher
