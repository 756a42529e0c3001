"""Our Node: registered, kept fresh, made again when somebody deletes it.

Desired state comes from our own settings and health only; each round compares it with a fresh Node and writes what
differs. The heart itself is the Lease (kube/lease.py), which nothing here can stop.
Source: kubelet-contract a.1, a.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from vk_provider.backoff import Backoff
from vk_provider.errors import ConfigError, Conflict, KubeError, NotFound
from vk_provider.kube import paths
from vk_provider.kube.client import KubeClient
from vk_provider.kube.recorder import Recorder
from vk_provider.translate import events, node
from vk_provider.translate.node import CloudHealth, NodeSpec

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
        self._look_now = asyncio.Event()
        self._heartbeat_at = float("-inf")
        self._told: CloudHealth | None = None
        self._owner_changed: Callable[[], None] = lambda: None
        self.registered = asyncio.Event()
        self.uid = ""

    def on_owner_change(self, call: Callable[[], None]) -> None:
        """Tell the lease that the Node has a new uid (N22)."""
        self._owner_changed = call

    def watch_health(self, health: Callable[[], CloudHealth]) -> None:
        """Where the condition CloudAPIAvailable comes from."""
        self._health = health

    def look_now(self) -> None:
        """Something of our own health changed: do not wait for the next round."""
        self._look_now.set()

    async def run(self) -> None:
        """Register, then look every ROUND_S. Raises ConfigError when the name belongs to a node that is not ours."""
        failures = 0
        while True:
            self._look_now.clear()  # before looking, so that no change falls between
            try:
                await self.look()
                failures = 0
                wait_s = ROUND_S
            except KubeError as error:
                wait_s = max(RETRY.delay(failures, jitter=self._jitter()), error.retry_after_s or 0.0)
                failures += 1
                log.warning("node=%s not written, again in_s=%.1f: %s", self._spec.name, wait_s, error)
            try:
                async with asyncio.timeout(wait_s):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """One round: read the Node, register it or put right what differs."""
        try:
            found = await self._client.get(paths.node(self._spec.name))
        except NotFound:
            found = await self._register()
        if found["metadata"]["uid"] != self.uid:
            found = await self._take_over(found)
        await self._write_status(found)
        self._tell_health(found)

    async def _register(self) -> Json:
        self.uid = ""
        body = node.node_object(self._spec, now=self._now(), cloud=self._health())
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
            found = await self._client.patch(paths.node(self._spec.name), patch)
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
        desired = node.node_status(self._spec, previous=found, now=self._now(), cloud=self._health())
        if not node.differs(found, desired) and now_s - self._heartbeat_at < HEARTBEAT_S:
            return
        patch = node.status_patch(found, desired)
        if patch is not None:
            await self._client.patch(paths.node_status(self._spec.name), patch)
        self._heartbeat_at = now_s

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
