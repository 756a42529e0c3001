"""The API server over raw JSON: one call is one request, and every failure is one class of `errors`.

Nothing is retried here but once with credentials read anew, after a 401 or a TLS handshake that failed: whoever calls
knows when it is worth trying again. No body and no header is ever logged.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vk_provider import bodies, bounds, jsontext
from vk_provider.errors import AnswerTooLong, KubeUnavailable, MalformedAnswer
from vk_provider.kube import objects
from vk_provider.kube.answers import checked, decoded
from vk_provider.kube.api import JSON_PATCH, MERGE, STRATEGIC, Json, Permit
from vk_provider.kube.connection_errors import is_of_tls, mapped
from vk_provider.kube.credentials import Access, Credentials, InClusterCredentials, KubeconfigCredentials, shown
from vk_provider.kube.lanes import AT_ONCE, Lane, is_listing, kind_of, lane_of
from vk_provider.kube.lines import LineSplitter

__all__ = ["JSON_PATCH", "MERGE", "STRATEGIC", "Json", "KubeClient"]

BURST = 30  # writes within a second
# A server sends a bookmark a minute. One that has sent nothing for longer may have nothing to tell, or the watch was
# lost on the way, or in ourselves for want of memory; to open it anew costs one request.
_SILENT_S = 100.0
_OPEN_S = 30.0  # a server sends the head of a watch at once, however quiet the watch
_PROBE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # a vanished peer shows after a minute


Observe = Callable[[str, str, str], object]


def _unobserved(verb: str, resource: str, code: str) -> None:
    """For callers without metrics."""


class KubeClient:
    """One session to one API server. timeout_s bounds a call as a whole, waiting for its lane included.

    observe: told of each request: verb, resource (as `pods/status`), HTTP status or what went wrong.

    Whoever must not wait for others (the lease) has a client of its own.
    """

    def __init__(
        self,
        credentials: Credentials,
        access: Access,
        *,
        user_agent: str,
        at_once: Mapping[Lane, int] = AT_ONCE,
    ) -> None:
        self.server = shown(access.server)
        self.observe: Observe = _unobserved
        self._credentials = credentials
        self._lanes = {lane: asyncio.Semaphore(count) for lane, count in at_once.items()}
        self._written_at: deque[float] = deque(maxlen=BURST)  # loop times
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the lanes bound requests; a watch holds a connection for ever
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": bodies.ACCEPTED},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: str | None,
        context: str | None = None,
        user_agent: str,
        at_once: Mapping[Lane, int] = AT_ONCE,
    ) -> KubeClient:
        """kubeconfig None: the ServiceAccount of the pod that we run in.

        Raises ConfigError naming file and field. A server that does not answer is no error here.
        """
        credentials = InClusterCredentials() if kubeconfig is None else KubeconfigCredentials(kubeconfig, context)
        await credentials.start()
        return cls(credentials, await credentials.access(), user_agent=user_agent, at_once=at_once)

    @property
    def in_burst(self) -> bool:
        """Whether pods come or go so fast that their events, two for each write, could not be told as fast anyhow."""
        full = len(self._written_at) == BURST
        return full and asyncio.get_running_loop().time() - self._written_at[0] < 1.0

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Json:
        """The `items` of a collection are read one by one, as they are gone through: as dicts all of them together take
        ten times the memory of their text."""
        return await self._call("GET", path, params=params, timeout_s=timeout_s)

    async def read_text(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> str:
        """An answer that is no JSON, as a container's log."""
        call = f"GET {path}"
        with mapped(call):
            async with asyncio.timeout(timeout_s):
                response = await self._admitted("GET", path, params=params)
                async with response:
                    return (await checked(response, call, bounds.MOST_ANSWER)).decode(errors="replace")

    async def server_time(self, *, timeout_s: float = 10.0) -> datetime | None:
        """The API server's clock, to the second; None where it does not say. Raises KubeError."""
        with mapped("GET /version"):
            async with asyncio.timeout(timeout_s):
                response = await self._admitted("GET", "/version", params=None)
                async with response:
                    await response.read()
        try:
            return parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return None

    async def post(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Json:
        return await self._call("POST", path, params=params, body=body, timeout_s=timeout_s, permit=permit)

    async def put(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Json:
        return await self._call("PUT", path, params=params, body=body, timeout_s=timeout_s, permit=permit)

    async def patch(
        self,
        path: str,
        body: Json | list[Json],
        *,
        content_type: str = STRATEGIC,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Json:
        """content_type: STRATEGIC or MERGE with a mapping, JSON_PATCH with a list."""
        return await self._call(
            "PATCH", path, params=params, body=body, content_type=content_type, timeout_s=timeout_s, permit=permit
        )

    async def delete(
        self,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Json:
        """body: DeleteOptions, as {"gracePeriodSeconds": 0, "preconditions": {"uid": …}}."""
        return await self._call("DELETE", path, params=params, body=body, timeout_s=timeout_s, permit=permit)

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """The lines of a watch, as they come. timeout_s: when a stream that has not ended counts as dead.

        The iterator ends when the server ends the stream, or where bookmarks are due and none comes; KubeUnavailable
        when the connection breaks, ends within a line, or is dead. A line that is no JSON object comes as an empty one,
        so that those after it are read.
        """
        call = f"GET {path}"
        deadline = asyncio.get_running_loop().time() + timeout_s
        with mapped(call):
            async with asyncio.timeout(min(timeout_s, _OPEN_S)):
                response = await self._admitted("GET", path, params=params)
        try:
            if response.status >= 300:
                with mapped(call):
                    async with asyncio.timeout(_OPEN_S):
                        await checked(response, call, bounds.MOST_ANSWER)
            _probe(response)
            silent_s = _SILENT_S if (params or {}).get("allowWatchBookmarks") == "true" else timeout_s
            yield _lines(response, call, deadline, silent_s)
        finally:
            response.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        timeout_s: float,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        permit: Permit | None = None,
    ) -> Json:
        call = f"{method} {path}"
        lane = lane_of(method, path)
        if lane is Lane.WRITES:
            self._written_at.append(asyncio.get_running_loop().time())
        with mapped(call):
            async with asyncio.timeout(timeout_s), self._lanes[lane]:
                response = await self._admitted(
                    method, path, params=params, body=body, content_type=content_type, permit=permit
                )
                async with response:
                    listing = is_listing(method, path)
                    content = await checked(response, call, bounds.MOST_LIST if listing else bounds.MOST_ANSWER)
        answer = decoded(content, call, jsontext.opened if listing else jsontext.loads)
        if fault := objects.fault_of_answer(answer):
            raise MalformedAnswer(f"{call}: the answer is malformed: {fault}")
        if listing and answer.get("items"):
            return {**answer, "items": jsontext.Items(answer["items"])}
        return answer

    async def _admitted(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        permit: Permit | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer; after a 401 or without TLS, the one to the same request with credentials read anew, if they are
        new."""
        data = None if body is None else jsontext.dumps(body)
        access = await self._credentials.access()
        try:
            response = await self._send(access, method, path, params, data, content_type, permit)
        except (aiohttp.ClientError, OSError) as error:
            if access.tls is None or not is_of_tls(error):
                raise
            # The server has moved to another CA, or ours took our certificate away: no request was heard.
            renewed = await self._credentials.renew(access)
            if renewed.tls is access.tls:
                raise
            access = renewed
            response = await self._send(access, method, path, params, data, content_type, permit)
        if response.status == 401:
            try:
                renewed = await self._credentials.renew(access)
            except BaseException:
                response.close()
                raise
            if renewed is not access:
                response.close()
                return await self._send(renewed, method, path, params, data, content_type, permit)
        return response

    async def _send(
        self,
        access: Access,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        content_type: str,
        permit: Permit | None,
    ) -> aiohttp.ClientResponse:
        url = URL(access.server + path, encoded=True)  # `paths` quoted it: once more would change it
        headers = CIMultiDict(access.headers)
        if data is not None:
            headers["Content-Type"] = content_type
        code = "none"
        # As late as it can be: the request may have waited for its lane or for credentials.
        most_s = permit() if permit is not None else None
        sending = self._session.request(
            method,
            url,
            params=params,
            data=data,
            headers=headers,
            ssl=access.tls if access.tls is not None else True,
            server_hostname=access.server_name,
            proxy=access.proxy,
            allow_redirects=False,  # to where, the server would decide, and our token would go along
        )
        try:
            if most_s is None:
                response = await sending
            else:
                async with asyncio.timeout(most_s):
                    response = await sending
            code = str(response.status)
        finally:
            self.observe(*kind_of(method, path, params), code)
        return response


async def _lines(response: aiohttp.ClientResponse, call: str, deadline: float, silent_s: float) -> AsyncIterator[Json]:
    splitter, loop = LineSplitter(), asyncio.get_running_loop()
    body = bodies.pieces(response)
    while True:
        silent_at = loop.time() + silent_s
        with mapped(call):
            try:
                async with asyncio.timeout_at(min(deadline, silent_at)):
                    chunk = await anext(body, b"")
            except TimeoutError:
                if deadline <= silent_at:
                    raise
                break
        if not chunk:
            break
        for line in splitter.feed(chunk):
            yield _line(line, call)
        if splitter.is_overlong:
            raise AnswerTooLong(f"{call}: a line of the stream is longer than {bounds.MOST_ANSWER:,} bytes")
    if splitter.pending:
        raise KubeUnavailable(f"{call}: the stream ended within a line")


def _line(body: bytes, call: str) -> Json:
    try:
        return decoded(body, call)
    except KubeUnavailable:
        return {}


def _probe(response: aiohttp.ClientResponse) -> None:
    """Let the kernel find out that the peer is gone: a watch may be silent for minutes and be well."""
    transport = response.connection.transport if response.connection else None
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _PROBE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
