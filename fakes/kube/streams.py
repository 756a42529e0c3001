"""Watches over HTTP and WebSocket: one JSON document a line, for as long as the client stays and was promised."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from fakes.kube import errors, websocket
from fakes.kube.api import Api
from fakes.kube.content import integer
from fakes.kube.errors import ApiError, Fault
from fakes.kube.objects import Call
from fakes.kube.requests import is_true
from fakes.kube.store import Compacted, encode
from fakes.kube.tables import table
from fakes.kube.views import partial
from fakes.kube.watch import Seen, Watch

Json = dict[str, Any]

_LINES_AT_ONCE = 200
_INITIAL_END = "k8s.io/initial-events-end"


class Streams:
    """bookmark_s: seconds between bookmarks when nothing else happens."""

    def __init__(self, api: Api, *, bookmark_s: float) -> None:
        self._api = api
        self._bookmark_s = bookmark_s

    async def serve(self, call: Call, request: web.Request) -> web.StreamResponse:
        """Stream until the client leaves or its time is up. Raises ApiError before the first byte."""
        query = call.query
        bookmarks, initial = is_true(query, "allowWatchBookmarks"), self._wants_initial(call)
        fields = query.get("fieldSelector", "")
        if call.asked.name:
            fields = ",".join(filter(None, [fields, f"metadata.name={call.asked.name}"]))
        version = "0" if initial else query.get("resourceVersion", "")
        place, fresh = self._api.follow(
            call.row.key,
            call.namespace,
            resource_version=version,
            label_selector=query.get("labelSelector", ""),
            field_selector=fields,
        )
        stream = _Stream(place, _Lines(call, self._api), fresh=fresh, initial=initial)
        every_s = self._bookmark_s if bookmarks else None
        timeout_s = _timeout_s(call)
        if websocket.is_asked(request):
            socket = await websocket.accepted(request, websocket.only_one(request))
            await websocket.while_open(socket, stream.run(_frames(socket), every_s=every_s, timeout_s=timeout_s))
            return socket
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        await response.prepare(request)
        await response.write(b"")
        await stream.run(_chunks(response), every_s=every_s, timeout_s=timeout_s)
        return response

    def _wants_initial(self, call: Call) -> bool:
        """Whether the list itself is to be streamed. Raises ApiError 422 for half a request."""
        query = call.query
        asked, match = "sendInitialEvents" in query, query.get("resourceVersionMatch", "")
        if asked and match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise errors.invalid("ListOptions", "meta.k8s.io", "", [Fault.forbidden("resourceVersionMatch", why)])
        if match and not asked:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise errors.invalid("ListOptions", "meta.k8s.io", "", [Fault.forbidden("resourceVersionMatch", why)])
        return asked and is_true(query, "sendInitialEvents")


Send = Callable[[list[bytes]], Awaitable[None]]
"""Passes lines on to the client."""


def _chunks(response: web.StreamResponse) -> Send:
    async def send(lines: list[bytes]) -> None:
        for start in range(0, len(lines), _LINES_AT_ONCE):
            await response.write(b"".join(lines[start : start + _LINES_AT_ONCE]))

    return send


def _frames(socket: web.WebSocketResponse) -> Send:
    """Each event is a text message of its own, whatever the subprotocol."""

    async def send(lines: list[bytes]) -> None:
        for line in lines:
            await socket.send_str(line.decode())

    return send


class _Stream:
    """One watch from its beginning to its end. fresh: what exists comes first; initial: a bookmark ends that part."""

    def __init__(self, place: Watch, lines: "_Lines", *, fresh: bool, initial: bool) -> None:
        self._place = place
        self._lines = lines
        self._fresh = fresh
        self._initial = initial

    async def run(self, send: Send, *, every_s: float | None, timeout_s: float) -> None:
        """every_s: seconds between bookmarks, None for none."""
        place, lines = self._place, self._lines
        if self._fresh:
            await send([lines.event(seen) for seen in place.present()])
        if self._initial:
            await send([lines.bookmark(place.revision, initial_end=True)])
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        marked = loop.time()
        while (left := ends - loop.time()) > 0:
            wait = left if every_s is None else min(left, max(0.0, marked + every_s - loop.time()))
            try:
                batch = await place.batch(wait)
            except Compacted as gone:
                expired = errors.expired(f"too old resource version: {place.revision} ({gone.oldest})")
                await send([lines.error(expired)])
                return
            await send([lines.event(seen) for seen in batch])
            if every_s is not None and loop.time() - marked >= every_s:
                marked = loop.time()
                await send([lines.bookmark(place.revision)])


def _timeout_s(call: Call) -> float:
    stated = integer(call.query, "timeoutSeconds")
    return float(stated) if stated else random.uniform(1800, 3600)  # as the real server spreads reconnects


class _Lines:
    """Events as lines in the form the client asked for."""

    def __init__(self, call: Call, api: Api) -> None:
        self._call = call
        self._api = api
        self._first = True
        shapes: dict[str, Callable[[Seen], bytes]] = {"Table": self._row, "PartialObjectMetadata": self._partial}
        self._shown: Callable[[Seen], bytes] = shapes.get(call.form.shape, self._whole)

    def event(self, seen: Seen) -> bytes:
        return b'{"type":"' + seen.type.encode() + b'","object":' + self._shown(seen) + b"}\n"

    def _whole(self, seen: Seen) -> bytes:
        return self._call.view.whole(seen.snapshot)

    def _partial(self, seen: Seen) -> bytes:
        return encode(partial(seen.snapshot.object, self._call.form.version))

    def _row(self, seen: Seen) -> bytes:
        obj = seen.snapshot.object
        made = table(
            self._call.row,
            [obj],
            self._api.clock(),
            version=self._call.form.version,
            include=self._call.query.get("includeObject", "Metadata"),
            metadata={"resourceVersion": obj["metadata"]["resourceVersion"]},
            head=self._first,
        )
        self._first = False
        return encode(made)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        meta: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {_INITIAL_END: "true"}
        obj: Json = {"kind": self._call.row.kind, "apiVersion": self._call.view.api_version, "metadata": meta}
        if self._call.form.shape == "Table":
            version = self._call.form.version
            obj = {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{version}",
                "metadata": meta,
                "columnDefinitions": None,
                "rows": [],
            }
        return encode({"type": "BOOKMARK", "object": obj}) + b"\n"

    def error(self, error: ApiError) -> bytes:
        return encode({"type": "ERROR", "object": error.status()}) + b"\n"
