"""What is left when nothing happens, a trickle, and a start with pods already there."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import burst
from tests.bench.api import Api, Json
from tests.bench.burst import Burst
from tests.bench.parts import Cloud, Provider, Watcher, until


@dataclass(slots=True)
class Idle:
    """cpu_share: of one core. Requests and calls a minute; writes: those that are not the lease.

    busiest_minute: the cloud calls of that minute which had most of them.
    """

    pods: int
    cpu_share: float
    cloud_calls: float
    busiest_minute: int
    requests: float
    writes: float
    rss_mb: float


async def idle(api: Api, provider: Provider, cloud: Cloud, pods: int, *, seconds: float) -> Idle:
    """Long enough for one full count of the cloud's, which begins every 150 s where there are 5,000."""
    since = time.time()
    counts, cost, began = await provider.counts(api), provider.cost(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = provider.cost(), time.monotonic() - began
    spent = await provider.counts(api) - counts
    writes = {kind: n for kind, n in spent.kube.items() if kind.split()[0] in ("create", "update", "patch", "delete")}
    return Idle(
        pods=pods,
        cpu_share=(after.cpu_s - cost.cpu_s) / took,
        cloud_calls=spent.cloud.total() * 60 / took,
        busiest_minute=_busiest_minute(await asyncio.to_thread(cloud.journal), since),
        requests=spent.kube.total() * 60 / took,
        writes=sum(n for kind, n in writes.items() if "leases" not in kind) * 60 / took,
        rss_mb=after.rss_mb,
    )


def _busiest_minute(entries: Sequence[Json], since: float) -> int:
    calls = sorted(each["when"] for each in entries if each["kind"] == "call" and each["when"] >= since)
    return max((bisect_left(calls, at + 60.0) - number for number, at in enumerate(calls)), default=0)


async def trickle(
    api: Api, watcher: Watcher, provider: Provider, cloud: Cloud, *, seconds: float, per_s: float
) -> Burst:
    """Pods one after the other; only the latencies of the result mean something."""
    prefix, count = f"t{time.time_ns()}-", int(seconds * per_s)
    for number in range(count):
        began = time.monotonic()
        await api.send(
            "POST", f"/api/v1/namespaces/{burst.NAMESPACE}/pods", burst.pod(f"{prefix}{number:05}", provider.node)
        )
        await asyncio.sleep(max(0.0, 1 / per_s - (time.monotonic() - began)))
    await until(lambda: watcher.count("Running", prefix) >= count, within_s=60)
    found = Burst(count)
    await asyncio.to_thread(burst._latencies, found, watcher, cloud, prefix)
    await burst.delete(api, prefix, count)
    await until(lambda: watcher.count("gone", prefix) >= count, within_s=90)
    await burst.quiet(api, provider)
    return found


async def start(api: Api, watcher: Watcher, provider: Provider, cloud: Cloud) -> float:
    """Seconds from the start of the process until a pod that was bound meanwhile is asked of the cloud.

    That asks for both worlds to be known completely first.
    """
    await provider.stop()
    name = f"s{time.time_ns()}"
    path = f"/api/v1/namespaces/{burst.NAMESPACE}/pods"
    await api.send("POST", path, burst.pod(name, provider.node))
    known, began = set(await asyncio.to_thread(cloud.uids)), time.time()
    await provider.start()
    await provider.ready(api)
    await until(lambda: watcher.count("Running", name) == 1, within_s=90)
    entries = await asyncio.to_thread(cloud.journal)
    calls = [each for each in entries if each["kind"] == "call" and each["action"] == "CreateContainerGroup"]
    first = min(each["when"] for each in calls if each["id"] not in known)
    await api.send("DELETE", f"{path}/{name}")
    await until(lambda: watcher.count("gone", name) == 1, within_s=90)
    return first - burst.CREATE_S - began
