"""The heart of the node: its Lease, renewed every ten seconds whatever else goes on.

Runs as its own task with a KubeClient of its own, so that no flood of other requests can delay a beat. Nothing of
the cloud, the pods or the Node's conditions stops it: a node that stops beating gets all its pods evicted (N24).
Source: kubelet.md N21-N24.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

from vk_provider.errors import Conflict, KubeError, MalformedAnswer, NotFound
from vk_provider.health import Pulse
from vk_provider.kube import objects, paths
from vk_provider.kube.api import Json, KubeApi
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
_TRIES = 5
_TIMEOUT_S = 10.0  # so that one hung connection and a second try still fit into a lease of 40 s
_SPREAD = 0.04
_CREATING = Backoff(first_s=0.1, most_s=7.0, spread=0.0)
_FAILED = Backoff(first_s=1.0, most_s=7.0, spread=0.0)


def micro_time(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`; six digits always, as the API's MicroTime demands."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def renewed(lease: Json, *, node: str, owner_uid: str, duration_s: int, now: datetime) -> Json:
    """The lease as it is to be written: held by the node, owned by its Node object, foreign fields kept.

    owner_uid empty: the Node's uid is not known just now, the owner stays as it is.
    """
    meta = dict(lease["metadata"])
    if owner_uid:
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner_uid}]
    spec = {
        **(lease.get("spec") or {}),
        "holderIdentity": node,
        "leaseDurationSeconds": duration_s,
        "renewTime": micro_time(now),
    }
    return {**lease, "metadata": meta, "spec": spec}


class NodeLease:
    """Keeps `kube-node-lease/<node>` fresh.

    owner_uid: gives the uid of our Node object, empty while it has none. Before there is one, no lease is made: the
    garbage collector would delete a lease whose owner it cannot find.
    clock: for renewTime only; beats are timed by the loop. jitter: in [0, 1).
    """

    def __init__(
        self,
        client: KubeApi,
        node: str,
        *,
        owner_uid: Callable[[], str],
        duration_s: int = 40,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._node = node
        self._owner_uid = owner_uid
        self._duration_s = duration_s
        self._clock = clock
        self._jitter = jitter
        self._lease: Json | None = None
        self._beat_now = asyncio.Event()
        self._log = ThrottledLog(log)
        self.pulse = Pulse()  # well: the server took a beat

    @property
    def renewed_at(self) -> float | None:
        """Loop time of the last beat that the server took."""
        return self.pulse.well_s

    def owner_changed(self) -> None:
        """The Node has a (new) uid: beat now, so that the garbage collector finds the lease owned by a living Node."""
        self._beat_now.set()

    async def run(self) -> None:
        """Beat until cancelled. The lease stays when we stop: who runs out of beats is dead, who restarts is not."""
        loop, started = asyncio.get_running_loop(), 0.0

        async def beat() -> None:
            nonlocal started
            started = loop.time()
            self.pulse.tried()
            await self.beat()

        async def rest() -> None:
            interval_s = self._duration_s / 4 * (1 + _SPREAD * (2 * self._jitter() - 1))
            await self._pause(started + interval_s - loop.time())

        await retry_loop(beat, name="lease", backoff=_FAILED, jitter=self._jitter, rest=rest, pause=self._pause)

    async def beat(self) -> bool:
        """Renew once, or create. False when neither worked; the next beat tries again."""
        self._beat_now.clear()  # before the uid is read, so that no change falls between
        for _ in range(_TRIES):
            if self._lease is None and not self._owner_uid():
                return False
            try:
                await self._renew()
            except Conflict:
                self._lease = None  # somebody else wrote it: read again
            except NotFound:
                self._lease = None
                if await self._create():
                    return True
            except KubeError as error:
                self._complain(error, "lease not renewed: %s", error)
                await asyncio.sleep(min(error.retry_after_s or 0.0, _TIMEOUT_S))
            else:
                return True
        return False

    async def _renew(self) -> None:
        path = paths.lease(NAMESPACE, self._node)
        if self._lease is None:
            self._lease = _checked(await self._client.get(path, timeout_s=_TIMEOUT_S))
        self._lease = _checked(
            await self._client.put(path, self._written(self._lease, self._owner_uid()), timeout_s=_TIMEOUT_S)
        )
        self.pulse.well()

    async def _create(self) -> bool:
        """Create the lease, for as long as it takes: the namespace itself may be yet to come.

        False: it is there after all, or the Node's uid was lost meanwhile.
        """
        failures = 0
        while uid := self._owner_uid():
            blank = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._node, "namespace": NAMESPACE},
            }
            try:
                body = self._written(blank, uid)
                self._lease = _checked(await self._client.post(paths.leases(NAMESPACE), body, timeout_s=_TIMEOUT_S))
            except Conflict:
                return False
            except KubeError as error:
                delay_s = max(_CREATING.delay(failures), error.retry_after_s or 0.0)
                failures += 1
                self._complain(error, "lease not created, trying again in_s=%.1f: %s", delay_s, error)
                await asyncio.sleep(delay_s)
            else:
                self.pulse.well()
                log.info("created lease=%s/%s", NAMESPACE, self._node)
                return True
        return False

    def _complain(self, error: KubeError, message: str, *args: object) -> None:
        self.pulse.failed(str(error), (type(error), error.status))
        self._log.warning((message, type(error), error.status), message, *args)

    def _written(self, lease: Json, uid: str) -> Json:
        return renewed(lease, node=self._node, owner_uid=uid, duration_s=self._duration_s, now=self._clock())

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, delay_s)):
                await self._beat_now.wait()
        except TimeoutError:
            return


def _checked(lease: Json) -> Json:
    """The lease, which is to be written back; nothing can be made of a malformed one, so it is read again."""
    fault = objects.fault_of_answer(lease) if "metadata" in lease else "it has no metadata"
    if fault:
        raise MalformedAnswer(f"the lease that the API server gives is malformed: {fault}")
    return lease
