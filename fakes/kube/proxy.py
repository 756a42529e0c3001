"""Carrying requests to kubelets: logs as a stream, exec, attach and port-forward as raw bytes, the rest as it comes.

The server shows the kubelet its own client certificate and does not check the kubelet's, as a real one does not
unless it is told the authority.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from fakes.kube import errors, websocket
from fakes.kube.api import Api
from fakes.kube.errors import ApiError, Fault
from fakes.kube.objects import Call
from fakes.kube.requests import is_true
from fakes.kube.upgrade import pump_upgrade

Json = dict[str, Any]

_ADDRESS_ORDER = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
_CONNECT_S = 10.0
_UNCHECKED = ssl.create_default_context()
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE
_LONGEST_BODY = 2048
_LONGEST_PIECE = 2048
_HOP_BY_HOP = frozenset(
    {"connection", "transfer-encoding", "keep-alive", "upgrade", "host", "content-length", "authorization"}
)
_GENERIC = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    scheme: str = "https"

    @property
    def base(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def kubelet_of(node: Json) -> Address:
    """Where a node's kubelet listens. Raises ApiError 500 when the node gives no address."""
    status = node.get("status") or {}
    addresses = status.get("addresses") or ()
    for wanted in _ADDRESS_ORDER:
        for item in addresses:
            if item.get("type") == wanted and item.get("address"):
                port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
                return Address(item["address"], int(port))
    raise ApiError(500, "", f"no preferred addresses found; known addresses: {list(addresses)}")


