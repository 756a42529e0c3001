"""One of several processes serves a node: the one that holds its Lease. The others wait, and take over when it goes.

As client-go's leaderelection, but that what the leader writes goes through a fence (`fence.py`), which is shut before
another process can take over.
Source: client-go tools/leaderelection/leaderelection.go; kubernetes.io, "Leases".
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from vk_provider import fence as fences
from vk_provider.errors import Conflict, KubeError, LeadershipLost, NotFound, ProviderError
from vk_provider.fence import Fence
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.leader.lease import Sighting, holder_of, micro_time
from vk_provider.leader.lease_watch import watch_freed
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

Json = dict[str, Any]
DURATION_S = 10.0  # of a lease that is not renewed
RENEW_S = 2.0  # between two renewals: four may fail
POLL_S = 1.0  # of those who wait; a watch shows them a lease that is given back sooner
_TIMEOUT_S = 3.0
_FAILED = Backoff(first_s=0.5, most_s=2.0, spread=0.2)
_RELEASE_S = 2.0


class LeaderElection:
    """For one Lease. identity: of this process, no other ever has it.

    labels: the Lease's. is_watched: whether the Lease is watched by who waits for it, which is a right of its own.
    may_take: asked before a Lease that is free is taken; who has it asked is to show the Lease by `observe` often, for
    it is not read otherwise.
    clock: of fences, in seconds. wall: for the times written into the Lease, which nobody decides by.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        labels: Mapping[str, str] | None = None,
        is_watched: bool = False,
        may_take: Callable[[], bool] | None = None,
        duration_s: float = DURATION_S,
        renew_s: float = RENEW_S,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = fences.clock,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self.name = name
        self._labels = labels or {}
        self._is_watched = is_watched
        self._may_take = may_take
        self._identity = identity
        self._duration_s = duration_s
        self._renew_s = renew_s
        self._poll_s = poll_s
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._lease: Json | None = None  # as the server has it, as far as we know
        self._seen: Sighting | None = None
        self._hand_over = asyncio.Event()
        self._attempt_now = asyncio.Event()
        self.leads = False
        self._log = ThrottledLog(log)

    @property
    def holder(self) -> str:
        """Who leads, as far as is known; empty: nobody."""
        return holder_of(self._lease) if self._lease is not None else ""

    @property
    def is_free(self) -> bool:
        """Whether it can be taken, as far as is known."""
        seen = self._seen
        if seen is None or not seen.holder or seen.holder == self._identity:
            return True
        return seen.remaining_s(self._clock()) <= 0.0

    def observe(self, lease: Json | None) -> None:
        """Somebody has read the Lease. None: there is none."""
        if not self.leads:
            self._observe(lease)

    def attempt_now(self) -> None:
        """It may be taken: do not wait for the next look."""
        self._attempt_now.set()

    def hand_over(self) -> None:
        """Stop serving and give the Lease back."""
        self._hand_over.set()

    async def lead(self, serve: Callable[[Fence], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, then serve for as long as it is ours; give it back when `serve` ends, or is to end.

        Raises LeadershipLost, after `serve` was cancelled and is over; and what `serve` raises.
        """
        fence = await self._acquired()
        log.info("leading lease=%s/%s identity=%s", self._namespace, self.name, self._identity)
        self.leads = True
        self._hand_over.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                renewing = tasks.create_task(self._renew(fence), name="leader lease")
                serving = tasks.create_task(serve(fence), name="serving")
                asked = tasks.create_task(self._hand_over.wait(), name="hand-over")
                await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                serving.cancel()
                await asyncio.wait({serving})  # with the Lease renewed for as long as that takes
                renewing.cancel()
        except ExceptionGroup as failures:
            lost, others = failures.split(LeadershipLost)
            if lost is not None and others is None:
                raise LeadershipLost("the lease was lost; another process may serve the node") from failures
            raise
        finally:
            self.leads = False
            await self._release(fence)

    # --- waiting ---

    async def _acquired(self) -> Fence:
        taken: list[Fence] = []
        watching: list[asyncio.Task[None]] = []

        async def attempt() -> None:
            self._attempt_now.clear()
            if self._may_take is not None and not (self.is_free and self._may_take()):
                return
            await self._read()
            if self.is_free and (fence := await self._take()) is not None:
                taken.append(fence)

        async def rest() -> None:
            if self._is_watched and not watching:
                watching.append(tasks.create_task(self._watch(), name="watch of the leader lease"))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s * (0.9 + 0.2 * self._jitter())):
                    await self._attempt_now.wait()

        async with asyncio.TaskGroup() as tasks:
            await retry_loop(
                attempt,
                name="leader election",
                backoff=_FAILED,
                jitter=self._jitter,
                rest=rest,
                on_failure=self._complain,
                until=lambda: bool(taken),
            )
            for each in watching:
                each.cancel()
        return taken[0]

    async def _watch(self) -> None:
        selector = {"fieldSelector": f"metadata.name={self.name}"}
        await watch_freed(self._client, self._namespace, selector, self.attempt_now, jitter=self._jitter)

    def _observe(self, lease: Json | None) -> None:
        self._lease = lease
        seen = None if lease is None else Sighting.of(lease, self._seen, self._duration_s, self._clock())
        self._seen = seen

    async def _read(self) -> None:
        try:
            self._observe(await self._client.get(self._path, timeout_s=_TIMEOUT_S))
        except NotFound:
            self._observe(None)

    async def _take(self) -> Fence | None:
        """None: another process was faster."""
        fence, sent_s = Fence(self._clock), self._clock()
        try:
            await self._write(transition=True)
        except Conflict:
            return None
        fence.open_until(sent_s + self._duration_s)
        return fence if fence.is_open else None

    # --- leading ---

    async def _renew(self, fence: Fence) -> None:
        """For ever. Raises LeadershipLost; the fence is shut then."""
        while True:
            await asyncio.sleep(min(self._renew_s, fence.remaining_s()))
            await self._renewed(fence)

    async def _renewed(self, fence: Fence) -> None:
        """Once, as often as it takes until the fence shuts. Raises LeadershipLost."""
        failures = 0
        while fence.is_open:
            sent_s = self._clock()
            try:
                async with asyncio.timeout(fence.remaining_s()):
                    await self._write(transition=False)
            except Conflict:
                if not await self._is_still_ours(fence):
                    fence.shut()
            except (ProviderError, TimeoutError) as error:
                self._complain(error, 0.0)
                delay_s = _FAILED.delay(failures, jitter=self._jitter())
                failures += 1
                await asyncio.sleep(min(delay_s, fence.remaining_s()))
            else:
                fence.open_until(sent_s + self._duration_s)
                return
        raise LeadershipLost(f"lease {self._namespace}/{self.name} is not ours any more; held by {self.holder!r}")

    async def _is_still_ours(self, fence: Fence) -> bool:
        """Somebody wrote the Lease: whether that left it to us, as when a person put a label on it."""
        try:
            async with asyncio.timeout(fence.remaining_s()):
                self._lease = await self._client.get(self._path, timeout_s=_TIMEOUT_S)
        except NotFound:
            self._lease = None
            return True
        except (KubeError, TimeoutError):
            return True  # not known yet; the next write says
        return holder_of(self._lease) == self._identity

    async def _write(self, *, transition: bool) -> None:
        """Make the Lease ours, or keep it so. Raises Conflict when somebody else has written it since it was read."""
        now = micro_time(self._wall())
        duration_s = round(self._duration_s)
        held: Json = {"holderIdentity": self._identity, "leaseDurationSeconds": duration_s, "renewTime": now}
        if self._lease is None:
            metadata: Json = {"name": self.name, "namespace": self._namespace}
            if self._labels:
                metadata["labels"] = dict(self._labels)
            spec = {**held, "acquireTime": now, "leaseTransitions": 0}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            self._lease = await self._client.post(paths.leases(self._namespace), body, timeout_s=_TIMEOUT_S)
            return
        spec = dict(self._lease.get("spec") or {})
        if transition:
            held |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        meta = self._lease["metadata"]
        if self._labels.items() - (meta.get("labels") or {}).items():
            meta = {**meta, "labels": {**(meta.get("labels") or {}), **self._labels}}
        body = {**self._lease, "metadata": meta, "spec": {**spec, **held}}
        try:
            self._lease = await self._client.put(self._path, body, timeout_s=_TIMEOUT_S)
        except NotFound as error:
            self._lease = None
            raise Conflict(str(error)) from error

    async def _release(self, fence: Fence) -> None:
        """Give it back, so that nobody has to wait for its end. Nothing may be written afterwards."""
        was_open = fence.is_open
        fence.shut()
        if not was_open or self._lease is None:
            return
        body = {**self._lease, "spec": {**(self._lease.get("spec") or {}), "holderIdentity": ""}}
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_RELEASE_S):
                await asyncio.shield(self._client.put(self._path, body, timeout_s=_RELEASE_S))
                log.info("lease given back lease=%s/%s", self._namespace, self.name)

    @property
    def _path(self) -> str:
        return paths.lease(self._namespace, self.name)

    def _complain(self, error: Exception, _: float) -> None:
        kind = (type(error), getattr(error, "status", 0))
        self._log.warning(kind, "leader lease %s/%s: %s", self._namespace, self.name, error or "no answer in time")
