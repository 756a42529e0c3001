"""The agent's composition root: settings in, every object made once, one TaskGroup."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from vk_provider import __version__
from vk_provider.errors import ProviderError
from vk_provider.health import Health, LoopLag, Pulse
from vk_provider.health_server import HealthServer
from vk_provider.kube import paths
from vk_provider.kube.client import Json, KubeClient
from vk_provider.kube.credentials import Credentials, InClusterCredentials, KubeconfigCredentials
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.metrics import Registry
from vk_provider.model.pod import uid_of
from vk_provider.qos_agent.agent import PREDICTION_API, Agent, Surroundings, kubelet_url
from vk_provider.qos_agent.agent_lease import RENEW_S, SILENT_S, AgentLease
from vk_provider.qos_agent.agent_metrics import AgentMetrics
from vk_provider.qos_agent.keeper import Keeper
from vk_provider.qos_agent.kubelet_client import KubeletClient
from vk_provider.qos_agent.options import AgentOptions
from vk_provider.qos_agent.pod_view import PodView, slim
from vk_provider.qos_agent.prediction import NAME
from vk_provider.qos_agent.state_files import StateFiles
from vk_provider.qos_agent.yielding import Yielding
from vk_provider.retry_loop import retry_loop
from vk_provider.runtime import malloc_trim

log = logging.getLogger(__name__)

USER_AGENT = f"vk-provider-qos-agent/{__version__}"
QOS_API = "ensurance.crane.io/v1alpha1"
RETIRE_S = 10.0
RULES_WITHIN_S = 5.0


async def run(options: AgentOptions) -> None:
    """Serve until cancelled; then nothing is offered any more and no pod yields. Raises ConfigError."""
    async with AsyncExitStack() as stack:
        credentials = await _credentials(options)
        client = await _client(stack, credentials)
        lease_client = await _client(stack, credentials)  # nothing else may delay a sign of life
        process = _Process(options, credentials, client, lease_client)
        stack.push_async_callback(process.close)
        if options.listen_address:
            door = HealthServer(process.health, options.listen_address, metrics=process.registry.exposition)
            await door.start()
            stack.push_async_callback(door.stop)
        await process.run()


async def _credentials(options: AgentOptions) -> Credentials:
    if options.kubeconfig:
        from_file = KubeconfigCredentials(options.kubeconfig, options.kube_context or None)
        await from_file.start()
        return from_file
    of_pod = InClusterCredentials()
    await of_pod.start()
    return of_pod


async def _client(stack: AsyncExitStack, credentials: Credentials) -> KubeClient:
    client = KubeClient(credentials, await credentials.access(), user_agent=USER_AGENT)
    stack.push_async_callback(client.close)
    return client


class _Process:
    """Everything that runs, put together."""

    def __init__(
        self, options: AgentOptions, credentials: Credentials, client: KubeClient, lease_client: KubeClient
    ) -> None:
        self._options, self._client = options, client
        self.registry, self.health, self._lag = Registry(), Health(), LoopLag()
        metrics = AgentMetrics(self.registry)
        self._nodes, self._pods = _store(), _store()
        self._qos = {name: _store() for name in ("podqoss", "nodeqoss", "avoidanceactions")}
        self._predictions = _store()
        state = StateFiles(options.state_directory)
        view = PodView(self._pods, *self._qos.values(), changed=lambda: self._yielding.wake())
        root = Path(options.cgroup_root) if options.cgroup_root else None
        self._yielding = Yielding(view, root=root, state=state, registry=self.registry)
        self._kubelet = KubeletClient(
            credentials,
            url=lambda: options.kubelet_url or kubelet_url(next(self._nodes.values(), None)),
            verifies=not options.kubelet_insecure,
            user_agent=USER_AGENT,
            clock=time.time,
        )
        self._recorder = Recorder(client)
        self._lease = AgentLease(
            lease_client, namespace=options.namespace, node=options.node_name, owner_uid=self._node_uid
        )
        self._beats = Pulse()
        self._agent = Agent(
            options,
            Surroundings(
                client=client,
                kubelet=self._kubelet,
                recorder=self._recorder,
                nodes=self._nodes,
                predictions=self._predictions,
                view=view,
                yielding=self._yielding,
                state=state,
                metrics=metrics,
                is_alive=self._is_alive,
            ),
        )
        self._reflectors = self._make_reflectors()
        for name, reflector in self._reflectors.items():
            if name in ("nodes", "pods"):
                self.health.add(name, reflector.fault)
        self.health.add("agent", self._agent.fault)
        self.health.add("measure", self._agent.stillness, restart_helps=True)
        self.health.add("event-loop", self._lag.fault)

    async def run(self) -> None:
        recording = asyncio.create_task(self._recorder.run(), name="events")
        try:
            await self._serve()
        finally:
            with suppress(ProviderError, TimeoutError):
                async with asyncio.timeout(RETIRE_S):
                    await self._agent.retire()
            await self._recorder.flush(1.0)
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)

    async def close(self) -> None:
        await self._kubelet.close()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, reflector in self._reflectors.items():
                tasks.create_task(reflector.run(), name=name)
            tasks.create_task(self._lag.run(), name="loop lag")
            tasks.create_task(malloc_trim.keep_trimmed(), name="heap")
            await self._nodes.ready.wait()
            await self._pods.ready.wait()  # who yields is not known before
            with suppress(TimeoutError):  # nor who does not, but then the definition may not be installed
                async with asyncio.timeout(RULES_WITHIN_S):
                    await self._qos["podqoss"].ready.wait()
            tasks.create_task(self._yielding.run(), name="yielding")
            tasks.create_task(self._beat_forever(), name="lease")
            tasks.create_task(self._agent.run(), name="measure")
            if self._options.zeroes_silent:
                identity = f"{self._options.node_name}_{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
                keeper = Keeper(self._client, namespace=self._options.namespace, identity=identity)
                tasks.create_task(keeper.run(), name="keeper")

    async def _beat_forever(self) -> None:
        async def beat() -> None:
            self._beats.tried()
            await self._lease.beat()
            self._beats.well()

        await retry_loop(beat, name="lease", rest=lambda: asyncio.sleep(RENEW_S))

    def _is_alive(self) -> bool:
        """Our Lease is younger than what others take for silence."""
        well_s = self._beats.well_s
        return well_s is not None and asyncio.get_running_loop().time() - well_s < SILENT_S - 5.0

    def _node_uid(self) -> str:
        node = next(self._nodes.values(), None)
        return "" if node is None else uid_of(node)

    def _make_reflectors(self) -> Mapping[str, Reflector]:
        name = self._options.node_name
        of_node = {"fieldSelector": f"metadata.name={name}"}
        on_node = {"fieldSelector": f"spec.nodeName={name}"}
        made = {
            "nodes": Reflector(self._client, paths.nodes(), self._nodes, params=of_node, slim=_slim_node),
            "pods": Reflector(self._client, paths.pods(), self._pods, params=on_node, slim=slim),
        }
        own = {"fieldSelector": f"metadata.name={NAME}{name}"}
        path = paths.group(PREDICTION_API, "timeseriespredictions")
        made["timeseriespredictions"] = Reflector(self._client, path, self._predictions, params=own)
        for resource, store in self._qos.items():
            made[resource] = Reflector(self._client, paths.group(QOS_API, resource), store)
        return made


def _store() -> Store[Json]:
    return Store(key=uid_of, version=lambda item: str(item["metadata"].get("resourceVersion") or ""))


def _slim_node(node: Json) -> Json:
    """Without what changes each time and nobody reads: images are most of a Node."""
    status = node.get("status") or {}
    status.pop("images", None)
    return node
