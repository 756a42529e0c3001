"""Answers over WebSocket, for clients that can only receive that way: what is asked for, agreed to, and how it ends.

A browser cannot send an Authorization header, so its token may come among the subprotocols it offers.
Source: apiserver pkg/endpoints/handlers/watch.go and pkg/authentication/request/websocket, apimachinery
pkg/util/httpstream/wsstream.
"""

import asyncio
import base64
import binascii
from collections.abc import Coroutine, Sequence

from aiohttp import WSMsgType, web

from fakes.kube import errors

_TOKEN = "base64url.bearer.authorization.k8s.io."
_GOODBYE_S = 1.0


def is_asked(request: web.Request) -> bool:
    connection = request.headers.get("Connection", "").lower()
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == "websocket"


def authorization(request: web.Request) -> str:
    """What the Authorization header would say: the token among the subprotocols. Raises ApiError 401 for a bad one."""
    if not is_asked(request):
        return ""
    tokens = [name.removeprefix(_TOKEN) for name in _all_offered(request) if name.startswith(_TOKEN)]
    if not tokens:
        return ""
    if len(tokens) > 1 or not offered(request):  # the token alone is nothing that could be agreed to
        raise errors.unauthorized()
    try:
        raw = base64.urlsafe_b64decode(tokens[0] + "=" * (-len(tokens[0]) % 4))
        return f"Bearer {raw.decode()}"
    except (binascii.Error, UnicodeDecodeError) as bad:
        raise errors.unauthorized() from bad


def only_one(request: web.Request) -> str:
    """The subprotocol the client names, any will do, "" for none. Raises HTTP 400 when it leaves a choice."""
    names = offered(request)
    if len(names) > 1:
        raise web.HTTPBadRequest(text="bad sub protocol")
    return names[0] if names else ""


def first_of(request: web.Request, known: Sequence[str]) -> str:
    """The first subprotocol the client offers that is known. Raises HTTP 403 when none is."""
    for name in offered(request) or [""]:
        if name in known:
            return name
    raise web.HTTPForbidden(text="the requested subprotocols are not supported")


def offered(request: web.Request) -> list[str]:
    """The subprotocols the client offers; a token among them is nobody else's affair."""
    return [name for name in _all_offered(request) if not name.startswith(_TOKEN)]


def _all_offered(request: web.Request) -> list[str]:
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for line in lines for name in line.split(",") if name.strip()]


async def accepted(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """The connection once it is a WebSocket. Raises HTTP 403 without an Origin, as a real server refuses it."""
    if not request.headers.get("Origin"):
        raise web.HTTPForbidden(text="null origin")
    socket = web.WebSocketResponse(protocols=[protocol] if protocol else [], compress=False, timeout=_GOODBYE_S)
    await socket.prepare(request)
    return socket


async def while_open(socket: web.WebSocketResponse, work: Coroutine[object, object, None]) -> None:
    """Do the work until it ends or the client closes; then close. What the client sends otherwise is ignored."""
    working, left = asyncio.ensure_future(work), asyncio.ensure_future(_until_closed(socket))
    try:
        await asyncio.wait({working, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, left):
            task.cancel()
        await asyncio.wait({working, left})
    if not working.cancelled() and (fault := working.exception()) and not isinstance(fault, ConnectionError):
        raise fault
    await socket.close()


async def _until_closed(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass
