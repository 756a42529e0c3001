"""The replicas that share several nodes: each has a Lease of its own by which the others see that it lives.

That Lease decides nothing but who is to have which node (`shares`); a node is led by the node's own Lease (`election`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from vk_provider import fence as fences
from vk_provider.errors import Conflict, NotFound, ProviderError
from vk_provider.kube import objects, paths
from vk_provider.kube.api import Json, KubeApi
from vk_provider.leader.election import DURATION_S, POLL_S, RENEW_S, LeaderElection
from vk_provider.leader.lease import Sighting, micro_time
from vk_provider.leader.lease_watch import watch_freed
from vk_provider.leader.shares import Share, Standing, share_of
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

GROUP = "virtual-kubelet.io/leader-lease"  # label of all leases of one Deployment
ROLE = "virtual-kubelet.io/replica"  # label of a replica's own Lease
SETTLE_S = 2.0  # replicas that start together see each other first; and what is too much must be so for so long
OVERDUE_S = 5.0  # a node that is free for so long is taken by whoever can
FORGOTTEN_S = 60.0  # the Lease of a replica that is not renewed for so long is removed
_TIMEOUT_S = 3.0
_LEAVE_S = 1.0
_FAILED = Backoff(first_s=0.5, most_s=2.0, spread=0.2)


def group_label(name: str) -> str:
    """name: of the setting's Lease; a label holds 63 characters."""
    return name if len(name) <= 63 else hashlib.sha256(name.encode()).hexdigest()[:40]


class Replicas:
    """What this replica is to serve. elections: of each node, by its name.

    clock: of fences, in seconds. wall: for what is written into the Lease, and to know old ones from the start.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        namespace: str,
        group: str,
        identity: str,
        elections: Mapping[str, LeaderElection],
        clock: Callable[[], float] = fences.clock,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._group = group_label(group)
        self._identity = identity
        self._elections = elections
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._name = f"{group}-replica-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
        self._own: Json | None = None
        self._joined_s: float | None = None
        self._renewed_s = float("-inf")
        self._surplus_since: dict[str, float] = {}
        self._seen: dict[str, Sighting] = {}  # by the Lease's name
        self._free_since: dict[str, float] = {}
        self._share = Share()
        self._is_freed = asyncio.Event()

    def may_take(self, node: str) -> bool:
        return node in self._share.take

    async def run(self) -> None:
        """Until cancelled; the others are told at once that this replica goes."""

        async def rest() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S * (0.9 + 0.2 * self._jitter())):
                    await self._is_freed.wait()
            self._is_freed.clear()

        selector = {"labelSelector": f"{GROUP}={self._group}"}
        watching = watch_freed(self._client, self._namespace, selector, self._is_freed.set, jitter=self._jitter)
        rounds = retry_loop(self._round, name="replicas", backoff=_FAILED, jitter=self._jitter, rest=rest)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watching, name="watch of leases")
                tasks.create_task(rounds, name="shares")
        finally:
            await self._leave()

    async def _round(self) -> None:
        if self._clock() - self._renewed_s >= RENEW_S:
            await self._renew()
        params = {"labelSelector": f"{GROUP}={self._group}"}
        answer = await self._client.get(paths.leases(self._namespace), params=params, timeout_s=_TIMEOUT_S)
        items = answer.get("items") or ()
        named = (each for each in items if not objects.fault_of_object(each, needs=("name", "resourceVersion")))
        leases = {str(each["metadata"]["name"]): each for each in named}
        for election in self._elections.values():
            election.observe(leases.get(election.name))
        members = {name: lease for name, lease in leases.items() if ROLE in (lease["metadata"].get("labels") or {})}
        self._seen = {
            name: Sighting.of(lease, self._seen.get(name), DURATION_S, self._clock()) for name, lease in members.items()
        }
        self._decide(members)
        for name, seen in self._seen.items():
            if name != self._name and seen.remaining_s(self._clock()) <= 0 and seen.age_s(self._clock()) > FORGOTTEN_S:
                with suppress(NotFound, Conflict):
                    path, same = paths.lease(self._namespace, name), {"resourceVersion": seen.version}
                    await self._client.delete(path, body={"preconditions": same}, timeout_s=_TIMEOUT_S)

    def _decide(self, members: Mapping[str, Json]) -> None:
        now_s = self._clock()
        holders = {node: each.holder for node, each in self._elections.items() if not each.is_free or each.leads}
        lapsed = {each.holder for each in self._elections.values() if each.holder and each.is_free and not each.leads}
        living = {
            seen.holder
            for name, seen in self._seen.items()
            if seen.remaining_s(now_s) > 0 and (seen.was_seen_alive or self._is_recent(members[name]))
        }
        self._free_since = {node: self._free_since.get(node, now_s) for node in self._elections if node not in holders}
        standing = Standing(
            nodes=self._elections.keys(),
            holders=holders,
            replicas=({*living, *holders.values()} - lapsed) | {self._identity},
            own=self._identity,
            overdue=[node for node, since in self._free_since.items() if now_s - since >= OVERDUE_S],
        )
        has_settled = self._joined_s is not None and now_s - self._joined_s >= SETTLE_S
        self._share = share_of(standing) if has_settled else Share()
        for node in self._share.take:
            self._elections[node].attempt_now()
        self._surplus_since = {node: self._surplus_since.get(node, now_s) for node in self._share.release}
        for node, since in self._surplus_since.items():
            if now_s - since >= SETTLE_S:
                log.info("handing over node=%s: another replica is to have its share", node)
                self._elections[node].hand_over()
                self._surplus_since[node] = float("inf")  # once is enough

    def _is_recent(self, lease: Json) -> bool:
        """Of one that was never seen to be renewed: whether its own words make it likely that it lives."""
        try:
            renewed = datetime.fromisoformat(str((lease.get("spec") or {}).get("renewTime")))
            return (self._wall() - renewed).total_seconds() < 3 * DURATION_S
        except (ValueError, TypeError):
            return False

    # --- our own Lease ------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        spec: Json = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(DURATION_S),
            "renewTime": micro_time(self._wall()),
        }
        try:
            if self._own is None:
                labels = {GROUP: self._group, ROLE: "true"}
                metadata = {"name": self._name, "namespace": self._namespace, "labels": labels}
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                self._own = await self._client.post(paths.leases(self._namespace), body, timeout_s=_TIMEOUT_S)
            else:
                self._own = await self._client.put(self._path, {**self._own, "spec": spec}, timeout_s=_TIMEOUT_S)
        except Conflict:  # it is there already, from an earlier life, or somebody wrote it: no other has this name
            self._own = await self._client.get(self._path, timeout_s=_TIMEOUT_S)
            self._own = await self._client.put(self._path, {**self._own, "spec": spec}, timeout_s=_TIMEOUT_S)
        except NotFound:
            self._own = None
            raise
        self._renewed_s = self._clock()
        if self._joined_s is None:
            self._joined_s = self._renewed_s

    async def _leave(self) -> None:
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.shield(self._client.delete(self._path, timeout_s=_LEAVE_S))

    @property
    def _path(self) -> str:
        return paths.lease(self._namespace, self._name)
