"""Who ends for whom, and who waits: the answers to refused creates, and the stop orders that follow from them.

Level-triggered: a refusal notes that a pod waits and asks for a reading of the quota; each round works the victims out
anew from that reading, from who holds what and from what was ordered already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from vk_provider.control.policy import Hold, Size
from vk_provider.errors import Conflict, KubeError, NotFound, OutOfCapacity
from vk_provider.idle import no_stock
from vk_provider.idle.holdings import Hold as Held
from vk_provider.idle.holdings import Holding, candidates
from vk_provider.idle.no_stock import StockWaits
from vk_provider.idle.offer import Evaluation
from vk_provider.idle.reclaims import DEFAULT_GRACE_S, WAITING_EVENT, Order, Reclaims, waiting_message
from vk_provider.idle.rules import gap_cpu
from vk_provider.idle.victims import Reclaim, Waiting
from vk_provider.kube import paths
from vk_provider.model.instance import Instance
from vk_provider.model.pod import is_deleting, is_terminal
from vk_provider.preemptible.account import Account, loop_s
from vk_provider.preemptible.preemptible_node import PreemptibleNode

log = logging.getLogger(__name__)

UNKNOWN = Hold("IdleCapacityUnknown", "what is idle is not known yet", retry_after_s=10.0)
REFUSED_RETRY_S = 60.0
_EPSILON = 1e-6


class Reclaimer:
    """wake: set when a round is to come at once."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._reclaims, self._stock_waits = Reclaims(), StockWaits()
        self._told: dict[str, str] = {}  # regular pod → what it was told last of its wait
        self.wake = asyncio.Event()
        self._to_evict: set[str] = set()
        self._has_released = False  # since the round before
        self._helped: dict[str, str] = {}  # who ends for the sake of its size → the regular pod that wants it

    @property
    def waiting_cpu(self) -> float:
        """vCPU of the regular pods that were refused."""
        return self._reclaims.waiting_cpu

    def order(self, uid: str) -> Order | None:
        return self._reclaims.order(uid)

    def resume(self) -> None:
        """Go on with the orders of the process before us, as their pods show them."""
        account = self._account
        for node in account.nodes.values():
            node.held.mark_known()
            for held in node.held:
                if held.disruption and not held.is_over:
                    cpu = sum(each.cpu for each in node.wiring.instances.of(held.uid)) or held.sold_cpu
                    self._reclaims.resumed(account.now_s(), held.uid, cpu, held.disruption, account.most_grace_s)
                    node.changed(held.uid)

    def forget(self) -> None:
        """What is over. Bounded thereby by the pods there are."""
        account = self._account
        held = {each.uid for node in account.nodes.values() for each in node.held}
        waiting = {uid for uid in self._reclaims.waiting if account.node_of(uid) is not None}
        self._reclaims.forget(account.now_s(), account.quota, held | waiting)
        self._stock_waits.keep(held)
        self._helped = {uid: helped for uid, helped in self._helped.items() if uid in held}

    def hold(self, node: PreemptibleNode, uid: str) -> Hold | None:
        """Why a preemptible pod is not created now."""
        wait_s = self._stock_waits.remaining_s(loop_s(), uid)
        if wait_s > 0:
            return Hold(no_stock.REASON, "waits for spot stock", retry_after_s=wait_s)
        held = node.held.get(uid)
        if self._account.evaluation is None or held is None:
            return UNKNOWN
        others = self._account.sold_cpu - node.held.sold_cpu_of(uid)
        if others + held.sold_cpu <= self._account.evaluation.pool_cpu + _EPSILON:
            return None
        wait_s = self._stock_waits.refused(loop_s(), uid, jitter=self._account.jitter())
        message = (
            f"its instance has {held.sold_cpu:g} vCPU, and of the {self._account.evaluation.pool_cpu:g} vCPU that"
            f" preemptible pods may hold {others:g} are taken"
        )
        return Hold(no_stock.REASON, message, retry_after_s=max(1.0, wait_s))

    def is_given_up(self, uid: str) -> bool:
        return self._stock_waits.is_given_up(loop_s(), uid)

    def refused(self, uid: str, error: OutOfCapacity) -> Hold:
        """A preemptible pod's create found no capacity. Nobody ends for it."""
        if not error.is_known and not _is_quota(error):
            self._account.depth.refused(self._account.now_s())
        self._account.metrics.create_failures.add(reason="quota" if _is_quota(error) else "stock")
        wait_s = self._stock_waits.refused(loop_s(), uid, jitter=self._account.jitter())
        return Hold(no_stock.REASON, f"no spot instance could be had: {error}", retry_after_s=max(1.0, wait_s))

    def no_stock(self, uid: str) -> None:
        """A preemptible pod's instance was made and found no room."""
        self._account.depth.refused(self._account.now_s())
        self._account.metrics.create_failures.add(reason="stock")
        self._stock_waits.refused(loop_s(), uid, jitter=self._account.jitter())

    def begun(self, cpu: float) -> None:
        """A preemptible pod has an instance."""
        self._account.depth.created(self._account.now_s(), cpu)

    def noticed(self, uid: str) -> None:
        """The cloud takes back the instance of a pod that wants to be evicted then."""
        self._to_evict.add(uid)
        self.wake.set()

    async def evict(self) -> None:
        """Those who are to go, by the Eviction API; one that a budget protects is tried again in the next round, and
        goes at the latest with its instance."""
        for uid in tuple(self._to_evict):
            node = self._account.node_of(uid)
            pod = node.wiring.pods.get(uid) if node is not None else None
            if node is None or pod is None or is_terminal(pod) or is_deleting(pod):
                self._to_evict.discard(uid)
                continue
            meta = {"namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]}
            options = {"preconditions": {"uid": uid}}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta, "deleteOptions": options}
            try:
                await node.wiring.client.post(paths.core("pods", **meta, subresource="eviction"), body)
            except (NotFound, Conflict):
                self._to_evict.discard(uid)
            except KubeError as error:
                log.warning("not evicted yet pod=%s/%s: %s", meta["namespace"], meta["name"], error)

    def regular_refused(self, uid: str, priority: int, need: Size, error: OutOfCapacity) -> Hold | None:
        """A regular pod's create found no capacity: whoever can help it ends. None: nobody can."""
        now_s = self._account.now_s()
        cpu = self._account.terms.sold_cpu(need.cpu, need.memory_gib, is_spot=False) or need.cpu or 0.0
        pod = Waiting(uid=uid, cpu=cpu, priority=priority, since_s=now_s)
        if not _is_quota(error):
            reclaim = self._for_stock(now_s, pod)
            if not reclaim.victims:
                return None
            message = f"{error}; {len(reclaim.victims)} preemptible pods of this size end for this one"
            return Hold(WAITING_EVENT, message, retry_after_s=REFUSED_RETRY_S)
        self._reclaims.refused(now_s, pod)
        self._account.metrics.waits_from(uid, loop_s())
        if self._account.sold_cpu <= _EPSILON:
            return None
        self.wake.set()
        message = "The quota is used up; preemptible pods hold part of it, and end if that makes room for this one"
        return Hold(WAITING_EVENT, self._told.get(uid, message), retry_after_s=REFUSED_RETRY_S)

    def released(self, node: PreemptibleNode, instance: Instance) -> None:
        """The cloud has confirmed that an instance is gone: only now is it credited."""
        uid = instance.owner.uid
        held = node.held.get(uid)
        if held is None:
            return
        node.held.instance_over(instance)
        if (order := self._reclaims.order(uid)) is not None and not order.is_released:
            self._account.metrics.reclaim_seconds.observe(max(0.0, self._account.now_s() - order.ordered_s))
        if not instance.status.is_ended:  # what had ended held nothing of the quota
            self._reclaims.released(self._account.now_s(), uid, instance.cpu or held.sold_cpu)
        if (helped := self._helped.pop(uid, None)) is not None:
            self._account.changed(helped)
        if self._reclaims.waiting:  # the next round has those try again for whom there is room by then
            self._has_released = True
            self.wake.set()

    # --- in each round ---

    def reclaim_for_regular(self, *, retries: bool) -> None:
        """End as few as it takes. retries: let those try again for whom the quota has room by itself."""
        quota, now_s = self._account.quota, self._account.now_s()
        if quota is None or self._account.evaluation is None:
            return
        for uid in tuple(self._reclaims.waiting):
            node = self._account.node_of(uid)
            if node is None or node.has_instance(uid):
                self._reclaims.served(uid)
                self._told.pop(uid, None)
                self._account.metrics.waits_no_more(uid, loop_s())
        if not self._reclaims.waiting:
            return
        holdings = self._account.holdings()
        ending = sum(
            each.cpu for each in holdings if each.hold is Held.RELEASING and not self._reclaims.order(each.uid)
        )
        reclaim = self._reclaims.for_quota(
            now_s,
            quota,
            candidates(holdings, self._account.cpu_priority),
            releasing_cpu=ending,
            grace_s=self._account.most_grace_s,
        )
        self._carry_out(reclaim, "quota")
        self._report_waiting(reclaim)
        if retries or self._has_released:
            self._has_released = False
            for uid in self._reclaims.with_room(now_s, quota, reclaim.served):
                self._account.changed(uid)

    def _report_waiting(self, reclaim: Reclaim) -> None:
        """Those for whom nobody can end are told once what is missing."""
        for uid in (*reclaim.served, *reclaim.unserved):
            message = waiting_message(reclaim, uid, self._account.most_grace_s)
            before, self._told[uid] = self._told.get(uid), message
            node = self._account.node_of(uid)
            if uid in reclaim.unserved and before != message and node is not None:
                node.warn_waiting(uid, message)

    def _for_stock(self, now_s: float, pod: Waiting) -> Reclaim:
        for zone, size in self._account.places(f"{pod.cpu:g}-"):
            if not self._reclaims.may_for_stock(now_s, zone, size):
                continue
            open_ones = candidates(self._account.holdings_at(zone, size), self._account.cpu_priority)
            reclaim = self._reclaims.for_stock(
                now_s, pod, open_ones, zone=zone, size=size, grace_s=self._account.most_grace_s
            )
            if reclaim.victims:
                self._helped |= {victim.uid: pod.uid for victim in reclaim.victims}
                self._carry_out(reclaim, "stock")
                return reclaim
        return Reclaim()

    def reclaim_by_rules(self, evaluation: Evaluation, holdings: Sequence[Holding]) -> None:
        open_ones = candidates(holdings, self._account.cpu_priority)
        counted = [each.uid for each in holdings if each.requested.cpu]
        for rule, action in evaluation.verdict.reclaiming:
            allowed = [each for each in open_ones if self._account.is_allowed(action.name, each.uid)]
            gap = gap_cpu(rule, evaluation.load, gib_per_cpu=self._account.options.memory_per_cpu_gib)
            grace_s = DEFAULT_GRACE_S if action.grace_s is None else action.grace_s
            reclaim = self._reclaims.for_rule(
                self._account.now_s(), rule.name, gap, allowed, counted=counted, grace_s=grace_s
            )
            self._carry_out(reclaim, "rule")

    def _carry_out(self, reclaim: Reclaim, trigger: str) -> None:
        for victim in reclaim.victims:
            order = self._reclaims.order(victim.uid)
            log.info("reclaiming pod=%s cpu=%g: %s", victim.uid, victim.cpu, order.message if order else trigger)
            self._account.metrics.reclaims.add(trigger=trigger)
            self._account.changed(victim.uid)


def _is_quota(error: OutOfCapacity) -> bool:
    return "quota" in error.code.lower()
