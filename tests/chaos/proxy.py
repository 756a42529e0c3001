"""The API server as the provider sees it: every request passes here, and some meet with an accident.

| kind          | what happens                                                                            |
|---------------|-----------------------------------------------------------------------------------------|
| answer        | answered with `status` and a Status body (429 and 503 with Retry-After); nothing is done  |
| lose-request  | the connection is cut; nothing is done                                                  |
| lose-answer   | done, then the connection is cut                                                        |
| delay         | done after `seconds`                                                                    |
| stale-list    | a list is answered with the oldest one seen                                             |
| old-version   | a list is answered as of version 1                                                      |

While `malformed` is set, lists and watches hold what is no object and no line, drawn by it.

It may go over to another CA, as a control plane that is set up anew, whose file comes when `write_ca` is called.

Watches are cut, or frozen (open, and silent) as a half-open connection is, or told that their version is too old.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from aiohttp import web

from tests.chaos.hostile import NOT_LINES, NOT_OBJECTS
from tests.e2e.authority import Authority, write_private

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"})
REASONS = {404: "NotFound", 409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
TOO_OLD = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410}}


@dataclass(slots=True)
class Accident:
    """Meets the next `count` requests of these methods whose path holds `path`; watches are never met."""

    kind: str
    methods: frozenset[str] = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
    path: str = ""
    count: int = 1
    status: int = 500
    seconds: float = 0.0


class Proxy:
    """Speaks HTTP to the provider on loopback, and HTTPS to the API server with the rights of `tls`. directory: where
    its own CA's file is to lie; then it speaks HTTPS to the provider too."""

    def __init__(self, server: str, tls: ssl.SSLContext, *, directory: Path | None = None) -> None:
        self._server = server
        self._tls = tls
        self._directory = directory
        self._authority = Authority()
        self._own_tls: ssl.SSLContext | None = None
        self._closes = False  # connections, each after its answer
        self._accidents: list[Accident] = []
        self._watches: set[web.StreamResponse] = set()
        self._transports: dict[web.StreamResponse, asyncio.BaseTransport] = {}
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._too_old: set[web.StreamResponse] = set()
        self._first_lists: dict[str, tuple[bytes, str]] = {}
        self.down = False
        self.malformed: random.Random | None = None
        self.met = 0
        self.requests: dict[str, int] = {}
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        if self._directory is not None:
            self._own_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.change_ca()
            self.write_ca()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._own_tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0), timeout=timeout, auto_decompress=False
        ) as self._session:
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http{'s' if self._own_tls else ''}://{host}:{port}"
            try:
                yield self
            finally:
                self.cut_watches()
                await runner.cleanup()

    @property
    def kubeconfig(self) -> str:
        """Leads here: who asks needs no key, for it is the proxy that is known upstream."""
        trusted = {"certificate-authority": str(self._ca_file)} if self._own_tls else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxied", "cluster": {"server": self.url, **trusted}}],
            "users": [{"name": "nobody", "user": {"token": "the-proxy-knows-who-we-are"}}],
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "nobody"}}],
            "current-context": "proxied",
        }
        return json.dumps(config)

    # --- what can be done to it ---

    def add(self, accident: Accident) -> None:
        self._accidents.append(accident)

    def clear(self) -> None:
        """No more accidents; what was frozen goes on."""
        self._accidents.clear()
        self.down = False
        self.malformed = None
        self._thawed.set()

    @property
    def _ca_file(self) -> Path:
        assert self._directory is not None
        return self._directory / "proxy-ca.crt"

    def change_ca(self) -> None:
        """Who connects from now on meets a certificate of another CA; who is connected, is not for long."""
        assert self._own_tls is not None
        assert self._directory is not None
        self._authority = Authority()
        pair = self._authority.server(["127.0.0.1"])
        certificate, key = self._directory / "proxy.crt", self._directory / "proxy.key"
        certificate.write_bytes(pair.certificate)
        write_private(key, pair.key)
        self._own_tls.load_cert_chain(certificate, key)
        self._closes = True
        self.cut_watches()

    def write_ca(self) -> None:
        """The file that names the CA is the right one again."""
        self._ca_file.write_bytes(self._authority.pair.certificate)
        self._closes = False

    def cut_watches(self) -> None:
        for transport in list(self._transports.values()):
            transport.abort()  # type: ignore[attr-defined]  # a stream's transport has it, its base class does not

    def freeze_watches(self) -> None:
        """They stay open and say nothing, until `clear`."""
        self._thawed.clear()

    def thaw_watches(self) -> None:
        self._thawed.set()

    def expire_watches(self) -> None:
        self._too_old |= self._watches
        self._wake_watches()

    def _wake_watches(self) -> None:
        for response in list(self._too_old):
            asyncio.ensure_future(self._tell_too_old(response))  # noqa: RUF006  # ends with the connection

    async def _tell_too_old(self, response: web.StreamResponse) -> None:
        with suppress(ConnectionError, RuntimeError):
            await response.write(json.dumps(TOO_OLD).encode() + b"\n")
        transport = self._transports.get(response)
        if transport is not None:
            transport.close()

    # --- what passes ---

    def _next(self, request: web.Request) -> Accident | None:
        for accident in self._accidents:
            if request.method in accident.methods and accident.path in request.path:
                accident.count -= 1
                if accident.count <= 0:
                    self._accidents.remove(accident)
                self.met += 1
                return accident
        return None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request)
        if self.down:
            _cut(request)
        accident = self._next(request)
        kind = accident.kind if accident else ""
        if accident and kind == "answer":
            return _status(accident.status)
        if kind == "lose-request":
            _cut(request)
        if accident and kind == "delay":
            await asyncio.sleep(accident.seconds)
        async with self._forward(request) as upstream:
            body = await upstream.read()
            media = upstream.headers.get("Content-Type", "")
            if request.method == "GET" and upstream.status == 200 and b'"items"' in body[:400]:
                first = self._first_lists.setdefault(request.path_qs, (body, media))
                if kind == "stale-list":
                    body = first[0]
                body = self._harmed_list(body, is_old=kind == "old-version")
            if kind == "lose-answer":
                _cut(request)
            answer = web.Response(status=upstream.status, body=body, headers=_passed(upstream.headers))
            if self._closes:
                answer.force_close()
            return answer

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            _cut(request)
        async with self._forward(request) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_passed(upstream.headers))
            await response.prepare(request)
            assert request.transport is not None
            self._watches.add(response)
            self._transports[response] = request.transport
            try:
                async for line in _lines(upstream):
                    await self._thawed.wait()
                    if response in self._too_old:
                        break
                    if self.malformed is not None:
                        await response.write(json.dumps(self.malformed.choice(NOT_LINES)).encode() + b"\n")
                    await response.write(line)
            finally:
                self._watches.discard(response)
                self._too_old.discard(response)
                self._transports.pop(response, None)
            return response

    def _harmed_list(self, body: bytes, *, is_old: bool) -> bytes:
        if not is_old and self.malformed is None:
            return body
        listed = json.loads(body)
        if is_old:
            listed["metadata"]["resourceVersion"] = "1"
        if self.malformed is not None:
            listed["items"] = [self.malformed.choice(NOT_OBJECTS), *(listed["items"] or ())]
        return json.dumps(listed).encode()

    @asynccontextmanager
    async def _forward(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            async with self._session.request(
                request.method, self._server + request.raw_path, data=await request.read() or None, headers=headers
            ) as upstream:
                yield upstream
        except aiohttp.ClientError:
            _cut(request)


async def _lines(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """With their ends, and of any length: a hostile tenant's pod is one of a megabyte."""
    pending = bytearray()
    async for chunk in upstream.content.iter_any():
        pending += chunk
        if b"\n" not in chunk:
            continue
        *whole, last = pending.split(b"\n")
        pending = bytearray(last)
        for line in whole:
            yield bytes(line) + b"\n"
    if pending:
        yield bytes(pending)


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def _cut(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise web.HTTPInternalServerError  # read by nobody


def _status(code: int) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "an accident",
        "reason": REASONS.get(code, ""),
        "code": code,
    }
    headers = {"Retry-After": "1"} if code in (429, 503) else {}
    return web.json_response(body, status=code, headers=headers)
