"""Leases that are given back are seen at once by who waits for them. Losing the watch costs time only, for who waits
reads them once a second besides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from vk_provider.errors import KubeUnavailable
from vk_provider.kube import paths
from vk_provider.kube.api import Json, KubeApi
from vk_provider.leader.lease import holder_of
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

WATCH_S = 300.0
_SLACK_S = 30.0
_HEALTHY_S = 30.0  # a watch that lasted so long was a good one
_FAILED = Backoff(first_s=1.0, most_s=60.0, spread=0.5)


async def watch_freed(
    client: KubeApi,
    namespace: str,
    selector: Mapping[str, str],
    freed: Callable[[], None],
    *,
    jitter: Callable[[], float],
) -> None:
    """Until cancelled: call `freed` whenever a Lease has no holder, or is no more.

    selector: `labelSelector` or `fieldSelector`, as a watch takes it.
    """
    loop, repeats = asyncio.get_running_loop(), ThrottledLog(log)

    async def watch() -> None:
        began = loop.time()
        watch_s = WATCH_S * (1 + jitter())
        # Without a version it begins with the Leases as they are, so that nothing falls between two watches.
        params = {**selector, "watch": "true", "timeoutSeconds": str(round(watch_s))}
        async with client.stream(paths.leases(namespace), params=params, timeout_s=watch_s + _SLACK_S) as lines:
            async for line in lines:
                if line.get("type") == "ERROR":
                    break
                if _is_free(line):
                    freed()
        if loop.time() - began < _HEALTHY_S:
            raise KubeUnavailable("the watch ended early")

    def complain(error: Exception, _: float) -> None:
        if getattr(error, "status", 0) == 403:
            repeats.warning("403", "may not watch leases, so one that is given back is seen a second later: %s", error)
        else:
            log.debug("watch of leases: %s", error)

    await retry_loop(
        watch, name="watch of leases", backoff=_FAILED, jitter=jitter, calm_s=_HEALTHY_S, on_failure=complain
    )


def _is_free(line: Mapping[str, Any]) -> bool:
    lease: Json | Any = line.get("object")
    if not isinstance(lease, dict):
        return False
    spec = lease.get("spec")
    return line.get("type") == "DELETED" or not holder_of({"spec": spec if isinstance(spec, dict) else {}})
