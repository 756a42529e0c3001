"""What a crowd of refused pods costs: each refusal and each release is as much work among a thousand as among ten."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tests.control.pure_time import play
from tests.preemptible.test_held_pods import TERMS, pod
from vk_provider.control.policy import Size
from vk_provider.errors import OutOfCapacity
from vk_provider.idle.market import Depth
from vk_provider.idle.offer import Evaluation
from vk_provider.idle.pool import Quota
from vk_provider.idle.rules import Load, Verdict
from vk_provider.instances.poller import InstanceCache
from vk_provider.kube.store import Store
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus, Owner
from vk_provider.model.pod import Json
from vk_provider.preemptible.account import Account
from vk_provider.preemptible.custom_objects import CustomObjects
from vk_provider.preemptible.idle_metrics import IdleMetrics
from vk_provider.preemptible.preemptible_node import PreemptibleNode, Wiring
from vk_provider.preemptible.reclaimer import Reclaimer
from vk_provider.preemptible_options import PreemptibleOptions

CROWD = 200
NOW = datetime(2026, 3, 2, tzinfo=UTC)
QUOTA_USED_UP = OutOfCapacity("no quota", code="QuotaExceeded.Cpu")
NO_STOCK = OutOfCapacity("no stock", code="NoStock")


class Cache(InstanceCache):
    """Counts how often somebody asks for a pod's instances."""

    asked = 0

    def of(self, uid: str) -> Any:
        self.asked += 1
        return super().of(uid)


class Scene:
    """A node with so many preemptible pods, each with an instance of so many vCPU. retried: how often each pod was."""

    def __init__(self, *, preemptible: int, cpu: float) -> None:
        client: Any = None
        self.account = Account(
            PreemptibleOptions(enabled=True),
            terms=TERMS,
            objects=CustomObjects(client, jitter=lambda: 0.0),
            depth=Depth(),
            metrics=IdleMetrics(Registry()),
            jitter=lambda: 0.0,
            clock=lambda: NOW,
        )
        self.reclaimer = Reclaimer(self.account)
        self.store: Store[Json] = Store(key=pods.uid_of, version=lambda each: each["metadata"]["resourceVersion"])
        self.cache = Cache(lambda uid: self.node.held.instance_changed(uid))
        self.node = PreemptibleNode(
            Wiring("vk", client, self.store, self.cache, memory_bytes=2**40), self.account, self.reclaimer
        )
        self.account.nodes["vk"] = self.node
        self.retried: Counter[str] = Counter()
        self.node.on_change(lambda uid: self.retried.update([uid]))
        self.node.held.mark_known()
        for number in range(preemptible):
            self.store.apply(pod(f"p{number}", version=1, phase="Running", is_preemptible=True))
            self.cache.put(self.instance(number, cpu))
        used = preemptible * cpu
        self.account.quota = Quota(at_s=NOW.timestamp(), most_cpu=used, used_cpu=used, preemptible_cpu=used)
        self.account.evaluation = Evaluation(
            shares={}, pool_cpu=0, prediction=None, depth_cpu=0, why_closed="", verdict=Verdict(), load=Load()
        )

    def instance(self, number: int, cpu: float) -> Instance:
        uid = f"p{number}"
        owner = Owner(namespace="web", name=uid, uid=uid)
        status = InstanceStatus.RUNNING
        return Instance(id=f"eci-{uid}", owner=owner, status=status, sku="spot", cpu=cpu, memory_gib=2 * cpu, zone="a")

    def refuse(self, uid: str, cpu: float, error: OutOfCapacity) -> Any:
        self.store.apply(pod(uid, version=1, phase="Pending", is_preemptible=False))
        return self.reclaimer.regular_refused(uid, 0, Size(cpu, 2 * cpu), error)


def test_a_refusal_for_stock_goes_through_those_of_its_size_alone_and_not_for_each_pod():
    async def story() -> None:
        scene = Scene(preemptible=CROWD, cpu=8.0)
        scene.cache.asked = 0
        for number in range(CROWD):
            assert scene.refuse(f"small{number}", 4.0, NO_STOCK) is None
        assert scene.cache.asked == 0, "nobody of this size could yield"
        first = scene.refuse("large", 8.0, NO_STOCK)
        assert "1 preemptible pods of this size end for this one" in first.message
        asked = scene.cache.asked
        for number in range(CROWD):
            scene.refuse(f"large{number}", 8.0, NO_STOCK)
        assert asked == scene.cache.asked, "within five minutes nobody else is looked for"
        [victim] = [uid for uid in scene.retried if scene.reclaimer.order(uid)]
        scene.retried.clear()
        gone = scene.cache.remove(f"eci-{victim}")
        assert gone is not None
        scene.node.released(gone)
        assert scene.retried == {"large": 1}, "whom it helps tries again, and nobody else"

    play(story())


def test_where_all_of_a_size_are_too_few_the_next_pod_does_not_go_through_them_again():
    async def story() -> None:
        scene = Scene(preemptible=CROWD, cpu=8.0)
        for number in range(CROWD):  # they are protected
            scene.store.apply(pod(f"p{number}", version=2, phase="Failed", is_preemptible=True))
        scene.cache.asked = 0
        for number in range(CROWD):
            assert scene.refuse(f"large{number}", 8.0, NO_STOCK) is None
        assert scene.cache.asked <= 2 * CROWD

    play(story())


def test_releases_have_only_those_try_again_for_whom_there_is_room():
    async def story() -> None:
        scene = Scene(preemptible=CROWD, cpu=2.0)
        for number in range(CROWD):
            await asyncio.sleep(0.001)
            scene.refuse(f"regular{number}", 2.0, QUOTA_USED_UP)
        scene.reclaimer.reclaim_for_regular(retries=False)
        scene.retried.clear()
        for number in range(CROWD // 2):
            gone = scene.cache.remove(f"eci-p{number}")
            assert gone is not None
            scene.node.released(gone)
        assert not scene.retried, "a release by itself reconciles nobody"
        assert scene.reclaimer.wake.is_set()
        scene.reclaimer.reclaim_for_regular(retries=False)
        assert sum(scene.retried.values()) == CROWD // 2
        assert set(scene.retried.values()) == {1}
        scene.retried.clear()
        scene.reclaimer.reclaim_for_regular(retries=False)
        assert not scene.retried, "once for each release"

    play(story())
