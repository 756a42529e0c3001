"""ReadTerminationMessages: the ends of failed runs' logs (S40), each read once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

from vk_provider.cloud.base import Cloud, LogOptions, describe_error
from vk_provider.control.actions import FailedRun, ReadTerminationMessages
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.perform.outcome import Outcome
from vk_provider.errors import CloudError
from vk_provider.pacing.callers import Purpose, calling_for

log = logging.getLogger(__name__)

LINES, BYTES = 80, 2048
DEADLINE_S = 10.0
_MOST_READ = 1 << 20


class LogEndReader:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def read(self, seen: Observation, action: ReadTerminationMessages, memory: PodMemory) -> Outcome:
        """A run whose log cannot be read is left without a message."""
        messages = dict(memory.messages)
        with calling_for(Purpose.BACKGROUND):
            for run in action.runs:
                messages[run.container] = run.id, await self._end_of(action.instance_id, run)
        return Outcome(replace(memory, messages=messages), 0, first=True)

    async def _end_of(self, instance_id: str, run: FailedRun) -> str:
        content = bytearray()
        options = LogOptions(tail=LINES, previous=run.previous)
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                aclosing(self._cloud.logs(instance_id, run.container, options)) as pieces,  # type: ignore[type-var]
            ):
                async for piece in pieces:
                    content += piece
                    del content[:-_MOST_READ]
        except (CloudError, TimeoutError) as error:
            log.warning(
                "no termination message instance=%s container=%s: %s", instance_id, run.container, describe_error(error)
            )
            return ""
        return bytes(content[-BYTES:]).decode(errors="ignore")
