"""One agent: reads its kubelet, publishes what is idle, has pods yield, and ends some where a rule holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vk_provider.errors import KubeError, NotFound
from vk_provider.health import Fault, Pulse
from vk_provider.idle.forecast import Forecaster, Percentile
from vk_provider.idle.qos import AvoidanceAction, Rule
from vk_provider.idle.resources import NOTHING, Amount
from vk_provider.idle.rules import Change, RuleBook
from vk_provider.kube import paths
from vk_provider.kube.client import MERGE, STRATEGIC, Json, KubeClient
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.store import Store
from vk_provider.qos_agent import contention, pod_roles, prediction, throttle
from vk_provider.qos_agent.agent_metrics import AgentMetrics
from vk_provider.qos_agent.kubelet_client import KubeletClient
from vk_provider.qos_agent.node_events import condition_patch, has_condition, node_event, pod_event
from vk_provider.qos_agent.options import AgentOptions
from vk_provider.qos_agent.pod_roles import NodePod
from vk_provider.qos_agent.pod_view import PodView
from vk_provider.qos_agent.publication import (
    Evaluation,
    NodeFacts,
    Publication,
    PublicationSettings,
    node_facts,
    status_patch,
)
from vk_provider.qos_agent.state_files import StateFiles
from vk_provider.qos_agent.usage import STALE_S, Meter, Usage
from vk_provider.qos_agent.yielding import Yielding
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

RULES_EVERY_S = 10.0  # a NodeQOS counts its thresholds in these
SAVE_EVERY_S = 600.0
STILL_S = 120.0  # without a measurement, and a restart may help
REPORT_EVERY_S = 30.0  # at most, of a TimeSeriesPrediction's status
PREDICTION_API = "prediction.crane.io/v1alpha1"
SPARED_S = 30.0  # a pod whose eviction a disruption budget refused
ENDING_S = 10.0  # within which the watch shows that an evicted pod is being deleted
_WRITE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the agent talks to. nodes: holds its own Node alone. predictions: likewise its TimeSeriesPrediction."""

    client: KubeClient
    kubelet: KubeletClient
    recorder: Recorder
    nodes: Store[Json]
    predictions: Store[Json]
    view: PodView
    yielding: Yielding
    state: StateFiles
    metrics: AgentMetrics
    is_alive: Callable[[], bool]
    """Whether our own Lease was renewed of late: else others may zero what we publish."""


