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
from datetime import UTC, datetime
from typing import Any

from vk_provider.errors import ConfigError, Conflict, KubeError, NotFound
from vk_provider.health import Fault, Pulse
from vk_provider.kube import objects, paths
from vk_provider.kube.client import KubeClient
from vk_provider.kube.recorder import Recorder
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog
from vk_provider.translate import events, node
from vk_provider.translate.node import CloudHealth, NodeSpec, OwnHealth

Json = dict[str, Any]
log = logging.getLogger(__name__)

ROUND_S = 10.0
HEARTBEAT_S = 300.0  # conditions carry a heartbeat too; the lease is the one that is watched
RETRY = Backoff(first_s=0.1, most_s=7.0)
STAMP = "%Y-%m-%dT%H:%M:%SZ"


class NodeController:
    """Owns the Node object. `registered` is set once it is ours; `uid` is empty while there is none."""

    def __init__(
        self,
        *,
        client: KubeClient,
        spec: NodeSpec,
        recorder: Recorder,
        adopt: bool,
        notices: Sequence[tuple[str, str]] = (),
        jitter: Callable[[], float],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._spec = spec
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
        self._told: CloudHealth | None = None
        self._own_fault: Callable[[], Fault | None] | None = None
        self._own_told = ""
        self._owner_changed: Callable[[], None] = lambda: None
        self.registered = asyncio.Event()
        self.uid = ""

    def on_owner_change(self, call: Callable[[], None]) -> None:
        """Tell the lease that the Node has a new uid (N22)."""
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
        """Register, then look every ROUND_S. Raises ConfigError when the name belongs to a node that is not ours."""

        async def look() -> None:
            self._reconcile_now.clear()  # before looking, so that no change falls between
            await self.reconcile()
            self.pulse.well()

        await retry_loop(
            look,
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
        self._tell_health(found)
        self._tell_own_health(found)

    def _checked(self, found: Json) -> Json:
        """Raises MalformedAnswer."""
        return objects.checked_object(found, f"node {self._spec.name}")

    async def _register(self) -> Json:
        self.uid = ""
        body = node.node_object(self._spec, now=self._now(), cloud=self._health(), own=self._own_health())
        try:
            made = await self._client.post(paths.nodes(), body)
        except Conflict:
            return await self._client.get(paths.node(self._spec.name))
        log.info("registered node=%s", self._spec.name)
        return made

    async def _take_over(self, found: Json) -> Json:
        """The first look at this Node, or at a new one of our name."""
        if not node.is_ours(found, self._spec) and not self._adopt:
            fault = (
                f"a Node named {self._spec.name} exists that this provider did not make (or made in another"
                " cluster); choose another --node-name, or say --adopt-node if no machine stands behind it"
            )
            raise ConfigError([fault])
        patch = node.metadata_patch(found, self._spec, adopt=self._adopt)
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
        desired = node.node_status(self._spec, previous=found, now=self._now(), cloud=cloud, own=own)
        if not node.differs(found, desired) and now_s - self._heartbeat_at < HEARTBEAT_S:
            return
        patch = node.status_patch(found, desired)
        if patch is not None:
            await self._client.patch(paths.node_status(self._spec.name), patch)
        self._heartbeat_at = now_s

    def _own_health(self) -> OwnHealth | None:
        if self._own_fault is None:
            return None
        fault = self._own_fault()
        if fault is None:
            return OwnHealth(ok=True, reason="ProviderWorks", message="the provider does its work")
        return OwnHealth(ok=False, reason=fault.reason, message=fault.message)

    def _tell_own_health(self, found: Json) -> None:
        own = self._own_health()
        if own is None or own.reason == self._own_told:
            return
        if not own.ok:
            self._event(found, "Warning", own.reason, own.message)
        elif self._own_told:
            self._event(found, "Normal", own.reason, own.message)
        self._own_told = own.reason

    def _tell_health(self, found: Json) -> None:
        """Events for people who describe the node: cloud trouble and its end, once each."""
        health = self._health()
        told = self._told and (self._told.ok, self._told.reason)  # not its words: those may change at every try
        if told == (health.ok, health.reason) or health.ok is None:
            return
        if not health.ok:
            self._event(found, "Warning", health.reason, health.message)
        elif self._told is not None:
            self._event(found, "Normal", "CloudAPIAvailable", health.message)
        self._told = health

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
