"""What preemptible pods hold is counted by changes as it is by going through all of them."""

from __future__ import annotations

import asyncio
import random

import pytest

from vk_provider.cloud.driver import SpotTerms
from vk_provider.idle.holdings import Hold, Holding
from vk_provider.instances.cache import InstanceCache
from vk_provider.kube.store import Store
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus, Owner
from vk_provider.model.pod import Json
from vk_provider.preemptible.held_pods import HeldPods

TERMS = SpotTerms(
    annotations={},
    sold_cpu=lambda cpu, memory_gib, *, is_spot: cpu,
    is_spot=lambda sku: sku == "spot",
    notice="SpotToBeReleased",
    evicts=("evict", "api"),
)
SKUS, STATUSES = ("", "spot", "on-demand"), tuple(InstanceStatus)


def uid_of(holding: Holding) -> str:
    return holding.uid


def pod(uid: str, *, version: int, phase: str, is_preemptible: bool) -> Json:
    size = {"gocrane.io/cpu": "2", "gocrane.io/memory": str(2**31)} if is_preemptible else {"cpu": "2"}
    container = {"name": "main", "resources": {"requests": size, "limits": size}}
    meta = {"uid": uid, "name": uid, "namespace": "web", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"containers": [container]}, "status": {"phase": phase}}


@pytest.mark.parametrize("seed", range(30))
def test_vcpu_that_is_sold_is_the_sum_over_all_holdings_at_every_moment(seed: int) -> None:
    asyncio.run(story(random.Random(seed)))


async def story(dice: random.Random) -> None:
    store: Store[Json] = Store(key=pods.uid_of, version=lambda each: each["metadata"]["resourceVersion"])
    cache = InstanceCache(lambda uid: held.instance_changed(uid))
    nobody = lambda *_: None  # noqa: E731 -- who is told does not matter here
    held = HeldPods("node", store, cache, TERMS, begun=nobody, over=nobody, unplaced=nobody, noticed=nobody)
    for version in range(1, 200):
        number = dice.randrange(6)
        uid, instance_id = f"uid-{number}", f"eci-{number}-{dice.randrange(2)}"
        match dice.choice(("pod", "pod gone", "instance", "instance gone", "instance", "known", "prune")):
            case "pod":
                phase = dice.choice(("Pending", "Running", "Failed"))
                store.apply(pod(uid, version=version, phase=phase, is_preemptible=number > 0))
            case "pod gone":
                store.remove(uid, resource_version=str(version))
            case "instance":
                status, sku = dice.choice(STATUSES), dice.choice(SKUS)
                owner = Owner(namespace="web", name=uid, uid=uid)
                cpu = dice.choice((0.0, 2.0, 4.0))
                cache.put(Instance(id=instance_id, owner=owner, status=status, sku=sku, cpu=cpu))
            case "instance gone":
                cache.remove(instance_id)
            case "known":
                held.mark_known()
            case "prune":
                held.holdings()
        by_change = held.sold_cpu, {f"uid-{each}": held.sold_cpu_of(f"uid-{each}") for each in range(6)}
        sold = {each.uid: each.cpu for each in held.holdings() if each.hold is not Hold.BOUND}
        places = {}
        for each in held.holdings():
            if each.size:
                places.setdefault((each.zone, each.size), set()).add(each.uid)
        assert held.places == places
        at_places = [each for zone, size in places for each in held.holdings_at(zone, size)]
        assert sorted(at_places, key=uid_of) == sorted((e for e in held.holdings() if e.size), key=uid_of)
        assert by_change == (sum(sold.values()), {f"uid-{each}": sold.get(f"uid-{each}", 0.0) for each in range(6)})
