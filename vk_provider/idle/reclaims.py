"""Which preemptible pods have been told to end, and for whom: never twice for one gap, never more than it.

What was ordered counts as being released until the cloud has confirmed it and the quota has been read since. After a
restart the orders are gone, and instances that the cloud shows as ending take their place: hence `releasing_cpu`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from vk_provider import bounds
from vk_provider.idle.pool import Quota
from vk_provider.idle.victims import Candidate, Reclaim, StockReclaims, Waiting, for_quota, for_rule, for_stock
from vk_provider.pacing.backoff import Backoff

WAITING_S = 300.0  # a pod that was not refused again for so long waits no more
RELEASED_S = 3600.0  # readings that have stopped for so long are not waited for
MOST_WAITING = 1_000
IN_VAIN = Backoff(first_s=5.0, most_s=120.0)  # where the reading had room and the cloud refused all the same
VICTIM_EVENT, WAITING_EVENT = "PreemptibleReclaim", "WaitingForReclaim"
VICTIM_REASON = "Preempted"  # of its status
DEFAULT_GRACE_S = 30
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """message: for the pod's status and its event. is_released: the cloud has confirmed that its instance is gone."""

    uid: str
    cpu: float
    trigger: str  # quota, stock or rule
    message: str
    grace_s: int
    ordered_s: float
    is_released: bool = False


