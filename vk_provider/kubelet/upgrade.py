"""Leaving HTTP: agreeing on what is spoken next, and the 101 (kubelet.md X2, X3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from vk_provider.kubelet.hijack import (
    CLOSE_TIMEOUT_S,
    NO_LIMIT,
    HijackedTransport,
    MessageLink,
    SpdyLink,
    StreamTimeouts,
)
from vk_provider.kubelet.http_errors import HttpError

SPDY = "SPDY/3.1"
WEBSOCKET = "websocket"
MESSAGE_BYTES = 16 * 1024 * 1024  # some clients send a whole file as one message
_SPDY_HEADER = "X-Stream-Protocol-Version"


# --- what is spoken --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreed:
    """transport: SPDY or WEBSOCKET. protocol: the subprotocol; empty only for WebSocket, where none was offered."""

    transport: str
    protocol: str


def negotiate(request: web.Request, *, spdy: Sequence[str], websocket: Sequence[str]) -> Agreed | web.Response:
    """The first protocol of the client's that is among ours; a response where there is none.

    A request that is no upgrade at all gets the code and words of a kubelet.
    """
    wanted = request.headers.get("Upgrade", "").strip()
    if "upgrade" not in _items(request, "Connection", lower=True) or wanted.lower() not in (SPDY.lower(), WEBSOCKET):
        return web.Response(status=500, text="Upgrade request required\n")
    if request.can_read_body:
        raise HttpError(400, "a request to upgrade has no body")
    if wanted.lower() == WEBSOCKET:
        offered = _items(request, "Sec-WebSocket-Protocol")
        return _choose(WEBSOCKET, offered, websocket) if offered else Agreed(WEBSOCKET, "")
    offered = _items(request, _SPDY_HEADER)
    if not offered:
        raise HttpError(400, f"the header {_SPDY_HEADER} is needed to upgrade to {SPDY}")
    return _choose(SPDY, offered, spdy)


def _choose(transport: str, offered: Sequence[str], ours: Sequence[str]) -> Agreed | web.Response:
    chosen = next((protocol for protocol in offered if protocol in ours), None)
    if chosen is not None:
        return Agreed(transport, chosen)
    return web.Response(
        status=403,
        text=f"unable to negotiate a stream protocol: this node speaks {', '.join(ours)}",
        headers={"X-Accepted-Stream-Protocol-Versions": ", ".join(ours)},
    )


def _items(request: web.Request, name: str, *, lower: bool = False) -> list[str]:
    values = ",".join(request.headers.getall(name, ()))
    items = [item.strip() for item in values.split(",")]
    return [item.lower() if lower else item for item in items if item]


# --- the upgrade -----------------------------------------------------------------------------------------------------


class SpdyUpgrade:
    """response: what the handler returns in the end, whatever happened after `begin`."""

    def __init__(self, request: web.Request, taken: HijackedTransport, protocol: str, times: StreamTimeouts) -> None:
        self._request = request
        self._taken = taken
        self._times = times
        self.response = web.StreamResponse(status=101, headers={"Upgrade": SPDY, _SPDY_HEADER: protocol})
        self.response.force_close()
        self.response.headers["Connection"] = "Upgrade"

    async def begin(self) -> SpdyLink:
        """Answers 101."""
        await self.response.prepare(self._request)
        return SpdyLink(self._taken, self._times)


class WebSocketUpgrade:
    """response: as of SpdyUpgrade."""

    def __init__(self, request: web.Request, taken: HijackedTransport, protocol: str, times: StreamTimeouts) -> None:
        self._request = request
        self._taken = taken
        self._times = times
        self.response: web.WebSocketResponse = web.WebSocketResponse(
            protocols=(protocol,) if protocol else (),
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,
            compress=False,  # what is streamed is often compressed already, and a bomb needs a compressor
            max_msg_size=MESSAGE_BYTES,
            writer_limit=NO_LIMIT,
        )

    async def begin(self) -> MessageLink:
        """Answers 101, or raises aiohttp's HTTPBadRequest for a handshake that is none."""
        await self.response.prepare(self._request)
        return MessageLink(self._taken, self._times, self.response)


@asynccontextmanager
async def upgrading(
    request: web.Request, agreed: Agreed, times: StreamTimeouts
) -> AsyncIterator[SpdyUpgrade | WebSocketUpgrade]:
    """Takes the connection at once, since a client may send in the same millisecond in which the 101 goes out.

    Until `begin` an error may leave this context and be answered as any other. Nothing may be awaited after it: once
    aiohttp learns that a connection is lost, it cancels the handler.
    """
    is_spdy = agreed.transport == SPDY
    taken = HijackedTransport(request, keeps_bytes=is_spdy)
    kind = SpdyUpgrade if is_spdy else WebSocketUpgrade
    try:
        yield kind(request, taken, agreed.protocol, times)
    finally:
        taken.give_back()
