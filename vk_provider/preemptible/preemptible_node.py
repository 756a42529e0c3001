"""One virtual node's tie to idle capacity: what its pods may do (`PodPolicy`) and what it offers (`CapacitySource`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vk_provider import bounds
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.policy import Hold, Permissive, Reject, Size
from vk_provider.control.stop_order import StopOrder
from vk_provider.errors import OutOfCapacity
from vk_provider.idle import admission, no_stock
from vk_provider.idle.instance_request import instance_request
from vk_provider.idle.offer import NodeFacts
from vk_provider.idle.reclaims import VICTIM_EVENT, VICTIM_REASON, WAITING_EVENT
from vk_provider.idle.resources import Amount, is_preemptible
from vk_provider.instances.cache import InstanceCache
from vk_provider.kube.api import KubeApi
from vk_provider.kube.store import Store
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.preemptible import node_objects
from vk_provider.preemptible.account import Account
from vk_provider.preemptible.held_pods import HeldPods
from vk_provider.retry_loop import retry_loop

if TYPE_CHECKING:
    from vk_provider.preemptible.reclaimer import Reclaimer

Emit = Callable[[str, str, str], None]  # type, reason and message of an event on the Node
Warn = Callable[[Json, str, str], None]  # pod, reason and message


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a node has that others of the process have not. client: whose writes end with the node's lease.
    memory_bytes: of its budget."""

    name: str
    client: KubeApi
    pods: Store[Json]
    instances: InstanceCache
    memory_bytes: int


@dataclass(slots=True)
class Seen:
    """What the Node object said last. share: what it is to say. unsupported: what it was told of quality-of-service
    objects, by kind and name."""

    facts: NodeFacts = field(default_factory=NodeFacts)
    share: Amount = field(default_factory=Amount)
    labels: Mapping[str, str] = field(default_factory=dict)
    reserve: float | None = None
    is_interfered: bool = False
    unsupported: Mapping[tuple[str, str], str] = field(default_factory=dict)


class PreemptibleNode(Permissive):
    """A PodPolicy and a CapacitySource."""

    def __init__(self, wiring: Wiring, account: Account, reclaimer: Reclaimer) -> None:
        self.wiring = wiring
        self.seen = Seen()
        self._account, self._reclaimer = account, reclaimer
        self.changed: Callable[[str], None] = lambda _: None
        self.emit: Emit = lambda *_: None
        self._warn: Warn = lambda *_: None
        self.offer_changed: Callable[[], None] = lambda: None
        self.ready: Callable[[], bool] = lambda: False
        self.held = HeldPods(
            wiring.name,
            wiring.pods,
            wiring.instances,
            account.terms,
            begun=reclaimer.begun,
            over=account.depth.released,
            unplaced=reclaimer.no_stock,
            noticed=reclaimer.noticed,
        )

    async def prepare(self) -> None:
        """Waits until it is known what the Node says: before that nobody may ask what is offered."""
        known: list[bool] = []

        async def read() -> None:
            await node_objects.read(self)
            self.seen.share = self.seen.facts.published
            known.append(True)

        await retry_loop(read, name="what the Node offers", until=lambda: bool(known))

    def attach(self, *, emit: Emit, warn: Warn, offer_changed: Callable[[], None], ready: Callable[[], bool]) -> None:
        """What is made after the node's policies. offer_changed: its Node is to be written. ready: its pods and
        instances are known completely; before that nothing is decided."""
        self.emit, self._warn, self.offer_changed, self.ready = emit, warn, offer_changed, ready

    # --- CapacitySource

    def current(self) -> Mapping[str, str]:
        """Before `prepare` nobody may ask: a start takes nothing away of what the Node says."""
        return self.seen.share.quantities()

    # --- PodPolicy

    def admit(self, pod: Json) -> Json | Hold | Reject | None:
        if not is_preemptible(pod):
            return pod
        verdict = admission.check(pod, owner_kinds=self._account.options.owner_kinds)
        if verdict.refusals:
            text = "; ".join(f"{each.field}: {each.reason}" for each in verdict.refusals)
            return Reject(admission.REASON_AT_BIND, bounds.shortened(text, bounds.MOST_MESSAGE))
        uid = pods.uid_of(pod)
        if not self._has_live(uid) and (hold := self._reclaimer.hold(self, uid)) is not None:
            return hold
        terms = self._account.terms
        return instance_request(
            pod,
            annotations=terms.annotations,
            most_grace_s=self._account.most_grace_s,
            without=(terms.evicts[0],),  # carried out here, and no word of it to the cloud
        )

    def on_out_of_capacity(self, pod: Json, need: Size, error: OutOfCapacity) -> Hold | None:
        uid = pods.uid_of(pod)
        if is_preemptible(pod):
            return self._reclaimer.refused(uid, error)
        priority = pod["spec"].get("priority")
        return self._reclaimer.regular_refused(uid, priority if type(priority) is int else 0, need, error)

    def stop_order(self, uid: str) -> StopOrder | None:
        order = self._reclaimer.order(uid)
        if order is not None:
            event = PodEvent("Warning", VICTIM_EVENT, order.message)
            return StopOrder(
                VICTIM_REASON,
                order.message,
                phase="Failed",
                disruption=True,
                event=event,
                grace_s=float(order.grace_s),
            )
        if uid in self.held and self._reclaimer.is_given_up(uid) and not self._has_live(uid):
            message = f"no idle capacity could be had for it in {no_stock.PATIENCE_S / 60:g} minutes"
            event = PodEvent("Warning", no_stock.REASON, message)
            return StopOrder(no_stock.REASON, message, phase="Failed", disruption=True, event=event)
        return None

    def released(self, instance: Instance) -> None:
        self._reclaimer.released(self, instance)

    def on_change(self, call: Callable[[str], None]) -> None:
        self.changed = call

    # --- for the loop

    def warn_waiting(self, uid: str, message: str) -> None:
        pod = self.wiring.pods.get(uid)
        if pod is not None:
            self._warn(pod, WAITING_EVENT, message)

    def has_instance(self, uid: str) -> bool:
        return any(not each.status.is_ended for each in self.wiring.instances.of(uid))

    def _has_live(self, uid: str) -> bool:
        return self.has_instance(uid)
