"""Keeps the control groups of the node's pods as `weights.plan` says, from pods and files as they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from vk_provider.metrics import Registry
from vk_provider.qos_agent import pod_roles
from vk_provider.qos_agent.cgroup_files import CgroupFiles
from vk_provider.qos_agent.pod_view import PodView
from vk_provider.qos_agent.state_files import StateFiles
from vk_provider.qos_agent.weights import Plan, PodGroup, Role, plan, restoration
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

CHECK_S = 10.0  # a kubelet that resizes a pod in place writes its weight anew, and no event says when
APPEARING_S = 0.05  # between two checks for the group of a pod that was just bound
_SOON_S = 30.0  # after which such a pod waits for something else than its kubelet
_LATER_S = 1.0


class Yielding:
    """root: where control groups are mounted; None = nobody is made to yield, by choice."""

    def __init__(self, view: PodView, *, root: Path | None, state: StateFiles, registry: Registry) -> None:
        self._view, self._root, self._state = view, root, state
        self._files: CgroupFiles | None = None
        self._memory = state.weights()
        self._quotas: Mapping[str, int] = {}
        self._absent_since: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._trouble = "the control groups have not been looked for yet"
        self._log = ThrottledLog(log)
        self._writes = registry.counter(
            "qos_agent_cgroup_writes_total", "Values written into control groups of pods.", ("file",)
        )
        self._failures = registry.counter(
            "qos_agent_cgroup_write_failures_total", "Values that could not be written into control groups of pods."
        )
        self._yielding = registry.gauge("qos_agent_yielding_pods", "Pods that yield the processor to all others.")

    @property
    def trouble(self) -> str:
        """Why preemptible pods may not yield, so that nothing more may be offered; empty = they do."""
        return "" if self._root is None else self._trouble

    def wake(self) -> None:
        """Something has changed: check again at once."""
        self._wake.set()

    def limit(self, quotas: Mapping[str, int]) -> None:
        """By uid, microseconds per period."""
        if quotas != self._quotas:
            self._quotas = dict(quotas)
            self.wake()

    async def run(self) -> None:
        await retry_loop(self._step, name="yielding", rest=self._rest)

    def restore(self) -> None:
        """Everything as the kubelet made it; nothing is made to yield until `run` goes on."""
        if self._root is None or (files := CgroupFiles.found(self._root)) is None:
            return
        groups = pod_roles.groups(files.layout, self._view.pods(), {})
        for _ in range(3):  # a group that wakes has a weight of its own for a moment
            made = restoration(files.layout, groups, files.observe(groups), self._memory)
            self._apply(files, made, groups)
            if not made.writes:
                return

    async def _step(self) -> None:
        self._wake.clear()
        if self._root is None:
            return
        if self._files is None:
            self._files = CgroupFiles.found(self._root)
            if self._files is None:
                self._trouble = f"no kubelet's folder of pods is below {self._root}"
                self._log.warning("none", "%s, so nothing is offered; --cgroup-root names the mount", self._trouble)
                return
            log.info("control groups version=%d at=%s", self._files.layout.version, self._files.layout.kubepods)
        pods = self._view.pods()
        groups = pod_roles.groups(self._files.layout, pods, self._quotas)
        self._yielding.set(sum(group.role is Role.YIELDS for group in groups))
        if not self._memory and not any(group.is_preemptible for group in groups):
            self._trouble, self._absent_since = "", {}
            return
        made = plan(self._files.layout, groups, self._files.observe(groups), self._memory)
        failures = self._apply(self._files, made, groups)
        self._trouble = failures[0] if failures else ""
        now_s = asyncio.get_running_loop().time()
        self._absent_since = {uid: self._absent_since.get(uid, now_s) for uid in made.absent}

    def _apply(self, files: CgroupFiles, made: Plan, groups: list[PodGroup]) -> list[str]:
        self._state.note_weights(made.memory)  # before anything of it is done
        self._memory = made.memory
        failures = files.apply(made.writes, groups)
        for write in made.writes:
            self._writes.add(file=write.file)
        for failure in failures:
            self._failures.add()
            self._log.warning(failure, "control group not written: %s", failure)
        return failures

    async def _rest(self) -> None:
        now_s = asyncio.get_running_loop().time()
        newest_s = max(self._absent_since.values(), default=None)
        wait_s = CHECK_S
        if newest_s is not None:
            wait_s = APPEARING_S if now_s - newest_s < _SOON_S else _LATER_S
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return
