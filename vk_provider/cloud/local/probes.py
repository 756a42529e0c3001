"""The probes that this cloud asks: readiness and liveness by command, HTTP or TCP, from the host that pods share."""

from __future__ import annotations

import asyncio
import http.client
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from vk_provider.cloud.local import sandbox, state

Json = dict[str, Any]


class SetReady(Protocol):
    def __call__(self, container: str, ready: bool, why: str = "", /) -> None: ...


async def watch(
    container: Json,
    child: asyncio.subprocess.Process,
    set_ready: SetReady,
    failed: Callable[[str, str], Awaitable[None]],
) -> None:
    """Asks until cancelled. Without a readiness probe a container that runs is ready."""
    if container["readiness"] is None:
        set_ready(container["name"], True)
    async with asyncio.TaskGroup() as tasks:
        if container["readiness"] is not None:
            tasks.create_task(_readiness(container, child, set_ready))
        if container["liveness"] is not None:
            tasks.create_task(_liveness(container, child, failed))


async def _readiness(container: Json, child: asyncio.subprocess.Process, set_ready: SetReady) -> None:
    probe, ready, same = container["readiness"], False, 0
    await asyncio.sleep(probe["initial_delay_s"])
    while True:
        fault = await _query(probe, container, child)
        same = 0 if (fault == "") is ready else same + 1
        if same >= probe["failure_threshold" if ready else "success_threshold"]:
            ready, same = not ready, 0
        set_ready(container["name"], ready, f"Readiness probe failed: {fault}" if fault else "")
        await asyncio.sleep(probe["period_s"])


async def _liveness(
    container: Json, child: asyncio.subprocess.Process, failed: Callable[[str, str], Awaitable[None]]
) -> None:
    probe, failures = container["liveness"], 0
    await asyncio.sleep(probe["initial_delay_s"])
    while True:
        fault = await _query(probe, container, child)
        failures = failures + 1 if fault else 0
        if failures >= probe["failure_threshold"]:
            await failed(container["name"], f"Liveness probe failed: {fault}")
            return
        await asyncio.sleep(probe["period_s"])


async def _query(probe: Json, container: Json, child: asyncio.subprocess.Process) -> str:
    """What is wrong; empty = all is well."""
    try:
        async with asyncio.timeout(probe["timeout_s"]):
            if "command" in probe:
                return await _run(probe["command"], container, child)
            if "path" in probe:
                return await asyncio.to_thread(_get, probe)
            _, writer = await asyncio.open_connection("127.0.0.1", probe["port"])
            writer.close()
            return ""
    except TimeoutError:
        return f"no answer within {probe['timeout_s']} s"
    except (OSError, ValueError, http.client.HTTPException) as error:  # also of what is no HTTP at all
        return str(error) or type(error).__name__


async def _run(command: Sequence[str], container: Json, child: asyncio.subprocess.Process) -> str:
    first = state.child_of(child.pid)
    if first is None:
        return "the container has not started yet"
    asked = await asyncio.create_subprocess_exec(
        *sandbox.enter(first, container, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asked.communicate()
    finally:
        with suppress(ProcessLookupError):
            asked.kill()
    return said[:1000].decode(errors="replace").strip() or f"exit code {asked.returncode}" if asked.returncode else ""


def _get(probe: Json) -> str:
    url = f"{probe['scheme'].lower()}://127.0.0.1:{probe['port']}{probe['path']}"
    request = urllib.request.Request(url, headers=probe["headers"])  # noqa: S310 - http or https, by the API server
    with urllib.request.urlopen(request, timeout=probe["timeout_s"]) as answer:  # noqa: S310
        return "" if 200 <= answer.status < 400 else f"HTTP status {answer.status}"