class Agent:
    """Steps of one node, each from what is now. wall: epoch seconds, in which kubelets and histories count."""

    def __init__(self, options: AgentOptions, around: Surroundings, *, wall: Callable[[], float] = time.time) -> None:
        self._options, self._around, self._wall = options, around, wall
        self.pulse = Pulse()
        self._meter = Meter()
        self._usage: Usage | None = None
        self._publication: Publication | None = None
        self._rules, self._throttling = RuleBook(), throttle.Throttling()
        self._began_s = self._rules_due_s = self._saved_s = self._reported_s = 0.0
        self._holding: tuple[tuple[Rule, AvoidanceAction], ...] = ()
        self._suspended = False
        self._spared: dict[str, float] = {}
        self._ending: dict[str, float] = {}
        self._log = ThrottledLog(log)

    async def run(self) -> None:
        """Until cancelled."""
        loop, began = asyncio.get_running_loop(), 0.0

        async def step() -> None:
            nonlocal began
            began = loop.time()
            await self.round()

        async def rest() -> None:
            await asyncio.sleep(max(0.0, began + self._options.interval_s - loop.time()))

        await retry_loop(step, name="measure", rest=rest)

    async def round(self) -> None:
        """One reading, and all that follows from it. Raises KubeError where the API server refuses a write."""
        await self._read()
        node = next(self._around.nodes.values(), None)
        facts = None if node is None else node_facts(node)
        if node is None or facts is None:
            return
        if self._publication is None:
            self._begin(node, facts)
        now_s = self._wall()
        await self._forecast(now_s, facts)
        if self._usage is None and 0 <= now_s - self._began_s < STALE_S:
            return  # the use is known from the second reading on; until then what is published stays
        pods = self._around.view.pods()
        idle = pod_roles.preemptible(pods)
        requested, names = pod_roles.total_requested(idle), [pod.name for pod in idle]
        evaluation = self._evaluate(now_s, facts, requested, names)
        if now_s >= self._rules_due_s or now_s < self._rules_due_s - RULES_EVERY_S:
            self._rules_due_s = now_s + RULES_EVERY_S - self._options.interval_s / 2
            self._apply_rules(now_s, node, facts, requested, pods, evaluation.room)
        self._around.metrics.show(evaluation, requested, self._usage, now_s)
        await self._publish(node, facts, evaluation)
        if has_condition(node) != self._suspended:
            await self._patch_status(condition_patch(holds=self._suspended, now=_stamp()))
        await self._reclaim(now_s, facts, requested, pods, evaluation.room)
        if now_s - self._saved_s >= SAVE_EVERY_S:
            self.save(now_s)

    async def retire(self) -> None:
        """The end in order: nothing is offered any more, and every pod has the weight that its kubelet gave it."""
        self.save(self._wall())
        self._around.yielding.restore()
        node = next(self._around.nodes.values(), None)
        patch = None if node is None else status_patch(node, NOTHING)
        if node is not None and patch is not None and node_facts(node) is not None:
            await self._patch_status(patch)

    def save(self, now_s: float) -> None:
        """The history, for the next process."""
        self._saved_s = now_s
        if (publication := self._publication) is None:
            return
        histories = {"cpu": publication.cpu.history, "memory": publication.memory.history}
        try:
            self._around.state.note_histories(histories)
        except OSError as error:
            self._log.warning("history", "the history of the node's use cannot be kept: %s", error)

    def fault(self) -> Fault | None:
        """What keeps us from offering anything."""
        if trouble := self._around.yielding.trouble:
            return Fault("NobodyYields", f"preemptible pods do not yield: {trouble}")
        return self.pulse.fault("KubeletUnread", "the kubelet's metrics have not been read", stale_s=30.0)

    def stillness(self) -> Fault | None:
        """What a restart may help: nothing has been measured for so long."""
        return self.pulse.stillness("MeasureStill", "measuring", most_s=STILL_S)

    # --- one round ---

    async def _read(self) -> None:
        self.pulse.tried()
        try:
            reading = await self._around.kubelet.read()
        except KubeError as error:
            self.pulse.failed(str(error), type(error))
            self._log.warning((type(error), error.status), "the kubelet's metrics cannot be read: %s", error)
            return
        self.pulse.well()
        self._usage = self._meter.measure(reading)

    def _begin(self, node: Json, facts: NodeFacts) -> None:
        """Goes on with what the Node says, so that a restart takes nothing away that is still right."""
        histories = self._around.state.histories()
        options, most = self._options, {"cpu": facts.cpu, "memory": facts.memory}
        cpu, memory = (
            Forecaster(histories[name], Percentile(), all_there_is=most[name], fits_itself=False)
            for name in ("cpu", "memory")
        )
        terms = PublicationSettings(
            reserve_cpu=options.reserve_cpu_percent / 100, reserve_memory=options.reserve_memory_percent / 100
        )
        self._publication = Publication(cpu, memory, published=facts.published, settings=terms)
        self._began_s = self._saved_s = self._wall()
        if has_condition(node):
            self._rules.inherit(self._began_s)
            self._suspended = True

    async def _forecast(self, now_s: float, facts: NodeFacts) -> None:
        """As the node's TimeSeriesPrediction says, whose status says what came of it."""
        publication = self._publication
        assert publication is not None  # noqa: S101 (begun before)
        document = next(self._around.predictions.values(), None)
        publication.configure(prediction.terms(document), facts)
        for forecaster in (publication.cpu, publication.memory):
            if (fit := forecaster.due_fit(now_s)) is not None:  # up to 0.3 s
                forecaster.adopt(now_s, fit, await asyncio.to_thread(fit.compute))
        if document is None or now_s < self._reported_s + REPORT_EVERY_S:
            return
        self._reported_s = now_s
        forecasters = {"cpu": publication.cpu, "memory": publication.memory}
        patch = prediction.status_patch(document, forecasters, now_s, now=_stamp())
        if patch is not None:
            meta = document["metadata"]
            path = paths.group(
                PREDICTION_API,
                "timeseriespredictions",
                namespace=meta["namespace"],
                name=meta["name"],
                subresource="status",
            )
            await self._around.client.patch(path, patch, content_type=MERGE, timeout_s=_WRITE_S)

    def _evaluate(self, now_s: float, facts: NodeFacts, requested: Amount, names: list[tuple[str, str]]) -> Evaluation:
        publication = self._publication
        assert publication is not None  # noqa: S101 (begun before)
        usage = self._usage
        if usage is not None and usage.is_fresh(now_s):
            publication.record(usage, facts, names)
        unsafe = bool(self._around.yielding.trouble) or not self._around.is_alive()
        return publication.evaluate(
            now_s,
            usage=usage,
            node=facts,
            preemptible=names,
            requested=requested,
            suspended=self._suspended or unsafe,
        )

    def _apply_rules(
        self, now_s: float, node: Json, facts: NodeFacts, requested: Amount, pods: list[NodePod], room: Amount
    ) -> None:
        view = self._around.view
        labels = node["metadata"].get("labels") or {}
        objects = [each for each in view.node_rules if each.applies_to(labels)]
        usage = self._usage if self._usage is not None and self._usage.is_fresh(now_s) else None
        metrics = contention.load(usage, facts, requested, room).metrics()
        verdict = self._rules.evaluate(now_s, objects, view.actions, metrics)
        self._suspended, self._holding = verdict.suspended, verdict.reclaiming
        for change in verdict.changes:
            self._announce(node, change)
        shares = self._throttling.evaluate(
            now_s,
            objects=objects,
            throttles=view.throttles,
            metrics=metrics,
            pods=pods,
            is_allowed=view.is_allowed,
        )
        most_share = min((each.most_share for each in objects), default=1.0)
        self._around.yielding.limit(throttle.quotas(pods, shares, all_cpu=facts.all_cpu, most_share=most_share))

    def _announce(self, node: Json, change: Change) -> None:
        is_triggered = change.kind == "triggered"
        kind, reason = ("Warning", "AvoidanceTriggered") if is_triggered else ("Normal", "RestoreTriggered")
        self._around.recorder.put(node_event(node, kind, reason, str(change), now=_stamp()))
        log.warning("rule=%s %s", change.key, change.kind)

    async def _publish(self, node: Json, facts: NodeFacts, evaluation: Evaluation) -> None:
        patch = status_patch(node, evaluation.published)
        is_more = evaluation.published.cpu > facts.published.cpu or evaluation.published.memory > facts.published.memory
        if patch is None or (is_more and not self._around.is_alive()):  # others would take it for a dead agent's
            return
        await self._patch_status(patch)
        quantities = evaluation.published.quantities()
        words = ", ".join(f"{name} {value}" for name, value in quantities.items())
        log.info("published %s decided_by=%s", words, evaluation.decided_by)
        text = f"Idle capacity is now {words} (by {evaluation.decided_by})"
        self._around.recorder.put(node_event(node, "Normal", "UpdateNode", text, now=_stamp()))

    async def _patch_status(self, patch: Json) -> None:
        path = paths.node_status(self._options.node_name)
        node = await self._around.client.patch(path, patch, content_type=STRATEGIC, timeout_s=_WRITE_S)
        node["metadata"].pop("managedFields", None)
        (node.get("status") or {}).pop("images", None)
        self._around.nodes.apply(node)

    async def _reclaim(
        self, now_s: float, facts: NodeFacts, requested: Amount, pods: list[NodePod], room: Amount
    ) -> None:
        self._spared = {uid: until_s for uid, until_s in self._spared.items() if now_s < until_s}
        self._ending = {uid: until_s for uid, until_s in self._ending.items() if now_s < until_s}
        usage = self._usage
        if not self._holding or usage is None or not usage.is_fresh(now_s):
            return
        victims = contention.victims(
            self._holding,
            contention.load(usage, facts, requested, room),
            usage,
            pods,
            is_allowed=self._around.view.is_allowed,
            ending=self._ending.keys(),
            spared=self._spared.keys(),
        )
        for victim in victims:
            await self._evict(now_s, victim)

    async def _evict(self, now_s: float, victim: contention.Victim) -> None:
        namespace, name = victim.pod.name
        path = paths.core("pods", namespace=namespace, name=name, subresource="eviction")
        try:
            await self._around.client.post(path, contention.eviction(victim.pod, victim.grace_s), timeout_s=_WRITE_S)
        except NotFound:
            return
        except KubeError as error:
            if error.status in (409, 429):
                self._spared[victim.pod.uid] = now_s + SPARED_S
                self._log.warning(victim.pod.uid, "pod=%s/%s is not evicted: %s", namespace, name, error)
                return
            raise
        self._ending[victim.pod.uid] = now_s + ENDING_S
        self._around.metrics.evictions.add()
        log.warning("evicted pod=%s/%s: %s", namespace, name, victim.message)
        self._around.recorder.put(pod_event(victim.pod, contention.VICTIM_EVENT, victim.message, now=_stamp()))


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kubelet_url(node: Json | None) -> str:
    """Where the Node says that its kubelet is; empty = it does not."""
    status: Any = (node or {}).get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    addresses = {each.get("type"): each.get("address") for each in status.get("addresses") or ()}
    address = next((addresses[kind] for kind in ("InternalIP", "Hostname", "ExternalIP") if addresses.get(kind)), "")
    if not port or not address:
        return ""
    return f"https://[{address}]:{port}" if ":" in str(address) else f"https://{address}:{port}"
