"""One API server and one cloud that stay, and controllers that come, are killed at any await, and come again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cloud.workloads import SETTINGS
from tests.control.living_cloud import Life, LivingCloud
from tests.control.memory_kube import MemoryKube
from tests.leaks import leaks
from vk_provider.cloud.eci.candidates import intent
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.create_refusals import refusals
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.observation import NodePolicy
from vk_provider.control.ownership import own_and_spare
from vk_provider.control.policy import AdmissionPolicy, PodPolicy
from vk_provider.control.reconciler import PodController
from vk_provider.files.file_sync import FileSyncer
from vk_provider.files.object_reader import ObjectReader
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.instances.poller import InstancePoller
from vk_provider.kube import paths
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.probe import Probe
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.probes.results import SUCCESS, ProbeResult, ProbeTarget
from vk_provider.translate.node_context import NodeContext

BIRTH = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
_READS = frozenset({"changes", "events", "statuses"})  # the poller's ticks: to die in one is to die between two others


class Fate:
    """When a process dies: at the kill_at-th step of a call, before it acts or after, its answer unread."""

    def __init__(self, kill_at: int = 0) -> None:
        self.steps = 0
        self.kill_at = kill_at
        self.dead = asyncio.Event()

    async def step(self, name: str) -> None:
        if self.dead.is_set():
            await asyncio.Event().wait()  # the dead do nothing more
        if name in _READS:
            return
        self.steps += 1
        if self.steps == self.kill_at:
            self.dead.set()
            await asyncio.Event().wait()


class Link:
    """What a process holds of a server: every call takes `latency_s` and has two steps at which the process may die."""

    def __init__(self, target: Any, fate: Fate, latency_s: float) -> None:
        self._target, self._fate, self._latency_s = target, fate, latency_s

    @property
    def server(self) -> str:
        return "memory"

    @property
    def __class__(self) -> type:
        """The target's, for since 3.12 isinstance finds a protocol's methods at an object's class only."""
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **more: Any) -> Any:
            ended = False
            await self._fate.step(name)
            if self._latency_s:
                await asyncio.sleep(self._latency_s / 2)
            try:
                return await getattr(self._target, name)(*args, **more)
            except asyncio.CancelledError:
                ended = True  # with its process: nothing comes back, and nobody waits for it
                raise
            finally:
                if not ended:
                    if self._latency_s:
                        await asyncio.sleep(self._latency_s / 2)
                    await self._fate.step(name)

        return call

    async def logs(self, *args: Any, **more: Any) -> AsyncIterator[bytes]:
        await self._fate.step("logs")
        async for chunk in self._target.logs(*args, **more):
            yield chunk

    @asynccontextmanager
    async def stream(self, *args: Any, **more: Any) -> AsyncIterator[Any]:
        await self._fate.step("stream")
        async with self._target.stream(*args, **more) as lines:
            yield lines


class Process:
    """Everything that one life of the provider holds; nothing of it outlives `end`."""

    def __init__(self, world: World, fate: Fate, *, workers: int, jitter: Callable[[], float]) -> None:
        self.fate = fate
        kube: Any = world.link(world.kube, fate, world.kube_latency_s)
        cloud: Any = world.link(world.cloud, fate, world.cloud_latency_s)
        self.queue = WorkQueue()
        self.metrics = Registry()
        self.store: Store[Any] = Store(
            key=pods.uid_of,
            version=lambda pod: pod["metadata"]["resourceVersion"],
            index=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]),
        )
        self.store.subscribe(self.queue.add_unless_written)
        self.reflector = Reflector(kube, paths.pods(), self.store, watch_s=world.watch_s, jitter=jitter)
        self.instances = InstanceCache(self.queue.add)
        self.recorder = Recorder(kube, clock=world.now, jitter=jitter)
        self.poller = InstancePoller(
            cloud=cloud,
            store=self.instances,
            gone=lambda instance: self.controller.instance_gone(instance),
            health_changed=lambda: world.health.append(self.poller.health),
            poll_interval_s=2.0,
            sweep_interval_s=30.0,
            jitter=jitter,
        )
        references = ObjectReader(kube, capabilities=CAPABILITIES)
        self.sources = ObjectWatcher(
            kube,
            changed=self.queue.add,
            stale=references.invalidate,
            jitter=jitter,
            watch_s=world.watch_s,
            most_watches=world.most_watches,
        )
        self.live = FileSyncer(
            cloud=cloud,
            references=references,
            sources=self.sources,
            context=world.context,
            metrics=Registry(),
            pod_of=self.store.get,
            instance_of=lambda pod: own_and_spare(pod, self.instances.of(pods.uid_of(pod)))[0],
            requeue=self.queue.add,
            doubt=lambda pod: self.controller.refetch(pod),
            gone=self.poller.confirm_deleted,
            warn=lambda pod, reason, message: self.controller.warn(pod, reason, message),
            clock=world.now,
            jitter=jitter,
            admit=world.admission.admit if world.admission is not None else None,
        )
        self.controller = PodController(
            Collaborators(
                client=kube,
                cloud=cloud,
                pods_seen=self.reflector,
                instances=self.instances,
                poller=self.poller,
                queue=self.queue,
                recorder=self.recorder,
                references=references,
                live=self.live,
                node=NodePolicy(name="vk", host_ip="10.0.0.1"),
                context=world.context,
                metrics=self.metrics,
                jitter=jitter,
                ask=world.ask,
                policies=[
                    *([AdmissionPolicy(world.admission)] if world.admission is not None else []),
                    *world.policies,
                ],
                intent_of=lambda pod: intent(pod, world.settings),
                refusals_of=lambda workload: refusals(workload, world.settings),
                clock=world.now,
                ended_logs=world.ended_logs,
            )
        )
        self.task = asyncio.create_task(self._run(workers))

    async def _run(self, workers: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.reflector.run())
            tasks.create_task(self.poller.run())
            tasks.create_task(self.recorder.run())
            tasks.create_task(self.controller.run(workers))
            tasks.create_task(self.live.run())

    async def end(self) -> None:
        """Kill -9: nothing that is still to be done gets done."""
        self.fate.dead.set()
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (error := self.task.exception()):
            raise error


