"""Faults that a provider is given for the audit of a story to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.preemptible.process import Process
from vk_provider.idle.resources import Amount
from vk_provider.idle.victims import Reclaim

PLANTS = ("one-too-many", "double-victim", "above-the-pool")


def give(process: Process, plant: str) -> None:
    """To this life of the provider; nothing where `plant` is empty."""
    reclaims: Any = process.idle.reclaimer._reclaims
    if plant == "one-too-many":
        usual = reclaims.for_quota

        def generous(now_s: float, quota: Any, candidates: Any, **more: Any) -> Reclaim:
            """One more than it takes, whenever somebody ends."""
            found: Reclaim = usual(now_s, quota, candidates, **more)
            left = [each for each in candidates if each not in found.victims]
            if found.victims and left:
                extra = Reclaim(victims=(left[0],), gap_cpu=left[0].cpu)
                reclaims._note(now_s, extra, "quota", "one too many", 30)
                return replace(found, victims=(*found.victims, left[0]))
            return found

        reclaims.for_quota = generous
    elif plant == "double-victim":
        reclaims.releasing_cpu = lambda quota: 0.0  # forgets who is on the way already
    elif plant == "above-the-pool":
        for node in process.nodes:
            seen = node.preemptible.seen

            def more(seen: Any = seen) -> Any:
                return Amount(seen.share.cpu + 40, seen.share.memory + 160 * 2**30).quantities()

            node.preemptible.current = more  # type: ignore[method-assign]
