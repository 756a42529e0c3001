"""`kubectl attach`: the container's log from now on, followed to its end.

ECI has no way to a main process's own streams. Its log carries what the process writes, stdout and stderr as one, so
attaching to look on works; attaching to type does not, and is refused before the 101, upon which `kubectl run -i`
shows the log by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from aiohttp import web

from vk_provider.cloud.base import Channel, Cloud, ExecResult, LogOptions
from vk_provider.kubelet import target
from vk_provider.kubelet.command import Wanted, negotiate_command, serve
from vk_provider.kubelet.link import StreamTimes
from vk_provider.kubelet.refusal import RequestRefused
from vk_provider.kubelet.target import FindPod
from vk_provider.kubelet.upgrade import upgrading
from vk_provider.model.instance import Instance

_FROM_NOW_ON = LogOptions(follow=True, tail=0)


class AttachServer:
    """Answers `/attach`. Holds no state of its own."""

    def __init__(
        self, *, pods: FindPod, instance_of: Callable[[str], Instance | None], cloud: Cloud, times: StreamTimes
    ) -> None:
        self._pods = pods
        self._instance_of = instance_of
        self._cloud = cloud
        self._times = times

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises RequestRefused."""
        instance_id, container = target.running_container(request.match_info, self._pods, self._instance_of)
        wanted = Wanted.of_query(request.query)
        if wanted.stdin:
            raise RequestRefused(
                501, "this node's cloud cannot attach to standard input; attach without -i, or use exec -i"
            )
        agreed = negotiate_command(request)
        if isinstance(agreed, web.Response):
            return agreed
        async with upgrading(request, agreed, self._times) as upgrade:
            session = LogSession(self._cloud.logs(instance_id, container, _FROM_NOW_ON))
            await serve(upgrade, agreed.protocol, session, wanted=wanted, times=self._times)
        return upgrade.response


class LogSession:
    """A followed log in the shape of a session. Its end is a success: an attachment has no exit code to tell."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, *, width: int, height: int) -> None: ...

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        async for chunk in self._chunks:
            yield Channel.STDOUT, chunk

    async def result(self) -> ExecResult:
        return ExecResult(0)

    async def close(self) -> None:
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()
