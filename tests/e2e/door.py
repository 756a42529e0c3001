"""A door before the API server with a certificate of the test's own, which can be another from one moment to the next.

What comes is passed on as it is; who asked, and what was answered, is written down.
"""

import asyncio
import ssl
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yarl
from aiohttp import web

from tests.e2e.authority import Pair

_HOP = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Passed:
    authorization: str
    request: str
    status: int


class Door:
    """address, port: where it is. upstream: the API server's URL; whose certificate is not looked at."""

    def __init__(self, address: str, port: int, *, upstream: str) -> None:
        self.url = f"https://{address}:{port}"
        self.passed: list[Passed] = []
        self.refused: set[str] = set()  # values of Authorization that get a 401, as a token that has ended
        self._address, self._port, self._upstream = address, port, upstream
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_open = threading.Event()
        self._moved = asyncio.Event()
        self._over = asyncio.Event()

    def open(self, pair: Pair) -> None:
        self._show(pair)
        self._thread.start()
        assert self._is_open.wait(30)

    def move(self, pair: Pair) -> None:
        """Another certificate from now on, also to those that are connected: each connection ends with its answer."""

        def move() -> None:
            self._show(pair)
            self._moved.set()

        self._loop.call_soon_threadsafe(move)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _show(self, pair: Pair) -> None:
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "crt"), Path(folder, "key")
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            self._tls.load_cert_chain(certificate, key)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout()) as session:
            app = web.Application(client_max_size=2**26)

            async def pass_on(request: web.Request) -> web.StreamResponse:
                return await self._pass_on(session, request)

            app.router.add_route("*", "/{path:.*}", pass_on)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, self._address, self._port, ssl_context=self._tls).start()
            self._is_open.set()
            await self._over.wait()
            await runner.cleanup()

    async def _pass_on(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "")
        if shown in self.refused:
            self.passed.append(Passed(shown, f"{request.method} {request.path}", 401))
            return web.json_response({"kind": "Status", "status": "Failure", "code": 401}, status=401)
        url = yarl.URL(self._upstream + request.raw_path, encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        async with session.request(request.method, url, headers=headers, data=body or None, ssl=False) as found:
            self.passed.append(Passed(shown, f"{request.method} {request.path}", found.status))
            answer = web.StreamResponse(status=found.status)
            answer.headers.extend((name, value) for name, value in found.headers.items() if name.lower() not in _HOP)
            if self._moved.is_set():
                answer.force_close()
            await answer.prepare(request)
            await self._copy(found, answer, is_watch=request.query.get("watch") == "true")
            return answer

    async def _copy(self, found: aiohttp.ClientResponse, answer: web.StreamResponse, *, is_watch: bool) -> None:
        """A watch that was begun before the certificate moved ends between two lines."""
        may_end = is_watch and not self._moved.is_set()
        moved = asyncio.ensure_future(self._moved.wait())
        last = b"\n"
        try:
            while True:
                piece = asyncio.ensure_future(found.content.readany())
                await asyncio.wait([piece, *([moved] if may_end else [])], return_when=asyncio.FIRST_COMPLETED)
                if not piece.done() and last.endswith(b"\n"):
                    piece.cancel()
                    answer.force_close()
                    return
                last = await piece
                if not last:
                    return
                await answer.write(last)
        finally:
            moved.cancel()
