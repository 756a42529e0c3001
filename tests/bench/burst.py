"""Pods bound at once, and deleted at once: how long, at what cost, and what the bare node makes of the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.api import Api, Json
from tests.bench.parts import Cloud, Cost, Provider, Watcher, parts_cpu_s, until

NAMESPACE = "bench"
SETTLE_S = 60.0
_EVENTS_A_POD_S = 0.1  # at 50 a second
_PER_POD_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        line = sorted(seconds)
        return cls(*(line[min(len(line) - 1, int(len(line) * share))] for share in (0.5, 0.9, 0.99)))


@dataclass(slots=True)
class Burst:
    """pods: how many. Seconds; CPU in ms a pod; counts a pod."""

    pods: int
    running_s: float = 0.0
    one_status_s: float = 0.0  # of a bare client that writes one status a pod
    gone_s: float = 0.0
    cpu_running_ms: float = 0.0
    cpu_gone_ms: float = 0.0
    rss_kb: float = 0.0
    peak_mb: float = 0.0
    bound_to_create: Spread | None = None
    cloud_to_api: Spread | None = None
    requests: Mapping[str, float] = field(default_factory=dict)
    cloud_calls: Mapping[str, float] = field(default_factory=dict)
    looks: Mapping[str, float] = field(default_factory=dict)  # at a pod until it ran and all was told of it
    looks_gone: Mapping[str, float] = field(default_factory=dict)
    parts_ms: Mapping[str, float] = field(default_factory=dict)  # CPU of every process until all run, in ms a pod
    events: float = 0.0  # that the API server has of them when all are gone

    @property
    def per_s(self) -> float:
        return self.pods / self.running_s

    @property
    def gone_per_s(self) -> float:
        return self.pods / self.gone_s


def pod(name: str, node: str, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Always",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "containers": [
                {"name": "main", "image": "busybox:1.36", "command": ["sleep", "infinity"], "resources": _SIZE}
            ],
            **spec,
        },
    }


_SIZE = {"requests": {"cpu": "250m", "memory": "512Mi"}}
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


async def create(api: Api, node: str, prefix: str, count: int) -> float:
    """All at once. Returns when it began."""
    began = time.time()
    await api.all("POST", [(_PODS, pod(f"{prefix}{number:05}", node)) for number in range(count)])
    return began


async def delete(api: Api, prefix: str, count: int) -> float:
    began = time.time()
    await api.all("DELETE", [(f"{_PODS}/{prefix}{number:05}", None) for number in range(count)])
    return began


async def of_process(api: Api, watcher: Watcher, node: str, count: int, *, pid: int, prefix: str) -> Burst:
    """Of another node than ours (the bare one, the Go library's), whose process is `pid`."""
    burst = Burst(count)
    before, parts = Cost.of(pid), parts_cpu_s()
    burst.running_s = await _until_all(watcher, "Running", prefix, count, create(api, node, prefix, count))
    burst.parts_ms = _parts_ms(parts, count)
    half = Cost.of(pid)
    burst.rss_kb = (half.rss_mb - before.rss_mb) * 1e3 / count
    burst.gone_s = await _until_all(watcher, "gone", prefix, count, delete(api, prefix, count))
    after = Cost.of(pid)
    burst.cpu_running_ms = (half.cpu_s - before.cpu_s) / count * 1e3
    burst.cpu_gone_ms = (after.cpu_s - half.cpu_s) / count * 1e3
    burst.peak_mb = after.peak_mb
    return burst


async def events_a_pod(api: Api, prefix: str, count: int) -> float:
    """How many the API server has, each counted as often as it says that it happened."""
    told, more = 0, ""
    while True:
        page = await api.get(f"/api/v1/namespaces/{NAMESPACE}/events?limit=2000{more}")
        for event in page["items"]:
            if event["involvedObject"].get("name", "").startswith(prefix):
                told += event.get("count") or 1
        if not page["metadata"].get("continue"):
            return told / count
        more = f"&continue={page['metadata']['continue']}"


async def of_provider(api: Api, watcher: Watcher, provider: Provider, cloud: Cloud, count: int) -> Burst:
    burst = await up(api, watcher, provider, cloud, count)
    await down(api, watcher, provider, burst)
    return burst


def _prefix(count: int) -> str:
    return f"b{count}-"


async def up(api: Api, watcher: Watcher, provider: Provider, cloud: Cloud, count: int) -> Burst:
    """Bound until all run; then until the provider has said all that there is to say of it."""
    prefix, burst = _prefix(count), Burst(count)
    counts, cost, parts = await provider.counts(api), provider.cost(), parts_cpu_s()
    burst.running_s = await _until_all(watcher, "Running", prefix, count, create(api, provider.node, prefix, count))
    burst.parts_ms = _parts_ms(parts, count)
    burst.cpu_running_ms = (provider.cost().cpu_s - cost.cpu_s) / count * 1e3
    burst.cloud_calls = _each(count, (await provider.counts(api) - counts).cloud)
    await quiet(api, provider, count)
    after = provider.cost()
    burst.rss_kb, burst.peak_mb = (after.rss_mb - cost.rss_mb) * 1e3 / count, after.peak_mb
    spent = await provider.counts(api) - counts
    burst.requests, burst.looks = _each(count, spent.kube), _each(count, spent.looks)
    await asyncio.to_thread(_latencies, burst, watcher, cloud, prefix)
    return burst


async def down(api: Api, watcher: Watcher, provider: Provider, burst: Burst) -> None:
    prefix, count = _prefix(burst.pods), burst.pods
    counts, cost = await provider.counts(api), provider.cost()
    burst.gone_s = await _until_all(watcher, "gone", prefix, count, delete(api, prefix, count))
    burst.cpu_gone_ms = (provider.cost().cpu_s - cost.cpu_s) / count * 1e3
    await quiet(api, provider, count)
    spent = await provider.counts(api) - counts
    gone, burst.looks_gone = _each(count, spent.kube), _each(count, spent.looks)
    burst.requests = {**burst.requests, **{f"{kind} (deleting)": number for kind, number in gone.items()}}
    burst.peak_mb = provider.cost().peak_mb
    burst.events = await events_a_pod(api, prefix, count)


async def quiet(api: Api, provider: Provider, count: int = 0) -> None:
    """Until no event is left to be sent and nothing but the node's own beats goes out."""
    deadline, before = time.monotonic() + SETTLE_S + count * _EVENTS_A_POD_S, await provider.counts(api)
    while time.monotonic() < deadline:
        await asyncio.sleep(1.5)
        now = await provider.counts(api)
        if not any("leases" not in kind and "nodes" not in kind for kind in (now - before).kube):
            return
        before = now


async def _until_all(watcher: Watcher, what: str, prefix: str, count: int, doing: Any) -> float:
    """Seconds from the first request until the API server had said it of the last pod."""
    began = await doing
    await until(
        lambda: watcher.count(what, prefix) >= count,
        within_s=60 + count * _PER_POD_WITHIN_S,
        told=lambda: f"{watcher.count(what, prefix)} of {count} {what}",
    )
    return max(watcher.times(what, prefix).values()) - began


def _latencies(burst: Burst, watcher: Watcher, cloud: Cloud, prefix: str) -> None:
    bound, running = watcher.times("bound", prefix), watcher.times("Running", prefix)
    uids = cloud.uids()
    created: dict[str, float] = {}
    began: dict[str, float] = {}
    for entry in cloud.journal():
        uid = uids.get(entry["id"], "")
        if entry["kind"] == "call" and entry["action"] == "CreateContainerGroup":
            created.setdefault(uid, entry["when"] - CREATE_S)
        if entry["kind"] == "state" and entry["new"] == "Running":
            began.setdefault(uid, entry["when"])
    burst.bound_to_create = Spread.of([max(0.0, created[uid] - at) for uid, at in bound.items()])
    burst.cloud_to_api = Spread.of([max(0.0, at - began[uid]) for uid, at in running.items()])


CREATE_S = 0.1


def _parts_ms(before: Mapping[str, float], count: int) -> dict[str, float]:
    spent = {name: (cpu_s - before.get(name, 0.0)) / count * 1e3 for name, cpu_s in parts_cpu_s().items()}
    return {name: round(ms, 2) for name, ms in sorted(spent.items()) if ms >= 0.01}


def _each(count: int, numbers: Mapping[str, int]) -> dict[str, float]:
    return {kind: round(number / count, 3) for kind, number in sorted(numbers.items()) if number}
