"""Last words out of the log (S40): for a container that failed without leaving any, where its pod asks for that.

Nothing tells whether the cloud does it by itself (eci.md 2.1), so where it did not, we do. Each end of a run is looked
up once; a cloud that does not answer leaves it without words. What was found stays on the pod, not here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from vk_provider.cloud.base import Cloud, LogOptions, describe_error
from vk_provider.control.memory import PodMemory
from vk_provider.errors import CloudError
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, StateKind
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.translate.container_status import by_name, ended, ended_before

log = logging.getLogger(__name__)

LINES, BYTES = 80, 2048
DEADLINE_S = 10.0
_READ_AT_MOST = 1 << 20


async def with_fallback_message(cloud: Cloud, pod: Json, instance: Instance, record: PodMemory) -> Instance:
    """The instance with the ends of its log in place of the messages that failed containers did not leave."""
    wanting = {
        each["name"]
        for each in (*init_containers_of(pod), *containers_of(pod))
        if each.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    }
    if not wanting:
        return instance
    known = _known(pod)

    async def told(reports: Sequence[ContainerReport]) -> Sequence[ContainerReport]:
        return tuple(
            [await _told(cloud, instance.id, each, record, known) if each.name in wanting else each for each in reports]
        )

    return replace(
        instance, containers=await told(instance.containers), init_containers=await told(instance.init_containers)
    )


async def _told(
    cloud: Cloud, instance_id: str, report: ContainerReport, record: PodMemory, known: Mapping[tuple[str, str], str]
) -> ContainerReport:
    state, last = report.state, report.last_state
    if _is_wordless(state):
        return replace(report, state=await _worded(cloud, instance_id, report.name, state, record, known))
    if last is not None and _is_wordless(last):
        worded = await _worded(cloud, instance_id, report.name, last, record, known, previous=True)
        return replace(report, last_state=worded)
    return report


async def _worded(
    cloud: Cloud,
    instance_id: str,
    name: str,
    state: ContainerState,
    record: PodMemory,
    known: Mapping[tuple[str, str], str],
    *,
    previous: bool = False,
) -> ContainerState:
    """state: an end of a run. Runs are told apart by when they began and ended."""
    run = f"{state.started_at} {state.finished_at}"
    if (name, run) in known:
        return replace(state, message=known[name, run])
    if record.last_words.get(name, ("", ""))[0] != run:
        with calling_for(Purpose.BACKGROUND):
            said = await _tail(cloud, instance_id, name, previous=previous)
        record.last_words = {**record.last_words, name: (run, said)}
    return replace(state, message=record.last_words[name][1])


def _is_wordless(state: ContainerState) -> bool:
    return state.kind is StateKind.TERMINATED and not state.message and state.exit_code not in (None, 0)


def _known(pod: Json) -> dict[tuple[str, str], str]:
    """The messages that the pod has already, by container and run."""
    status = pod.get("status") or {}
    entries = by_name([*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())])
    return {
        (name, f"{end.get('startedAt') or ''} {end.get('finishedAt') or ''}"): end["message"]
        for name, entry in entries.items()
        for end in (ended(entry), ended_before(entry))
        if end is not None and end.get("message")
    }


async def _tail(cloud: Cloud, instance_id: str, name: str, *, previous: bool) -> str:
    content = bytearray()
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            aclosing(cloud.logs(instance_id, name, LogOptions(tail=LINES, previous=previous))) as pieces,  # type: ignore[type-var]
        ):
            async for piece in pieces:
                content += piece
                del content[:-_READ_AT_MOST]
    except (CloudError, TimeoutError) as error:
        log.warning("no last words instance=%s container=%s: %s", instance_id, name, describe_error(error))
        return ""
    return bytes(content[-BYTES:]).decode(errors="ignore")
