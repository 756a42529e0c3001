"""Instances whose pod is gone (W7)."""

from __future__ import annotations

from vk_provider.control.actions import Action, DeleteOrphan, Done, RequeueAfter
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation, age_s
from vk_provider.control.rules.stopping import DELETE_AGAIN_S, deletable


def nothing_left(seen: Observation, memory: PodMemory) -> Action | None:
    return Done()


def orphan(seen: Observation, memory: PodMemory) -> Action | None:
    """Its age counts by our own clock too: that and the cloud's may differ by hours."""
    for instance in seen.instances:
        owner = instance.owner
        if not (owner.uid and owner.namespace and owner.name):
            continue  # no pod can be asked about, so nothing can be proven
        if not instance.proven or not deletable(instance, memory, seen.now):
            continue
        young_s = 0.0 if memory.seen else seen.node.orphan_age_s - age_s(instance, seen.now)
        if memory.stopping.orphaned_since_s is not None:
            young_s = min(young_s, memory.stopping.orphaned_since_s + seen.node.orphan_age_s - seen.now.loop_s)
        return RequeueAfter(young_s) if young_s > 0 else DeleteOrphan(instance)
    return RequeueAfter(DELETE_AGAIN_S)
