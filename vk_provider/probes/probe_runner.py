"""Asks a container what a probe wants to know: by a command in it, or at the pod's address.

An answer is yes, no, or nothing learnt. The last is for what says more of the way than of the container: a cloud that
does not open a session, a command whose exit code cannot be had.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Sequence
from contextlib import suppress

import aiohttp

from vk_provider.cloud.base import Cloud, ExecSession, SupportsExec
from vk_provider.errors import CloudError
from vk_provider.model.probe import Exec, Grpc, HttpGet, Probe, TcpSocket
from vk_provider.probes import socket_probe
from vk_provider.probes.http_probe import HttpProber
from vk_provider.probes.results import SUCCESS, ProbeResult, ProbeTarget

OPEN_S = 10.0  # for the cloud to open a session, which is not the container's own time
CLOSE_S = 2.0
MOST_OUTPUT = 1024  # bytes of a command's output that are shown
MOST_READ = 1 << 20  # bytes of it that are read: what a tenant's command writes until its timeout, which may be an hour
_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class ProbeRunner:
    """Every question has its deadline and leaves nothing open behind. Raises nothing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._http = HttpProber()

    async def probe(self, place: ProbeTarget, probe: Probe) -> ProbeResult:
        match probe.handler:
            case Exec(command):
                return await self._exec(place, command, probe.timeout_s)
            case HttpGet():
                return await self._timed(self._http.probe(place, probe.handler), probe)
            case TcpSocket(port):
                return await self._timed(socket_probe.tcp(place.ip, port), probe)
            case Grpc(port, service):
                return await self._timed(socket_probe.grpc(place.ip, port, service), probe)

    async def close(self) -> None:
        await self._http.close()

    async def _timed(self, question: Awaitable[ProbeResult], probe: Probe) -> ProbeResult:
        try:
            async with asyncio.timeout(probe.timeout_s):
                return await question
        except TimeoutError:
            return ProbeResult(False, f"no answer within {probe.timeout_s}s", unreached=True)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return ProbeResult(False, str(error) or type(error).__name__, unreached=is_unreachable(error))

    # --- commands ---

    async def _exec(self, place: ProbeTarget, command: Sequence[str], timeout_s: float) -> ProbeResult:
        if not isinstance(self._cloud, SupportsExec):
            return ProbeResult(None, "the cloud runs no commands")
        try:
            async with asyncio.timeout(OPEN_S):
                session = await self._cloud.exec(place.instance_id, place.container, command, stdin=False, tty=False)
        except (CloudError, TimeoutError) as error:
            return ProbeResult(None, f"the cloud opened no session: {error}")
        try:
            async with asyncio.timeout(timeout_s):
                return await _run(session)
        except TimeoutError:
            return ProbeResult(False, f"command timed out after {timeout_s}s")
        except CloudError as error:
            return ProbeResult(None, str(error))
        finally:
            with suppress(TimeoutError, CloudError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()


async def _run(session: ExecSession) -> ProbeResult:
    output, read = b"", 0
    async for _, data in session.output():
        output += data[: MOST_OUTPUT - len(output)]
        read += len(data)
        if read > MOST_READ:
            return ProbeResult(False, f"command wrote more than {MOST_READ:,} bytes, and was not read to its end")
    result = await session.result()
    if result.exit_code == 0:
        return SUCCESS
    if result.exit_code is None:
        return ProbeResult(None, result.message or "the cloud does not say how the command ended")
    return ProbeResult(False, output.decode(errors="replace").strip() or f"command exited with {result.exit_code}")


def is_unreachable(error: BaseException) -> bool:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, OSError) and cause.errno in _NO_WAY
