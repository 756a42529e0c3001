"""Who may have the page, and what: from this machine alone, by GET, under a Host that is this machine.

It has no login, so it listens on the loopback address only (in a cluster: kubectl port-forward), and a page of another
site that the same browser shows cannot read it: its Host is refused (DNS rebinding), and no other origin is allowed to.
Nothing is changed by any request. What people have named is sent as JSON and put into the page as text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from aiohttp import web

from vk_provider.dashboard.stream import Broadcaster
from vk_provider.errors import ConfigError
from vk_provider.snapshot.collector import SnapshotCollector
from vk_provider.snapshot.explanation import Explainer
from vk_provider.snapshot.routes import answer

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SEND_S = 10.0  # for one message to one viewer
MOST_REQUEST_BODY = 1024
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class _Shown:
    collector: SnapshotCollector
    explainer: Explainer
    broadcaster: Broadcaster


class DashboardServer:
    """One page for all nodes of a process, each as long as it is served here: `?node=NAME`, else the first.

    address: `host:port` of the loopback interface; port 0 takes a free one.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._wanted_port = int(port)
        self._nodes: dict[str, _Shown] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def viewers(self) -> int:
        """How many look just now."""
        return sum(each.broadcaster.viewers for each in self._nodes.values())

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had."""
        app = web.Application(middlewares=[_guarded], client_max_size=MOST_REQUEST_BODY)
        for path, (name, kind) in _FILES.items():
            app.router.add_get(path, _file(name, kind))
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/snapshot", self._snapshot)
        app.router.add_get("/explain", self._explain)
        app.router.add_get("/nodes", self._names)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host.strip("[]"), self._wanted_port, backlog=32)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError([f"--dashboard-address: cannot listen there: {error.strerror or error}"]) from error
        self.port = self._runner.addresses[0][1]
        log.info("dashboard url=http://%s:%d/", self._host, self.port)

    async def show(self, collector: SnapshotCollector, explainer: Explainer) -> None:
        """Show this node until cancelled."""
        shown = self._nodes[collector.node] = _Shown(collector, explainer, Broadcaster(collector))
        try:
            await shown.broadcaster.run()
        finally:
            shown.broadcaster.close()
            if self._nodes.get(collector.node) is shown:
                del self._nodes[collector.node]

    async def stop(self) -> None:
        for each in self._nodes.values():
            each.broadcaster.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _shown(self, request: web.Request) -> _Shown:
        """The node that is asked for. Raises HTTPNotFound."""
        name = request.query.get("node") or min(self._nodes, default="")
        if name not in self._nodes:
            raise web.HTTPNotFound(text="that node is not served here now")
        return self._nodes[name]

    async def _names(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 -- there is one answer
        return web.json_response(sorted(self._nodes))

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        return answer(self._shown(request).collector.snapshot(with_pods=request.query.get("pods") == "true"))

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        asked = (request.query.get("namespace", ""), request.query.get("name", ""))
        found = self._shown(request).explainer.explain(*asked)
        if found is None:
            raise web.HTTPNotFound(text="no such pod on this node")
        return answer(found)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        broadcaster = self._shown(request).broadcaster
        viewer = broadcaster.join()
        if viewer is None:
            raise web.HTTPServiceUnavailable(text="so many look already; close another page first")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_HEADERS})
        try:
            await response.prepare(request)
            for message in broadcaster.first():
                await _send(response, message)
            while (next_message := await viewer.messages.get()) is not None:
                await _send(response, next_message)
        except (TimeoutError, ConnectionError):
            pass  # it left, or does not read
        finally:
            broadcaster.leave(viewer)
        return response


async def _send(response: web.StreamResponse, message: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await response.write(message)


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], headers=_HEADERS)
    if not _is_this_machine(request.headers.get("Host", "")):
        raise web.HTTPMisdirectedRequest(text="reach it as localhost, by kubectl port-forward", headers=_HEADERS)
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise web.HTTPForbidden(text="another site's page may not ask", headers=_HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(_HEADERS)
        raise
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


def _is_this_machine(host: str) -> bool:
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name:
        name, port = host, ""
    return name.strip("[]").lower() in LOOPBACK and (not port or (port.isascii() and port.isdigit()))


def _file(name: str, kind: str) -> Handler:
    content = resources.files("vk_provider.dashboard").joinpath("static", name).read_bytes()

    async def handle(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 -- there is one answer
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return handle
