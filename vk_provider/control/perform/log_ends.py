"""Reads what a pod's containers said last before its instance is stopped for good."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from vk_provider import bounds
from vk_provider.cloud.base import Cloud, LogOptions, describe_error
from vk_provider.errors import CloudError
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.model.instance import Instance, StateKind
from vk_provider.pacing.callers import Purpose, calling_for

log = logging.getLogger(__name__)

LINES = 500
DEADLINE_S = 5.0  # for all of its containers: a pod whose time is over is not to run on for its log


class LogEndKeeper:
    def __init__(self, cloud: Cloud, kept: EndedLogs) -> None:
        self._cloud = cloud
        self._kept = kept

    async def keep(self, uid: str, instance: Instance) -> None:
        """As far as the cloud gives them within the deadline. Raises nothing: the stop does not wait for a log."""
        reports = (*instance.init_containers, *instance.containers)
        found: dict[str, bytes] = {}
        try:
            with calling_for(Purpose.BACKGROUND):
                async with asyncio.timeout(DEADLINE_S):
                    for report in reports:
                        if report.state.kind is not StateKind.WAITING:
                            found[report.name] = await self._end_of(instance.id, report.name)
        except (CloudError, TimeoutError) as error:
            log.info("the log of instance=%s is not kept in whole: %s", instance.id, describe_error(error))
        if found:
            self._kept.keep(uid, found)

    async def _end_of(self, instance_id: str, container: str) -> bytes:
        content = bytearray()
        options = LogOptions(tail=LINES, timestamps=True)
        async with aclosing(self._cloud.logs(instance_id, container, options)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                content += piece
                del content[: -bounds.MOST_ENDED_LOG]
        return bytes(content)