class World:
    """kube, cloud: what a process is linked to. A subclass may put other ones of their kinds there."""

    def __init__(self, *, kube_latency_s: float = 0.0, cloud_latency_s: float = 0.0, **lives: Life) -> None:
        self.kube = MemoryKube(clock=self.now)
        self.cloud: Any = LivingCloud(self.now, **lives)
        self.kube_latency_s, self.cloud_latency_s = kube_latency_s, cloud_latency_s
        self.context = NodeContext(cluster="c", node_name="vk", node_ip="10.0.0.1", capabilities=CAPABILITIES)
        self.admission: Any = None
        self.policies: Sequence[PodPolicy] = ()
        self.ended_logs = EndedLogs()
        self.settings = SETTINGS
        self.health: list[Any] = []
        self.most_watches = 200
        self.asked: list[tuple[float, str]] = []
        self.answers: dict[str, ProbeResult | Callable[[], ProbeResult]] = {}
        self.hanging: set[str] = set()  # containers that let whoever asks wait for as long as he will
        self._loop = asyncio.get_running_loop()

    async def ask(self, place: ProbeTarget, probe: Probe) -> ProbeResult:
        """What containers answer to our own probes, by name; yes unless the test says otherwise."""
        self.asked.append((self.time_s, place.container))
        if place.container in self.hanging:
            await asyncio.sleep(probe.timeout_s)
            return ProbeResult(False, "no answer in time", unreached=True)
        answer = self.answers.get(place.container, SUCCESS)
        return answer() if callable(answer) else answer

    def now(self) -> datetime:
        return BIRTH + timedelta(seconds=asyncio.get_running_loop().time())

    def link(self, target: Any, fate: Fate, latency_s: float) -> Any:
        """What a process is to hold of a server."""
        return Link(target, fate, latency_s)

    def watch_s(self) -> float:
        """How long a watch of ours is to last."""
        return 1e6

    @property
    def time_s(self) -> float:
        return self._loop.time()

    def start(self, fate: Fate | None = None, *, workers: int = 4, jitter: float = 0.0) -> Process:
        return Process(self, fate or Fate(), workers=workers, jitter=lambda: jitter)

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[Process]:
        process = self.start(**options)
        try:
            yield process
        finally:
            await process.end()
        told = json.dumps([self.kube.events(), [pod["status"] for pod in self.kube.pods()]])
        assert leaks(told) == []

    async def until(self, condition: Callable[[], object], *, within_s: float = 600.0) -> None:
        end_s = self.time_s + within_s
        while not condition():
            assert self.time_s < end_s, "the condition never came true"
            await asyncio.sleep(0.1)

    def phase(self, name: str) -> str:
        pod = self.kube.pod(name)
        return str(pod["status"]["phase"]) if pod else "gone"

    def statuses(self) -> Counter[str]:
        return Counter(pod["status"]["phase"] for pod in self.kube.pods())

    def complaints(self) -> list[str]:
        """What is wrong for good: invalid writes, an instance too many, an instance that nobody owns."""
        owned = {pod["metadata"]["uid"] for pod in self.kube.pods()}
        twice = [f"{uid} started {count} instances" for uid, count in self.cloud.starts.items() if count > 1]
        left = [f"{each.id} has no pod" for each in self.cloud.instances.values() if each.owner.uid not in owned]
        return [*self.kube.wrongs, *twice, *left]
