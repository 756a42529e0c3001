"""Watches a story of preemptible Jobs by the cluster's and the cloud's own books, never by what the provider says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from fakes.cloud.group import Group
from tests.preemptible.world import World

Json = dict[str, Any]

RESERVE = 0.1
WATCH_S = 1.0
SETTLING_S = 45.0
"""For how long a figure may be above the pool after the load rose: a reading every 10 s, and a write."""
LONGEST_WAIT_S = 90.0
"""Grace and start, and what it takes to see them: a reading of the quota 10, the grace 30 and the release 5, a poll
that shows it gone 3, the next reading and try 2, the start 29, a poll that shows it running 3; and some for chance."""


@dataclass
class Story:
    """found: violations. said: when and what happened."""

    seed: int
    found: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)


class Audit:
    """neighbours: the nodes that the process of a node serves, for only their preemptible pods yield to a pod of it.
    disturbed_s: until when figures may be old, for the provider was away, could not read, or the load has just risen.
    """

    def __init__(
        self, world: World, story: Story, *, quota: float, neighbours: Callable[[str], Collection[str]]
    ) -> None:
        self._world, self._story, self._quota, self._neighbours = world, story, quota, neighbours
        self._over_since: float | None = None
        self._told: set[str] = set()
        self.disturbed_s = 0.0
        self._victims: set[str] = set()
        self._books = (0.0, 0.0)  # vCPU that were to be had and that were needed when they were looked at last
        self._could_yield_s: dict[str, float] = {}
        self.longest_wait_s = 0.0

    def disturb(self, seconds: float) -> None:
        """For so long from now on figures may be old."""
        self.disturbed_s = max(self.disturbed_s, self._world.time_s + seconds)

    def complain(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._story.found.append(f"{self._world.time_s:8.1f} s  {text}")

    async def run(self) -> None:
        while True:
            pods = self._world.pods()
            living = [each for each in self._world.groups() if each.ended_at is None]
            self._pool(pods, living)
            self._terminal(pods)
            self._reclaims(pods, living)
            self._waits(pods, living)
            await asyncio.sleep(WATCH_S)

    def _pool(self, pods: list[Json], living: list[Group]) -> None:
        """What is offered beyond what is requested is never more than is idle, but for a moment after a rise."""
        world = self._world
        spot = sum(each.cpu for each in living if each.spot is not None)
        usable = self._quota * (1 - RESERVE) - (world.used() - spot)
        published = sum(world.published(name) for name in world.names)
        free = published - sum(_idle_cpu(pod) for pod in pods if _is_held(pod))
        if free > max(0.0, usable - spot) + 1e-6:
            self._over_since = self._over_since if self._over_since is not None else world.time_s
            since_s = max(self._over_since, self.disturbed_s)
            if world.time_s - since_s > SETTLING_S:
                self.complain("pool", f"{free} vCPU are offered still, {usable - spot:.1f} are idle")
        else:
            self._over_since = None

    def _terminal(self, pods: list[Json]) -> None:
        for pod in pods:
            status, name = pod["status"], pod["metadata"]["name"]
            if status.get("reason") == "Preempted" and not any(
                each["type"] == "DisruptionTarget" for each in status.get("conditions") or ()
            ):
                self.complain(name, f"{name} was preempted without DisruptionTarget")

    def _reclaims(self, pods: list[Json], living: list[Group]) -> None:
        """Nobody is told to end who could be left out, by the books of the cloud at that very moment: between the look
        before and this one, so both must say it. What ends by itself in between is in the one and not in the other."""
        world = self._world
        told = {event["involvedObject"]["uid"] for event in world.events("PreemptibleReclaim")}
        new, self._victims = told - self._victims, self._victims | told
        groups = {each.tags.get("vk-pod-uid"): each for each in living}
        need = sum(_regular_cpu(pod) for pod in pods if _is_waiting(pod) and pod["metadata"]["uid"] not in groups)
        ending = [each for uid, each in groups.items() if uid in told]
        others = sum(each.cpu for uid, each in groups.items() if uid not in told and each.status == "Terminating")
        covered = self._quota - world.used() + others + sum(each.cpu for each in ending)
        (before, needed), self._books = self._books, (covered, need)
        victims = [each.cpu for uid, each in groups.items() if uid in new]
        if not new or world.time_s < self.disturbed_s + 15.0:
            return
        least, need = min(victims, default=0.0), max(need, needed)
        could_have = min(covered, before + sum(victims)) - least
        if (ending and could_have >= need > 0) or (ending and need == 0):
            self.complain(f"{world.time_s}", f"{len(ending)} pods end where fewer would do: {covered} vCPU for {need}")

    def _waits(self, pods: list[Json], living: list[Group]) -> None:
        """No regular pod waits longer than a grace and a start while preemptible pods hold enough that could yield."""
        waiting = [pod for pod in pods if _is_waiting(pod)]
        have = {each.tags.get("vk-pod-uid") for each in living}
        free = self._quota - self._world.used()
        need = sum(_regular_cpu(pod) for pod in waiting if pod["metadata"]["uid"] not in have)
        times: dict[str, float] = {}
        for pod in waiting:
            uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
            beside = self._neighbours(node)
            could = free + sum(each.cpu for each in living if each.spot is not None and each.tags["vk-node"] in beside)
            may_run = bool(node) and (uid in have or could >= max(need, _regular_cpu(pod)))
            is_calm = self._world.time_s - self.disturbed_s >= LONGEST_WAIT_S
            times[uid] = self._could_yield_s.get(uid, 0.0) + WATCH_S if may_run and is_calm else 0.0
            self.longest_wait_s = max(self.longest_wait_s, times[uid])
            if times[uid] > LONGEST_WAIT_S:
                name = pod["metadata"]["name"]
                self.complain(uid, f"{name} waits for {times[uid]:.0f} s although others could yield")
        self._could_yield_s = times


def _is_waiting(pod: Json) -> bool:
    """It is a regular one that does not run yet."""
    return not _idle_cpu(pod) and pod["status"].get("phase", "Pending") == "Pending"


def _regular_cpu(pod: Json) -> int:
    return int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"])


def _idle_cpu(pod: Json) -> int:
    limits = pod["spec"]["containers"][0]["resources"].get("limits") or {}
    return int(limits.get("gocrane.io/cpu", 0))


def _is_held(pod: Json) -> bool:
    return bool(pod["spec"].get("nodeName")) and pod["status"].get("phase") not in ("Succeeded", "Failed")
