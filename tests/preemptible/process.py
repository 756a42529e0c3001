"""One life of the provider in the world of a test, with as many nodes as it serves: what `app.Provider` would make."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.control.world import Fate, Link
from vk_provider.cloud.eci import definition
from vk_provider.cloud.eci.candidates import intent
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.request import refusals
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.observation import NodePolicy
from vk_provider.control.reconciler import PodController
from vk_provider.files.object_reader import ObjectReader
from vk_provider.instances.poller import InstanceCache, InstancePoller
from vk_provider.kube import paths
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.node.node_controller import NodeController
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.preemptible.idle_capacity import IdleCapacity
from vk_provider.preemptible.preemptible_node import Wiring
from vk_provider.translate import events
from vk_provider.translate.node import NodeSpec, Taint
from vk_provider.translate.node_context import NodeContext

if TYPE_CHECKING:
    from tests.preemptible.world import World

Json = dict[str, Any]


async def at_once(compute: Callable[[], Any]) -> Any:
    """A thread's work on virtual time."""
    return compute()


class Node:
    """One virtual node of a process: everything that `app.Provider` makes for one."""

    def __init__(self, world: World, name: str, kube: Any, cloud: Any, idle: IdleCapacity) -> None:
        self.queue = WorkQueue()
        self.store: Store[Json] = Store(
            key=pods.uid_of,
            version=lambda pod: pod["metadata"]["resourceVersion"],
            index=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]),
        )
        self.store.subscribe(self.queue.add_unless_written)
        self.reflector = Reflector(
            kube,
            paths.pods(),
            self.store,
            params={"fieldSelector": f"spec.nodeName={name}"},
            watch_s=lambda: 1e6,
            jitter=lambda: 0.0,
        )
        self.instances = InstanceCache(self._instance_changed)
        self.recorder = Recorder(kube, clock=world.now, jitter=lambda: 0.0)
        self.poller = InstancePoller(
            cloud=cloud,
            store=self.instances,
            gone=lambda instance: self.controller.instance_gone(instance),
            health_changed=lambda: self.node.reconcile_now(),
            poll_interval_s=world.poll_s,
            sweep_interval_s=120.0,
            jitter=lambda: 0.0,
        )
        self.preemptible = idle.node(Wiring(name, kube, self.store, self.instances, world.memory_bytes))
        settings = world.settings_of(name)
        context = NodeContext(
            cluster="c",
            node_name=name,
            node_ip="10.0.0.1",
            capabilities=CAPABILITIES,
            allocatable={"cpu": "5000", "memory": "20Ti"},
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
                references=ObjectReader(kube, capabilities=CAPABILITIES),
                live=None,
                node=NodePolicy(name=name, host_ip="10.0.0.1"),
                context=context,
                metrics=Registry(),
                jitter=lambda: 0.0,
                ask=world.ask,
                policies=[self.preemptible],
                intent_of=lambda pod: intent(pod, settings),
                refusals_of=lambda workload: refusals(workload, settings),
                clock=world.now,
            )
        )
        self.node = NodeController(
            client=kube,
            spec=NodeSpec(
                name=name,
                identity=f"c/{name}",
                addresses=["10.0.0.1"],
                kubelet_port=10250,
                server_version="v1.32.0",
                capacity={"cpu": "5000", "memory": "20Ti", "pods": "5000"},
                labels={"type": "virtual-kubelet"},
                taints=[Taint("virtual-kubelet.io/provider", "alibabacloud")],
                region="cn-hangzhou",
                zone="",
                arch="amd64",
                provider="alibabacloud",
                runtime="eci",
            ),
            recorder=self.recorder,
            adopt=False,
            capacity=[self.preemptible],
            jitter=lambda: 0.0,
            clock=world.now,
        )
        self._world = world
        self.preemptible.attach(
            emit=self._tell,
            warn=self.controller.warn,
            offer_changed=self.node.reconcile_now,
            ready=lambda: self.store.ready.is_set() and self.poller.ready.is_set(),
        )

    async def run(self) -> None:
        """While the node is served."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.node.run())
            await self.node.registered.wait()
            tasks.create_task(self.reflector.run())
            tasks.create_task(self.poller.run())
            tasks.create_task(self.recorder.run())
            tasks.create_task(self.controller.run(16))

    def _instance_changed(self, uid: str) -> None:
        self.queue.add(uid)
        self.preemptible.held.instance_changed(uid)

    def _tell(self, kind: str, reason: str, message: str) -> None:
        target = events.involved({"metadata": {"name": self.preemptible.wiring.name, "uid": self.node.uid}})
        now = self._world.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.recorder.put(events.own_event(target, type=kind, reason=reason, message=message, now=now, node="vk"))


class Process:
    """One life of the provider, with as many nodes as it serves."""

    def __init__(self, world: World, names: tuple[str, ...], fate: Fate) -> None:
        self.fate, self._world = fate, world
        self._kube: Any = Link(world.kube, fate, 0.02)
        self.registry = Registry()
        self.idle = IdleCapacity(
            world.options,
            client=self._kube,
            cloud=Link(world.driver(names[0]), fate, 0.05),  # type: ignore[arg-type]
            terms=definition.DRIVER.spot(world.settings_of(names[0])),  # type: ignore[misc]
            metrics=self.registry,
            jitter=lambda: 0.0,
            clock=world.now,
            in_thread=at_once,
            of_nodes=len(world.names),
        )
        self.nodes = [self._node(name) for name in names]
        self._terms: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.task = asyncio.create_task(self._run())

    def _node(self, name: str) -> Node:
        cloud = Link(self._world.driver(name), self.fate, 0.05)
        return Node(self._world, name, self._kube, cloud, self.idle)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.preemptible.wiring.name for node in self.nodes)

    @property
    def is_up(self) -> bool:
        """It serves all its nodes."""
        return len(self._terms) == len(self.nodes) and all(node.node.registered.is_set() for node in self.nodes)

    async def _run(self) -> None:
        for each in self.nodes:
            await each.preemptible.prepare()
        async with asyncio.TaskGroup() as self._tasks:
            for each in self.nodes:
                self._terms[each.preemptible.wiring.name] = self._tasks.create_task(each.run())
                await each.node.registered.wait()
            self._tasks.create_task(self.idle.run())

    async def take(self, name: str) -> None:
        """Serve one more node, as when its Lease is ours from now on."""
        assert self._tasks is not None
        node = self._node(name)
        self.nodes.append(node)
        await node.preemptible.prepare()
        self._terms[name] = self._tasks.create_task(node.run())

    async def leave(self, name: str) -> None:
        """Serve it no more, as when its Lease went to somebody else."""
        [node] = [each for each in self.nodes if each.preemptible.wiring.name == name]
        term = self._terms.pop(name)
        term.cancel()
        await asyncio.wait([term])
        self.nodes.remove(node)
        self.idle.remove(node.preemptible)

    async def end(self) -> None:
        """Kill -9."""
        self.fate.dead.set()
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (error := self.task.exception()):
            raise error
