"""An API server that says what a test tells it to: answers in order, watch lines, drops, silence."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from vk_provider.kube.client import KubeClient
from vk_provider.kube.credentials import Access, FixedAccess

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One request as it came. at: loop time."""

    method: str
    path: str  # as it was on the wire, still quoted
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lines:
    """A watch: dicts go out as lines, bytes as they are, and then the stream ends as `end` says."""

    chunks: tuple[Any, ...]
    end: str = "close"  # or "silence", "drop"


def lines(*chunks: Any, end: str = "close") -> Lines:
    return Lines(chunks, end)


def status(code: int, *, reason: str = "", message: str = "", **details: Any) -> Json:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return {**body, "message": message, "details": details}


def refuse(code: int, *, retry_after: str = "", reason: str = "", message: str = "", **details: Any) -> Answer:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return Answer(code, status(code, reason=reason, message=message, **details), headers)


Reply = Json | Answer | Lines | Callable[[Seen], Any]


class ApiServer:
    """`on` says what comes next for a method and path; the last answer given stays for ever. WATCH is a method here."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self._replies: dict[tuple[str, str], deque[Reply]] = {}

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self._replies.setdefault((method, path), deque()).extend(replies)

    def forget(self, method: str, path: str) -> None:
        self._replies.pop((method, path), None)

    def of(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and path in ("", seen.path)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        seen = Seen(
            method="WATCH" if request.query.get("watch") else request.method,
            path=request.raw_path.split("?")[0],
            query=dict(request.query),
            headers=dict(request.headers),
            body=json.loads(raw) if raw else None,
            at=asyncio.get_running_loop().time(),
        )
        self.seen.append(seen)
        replies = self._replies.get((seen.method, seen.path))
        if not replies:
            return _plain(refuse(404, reason="NotFound", message=f"{seen.path} not found"))
        reply: Any = replies.popleft() if len(replies) > 1 else replies[0]
        if callable(reply):
            reply = reply(seen)
            if asyncio.iscoroutine(reply):
                reply = await reply
        if isinstance(reply, Lines):
            return await _watch(request, reply)
        return _plain(reply if isinstance(reply, Answer) else Answer(200, reply))


def _plain(answer: Answer) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    headers = {"Content-Type": "application/json", **answer.headers}
    return web.Response(status=answer.status, body=body, headers=headers)


async def _watch(request: web.Request, reply: Lines) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for chunk in reply.chunks:
        if isinstance(chunk, (int, float)):
            await asyncio.sleep(chunk)
        else:
            await response.write(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode() + b"\n")
            await asyncio.sleep(0)
    if reply.end == "silence":
        await asyncio.Event().wait()
    if reply.end == "drop" and request.transport is not None:
        await asyncio.sleep(0.001)
        request.transport.close()
    return response


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[ApiServer, KubeClient]]:
    """A server, and a client that talks to it."""
    server = ApiServer()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    client = new_client(server)
    try:
        yield server, client
    finally:
        await client.close()
        await runner.cleanup()


def new_client(server: ApiServer, **options: Any) -> KubeClient:
    access = Access(server.url, headers=(("Authorization", "Bearer present"),))
    return KubeClient(FixedAccess(access), access, user_agent="test/1", **options)


@asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run a loop beside the test; what it raises, the test raises."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception():
            raise task.exception()  # type: ignore[misc]


async def until(condition: Callable[[], object], *, within_s: float = 3600.0) -> None:
    """Wait for a condition, in loop time; looks less often the longer it takes."""
    loop = asyncio.get_running_loop()
    started, pause_s = loop.time(), 0.01
    while not condition():
        assert loop.time() - started < within_s, "the condition never came true"
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.2, 2.0)
