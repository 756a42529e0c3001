"""One virtual node: everything that is its own, put together. A process makes one for each node that it may serve.

Each life (`run`) has objects of its own: who takes the node over, be it we ourselves, finds everything as it was (N27).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from vk_provider.cloud.base import SupportsCallBudgets, SupportsFileUpdate, SupportsPricing, SupportsUsage
from vk_provider.cloud.driver import Driver, Heard, Whose
from vk_provider.cluster import server_version
from vk_provider.config import Config
from vk_provider.control.collaborators import Collaborators, PodView
from vk_provider.control.observation import NodePolicy
from vk_provider.control.ownership import own_and_spare
from vk_provider.control.policy import AdmissionPolicy
from vk_provider.control.profile_watcher import ProfileWatcher
from vk_provider.control.reconciler import PodController
from vk_provider.dashboard.server import DashboardServer
from vk_provider.fence import Fence
from vk_provider.files.file_sync import FileSyncer
from vk_provider.files.object_reader import ObjectReader
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.health import Check as HealthCheck
from vk_provider.health import Health, LoopLag
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.cost import CostMeter
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.instances.poller import InstancePoller
from vk_provider.instances.usage_poller import UsagePoller
from vk_provider.kube import paths
from vk_provider.kube.api import FencedApi, Json, KubeApi
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.kubelet.listener import Limits
from vk_provider.kubelet.server import Check
from vk_provider.kubelet.serving_certificate import Tell
from vk_provider.kubelet.usage_stats import UsageStats
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.probe import ProbeCount
from vk_provider.model.quantity import parse
from vk_provider.node.node_controller import STAMP, NodeController
from vk_provider.node.node_lease import NodeLease
from vk_provider.node_kubelet import NodeKubelet, Served
from vk_provider.node_settings import node_context, node_spec
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.preemptible.idle_capacity import IdleCapacity
from vk_provider.preemptible.preemptible_node import PreemptibleNode, Wiring
from vk_provider.probes.probe_runner import ProbeRunner
from vk_provider.snapshot import routes as snapshot_routes
from vk_provider.snapshot.collector import NodeFacts, SnapshotCollector
from vk_provider.snapshot.document import Idle
from vk_provider.snapshot.explanation import Explainer
from vk_provider.snapshot.pods import PodIndex
from vk_provider.snapshot.recent import RecentEvents
from vk_provider.tracing.pod_traces import PodTraces
from vk_provider.translate import events
from vk_provider.translate.node import default_labels

log = logging.getLogger(__name__)

FLUSH_S = 5.0  # how long the last events may hold up an orderly end
HAND_OVER_FLUSH_S = 1.0  # the same where another replica waits to serve the node
STILL_S = 300.0  # after which a loop that does something every few seconds will not go on by itself
_NO_CLUSTER_DNS = (
    "MissingClusterDNS",
    "no cluster DNS is configured, so pods use the cloud's resolver and cannot resolve Services; set --cluster-dns",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the nodes of one process share. cluster: its uid. address: that they announce, each with a port of its own.

    pods_api, events_api, lease_api: three clients, so that a burst of one kind delays no other; in_burst: whether pods
    come or go so fast that events wait. connection: to the cloud, with the budgets of its calls; heard: who is told of
    each of them. limits: of connections to one node's kubelet API. nodes: how many there are, here or elsewhere. idle:
    None = none is offered. traces: None = pods' ways are not traced.
    """

    cluster: str
    address: str
    pods_api: KubeApi
    events_api: KubeApi
    lease_api: KubeApi
    in_burst: Callable[[], bool]
    driver: Driver[Any, Any, Any, Any]
    connection: Any
    registry: Registry
    health: Health
    lag: LoopLag
    limits: Limits
    nodes: int = 1
    heard: list[Heard] = field(default_factory=list)
    idle: IdleCapacity | None = None
    dashboard: DashboardServer | None = None
    traces: PodTraces | None = None


