"""`kubectl attach`: the container's log from now on, followed to its end.

ECI has no way to a main process's own streams. Its log carries what the process writes, stdout and stderr as one, so
attaching to look on works, and everything comes as stdout. Input has nowhere to go. `kubectl run -i` asks for it in any
case, so only input that really comes is refused, on the stream for errors; a container without `stdin` takes none from
a kubelet either, and there it is passed over.

Who attaches to a container that has just begun would miss what it said until the cloud had told that it runs. So the
log is then shown from its beginning, and likewise of a container that was made for one who attaches (`stdinOnce`); but
not what a call for the log has shown a moment before (`log_reads`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime

from aiohttp import web

from vk_provider.cloud.base import Channel, Cloud, ExecResult, LogOptions
from vk_provider.kubelet import target
from vk_provider.kubelet.exec_session import StreamOptions, negotiate_command, serve
from vk_provider.kubelet.hijack import StreamTimeouts
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.log_reads import LogReads
from vk_provider.kubelet.target import FindPod
from vk_provider.kubelet.upgrade import upgrading
from vk_provider.model.instance import Instance

RECENTLY_S = 15.0
NO_INPUT = (
    "this node's cloud cannot hand input to the main process of a container, so what was typed or piped in has not "
    "reached it; use kubectl exec -i to run a command with input"
)


class AttachServer:
    """Answers `/attach`. Holds no state of its own."""

    def __init__(
        self,
        *,
        pods: FindPod,
        instance_of: Callable[[str], Instance | None],
        cloud: Cloud,
        times: StreamTimeouts,
        reads: LogReads | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reads = reads or LogReads()
        self._pods = pods
        self._instance_of = instance_of
        self._cloud = cloud
        self._times = times
        self._now = now

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises RequestRefused."""
        wanted = StreamOptions.of_query(request.query)
        names = request.match_info
        not_found = f"container {names['container']} not found in pod {names['pod']}_{names['namespace']}"
        found = target.running_container(names, self._pods, self._instance_of, not_found=not_found)
        agreed = negotiate_command(request)
        if isinstance(agreed, web.Response):
            return agreed
        options = LogOptions(follow=True, tail=None if self._is_new(found) else 0, unfinished=True)
        async with upgrading(request, agreed, self._times) as upgrade:
            log = self._cloud.logs(found.instance_id, names["container"], options)
            shown = self._reads.shown(found.instance_id, names["container"])
            known = 0 if options.tail == 0 else shown
            session = LogSession(log, takes_input=bool(found.spec.get("stdin")), known=known)
            await serve(upgrade, agreed.protocol, session, wanted=wanted, times=self._times)
        return upgrade.response

    def _is_new(self, found: target.RunningContainer) -> bool:
        if found.spec.get("stdinOnce"):
            return True
        try:
            began = datetime.fromisoformat(found.started_at)
        except ValueError:
            return False
        return began.tzinfo is not None and abs((self._now() - began).total_seconds()) < RECENTLY_S


class LogSession:
    """A followed log in the shape of a session. Its end is a success: an attachment has no exit code to tell.

    takes_input: the container would read it, so that it must not be lost without a word. known: bytes of the log's
    beginning that are not shown.
    """

    def __init__(self, chunks: AsyncIterator[bytes], *, takes_input: bool, known: int = 0) -> None:
        self._chunks = chunks
        self._takes_input = takes_input
        self._known = known

    async def write(self, data: bytes) -> None:
        if data and self._takes_input:
            raise HttpError(501, NO_INPUT)

    async def close_stdin(self) -> None: ...

    async def resize(self, *, width: int, height: int) -> None: ...

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        async for chunk in self._chunks:
            new = chunk[self._known :]
            self._known = max(self._known - len(chunk), 0)
            if new:
                yield Channel.STDOUT, new

    async def result(self) -> ExecResult:
        return ExecResult(0)

    async def close(self) -> None:
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()
