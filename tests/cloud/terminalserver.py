"""ECI's terminal in small: it hands out addresses, and a test says what the other end of the WebSocket does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from tests.cloud.eciserver import EciServer

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
TOKEN = "s3cr%2Ft"  # percent-encoded on purpose: it must arrive as it was given


class TerminalServer:
    """`asked`: parameters of every ExecContainerCommand. `offered`: sub-protocols of every connection."""

    def __init__(self, eci: EciServer) -> None:
        self.asked: list[dict[str, Any]] = []
        self.offered: list[str] = []
        self.paths: list[str] = []
        self.protocols: tuple[str, ...] = (V5, V4, "channel.k8s.io")
        self.refusal: int | None = None
        self.address: str | None = None  # in place of the true one
        self.talk: Talk = ends_well
        self._port = 0
        self._runner: web.AppRunner | None = None
        eci._ExecContainerCommand = self._exec  # type: ignore[attr-defined]  # one more call that this cloud knows

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/exec/", self._connect)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _exec(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(parameters)
        address = f"ws://127.0.0.1:{self._port}/exec/?s={TOKEN}" if self.address is None else self.address
        return {"WebSocketUri": address, "HttpUrl": "", "SyncResponse": ""}

    async def _connect(self, http: web.Request) -> web.StreamResponse:
        self.offered.append(http.headers.get("Sec-WebSocket-Protocol", ""))
        self.paths.append(http.raw_path)
        if self.refusal is not None:
            return web.Response(status=self.refusal)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(http)
        await self.talk(socket)
        await socket.close()
        return socket


async def ends_well(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\x01")  # "I am up"
    await socket.send_bytes(b"\x01out")
    await socket.send_bytes(b"\x02err")
    await status(socket, {"metadata": {}, "status": "Success"})


async def silently_ends(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\x01out")


async def echoes(socket: web.WebSocketResponse) -> None:
    """`cat`: gives back its input until that ends."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or message.data == b"\xff\x00":
            break
        if message.data[0] == 0:
            await socket.send_bytes(b"\x01" + message.data[1:])
    await status(socket, {"status": "Success"})


async def status(socket: web.WebSocketResponse, words: Any) -> None:
    text = words if isinstance(words, str) else json.dumps(words)
    await socket.send_bytes(b"\x03" + text.encode())


def failure(code: str | None, message: str = "it failed") -> dict[str, Any]:
    causes = {"details": {"causes": [{"reason": "ExitCode", "message": code}]}} if code is not None else {}
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode", **causes}
