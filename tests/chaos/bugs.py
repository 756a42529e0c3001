"""Bugs to plant in the provider of a run: what an auditor is for, each once, to see that it complains."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.control.pods import PodController
from vk_provider.files.object_reader import ObjectReader
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


# --- what only bad neighbours bring to light ---

HOSTILE = "hostile"  # the namespace


def held_loop() -> None:
    """Each pod of a hostile tenant stops everything for a while."""
    read = ObjectReader.read

    async def held(self: ObjectReader, pod: Any) -> Any:
        if pod["metadata"]["namespace"] == HOSTILE:
            time.sleep(5.0)  # noqa: ASYNC251  # which is the bug
        return await read(self, pod)

    ObjectReader.read = held  # type: ignore[method-assign]


def grows() -> None:
    """What hostile pods are made of is kept for good, many times."""
    read, kept = ObjectReader.read, []

    async def keeping(self: ObjectReader, pod: Any) -> Any:
        if pod["metadata"]["namespace"] == HOSTILE:
            kept.append(b"x" * (300 << 20))
        return await read(self, pod)

    ObjectReader.read = keeping  # type: ignore[method-assign]


def talkative() -> None:
    """What was read of a hostile pod's Secrets stands in the log, and its image as it is."""
    read = ObjectReader.read

    async def telling(self: ObjectReader, pod: Any) -> Any:
        found = await read(self, pod)
        if pod["metadata"]["namespace"] == HOSTILE:
            sys.stderr.write(f"read {found.secrets}\nof {pod['spec']['containers'][0]['image']}\n")
        return found

    ObjectReader.read = telling  # type: ignore[method-assign]


def shows_others() -> None:
    """Whoever asks for a log is shown that of the first instance that was ever made."""
    create, logs, first = EciCloud.create, EciCloud.logs, list[str]()

    async def noted(self: EciCloud, workload: Any) -> Any:
        made = await create(self, workload)
        first.append(made.id)
        return made

    def another(self: EciCloud, instance_id: str, container: str, options: Any) -> Any:
        return logs(self, first[-1] if instance_id == first[0] else first[0], container, options)

    EciCloud.create = noted  # type: ignore[method-assign]
    EciCloud.logs = another  # type: ignore[method-assign]


NEIGHBOUR_BUGS: Mapping[str, Callable[[], None]] = {
    "held-loop": held_loop,
    "grows": grows,
    "talkative": talkative,
    "shows-others": shows_others,
}
"""To be planted with --neighbours."""
