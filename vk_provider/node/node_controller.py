"""Our Node: registered, kept fresh, made again when somebody deletes it.

Desired state comes from our own settings and health only; each round compares it with a fresh Node and writes what
differs. The heart itself is the Lease (kube/lease.py), which nothing here can stop.
Source: kubelet.md a.1, a.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vk_provider.errors import ConfigError, Conflict, KubeError, NotFound
from vk_provider.health import Fault, Pulse
from vk_provider.kube import objects, paths
from vk_provider.kube.api import KubeApi
from vk_provider.kube.recorder import Recorder
from vk_provider.node.capacity import CapacitySource, combined
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog
from vk_provider.translate import events, node, node_patch
from vk_provider.translate.node import CloudHealth, NodeSpec, OwnHealth

Json = dict[str, Any]
log = logging.getLogger(__name__)

ROUND_S = 10.0
HEARTBEAT_S = 300.0  # conditions carry a heartbeat too; the lease is the one that is watched
CONTESTED, CONTESTED_S = 3, 1200.0
_CONTESTED = (
    "another provider, at {theirs}, serves the node {name}, too: give each its own --node-name, or all the same"
    " --leader-lease"
)
RETRY = Backoff(first_s=0.1, most_s=7.0)
STAMP = "%Y-%m-%dT%H:%M:%SZ"


class NodeController:
    """Owns the Node object. `registered` is set once it is ours; `uid` is empty while there is none."""

    def __init__(
        self,
        *,
        client: KubeApi,
        spec: NodeSpec,
        recorder: Recorder,
        adopt: bool,
        notices: Sequence[tuple[str, str]] = (),
        capacity: Sequence[CapacitySource] = (),
        jitter: Callable[[], float],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """capacity: offers resources besides those of the spec."""
        self._client = client
        self._spec = spec
        self._capacity = capacity
        self._notices = notices
        self._health: Callable[[], CloudHealth] = lambda: CloudHealth(ok=None)
        self._recorder = recorder
        self._adopt = adopt
        self._jitter = jitter
        self._clock = clock
        self._reconcile_now = asyncio.Event()
        self._log = ThrottledLog(log)
        self.pulse = Pulse()
        self._heartbeat_at = float("-inf")
        self._contested: list[float] = []  # when others were found to have put their address there
        self._reported: CloudHealth | None = None
        self._own_fault: Callable[[], Fault | None] | None = None
        self._own_reported = ""
        self._owner_changed: Callable[[], None] = lambda: None
        self.registered = asyncio.Event()
        self.uid = ""

    def on_owner_change(self, call: Callable[[], None]) -> None:
        """Let the lease know that the Node has a new uid (N22)."""
        self._owner_changed = call

    def watch_health(self, health: Callable[[], CloudHealth]) -> None:
        """Where the condition CloudAPIAvailable comes from."""
        self._health = health

    def watch_own_health(self, fault: Callable[[], Fault | None]) -> None:
        """Where the condition ProviderHealthy comes from; without it there is none."""
        self._own_fault = fault

    def reconcile_now(self) -> None:
        """Something of our own health changed: do not wait for the next round."""
        self._reconcile_now.set()

    async def run(self) -> None:
        """Register, then reconcile every ROUND_S. Raises ConfigError when a node that is not ours has the name."""

        async def observe() -> None:
            self._reconcile_now.clear()  # before reading, so that no change is missed
            await self.reconcile()
            self.pulse.well()

        await retry_loop(
            observe,
            name="node",
            backoff=RETRY,
            jitter=self._jitter,
            rest=lambda: self._wait(ROUND_S),
            pause=self._wait,
            on_failure=self._failed,
        )

    async def _wait(self, most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._reconcile_now.wait()

    def _failed(self, error: Exception, delay_s: float) -> None:
        self.pulse.failed(str(error), (type(error), getattr(error, "status", 0)))
        if isinstance(error, KubeError):
            words = "node=%s not written, again in_s=%.1f: %s"
            self._log.warning((type(error), error.status), words, self._spec.name, delay_s, error)

    async def reconcile(self) -> None:
        """One round: read the Node, register it or put right what differs."""
        try:
            found = self._checked(await self._client.get(paths.node(self._spec.name)))
        except NotFound:
            found = self._checked(await self._register())
        if found["metadata"]["uid"] != self.uid:
            found = await self._take_over(found)
        await self._write_status(found)
        self._emit_health(found)
        self._emit_own_health(found)

    def _checked(self, found: Json) -> Json:
        """Raises MalformedAnswer."""
        return objects.checked_object(found, f"node {self._spec.name}")

    async def _register(self) -> Json:
        self.uid = ""
        body = node.node_object(self._offered(), now=self._now(), cloud=self._health(), own=self._own_health())
        try:
            made = await self._client.post(paths.nodes(), body)
        except Conflict:
            return await self._client.get(paths.node(self._spec.name))
        log.info("registered node=%s", self._spec.name)
        return made

    async def _take_over(self, found: Json) -> Json:
        """The first read of this Node, or of a new one of our name."""
        if not node_patch.is_ours(found, self._spec) and not self._adopt:
            fault = (
                f"a Node named {self._spec.name} exists that this provider did not make (or made in another"
                " cluster); choose another --node-name, or say --adopt-node if no machine stands behind it"
            )
            raise ConfigError([fault])
        patch = node_patch.metadata_patch(found, self._spec, adopt=self._adopt)
        if patch is not None:
            found = self._checked(await self._client.patch(paths.node(self._spec.name), patch))
        self.uid = found["metadata"]["uid"]
        self._heartbeat_at = float("-inf")
        self._owner_changed()
        self.registered.set()
        self._event(found, "Normal", "Starting", "Starting virtual kubelet.")
        for reason, message in self._notices:
            self._event(found, "Warning", reason, message)
        return found

    async def _write_status(self, found: Json) -> None:
        now_s = asyncio.get_running_loop().time()
        own, cloud = self._own_health(), self._health()
        desired = node.node_status(self._offered(), previous=found, now=self._now(), cloud=cloud, own=own)
        if not node_patch.differs(found, desired) and now_s - self._heartbeat_at < HEARTBEAT_S:
            return
        if self._yields(found, desired, now_s):
            return
        patch = node_patch.status_patch(found, desired)
        if patch is not None:
            await self._client.patch(paths.node_status(self._spec.name), patch)
        self._heartbeat_at = now_s

    def _yields(self, found: Json, desired: Json, now_s: float) -> bool:
        """Whether the Node is another's to write.

        Two providers of one name would put it right against each other in each round. Once that has shown a few times,
        the one whose address sorts last leaves it alone, for as long as the other keeps it fresh.
        """
        theirs, ours = node_patch.announced_at(found), node_patch.announced_at({"status": desired})
        if theirs == ours or not theirs or self._heartbeat_at == float("-inf"):
            return False
        self._contested = [at_s for at_s in self._contested if now_s - at_s < CONTESTED_S] + [now_s]
        if len(self._contested) < CONTESTED:
            return False
        if len(self._contested) == CONTESTED:
            self._event(found, "Warning", "NodeContested", _CONTESTED.format(name=self._spec.name, theirs=theirs))
        return theirs < ours and self._is_fresh(found)

    def _is_fresh(self, found: Json) -> bool:
        beats = [each.get("lastHeartbeatTime") for each in (found.get("status") or {}).get("conditions") or ()]
        stale = (self._clock() - timedelta(seconds=2 * HEARTBEAT_S)).strftime(STAMP)
        return max((str(each) for each in beats if each), default="") > stale

    def _offered(self) -> NodeSpec:
        """Our node with what the sources offer now."""
        if not self._capacity:
            return self._spec
        return replace(self._spec, capacity=combined(self._spec.capacity, self._capacity))

    def _own_health(self) -> OwnHealth | None:
        if self._own_fault is None:
            return None
        fault = self._own_fault()
        if fault is None:
            return OwnHealth(ok=True, reason="ProviderWorks", message="the provider does its work")
        return OwnHealth(ok=False, reason=fault.reason, message=fault.message)

    def _emit_own_health(self, found: Json) -> None:
        own = self._own_health()
        if own is None or own.reason == self._own_reported:
            return
        if not own.ok:
            self._event(found, "Warning", own.reason, own.message)
        elif self._own_reported:
            self._event(found, "Normal", own.reason, own.message)
        self._own_reported = own.reason

    def _emit_health(self, found: Json) -> None:
        """Events for people who describe the node: cloud trouble and its end, once each."""
        health = self._health()
        # Not its message, which may change at every try.
        reported = self._reported and (self._reported.ok, self._reported.reason)
        if reported == (health.ok, health.reason) or health.ok is None:
            return
        if not health.ok:
            self._event(found, "Warning", health.reason, health.message)
        elif self._reported is not None:
            self._event(found, "Normal", "CloudAPIAvailable", health.message)
        self._reported = health

    def _event(self, found: Json, kind: str, reason: str, message: str) -> None:
        target = {"kind": "Node", **found}
        self._recorder.put(
            events.own_event(
                events.involved(target),
                type=kind,
                reason=reason,
                message=message,
                now=self._now(),
                node=self._spec.name,
            )
        )

    def _now(self) -> str:
        return self._clock().strftime(STAMP)