class Reclaims:
    """Bounded by the pods there are, see `forget`, and by MOST_WAITING."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._waiting: dict[str, tuple[Waiting, float]] = {}  # with when it was refused last
        self._released: dict[str, tuple[float, float]] = {}  # vCPU and when, until a reading shows it
        self._trying: set[str] = set()  # of those who wait: for whom a reading had room
        self._in_vain: dict[str, tuple[int, float]] = {}  # of those: how often, and when the next try is due
        self._stock = StockReclaims()

    def order(self, uid: str) -> Order | None:
        return self._orders.get(uid)

    def refused(self, now_s: float, pod: Waiting) -> None:
        """A create was refused for want of quota."""
        known = self._waiting.pop(pod.uid, None)
        since_s = pod.since_s if known is None else known[0].since_s
        self._waiting[pod.uid] = (replace(pod, since_s=since_s), now_s)
        if pod.uid in self._trying:
            self._trying.discard(pod.uid)
            times, _ = self._in_vain.get(pod.uid, (0, 0.0))
            self._in_vain[pod.uid] = (times + 1, now_s + IN_VAIN.delay(times))
        while len(self._waiting) > MOST_WAITING:
            self.served(next(iter(self._waiting)))

    def resumed(self, now_s: float, uid: str, cpu: float, message: str, grace_s: int) -> None:
        """The process before us ordered this one's end, by what it wrote on the pod."""
        order = Order(uid=uid, cpu=cpu, trigger="resumed", message=message, grace_s=grace_s, ordered_s=now_s)
        self._orders.setdefault(uid, order)

    @property
    def waiting(self) -> Collection[str]:
        """Uids of the regular pods that were refused and wait."""
        return self._waiting.keys()

    @property
    def waiting_cpu(self) -> float:
        return sum(pod.cpu for pod, _ in self._waiting.values())

    def served(self, uid: str) -> None:
        """It has an instance now, or wants none any more."""
        self._waiting.pop(uid, None)
        self._in_vain.pop(uid, None)
        self._trying.discard(uid)

    def released(self, now_s: float, uid: str, cpu: float) -> None:
        """The cloud has confirmed that the instance of a preemptible pod is gone, whoever told it to end."""
        self._released.setdefault(uid, (cpu, now_s))
        if (order := self._orders.get(uid)) is not None:
            self._orders[uid] = replace(order, is_released=True)

    def forget(self, now_s: float, quota: Quota | None, pods: Collection[str]) -> None:
        """Drop what is over: orders of pods that no longer exist, and releases that a reading has in it. pods: uids."""
        read_s = -1.0 if quota is None else quota.at_s
        self._released = {
            uid: (cpu, at_s)
            for uid, (cpu, at_s) in self._released.items()
            if at_s >= read_s and 0 <= now_s - at_s <= RELEASED_S
        }
        self._orders = {uid: order for uid, order in self._orders.items() if uid in pods or not order.is_released}
        for uid, (_, last_s) in tuple(self._waiting.items()):
            if uid not in pods or not 0 <= now_s - last_s <= WAITING_S:
                self.served(uid)

    def releasing_cpu(self, quota: Quota) -> float:
        """vCPU that the reading still counts: of orders on their way, and of what was released since."""
        ordered = sum(order.cpu for order in self._orders.values() if not order.is_released)
        return ordered + self._released_cpu(quota)

    def _released_cpu(self, quota: Quota) -> float:
        return sum(cpu for cpu, at_s in self._released.values() if at_s >= quota.at_s)

    def with_room(self, now_s: float, quota: Quota, served: Sequence[str]) -> Sequence[str]:
        """Those of the waiting pods who may try again, for the quota has room for all of them. served: in their order;
        the first that has no room yet keeps it for itself, so that small pods never starve a large one. Who was refused
        all the same lacks another quota than that of vCPU: it is tried ever more seldom, and keeps nothing."""
        room, found = quota.most_cpu - quota.used_cpu + self._released_cpu(quota), list[str]()
        for uid in served:
            if self._in_vain.get(uid, (0, 0.0))[1] > now_s:
                continue
            room -= self._waiting[uid][0].cpu if uid in self._waiting else 0.0
            if room < -_EPSILON:
                break
            found.append(uid)
        self._trying.update(found)
        return found

    def for_quota(
        self,
        now_s: float,
        quota: Quota,
        candidates: Collection[Candidate],
        *,
        releasing_cpu: float = 0.0,
        grace_s: int = DEFAULT_GRACE_S,
    ) -> Reclaim:
        """Order who ends for the regular pods that wait. releasing_cpu: of instances that are ending without
        an order of ours: their pods have ended or were deleted, or the process before us gave it."""
        open_ones = [each for each in candidates if each.uid not in self._orders]
        reclaim = for_quota(
            [pod for pod, _ in self._waiting.values()],
            open_ones,
            free_cpu=quota.most_cpu - quota.used_cpu,
            releasing_cpu=releasing_cpu + self.releasing_cpu(quota),
        )
        why = f"regular pods wait for {reclaim.gap_cpu:g} vCPU more than the quota of {quota.most_cpu:g} has left"
        self._note(now_s, reclaim, "quota", why, grace_s)
        return reclaim

    def for_rule(
        self,
        now_s: float,
        rule: str,
        gap_cpu: float,
        candidates: Collection[Candidate],
        *,
        counted: Collection[str],
        releasing_cpu: float = 0.0,
        grace_s: int = DEFAULT_GRACE_S,
    ) -> Reclaim:
        """Order who ends because a rule holds. candidates: those on whom the rule's action is allowed. counted: uids of
        all pods whose requests are in the gap; those of them that have an order are on their way."""
        open_ones = [each for each in candidates if each.uid not in self._orders]
        ordered = sum(order.cpu for order in self._orders.values() if order.uid in counted)
        reclaim = for_rule(gap_cpu, open_ones, releasing_cpu=releasing_cpu + ordered)
        self._note(now_s, reclaim, "rule", f"the rule {rule} holds, {reclaim.gap_cpu:g} vCPU over", grace_s)
        return reclaim

    def may_for_stock(self, now_s: float, zone: str, size: str) -> bool:
        """At most once in five minutes for each size of a zone, and each ten seconds where nobody could help."""
        return self._stock.may(now_s, zone, size)

    def for_stock(
        self,
        now_s: float,
        pod: Waiting,
        candidates: Collection[Candidate],
        *,
        zone: str,
        size: str,
        grace_s: int = DEFAULT_GRACE_S,
    ) -> Reclaim:
        """Order who ends because a zone has none of a size left: see `may_for_stock`."""
        if not self.may_for_stock(now_s, zone, size):
            return Reclaim()
        open_ones = [each for each in candidates if each.uid not in self._orders]
        reclaim = for_stock(pod, open_ones, zone=zone, size=size, releasing_cpu=0.0)
        self._stock.note(now_s, zone, size, found=bool(reclaim.victims))
        self._note(now_s, reclaim, "stock", f"zone {zone} has no {size} left for a regular pod", grace_s)
        return reclaim

    def _note(self, now_s: float, reclaim: Reclaim, trigger: str, why: str, grace_s: int) -> None:
        for victim in reclaim.victims:
            message = f"This pod runs on idle capacity, {victim.cpu:g} vCPU, which is taken back: {why}"
            self._orders[victim.uid] = Order(
                uid=victim.uid,
                cpu=victim.cpu,
                trigger=trigger,
                message=bounds.shortened(f"{message}. It has {grace_s} s to end", bounds.MOST_EVENT),
                grace_s=grace_s,
                ordered_s=now_s,
            )


def waiting_message(reclaim: Reclaim, uid: str, grace_s: int = DEFAULT_GRACE_S) -> str:
    """What a regular pod that was refused is told, with the shortfall where nobody can help."""
    if uid in reclaim.served:
        return f"The quota is used up; {len(reclaim.victims)} preemptible pods end for this one, within {grace_s} s"
    missing = f"{reclaim.missing_cpu:g} vCPU"
    return f"The quota is used up, and all preemptible pods that may be ended leave {missing} too few"
