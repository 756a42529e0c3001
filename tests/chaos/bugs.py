"""Bugs to plant in the provider of a run: what an auditor is for, each once, to see that it complains."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.control.pods import PodController
from vk_provider.kube.recorder import Recorder


def orphan() -> None:
    """What is left of a pod that is gone stays where it is."""

    async def leave(self: PodController, instance: Any, record: Any) -> None:
        return

    PodController._delete_orphan = leave  # type: ignore[method-assign]


def double_create() -> None:
    """Every third pod is asked for twice, and not by the same token."""
    create, numbers = EciCloud.create, itertools.count()

    async def twice(self: EciCloud, workload: Any) -> Any:
        made = await create(self, workload)
        if next(numbers) % 3 == 0:
            await create(self, replace(workload, replaces="somebody"))
        return made

    EciCloud.create = twice  # type: ignore[method-assign]


def regressed() -> None:
    """Of what runs it is said once more that it waits."""
    patch = PodController._patch

    async def back(self: PodController, pod: Any, body: Any, record: Any) -> None:
        await patch(self, pod, body, record)
        if body.get("status", {}).get("phase") == "Running":
            await patch(self, pod, {**body, "status": {"phase": "Pending"}}, record)

    PodController._patch = back  # type: ignore[method-assign]


def lost_event() -> None:
    """Every second start is told to nobody."""
    put, numbers = Recorder.put, itertools.count()

    def lose(self: Recorder, event: Any, **words: Any) -> None:
        if event["reason"] != "Started" or next(numbers) % 2:
            put(self, event, **words)

    Recorder.put = lose  # type: ignore[method-assign]


BUGS: Mapping[str, Callable[[], None]] = {
    "orphan": orphan,
    "double-create": double_create,
    "regressed": regressed,
    "lost-event": lost_event,
}

COMPLAINTS: Mapping[str, Sequence[str]] = {
    "orphan": ("has no pod and is still there",),
    "double-create": ("had 2 instances",),
    "regressed": ("went from Running to Pending",),
    "lost-event": ("no event says that it started",),
}
"""What the auditor must say of each, in part."""
