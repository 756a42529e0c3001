"""`/run`: a command without streams; its output is the answer, unless it failed (kubelet.md d.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from vk_provider.cloud.base import Cloud, ExecSession, SupportsExec
from vk_provider.kubelet import target
from vk_provider.kubelet.exec import START_TIMEOUT_S
from vk_provider.kubelet.exec_session import close_session
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.target import FindPod
from vk_provider.model.instance import Instance
from vk_provider.wire.exit_status import UNKNOWN

MOST_BYTES = 16 * 1024 * 1024  # of output, which has to be held until it is known how the command ended


class RunServer:
    """Answers `/run`. Holds no state of its own."""

    def __init__(self, *, pods: FindPod, instance_of: Callable[[str], Instance | None], cloud: Cloud) -> None:
        self._pods = pods
        self._instance_of = instance_of
        self._cloud = cloud

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises RequestRefused or CloudError."""
        found = target.running_container(request.match_info, self._pods, self._instance_of)
        if not isinstance(self._cloud, SupportsExec):
            raise HttpError(501, "this node's cloud cannot run commands in containers")
        command = request.query.get("cmd", "").split()
        if not command:
            raise HttpError(400, "you must specify a command by cmd=…")
        async with asyncio.timeout(START_TIMEOUT_S):
            session = await self._cloud.exec(
                found.instance_id, request.match_info["container"], command, stdin=False, tty=False
            )
        try:
            output = await _collected(session)
            result = await session.result()
        finally:
            await close_session(session)
        if result.exit_code == 0:
            return web.Response(body=output, content_type="application/json")  # as a kubelet, whatever it is
        text = output.decode(errors="replace")
        if result.exit_code is None:
            return web.Response(status=500, text=": ".join(part for part in (UNKNOWN, result.message, text) if part))
        return web.Response(status=500, text=f"command '{' '.join(command)}' exited with {result.exit_code}: {text}")


async def _collected(session: ExecSession) -> bytes:
    """All output, of both channels in the order in which it came. Raises RequestRefused 500 beyond MOST_BYTES."""
    collected = bytearray()
    output = session.output()
    try:
        async for _, data in output:
            collected += data
            if len(collected) > MOST_BYTES:
                raise HttpError(500, f"the command wrote more than {MOST_BYTES} bytes; use exec for that")
    finally:
        if isinstance(output, AsyncGenerator):
            await output.aclose()
    return bytes(collected)
