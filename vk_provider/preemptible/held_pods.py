"""What the preemptible pods of one node hold, kept by changes: nothing goes through all pods of a node.

A record lives from a pod's first sight until neither it nor an instance of it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from vk_provider.cloud.driver import SpotTerms
from vk_provider.idle.holdings import Hold, Holding
from vk_provider.idle.resources import NOTHING, Amount, is_preemptible, requested
from vk_provider.idle.selectors import PodFacts
from vk_provider.instances.cache import InstanceCache
from vk_provider.kube.store import Store
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus
from vk_provider.model.pod import Json
from vk_provider.model.quantity import GIB

DISRUPTED_BY_US = "TerminationByKubelet"


@dataclass(frozen=True, slots=True)
class HeldPod:
    """sold_cpu: of the instance that is sold for it. is_over: it has ended, is being deleted or is gone.

    disruption: why the node was about to end it, by its status; empty = it was not. evicts: it wants to be evicted when
    the cloud announces that it takes its instance back.
    """

    uid: str
    facts: PodFacts
    amount: Amount
    sold_cpu: float
    bound_s: float
    is_running: bool
    is_over: bool
    disruption: str = ""
    evicts: bool = False


class HeldPods:
    """begun: called with an instance's vCPU once it shows, unless it did before `mark_known`; over: once it has nothing
    any more; unplaced: with the pod's uid, once for each instance that found no room; noticed: with the uid of a pod
    that is to be evicted, once the cloud announces that it takes its instance back."""

    def __init__(
        self,
        node: str,
        pods_seen: Store[Json],
        instances: InstanceCache,
        terms: SpotTerms,
        *,
        begun: Callable[[float], object],
        over: Callable[[float], object],
        unplaced: Callable[[str], object],
        noticed: Callable[[str], object],
    ) -> None:
        self._node = node
        self._pods = pods_seen
        self._instances = instances
        self._terms = terms
        self._begun, self._over, self._unplaced, self._noticed = begun, over, unplaced, noticed
        self._held: dict[str, HeldPod] = {}
        self._sold: dict[str, float] = {}  # vCPU of those that have an instance
        self._place_of: dict[str, tuple[str, str]] = {}
        self.places: dict[tuple[str, str], set[str]] = {}  # zone and size → uids of those that have such an instance
        self.sold_cpu = 0.0  # of all of them: kept, so that to admit a pod takes no walk over the others
        self._is_known = False
        self._seen: dict[str, set[str]] = {}  # uid → ids of instances that were told of
        pods_seen.subscribe(self._observe)

    def __contains__(self, uid: str) -> bool:
        return uid in self._held

    def __iter__(self) -> Iterator[HeldPod]:
        return iter(tuple(self._held.values()))

    def get(self, uid: str) -> HeldPod | None:
        return self._held.get(uid)

    def mark_known(self) -> None:
        """What is there now is no news."""
        self._is_known = True
        for uid in self._held:
            self._seen.setdefault(uid, set()).update(each.id for each in self._instances.of(uid))

    def instance_changed(self, uid: str) -> None:
        """To be called at each change of an instance of the pod."""
        self._count(uid)
        if uid not in self._held or not self._is_known:
            return
        told = self._seen.setdefault(uid, set())
        for each in self._instances.of(uid):
            if each.id not in told:
                told.add(each.id)
                self._begun(each.cpu or self._held[uid].sold_cpu)
            if each.status.is_ended:
                self.instance_over(each)
            if self._is_noticed(uid, each) and f"{each.id} noticed" not in told:
                told.add(f"{each.id} noticed")
                self._noticed(uid)

    def sold_cpu_of(self, uid: str) -> float:
        """vCPU of its instances; 0 while it has none."""
        return self._sold.get(uid, 0.0)

    def _count(self, uid: str) -> None:
        held = self._held.get(uid)
        holding = self._holding(held, self._instances.of(uid)) if held is not None else None
        cpu = holding.cpu if holding is not None and holding.hold is not Hold.BOUND else 0.0
        self.sold_cpu += cpu - self._sold.pop(uid, 0.0)
        if cpu:
            self._sold[uid] = cpu
        self._place(uid, (holding.zone, holding.size) if holding is not None and holding.size else None)

    def _place(self, uid: str, place: tuple[str, str] | None) -> None:
        before = self._place_of.pop(uid, None)
        if before is not None:
            self.places[before].discard(uid)
            if not self.places[before]:
                del self.places[before]
        if place is not None:
            self._place_of[uid] = place
            self.places.setdefault(place, set()).add(uid)

    def _is_noticed(self, uid: str, instance: Instance) -> bool:
        return self._held[uid].evicts and any(event.reason == self._terms.notice for event in instance.events)

    def instance_over(self, instance: Instance) -> None:
        """It has ended, or is gone."""
        uid = instance.owner.uid
        told = self._seen.get(uid, set())
        if uid not in self._held or f"{instance.id} over" in told or instance.id not in told:
            return
        told.add(f"{instance.id} over")
        self._over(instance.cpu or self._held[uid].sold_cpu)
        if instance.status is InstanceStatus.SCHEDULE_FAILED:
            self._unplaced(uid)

    def holdings(self) -> list[Holding]:
        found = []
        for held in tuple(self._held.values()):
            instances = self._instances.of(held.uid)
            if held.is_over and not instances and held.uid not in self._pods:
                del self._held[held.uid]
                self._seen.pop(held.uid, None)
                self._count(held.uid)
                continue
            if (holding := self._holding(held, instances)) is not None:
                found.append(holding)
        return found

    def holdings_at(self, zone: str, size: str) -> list[Holding]:
        uids = sorted(self.places.get((zone, size), ()))
        found = (self._holding(self._held[uid], self._instances.of(uid)) for uid in uids)
        return [each for each in found if each is not None]

    def _holding(self, held: HeldPod, instances: Sequence[Instance]) -> Holding | None:
        """None: it holds nothing. What is carried on demand, as its owner wanted, is regular load."""
        live = [each for each in instances if not each.status.is_ended]
        if held.is_over and not live:
            return None
        amount = NOTHING if held.is_over else held.amount
        spot = [each for each in live if not each.sku or self._terms.is_spot(each.sku)]
        holding = Holding(
            uid=held.uid,
            node=self._node,
            hold=Hold.BOUND,
            cpu=held.sold_cpu,
            requested=amount,
            priority=held.facts.priority,
            is_running=held.is_running,
            bound_s=held.bound_s,
        )
        if live and not spot:
            return replace(holding, cpu=0.0)
        if not spot:
            return holding
        is_ending = held.is_over or all(each.status is InstanceStatus.TERMINATING for each in spot)
        first = spot[0]
        return replace(
            holding,
            hold=Hold.RELEASING if is_ending else Hold.LIVE,
            cpu=sum(each.cpu or held.sold_cpu for each in spot),
            zone=first.zone,
            size=f"{first.cpu:g}-{first.memory_gib:g}",
        )

    def _observe(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None:
            if (held := self._held.get(uid)) is not None:
                self._held[uid] = replace(held, is_over=True, is_running=False)
        elif uid in self._held or is_preemptible(pod):
            self._held[uid] = self._read(pod)
        self._count(uid)

    def _read(self, pod: Json) -> HeldPod:
        try:
            amount = requested(pod)
        except ValueError:  # an API server would not have stored it
            amount = NOTHING
        meta, status = pod["metadata"], pod.get("status") or {}
        priority = pod["spec"].get("priority")
        return HeldPod(
            uid=pods.uid_of(pod),
            facts=PodFacts(
                namespace=str(meta["namespace"]),
                labels=meta.get("labels") or {},
                qos_class=str(status.get("qosClass") or "BestEffort"),
                priority=priority if type(priority) is int else 0,
            ),
            amount=amount,
            sold_cpu=self._terms.sold_cpu(amount.cpu, amount.memory / GIB, is_spot=True) or float(amount.cpu),
            bound_s=_bound_s(pod),
            is_running=status.get("phase") == "Running",
            is_over=pods.is_terminal(pod) or pods.is_deleting(pod),
            disruption=_disruption(status),
            evicts=(meta.get("annotations") or {}).get(self._terms.evicts[0]) == self._terms.evicts[1],
        )


def _conditions(status: Json) -> Iterator[Json]:
    listed = status.get("conditions")
    return (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else iter(())


def _disruption(status: Json) -> str:
    for each in _conditions(status):
        if (each.get("type"), each.get("status"), each.get("reason")) == ("DisruptionTarget", "True", DISRUPTED_BY_US):
            return str(each.get("message") or "its end was ordered")
    return ""


def _bound_s(pod: Json) -> float:
    """When it came to this node, in seconds since 1970; 0 where nothing says so."""
    bound = next((each for each in _conditions(pod.get("status") or {}) if each.get("type") == "PodScheduled"), {})
    for text in (bound.get("lastTransitionTime"), pod["metadata"].get("creationTimestamp")):
        try:
            return datetime.fromisoformat(str(text)).timestamp()
        except ValueError:
            continue
    return 0.0