class Kubelets:
    """The way to every kubelet. tls: a client context with the API server's kubelet client certificate."""

    def __init__(self, api: Api, tls: ssl.SSLContext, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._tls = tls
        self._session = session

    async def logs(self, call: Call, request: web.Request) -> web.StreamResponse:
        """`GET pods/{name}/log`. Raises ApiError before the first byte."""
        pod = self._api.get("pods", call.asked.name, call.namespace)
        options = log_options(call.asked.name, request.query)
        container = chosen_container(pod, request.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            return web.Response(status=204)
        where = kubelet_of(self._api.get("nodes", node))
        meta = pod["metadata"]
        path = f"/containerLogs/{quote(meta['namespace'])}/{quote(meta['name'])}/{quote(container)}"
        url = f"{where.base}{path}" + (f"?{urlencode(options)}" if options else "")
        return await self._relay_log(url, request, call.asked.name)

    async def _relay_log(self, url: str, request: web.Request, name: str) -> web.StreamResponse:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        try:
            async with self._session.get(
                URL(url, encoded=True), ssl=self._tls, timeout=timeout, allow_redirects=False
            ) as upstream:
                if upstream.status != 200:
                    raise kubelet_error(upstream.status, await _some_text(upstream), f"pods/log {name}")
                if websocket.is_asked(request):
                    return await _log_frames(upstream, request)
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                await response.prepare(request)
                await response.write(b"")
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                return response
        except aiohttp.ClientConnectionError as lost:
            if request.transport is None or request.task.cancelling():
                raise
            raise ApiError(500, "", f'Get "{url}": {lost}') from lost

    async def upgrade(self, call: Call, request: web.Request) -> web.StreamResponse:
        """exec, attach and portforward: the whole connection is handed to the kubelet."""
        pod = self._api.get("pods", call.asked.name, call.namespace)
        meta, part = pod["metadata"], call.asked.subresource
        path = f"/{_UPGRADES[part]}/{quote(meta['namespace'])}/{quote(meta['name'])}"
        query = [(key, value) for key, value in request.query.items() if key == "ports"]
        if part == "portforward":
            query = [("port", value) for _, value in query]
        else:
            path += f"/{quote(chosen_container(pod, request.query.get('container', '')))}"
            query = stream_options(request.query)
        node = pod["spec"].get("nodeName")
        if not node:
            raise errors.bad_request(f"pod {meta['name']} does not have a host assigned")
        if not request.headers.get("Upgrade"):
            raise errors.bad_request("Upgrade request required")
        where = kubelet_of(self._api.get("nodes", node))
        target = path + (f"?{urlencode(query)}" if query else "")
        return await pump_upgrade(request, where.host, where.port, target, tls=self._tls)

    async def text(self, node: Json, path: str) -> str:
        """What a node's kubelet says at a path. Raises ApiError."""
        url = URL(kubelet_of(node).base + path)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        try:
            async with self._session.get(
                url,
                headers={"Accept-Encoding": "identity"},  # the session unpacks nothing
                ssl=self._tls,
                timeout=timeout,
                allow_redirects=False,
            ) as upstream:
                if upstream.status != 200:
                    raise kubelet_error(upstream.status, await _some_text(upstream), path)
                return await upstream.text()
        except aiohttp.ClientError as lost:
            raise ApiError(503, "ServiceUnavailable", f'Get "{url}": {lost}') from lost

    async def node(self, call: Call, request: web.Request) -> web.StreamResponse:
        """`nodes/{name}/proxy/{path}`: any request to the kubelet itself."""
        where = kubelet_of(self._api.get("nodes", call.asked.name))
        _, path = proxied(request)
        return await relay(self._session, request, where, path if path.startswith("/") else f"/{path}", tls=self._tls)


def proxied(request: web.Request) -> tuple[str, str]:
    """The URL of a proxy subresource as it came, cut in two: up to `/proxy`, and what follows, query and all."""
    steps = 7 if request.raw_path.startswith("/api/v1/namespaces/") else 5
    parts = request.raw_path.split("/", steps + 1)
    last, mark, query = parts[steps].partition("?")
    rest = f"/{parts[steps + 1]}" if len(parts) > steps + 1 else ""
    return "/".join([*parts[:steps], last]), f"{rest}{mark}{query}"


async def relay(
    session: aiohttp.ClientSession,
    request: web.Request,
    where: Address,
    path: str,
    *,
    tls: ssl.SSLContext | None = None,
    moved: Callable[[str], str] = str,
) -> web.StreamResponse:
    """Send a request on and its answer back. moved: a redirect's target as the client is to see it.

    tls: how to talk to an https backend, None not to check who it is. Raises ApiError 503 when it cannot be reached.
    """
    context = tls or _UNCHECKED
    if request.headers.get("Upgrade"):
        return await pump_upgrade(
            request, where.host, where.port, path, tls=context if where.scheme == "https" else None
        )
    headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    try:
        async with session.request(
            request.method,
            URL(where.base + path, encoded=True),
            data=await request.read() or None,
            headers=headers,
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
            ssl=context,
            timeout=timeout,
            allow_redirects=False,
        ) as upstream:
            kept = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP_BY_HOP}
            if location := upstream.headers.get("Location"):
                kept["Location"] = moved(location)
            response = web.StreamResponse(status=upstream.status, headers=kept)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            return response
    except (aiohttp.ClientConnectionError, TimeoutError) as lost:
        if request.transport is None or request.task.cancelling():
            raise
        raise ApiError(503, "ServiceUnavailable", f"error trying to reach service: {lost}") from lost


async def _log_frames(upstream: aiohttp.ClientResponse, request: web.Request) -> web.StreamResponse:
    """A log as messages: an empty one at once, then each piece as it comes, bytes or base64 as the client chose."""
    chosen = websocket.first_of(request, ("", "binary.k8s.io", "base64.binary.k8s.io"))
    socket = await websocket.accepted(request, chosen)

    async def send(piece: bytes) -> None:
        if chosen == "base64.binary.k8s.io":
            await socket.send_str(base64.b64encode(piece).decode())
        else:
            await socket.send_bytes(piece)

    async def pieces() -> None:
        await send(b"")
        async for piece in upstream.content.iter_any():
            for start in range(0, len(piece), _LONGEST_PIECE):
                await send(piece[start : start + _LONGEST_PIECE])

    await websocket.while_open(socket, pieces())
    return socket


_UPGRADES = {"exec": "exec", "attach": "attach", "portforward": "portForward"}


async def _some_text(upstream: aiohttp.ClientResponse) -> str:
    async with asyncio.timeout(_CONNECT_S):
        return (await upstream.content.read(_LONGEST_BODY)).decode("utf-8", "replace")


def kubelet_error(status: int, text: str, what: str) -> ApiError:
    """A kubelet's refusal as the API server words it."""
    if status == 400:
        return ApiError(400, "BadRequest", text)
    if status == 500:
        return errors.internal(text)
    details = {"causes": [{"reason": "UnexpectedServerResponse", "message": text}]}
    if status == 403:
        return ApiError(403, "Forbidden", text, details)
    if status in _GENERIC:
        reason, message = _GENERIC[status]
        return ApiError(status, reason, f"{message} ( {what})", details)
    message = f"an error on the server ({text!r}) has prevented the request from succeeding ( {what})".replace("'", '"')
    return ApiError(status, "InternalError" if status >= 500 else "Unknown", message, details)


def chosen_container(pod: Json, asked: str) -> str:
    """The container a request means. Raises ApiError 400 when that is not clear."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    mains = [item["name"] for item in spec.get("containers") or ()]
    initial = [item["name"] for item in spec.get("initContainers") or ()]
    ephemeral = [item["name"] for item in spec.get("ephemeralContainers") or ()]
    if asked:
        if asked not in (*mains, *initial, *ephemeral):
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(mains) == 1:
        return str(mains[0])
    choices = " ".join([*initial, *mains])
    raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{choices}]")


def log_options(name: str, query: Mapping[str, str]) -> dict[str, str]:
    """The options to hand on. Raises ApiError 400 or 422."""
    options = {flag: "true" for flag in ("follow", "previous", "timestamps") if is_true(query, flag)}
    faults = []
    for field, least, rule in (
        ("sinceSeconds", 1, "must be greater than 0"),
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
    ):
        if not (text := query.get(field, "")):
            continue
        try:
            value = int(text)
        except ValueError as bad:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from bad
        if value < least:
            faults.append(Fault.invalid(field, value, rule))
        options[field] = str(value)
    if since := query.get("sinceTime"):
        options["sinceTime"] = since
    if "sinceTime" in options and "sinceSeconds" in options:
        faults.append(Fault.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if faults:
        raise errors.invalid("PodLogOptions", "", name, faults)
    return options


def stream_options(query: Any) -> list[tuple[str, str]]:
    """exec and attach options in the kubelet's words."""
    words = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
    options = [(theirs, "1") for ours, theirs in words if is_true(query, ours)]
    return options + [("command", part) for part in query.getall("command", [])]