class VirtualNode:
    """config: of this node, as if it were the only one. fence: until when it may write; None = nobody else does.

    part: its name among the checks of the process, empty where it is the only one.
    """

    def __init__(
        self,
        config: Config,
        shared: Shared,
        *,
        fence: Fence | None = None,
        part: str = "",
    ) -> None:
        self._config, self._shared = config, shared
        self._client, self._events_client, self._lease_client = (
            api if fence is None else FencedApi(api, fence)
            for api in (shared.pods_api, shared.events_api, shared.lease_api)
        )
        self._registry = Registry(shared.registry)
        self._health = shared.health.part(part)
        self._checks: dict[str, Check] = {"ping": _well, "log": _well}  # of the kubelet API's /healthz
        driver = self._driver = shared.driver
        self._place = driver.place(config.options)
        self._limits = driver.limits(config.options).shared_by(shared.nodes)
        whose = Whose(cluster=shared.cluster, node=config.node_name, cluster_name=config.cluster_name)
        self._of_driver = driver.settings(config.options, whose)
        self._cloud = driver.cloud(self._of_driver, shared.connection, fence)
        self._context = node_context(config, shared.cluster, shared.address, driver.capabilities, role=self._place.role)
        self._prober = ProbeRunner(self._cloud)
        self._recorder = Recorder(self._events_client, yields_to=shared.in_burst)
        self._queue = WorkQueue()
        self._pods: Store[Json] = Store(key=pods.uid_of, version=_version, index=_name, family=pods.family_of)
        self._pods.subscribe(self._queue.add_unless_written)
        self._reflector = Reflector(
            self._client, paths.pods(), self._pods, params={"fieldSelector": f"spec.nodeName={config.node_name}"}
        )
        self._instances = InstanceCache(self._instance_changed)
        self._ended_logs = EndedLogs()
        self._costs = CostMeter(self._cloud, self._instances, self._registry)
        self._index, recent = PodIndex(self._registry), RecentEvents()
        self._recorder.observe = recent.observe
        self._snapshots = self._snapshot_collector(fence or Fence.always_open(), recent)
        self._explainer: Explainer | None = None
        self._probe_counts: Callable[[], Iterable[ProbeCount]] = tuple
        self._stats = UsageStats(clock=time.monotonic, wall=time.time)
        self._usage = self._usage_poller()
        self._preemptible = self._preemptible_node()
        self._kubelet = NodeKubelet(config, self._client, self._served(), address=shared.address, limits=shared.limits)
        self._add_check("syncloop", self._reflector.fault)
        self._checks["event-loop"] = _as_text(shared.lag.fault)
        self._add_metrics()

    async def run(self) -> None:
        """Serve until cancelled. Raises ConfigError when it cannot serve as configured.

        The Node and its pods stay when we go: who takes over finds everything as it was (N27).
        """
        await self._kubelet.start()
        recording = asyncio.create_task(self._recorder.run(), name="events")
        try:
            node = self._node(self._kubelet.port, await server_version(self._client))
            if self._preemptible is not None:
                await self._preemptible.prepare()
            await self._serve(node, recording)
        finally:
            # The recorder outlives all that writes events, so that the last ones arrive.
            flush_s = HAND_OVER_FLUSH_S if self._config.leader_lease else FLUSH_S
            await asyncio.gather(self._recorder.flush(flush_s), self._kubelet.stop())
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)

    async def close(self) -> None:
        self._health.clear()
        if self._shared.idle is not None and self._preemptible is not None:
            self._shared.idle.remove(self._preemptible)
        await self._prober.close()
        await self._cloud.close()

    async def _serve(self, node: NodeController, recording: asyncio.Task[None]) -> None:
        lease = NodeLease(self._lease_client, self._config.node_name, owner_uid=lambda: node.uid)
        node.on_owner_change(lease.owner_changed)
        poller = InstancePoller(
            cloud=self._cloud,
            store=self._instances,
            gone=lambda instance: controller.instance_gone(instance),
            health_changed=node.reconcile_now,
            poll_interval_s=self._config.poll_interval_s,
            sweep_interval_s=self._config.sweep_interval_s,
            limits=self._limits,
            jitter=random.random,
        )
        references = self._references()
        profile = self._profile(self._node_events(node))
        live = self._live(references, poller, profile, lambda: controller)
        controller = self._controller(poller, references, live, profile)
        self._reflector.on_answer = controller.retry_unanswered
        if self._preemptible is not None:
            self._preemptible.attach(
                emit=self._node_events(node),
                warn=controller.warn,
                offer_changed=node.reconcile_now,
                ready=lambda: self._pods.ready.is_set() and poller.ready.is_set(),
            )
        self._attach_snapshots(controller, poller)
        node.watch_health(lambda: poller.health)
        node.watch_own_health(self._health.for_node)
        self._watch_loops(node, lease, poller)
        self._shared.heard.append(poller.heard)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(lease.run(), name="lease")
                tasks.create_task(node.run(), name="node")
                tasks.create_task(_end_with(recording), name="events")
                await node.registered.wait()  # a Node of our name that is not ours must stop us before we touch a pod
                self._begin(tasks, node, profile)
                tasks.create_task(poller.run(), name="instances")
                tasks.create_task(controller.run(self._config.workers), name="reconcile")
                if live is not None:
                    tasks.create_task(live.run(), name="live configuration")
        finally:
            self._shared.heard.remove(poller.heard)

    def _begin(
        self,
        tasks: asyncio.TaskGroup,
        node: NodeController,
        profile: ProfileWatcher | None,
    ) -> None:
        """What feeds the controller, and what works beside it."""
        tasks.create_task(self._reflector.run(), name="pods")
        self._kubelet.begin(tasks, self._node_events(node))
        if profile is not None:
            tasks.create_task(profile.run(), name="profile")
        if isinstance(self._cloud, SupportsPricing):
            tasks.create_task(self._cloud.keep_prices(), name="prices")
        if self._usage is not None:
            tasks.create_task(self._usage.run(), name="usage")
        if self._shared.dashboard is not None and self._explainer is not None:
            showing = self._shared.dashboard.show(self._snapshots, self._explainer)
            tasks.create_task(showing, name="dashboard")

    # --- what is seen of it -------------------------------------------------------------------------------------------

    def _snapshot_collector(self, fence: Fence, recent: RecentEvents) -> SnapshotCollector:
        config, connection = self._config, self._shared.connection
        return SnapshotCollector(
            NodeFacts(
                node=config.node_name,
                cluster=self._shared.cluster,
                cloud=config.cloud,
                region=self._place.region,
                lease=config.leader_lease,
                identity=config.leader_identity,
            ),
            index=self._index,
            recent=recent,
            queue=self._queue,
            health=self._health,
            costs=self._costs,
            fence=fence,
            metrics=self._registry,
            budgets=connection.call_budgets if isinstance(connection, SupportsCallBudgets) else None,
        )

    def _idle(self) -> Idle | None:
        """Of the whole account. None: no idle capacity is offered, or its quota was not read yet."""
        account = self._shared.idle.account if self._shared.idle is not None else None
        if account is None or account.evaluation is None or account.quota is None:
            return None
        prediction = account.evaluation.prediction
        return Idle(
            at=datetime.now(UTC).strftime(STAMP),
            quota=account.quota.most_cpu,
            forecast=round(prediction.peak, 3) if prediction is not None else 0.0,
            published=round(sum(share.cpu for share in account.evaluation.shares.values()), 3),
            running=round(sum(each.cpu for each in account.holdings() if each.is_running), 3),
        )

    def _attach_snapshots(self, controller: PodController, poller: InstancePoller) -> None:
        """What the snapshot shows of those who exist only now."""
        self._snapshots.cloud_health = lambda: poller.health
        self._snapshots.failing = lambda: controller.failing
        self._probe_counts = controller.probe_counts
        self._snapshots.idle = self._idle
        self._snapshots.certificate_ends = lambda: self._kubelet.tls.ends_at
        self._snapshots.is_self_signed = lambda: self._kubelet.tls.is_self_signed
        self._explainer = Explainer(
            self._snapshots,
            pod_named=self._kubelet.pod_named,
            instance_of=self._kubelet.instance_of,
            memory_of=controller.memory_of,
            queue=self._queue,
            loop_s=asyncio.get_running_loop().time,
        )

    # --- health -------------------------------------------------------------------------------------------------------

    def _add_check(self, name: str, check: HealthCheck, *, is_own: bool = True, restart_helps: bool = False) -> None:
        self._health.add(name, check, is_own=is_own, restart_helps=restart_helps)
        if not restart_helps:
            self._checks[name] = _as_text(check)

    def _watch_loops(self, node: NodeController, lease: NodeLease, poller: InstancePoller) -> None:
        """What fails shows wherever health is read; what stands still fails the liveness probe as well."""
        cloud_s = max(60.0, 10 * self._config.poll_interval_s)
        for name, pulse, reason, what, stale_s, is_own in (
            ("lease", lease.pulse, "LeaseNotRenewed", "the node's lease has not been renewed", 40.0, True),
            ("node-status", node.pulse, "NodeNotWritten", "the Node has not been read or written", 60.0, True),
            ("cloud-poll", poller.pulse, "CloudNotPolled", "the cloud has not answered", cloud_s, False),
        ):
            self._add_check(name, partial(pulse.fault, reason, what, stale_s=stale_s), is_own=is_own)
            still = partial(pulse.stillness, "LoopStandsStill", f"the loop of {name}", most_s=STILL_S)
            self._add_check(f"{name}-loop", still, is_own=is_own, restart_helps=True)

    def _add_metrics(self) -> None:
        events_total = self._registry.counter("vk_events_total", "Events by what became of them.", ("result",))
        waiting = self._registry.gauge("vk_events_waiting", "Events that are not on the API server yet.")
        malformed = self._registry.counter("vk_kube_malformed_total", "Malformed objects in the pod watch.")
        restarts = self._registry.counter(
            "vk_watch_restarts_total", "How often the pod watch was opened anew, by why.", ("why",)
        )
        healthy = self._registry.gauge("vk_healthy", "1 if the check passes, else 0.", ("check",))

        def collect() -> None:
            for result, number in self._recorder.sent.items():
                events_total.set_total(number, result=result)
            for result, number in self._recorder.dropped.items():
                events_total.set_total(number, result=f"dropped_{result}")
            waiting.set(len(self._recorder))
            malformed.set_total(self._reflector.malformed)
            for why, number in self._reflector.restarts.items():
                restarts.set_total(number, why=why)
            for name, fault in self._health.faults().items():
                healthy.set(int(fault is None), check=name)

        self._registry.before_scrape(collect)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _served(self) -> Served:
        return Served(
            pods=self._pods,
            instances=self._instances,
            ended_logs=self._ended_logs,
            cloud=self._cloud,
            stats=self._stats,
            usage=self._usage,
            registry=self._registry,
            checks=self._checks,
            container_states=self._index.container_states,
            probe_counts=lambda: self._probe_counts(),
            pages=snapshot_routes.routes(self._snapshots, lambda: self._explainer),
        )

    def _usage_poller(self) -> UsagePoller | None:
        """None: this cloud does not measure."""
        if not isinstance(self._cloud, SupportsUsage):
            return None
        return UsagePoller(
            cloud=self._cloud,
            store=self._instances,
            take=self._stats.ingest,
            keep=self._stats.retain,
            limits=self._limits,
            jitter=random.random,
        )

    def _instance_changed(self, uid: str) -> None:
        self._queue.add(uid)
        if self._preemptible is not None:
            self._preemptible.held.instance_changed(uid)
        if self._usage is not None:
            self._usage.wake()

    def _preemptible_node(self) -> PreemptibleNode | None:
        """None: no idle capacity is offered."""
        if self._shared.idle is None:
            return None
        memory_bytes = int(parse(self._config.quota_memory))
        wiring = Wiring(self._config.node_name, self._client, self._pods, self._instances, memory_bytes)
        return self._shared.idle.node(wiring)

    def _references(self) -> ObjectReader:
        spec = node_spec(self._config, self._shared.cluster, self._shared.address, self._driver, self._place)
        return ObjectReader(
            self._client,
            capabilities=self._driver.capabilities,
            expands_pod_ip=self._config.cloud_expands_pod_ip,
            node_name=spec.name,
            labels={**spec.labels, **default_labels(spec)},
        )

    def _live(
        self,
        references: ObjectReader,
        poller: InstancePoller,
        profile: ProfileWatcher | None,
        controller: Callable[[], PodController],
    ) -> FileSyncer | None:
        """None: it is switched off, or this cloud cannot do it."""
        if not self._config.live_configuration or not isinstance(self._cloud, SupportsFileUpdate):
            return None
        return FileSyncer(
            cloud=self._cloud,
            references=references,
            sources=ObjectWatcher(
                self._client, changed=self._queue.add, stale=references.invalidate, jitter=random.random
            ),
            context=self._context,
            metrics=self._registry,
            pod_of=self._pods.get,
            instance_of=lambda pod: own_and_spare(pod, self._instances.of(pods.uid_of(pod)))[0],
            requeue=self._queue.add,
            doubt=lambda pod: controller().refetch(pod),
            gone=poller.confirm_deleted,
            warn=lambda pod, reason, message: controller().warn(pod, reason, message),
            clock=lambda: datetime.now(UTC),
            jitter=random.random,
            per_minute=self._limits.updates_per_minute,
            admit=profile.admit if profile is not None else None,
        )

    def _controller(
        self,
        poller: InstancePoller,
        references: ObjectReader,
        live: FileSyncer | None,
        profile: ProfileWatcher | None,
    ) -> PodController:
        config, driver, settings = self._config, self._driver, self._of_driver
        return PodController(
            Collaborators(
                client=self._client,
                cloud=self._cloud,
                pods_seen=self._reflector,
                instances=self._instances,
                poller=poller,
                queue=self._queue,
                recorder=self._recorder,
                references=references,
                live=live,
                costs=self._costs,
                view=self._view(),
                policies=[
                    *([AdmissionPolicy(profile)] if profile is not None else []),
                    *([self._preemptible] if self._preemptible is not None else []),
                ],
                intent_of=lambda pod: driver.intent(pod, settings),
                refusals_of=lambda workload: driver.refusals(workload, settings),
                node=NodePolicy(
                    name=config.node_name,
                    host_ip=self._shared.address,
                    fail_daemon_pods=config.daemon_set_pods == "fail",
                    orphan_age_s=config.orphan_age_s,
                    updates=isinstance(self._cloud, SupportsFileUpdate),
                    words=driver.capabilities.words,
                ),
                context=self._context,
                metrics=self._registry,
                jitter=random.random,
                ask=self._prober.probe,
                ended_logs=self._ended_logs,
            )
        )

    def _view(self) -> PodView:
        traces = self._shared.traces
        return self._index if traces is None else traces.beside(self._index, self._config.node_name)

    def _profile(self, emit: Tell) -> ProfileWatcher | None:
        """None: the settings name none."""
        namespace, _, name = self._place.profile.partition("/")
        parse = self._driver.capabilities.parse_profile
        return ProfileWatcher(self._client, namespace, name, parse=parse, tell=emit) if name and parse else None

    def _node(self, port: int, version: str) -> NodeController:
        config, shared = self._config, self._shared
        return NodeController(
            client=self._client,
            spec=node_spec(
                config, shared.cluster, shared.address, self._driver, self._place, port=port, server_version=version
            ),
            recorder=self._recorder,
            adopt=config.adopt_node,
            notices=() if config.cluster_dns else (_NO_CLUSTER_DNS,),
            capacity=[self._preemptible] if self._preemptible is not None else [],
            jitter=random.random,
        )

    def _node_events(self, node: NodeController) -> Tell:
        """Events on our Node for what has no other place to be seen at."""
        name = self._config.node_name

        def emit(kind: str, reason: str, message: str) -> None:
            target = events.involved({"metadata": {"name": name, "uid": node.uid}})
            now = datetime.now(UTC).strftime(STAMP)
            self._recorder.put(events.own_event(target, type=kind, reason=reason, message=message, now=now, node=name))

        return emit


def _as_text(check: HealthCheck) -> Check:
    return lambda: fault.message if (fault := check()) is not None else ""


def _well() -> str:
    return ""


async def _end_with(task: asyncio.Task[None]) -> None:
    """Fails when the task does, and leaves it running when we are cancelled."""
    await asyncio.shield(task)


def _version(pod: Json) -> str:
    return str(pod["metadata"].get("resourceVersion") or "")


def _name(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
