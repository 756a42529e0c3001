"""Idle capacity of one account, as one process offers it on its virtual nodes: the loops around the pure room `idle`.

Every ten seconds the quota is read and what is offered is worked out anew; when a regular pod is refused it is read at
once. A reclaim sets stop orders and nothing else: the core stops the instance, waits for its end and writes the status.
What is remembered may be lost at any time: orders show on their pods, offers on the Nodes, the history is kept in a
ConfigMap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from vk_provider.cloud.base import SupportsSpot
from vk_provider.cloud.driver import SpotTerms
from vk_provider.errors import CloudError
from vk_provider.idle import offer
from vk_provider.idle.forecast import Algorithm, Dsp, Forecaster
from vk_provider.idle.history import History
from vk_provider.idle.holdings import Hold as Held
from vk_provider.idle.holdings import Holding
from vk_provider.idle.market import Depth, Poll, SpotPrice, Stock
from vk_provider.idle.offer import Evaluation, NodeFacts, Offer, OfferSettings
from vk_provider.idle.pool import Quota
from vk_provider.idle.resources import Amount
from vk_provider.kube.api import KubeApi
from vk_provider.metrics import Registry
from vk_provider.pacing.backoff import Backoff
from vk_provider.preemptible import checkpoint, node_objects
from vk_provider.preemptible.account import Account, loop_s
from vk_provider.preemptible.custom_objects import CustomObjects
from vk_provider.preemptible.idle_metrics import IdleMetrics
from vk_provider.preemptible.prediction_objects import PredictionObjects
from vk_provider.preemptible.preemptible_node import PreemptibleNode, Wiring
from vk_provider.preemptible.reclaimer import Reclaimer
from vk_provider.preemptible_options import PreemptibleOptions
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]

MARKET_S = 60.0
KEEP_S = 600.0
FIT_S = 60.0
AGAIN_S = 1.0  # between two readings for the sake of pods that were refused
RETRY = Backoff(first_s=1.0, most_s=10.0)
READS = 3  # of the quota, until no instance came or went meanwhile
_EPSILON = 1e-6


class IdleCapacity:
    """One a process; `node` ties a virtual node to it."""

    def __init__(
        self,
        options: PreemptibleOptions,
        *,
        client: KubeApi,
        cloud: SupportsSpot,
        terms: SpotTerms,
        metrics: Registry,
        jitter: Callable[[], float],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        of_nodes: int = 1,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        """of_nodes: how many nodes there are, of which other processes may serve some. in_thread: where a search for a
        period is computed."""
        self._client, self._cloud = client, cloud
        self._jitter, self._in_thread, self._of_nodes = jitter, in_thread, of_nodes
        self._objects = CustomObjects(client, jitter=jitter)
        self.account = Account(
            options,
            terms=terms,
            objects=self._objects,
            depth=Depth(most_ratio=options.most_spot_ratio or None, start_cpu=float(options.first_spot_cpu)),
            metrics=IdleMetrics(metrics),
            jitter=jitter,
            clock=clock,
        )
        self.reclaimer = Reclaimer(self.account)
        self._algorithm: Algorithm = Dsp()
        self._settings = OfferSettings(reserve=options.reserve_percent / 100, gib_per_cpu=options.memory_per_cpu_gib)
        self._history: History | None = None
        self._offer: Offer | None = None
        self._evaluate_at_s = 0.0
        self._log = ThrottledLog(log)
        self.predictions = PredictionObjects(
            client, namespace=options.predictions, is_external=options.external_predictions, clock=clock, jitter=jitter
        )

    def node(self, wiring: Wiring) -> PreemptibleNode:
        """Ties a virtual node that we serve from now on; the result is its policy and its capacity."""
        if not self.account.nodes:
            self._history = None  # who served until now may have kept a newer one
        made = self.account.nodes[wiring.name] = PreemptibleNode(wiring, self.account, self.reclaimer)
        self.predictions.clients[wiring.name] = wiring.client
        self._begin_anew()
        return made

    def remove(self, node: PreemptibleNode) -> None:
        """We serve it no more."""
        name = node.wiring.name
        if self.account.nodes.get(name) is node:
            del self.account.nodes[name], self.predictions.clients[name]
            self._begin_anew()

    def _begin_anew(self) -> None:
        """With the next reading: on what the nodes that are left say and hold."""
        self._offer = self.account.evaluation = None
        self._evaluate_at_s = 0.0
        self.reclaimer.wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._objects.run(), name="quality of service")
            tasks.create_task(self.predictions.run(), name="predictions")
            tasks.create_task(self._every(self._poll_market, "spot market", MARKET_S), name="spot market")
            tasks.create_task(self._every(self._fit, "fit of the load", FIT_S), name="fit of the load")
            tasks.create_task(self._every(self._keep, "history of the load", KEEP_S, rest_first=True), name="history")
            rounds = retry_loop(self._round, name="idle capacity", backoff=RETRY, jitter=self._jitter, rest=self._wait)
            tasks.create_task(rounds, name="idle capacity")

    async def _every(
        self, step: Callable[[], Awaitable[object]], name: str, seconds: float, *, rest_first: bool = False
    ) -> None:
        async def rest() -> None:
            await asyncio.sleep(seconds)

        await retry_loop(step, name=name, jitter=self._jitter, rest=rest, rest_first=rest_first)

    # --- one round ---

    async def _wait(self) -> None:
        await asyncio.sleep(AGAIN_S)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(max(self._evaluate_at_s, loop_s())):
                await self.reclaimer.wake.wait()

    async def _round(self) -> None:
        self.reclaimer.wake.clear()  # before reading, so that no refusal falls between
        if not self.account.nodes:
            self._evaluate_at_s = loop_s() + offer.EVALUATE_EVERY_S
            return
        if self._history is None:
            self._history = await checkpoint.load(self._client, self.account.options.history)
        await self.reclaimer.evict()
        if not all(node.ready() for node in self.account.nodes.values()):
            self._evaluate_at_s = loop_s()
            return
        await self._read_quota()
        is_due = loop_s() >= self._evaluate_at_s - _EPSILON
        self.reclaimer.reclaim_for_regular(retries=is_due)  # before what may fail at the API server
        if is_due:
            self._evaluate_at_s = loop_s() + offer.EVALUATE_EVERY_S
            await self._evaluate()

    async def _read_quota(self) -> None:
        """What is ours of it must have been there before it was read and still be after it."""
        try:
            for _ in range(READS):
                before = self._live()
                usage = await self._cloud.quota_usage()
                after = self._live()
                if before == after:
                    break
        except CloudError as error:
            self._log.warning(
                type(error).__name__, "the quota cannot be read, and nothing more will be offered: %s", error
            )
            return
        preemptible_cpu = sum(cpu for uid, cpu in after.items() if uid in before)
        most_cpu = usage.most_cpu
        self.account.quota = Quota(
            at_s=self.account.now_s(), most_cpu=most_cpu, used_cpu=usage.used_cpu, preemptible_cpu=preemptible_cpu
        )
        if self._offer is None:
            self._begin(most_cpu)
            await self._fit()
        if self._offer is not None:
            self._offer.forecaster.reconfigure(self._algorithm, all_there_is=most_cpu)
            self._offer.record(self.account.quota, self.reclaimer.waiting_cpu)

    def _begin(self, most_cpu: float) -> None:
        """The first reading: go on where the process before us stopped."""
        history = self._history if self._history is not None else History()
        forecaster = Forecaster(history, self._algorithm, all_there_is=most_cpu, fits_itself=False)
        facts = {name: node.seen.facts for name, node in self.account.nodes.items()}
        self._offer = Offer.resumed(
            forecaster, self.account.depth, self._settings, holdings=self.account.holdings(), nodes=facts
        )
        if any(node.seen.is_interfered for node in self.account.nodes.values()):
            self._offer.rules.inherit(self.account.now_s())
        self.reclaimer.resume()

    async def _evaluate(self) -> None:
        for node in tuple(self.account.nodes.values()):
            await node_objects.read(node)
            self._report_unsupported(node)
        if self._offer is None:
            return
        now_s, is_first = self.account.now_s(), self.account.evaluation is None
        qos = [
            each
            for each in self._objects.node_qos
            if any(each.applies_to(node.seen.labels) for node in self.account.nodes.values())
        ]
        holdings = self.account.holdings()
        used, budget = self._memory(holdings)
        reserves = [node.seen.reserve for node in self.account.nodes.values() if node.seen.reserve is not None]
        reserve = max(reserves) if reserves else self._settings.reserve
        self.account.evaluation = evaluation = self._offer.evaluate(
            now_s,
            quota=self.account.quota,
            holdings=holdings,
            nodes=self._facts(reserve),
            qos=qos,
            actions=self._objects.actions,
            waiting_cpu=self.reclaimer.waiting_cpu,
            reserve=reserve,
            part=self.account.options.share_percent / 100 * len(self.account.nodes) / self._of_nodes,
            memory=(used, budget),
            expected_cpu=self.predictions.expected_cpu(now_s),
        )
        for name, node in tuple(self.account.nodes.items()):
            if name not in evaluation.shares:
                continue  # it came while another was written
            self._publish(node, evaluation.shares[name], evaluation)
            await node_objects.show_interference(node, now=self.account.clock(), verdict=evaluation.verdict)
        for change in evaluation.verdict.changes:
            is_over = change.kind == "restored"
            reason, kind = ("RestoreTriggered", "Normal") if is_over else ("AvoidanceTriggered", "Warning")
            for node in self.account.nodes.values():
                node.emit(kind, reason, str(change))
        self.reclaimer.reclaim_by_rules(evaluation, holdings)
        self.reclaimer.forget()
        self.predictions.offer = self._offer
        self.account.metrics.show(evaluation, self.account.quota, holdings, now_s=now_s)
        if is_first:
            for node in self.account.nodes.values():
                for held in node.held:
                    node.changed(held.uid)

    def _publish(self, node: PreemptibleNode, share: Amount, evaluation: Evaluation) -> None:
        before, node.seen.share = node.seen.share, share
        if share == before:
            return
        by = evaluation.why_closed or (evaluation.prediction.method if evaluation.prediction else "no readings")
        text = f"{before.cpu} to {share.cpu} vCPU, {_gib(before.memory)} to {_gib(share.memory)} GiB ({by})"
        log.info("idle capacity node=%s: %s", node.wiring.name, text)
        node.emit("Normal", "UpdateNode", f"gocrane.io/cpu and gocrane.io/memory go from {text}")
        node.offer_changed()

    def _facts(self, reserve: float) -> Mapping[str, NodeFacts]:
        """What a node was told to say counts as said: it may be written at any moment."""
        found = {}
        for name, node in self.account.nodes.items():
            said, told = node.seen.facts.published, node.seen.share
            held_gib = sum(each.memory_gib for each in node.wiring.instances if not each.status.is_ended)
            left = node.wiring.memory_bytes * (1 - reserve) - held_gib * 2**30
            found[name] = NodeFacts(
                published=Amount(max(said.cpu, told.cpu), max(said.memory, told.memory)),
                memory_left=max(0, int(left)),
            )
        return found

    def _memory(self, holdings: Sequence[Holding]) -> tuple[float, float]:
        """Bytes that regular instances have, and all that the nodes may have."""
        ours = {each.uid for each in holdings}
        used = sum(
            each.memory_gib
            for node in self.account.nodes.values()
            for each in node.wiring.instances
            if each.owner.uid not in ours and not each.status.is_ended
        )
        return used * 2**30, float(sum(node.wiring.memory_bytes for node in self.account.nodes.values()))

    # --- what else goes round ---

    async def _poll_market(self) -> None:
        market = await self._cloud.spot_market()
        stock = {zone: Stock.WITH if has else Stock.WITHOUT for zone, has in market.has_stock.items()}
        prices = {zone: SpotPrice(spot, on_demand) for zone, (spot, on_demand) in market.prices.items()}
        self.account.depth.poll(Poll(self.account.now_s(), stock, prices))
        self.account.metrics.show_prices(prices)

    async def _fit(self) -> None:
        self._algorithm = self.predictions.algorithm or Dsp()
        if self._offer is None:
            return
        forecaster = self._offer.forecaster
        if (fit := forecaster.due_fit(self.account.now_s())) is not None:
            forecaster.adopt(self.account.now_s(), fit, await self._in_thread(fit.compute))

    async def _keep(self) -> None:
        if self._history is not None and len(self._history) and self.account.nodes:
            await checkpoint.keep(self._client, self.account.options.history, self._history)

    def _live(self) -> Mapping[str, float]:
        return {each.uid: each.cpu for each in self.account.holdings() if each.hold is not Held.BOUND}

    def _report_unsupported(self, node: PreemptibleNode) -> None:
        """Once on each node that we serve, whichever was there first."""
        found = dict(self._objects.unsupported)
        for key, text in found.items():
            if node.seen.unsupported.get(key) != text:
                node.emit("Warning", "UnsupportedQoSField", text)
        node.seen.unsupported = found


def _gib(count: int) -> str:
    return f"{count / 2**30:g}"
