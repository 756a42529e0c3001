"""The kubelet API: routes, who may use them, and what an error looks like. Each answer is made elsewhere.

A request passes, in this order: the record (access log, counts), the error mapping, authentication and authorization,
the route. So also an unknown path answers 401 to a stranger. Query strings are never logged: a `run` or `exec` carries
its command there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, cast

from aiohttp import HttpVersion11, web

from vk_provider.cloud.base import Cloud
from vk_provider.errors import ConfigError, ProviderError
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.kubelet import about, auth, tls_context
from vk_provider.kubelet.attach import AttachServer
from vk_provider.kubelet.auth import Anybody, Authenticator, AuthorizationUnavailable, Authorizer, Credentials
from vk_provider.kubelet.certificates import ServingTls
from vk_provider.kubelet.exec import ExecServer
from vk_provider.kubelet.exposition import Page, labels
from vk_provider.kubelet.hijack import StreamTimeouts
from vk_provider.kubelet.http_errors import HttpError, to_status_and_text
from vk_provider.kubelet.listener import Limits, Listener, descriptor_limit
from vk_provider.kubelet.log_reads import LogReads
from vk_provider.kubelet.logs import LogServer
from vk_provider.kubelet.portforward import Connected, PortForwardServer
from vk_provider.kubelet.request_shares import MOST_REQUESTS, RequestShares
from vk_provider.kubelet.run import RunServer
from vk_provider.kubelet.stats import Route
from vk_provider.kubelet.target import FindPod
from vk_provider.metrics import CONTENT_TYPE, Registry
from vk_provider.model.instance import Instance, StateKind
from vk_provider.pacing.callers import Purpose, calling_for

log = logging.getLogger(__name__)
access_log = logging.getLogger(f"{__name__}.access")

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Check = Callable[[], str]  # empty = healthy, else what is wrong

KEEP_ALIVE_S = 90.0  # H1
SHUTDOWN_S = 0.5  # aiohttp waits this long twice: for handlers to end by themselves, then for the cancelled ones
PODS_AT_ONCE = 50
BACKLOG = 1024
DIAL_BUFFER_BYTES = 64 * 1024
QUIET = ("/healthz", "/metrics", "/pods", "/runningpods", "/stats")  # read every few seconds: logged at debug level

_caller: ContextVar[str] = ContextVar("caller")  # name of whom the request under way comes from, for the record
_CHECKS = ("ping", "log", "syncloop")
_SLIS = {"kubernetes_healthcheck": ("gauge", "1 if the check of /healthz passes, else 0.")}


class KubeletServer:
    """Serves from `start` to `stop`. What it shows comes from the callables given; it keeps no state of pods.

    host: empty = every address, of both families where there are two. port: 0 = any free one.

    pods: by namespace and name; instance_of: by pod uid. checks: of `/healthz`, name → check.
    api_server_users: whose client certificates are the API server's own.
    stream_times: how long exec, attach and port-forward wait for their clients; a kubelet's own by default.
    pages: what is served besides, made elsewhere.
    limits: of connections; by default from how many files the process may have open at `start`.
    ended_logs: of instances that are gone, as far as they were kept.
    """

    def __init__(
        self,
        *,
        pods: FindPod,
        all_pods: Callable[[], Iterable[Json]],
        instance_of: Callable[[str], Instance | None],
        cloud: Cloud,
        authenticator: Authenticator,
        authorizer: Authorizer,
        tls: ServingTls,
        registry: Registry,
        host: str = "",
        port: int = 10250,
        checks: Mapping[str, Check] | None = None,
        api_server_users: frozenset[str] = auth.API_SERVER_USERS,
        stream_times: StreamTimeouts | None = None,
        pages: Sequence[Route] = (),
        limits: Limits | None = None,
        ended_logs: EndedLogs | None = None,
    ) -> None:
        self._pods_by_name = pods
        self._all_pods = all_pods
        self._instance_of = instance_of
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._tls = tls
        self._registry = registry
        self._host = host
        self._wanted_port = port
        self._checks: Mapping[str, Check] = checks if checks is not None else dict.fromkeys(_CHECKS, _well)
        self._api_server_users = api_server_users
        reads = LogReads()
        self._logs = LogServer(pods=pods, instance_of=instance_of, cloud=cloud, reads=reads, ended_logs=ended_logs)
        times = stream_times or StreamTimeouts()
        self._exec = ExecServer(pods=pods, instance_of=instance_of, cloud=cloud, times=times)
        self._attach = AttachServer(pods=pods, instance_of=instance_of, cloud=cloud, times=times, reads=reads)
        self._port_forward = PortForwardServer(pods=pods, instance_of=instance_of, times=times, dial=self._dial)
        self._run = RunServer(pods=pods, instance_of=instance_of, cloud=cloud)
        self._pages = pages
        self._limits = limits
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None
        self._shares = RequestShares(MOST_REQUESTS)
        self._requests = registry.counter(
            "vk_kubelet_http_requests_total", "Requests to the kubelet API, answered.", ("method", "path", "code")
        )
        self._open = registry.gauge("vk_kubelet_http_open_requests", "Requests to the kubelet API under way.")

    @property
    def port(self) -> int:
        """The port in use. Raises RuntimeError before `start`."""
        return self._listening.port

    @property
    def _listening(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the kubelet API is not serving yet")
        return self._listener

    async def _dial(self, address: str, port: int) -> Connected:
        return await self._listening.dial(address, port, buffer=DIAL_BUFFER_BYTES)

    async def start(self) -> None:
        """Raises ConfigError when the port cannot be had or there is no usable certificate."""
        if isinstance(self._authenticator, Anybody) or isinstance(self._authorizer, Anybody):
            log.warning("INSECURE: the kubelet API answers anybody; --insecure-kubelet-api is for local use only")
        tls_context.use_small_buffers()
        await self._tls.refresh()
        listening = _listen(self._host, self._wanted_port)
        self._runner = web.AppRunner(
            self._app(),
            handler_cancellation=True,  # a client that leaves takes its upstream along
            access_log=None,
            logger=_parser_log(),
            keepalive_timeout=KEEP_ALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
        )
        await self._runner.setup()
        limits = self._limits or Limits.of(descriptor_limit())
        self._shares = RequestShares(min(limits.open, MOST_REQUESTS))
        self._listener = Listener(
            listening,
            protocol=cast("Callable[[], asyncio.Protocol]", self._runner.server),
            tls=self._tls.context,
            limits=limits,
            registry=self._registry,
        )
        self._listener.start()
        log.info("kubelet API serves at port %d", self.port)

    async def stop(self) -> None:
        """Ends every stream, within about a second."""
        if self._listener is not None:
            await self._listener.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what every request passes ----------------------------------------------------------------------------------

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._record, self._map_errors, self._admit])
        app.on_response_prepare.append(_close_old_style)
        routes = app.router
        for path, answer in (
            ("/healthz", self._healthz),
            ("/healthz/{check}", self._healthz),
            ("/metrics", self._metrics),
        ):
            routes.add_route("*", path, answer)
        for path, handler in (
            (r"/pods{slash:/?}", self._pods),
            ("/runningpods/", self._running_pods),
            ("/runningpods", about.to_folder),
            ("/stats", about.to_folder),
            ("/containerLogs/{namespace}/{pod}/{container}", self._logs.handle),
            ("/metrics/slis", self._slis),
            ("/logs", about.to_folder),
            ("/logs/{file:.*}", about.logs),
            ("/statusz", about.statusz(lambda: _paths(app))),
        ):
            routes.add_get(path, handler, allow_head=False)
        for method, path, page in self._pages:
            routes.add_route(method, path, page)
        for path, handler in (
            ("/exec/{namespace}/{pod}/{container}", self._exec.handle),
            ("/exec/{namespace}/{pod}/{uid}/{container}", self._exec.handle),
            ("/attach/{namespace}/{pod}/{container}", self._attach.handle),
            ("/attach/{namespace}/{pod}/{uid}/{container}", self._attach.handle),
            ("/portForward/{namespace}/{pod}", self._port_forward.handle),
            ("/portForward/{namespace}/{pod}/{uid}", self._port_forward.handle),
        ):
            routes.add_get(path, handler, allow_head=False)  # a WebSocket begins with GET, SPDY mostly with POST
            routes.add_post(path, handler)
        routes.add_post("/checkpoint/{namespace}/{pod}/{container}", about.checkpoint(self._pods_by_name))
        routes.add_post("/run/{namespace}/{pod}/{container}", self._run.handle)
        routes.add_post("/run/{namespace}/{pod}/{uid}/{container}", self._run.handle)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        code = "left"  # stays when the client leaves first
        self._open.add(1)
        _caller.set("")  # one connection's requests share a task, and so its context
        try:
            response = await handler(request)
            code = str(response.status)
            return response
        finally:
            self._open.add(-1)
            path = request.rel_url.raw_path
            self._requests.add(method=_known_method(request.method), path=_first_part(request), code=code)
            level = logging.DEBUG if path.startswith(QUIET) and code == "200" else logging.INFO
            access_log.log(
                level,
                "%s %s %s from=%s user=%r took_s=%.3f",
                _known_method(request.method),
                path,
                code,
                request.remote,
                _caller.get(),
                time.monotonic() - began,
            )

    @web.middleware
    async def _map_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _text(404, "404: Page Not Found" if _first_name(request) in _SERVICES else "404 page not found\n")
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            return _text(405, "405: Method Not Allowed", {"Allow": allowed})
        except web.HTTPException as error:
            return _text(error.status, error.reason)
        except ConnectionError:
            raise  # nobody is left to be answered
        except Exception as error:
            status, text = to_status_and_text(error)
            if not isinstance(error, HttpError):
                ours = not isinstance(error, (ProviderError, TimeoutError))
                log.warning("%s failed: %s", request.rel_url.raw_path, error, exc_info=error if ours else None)
            return _text(status, text)

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._listening.judging(request)
        refusal: web.Response | None = None
        is_allowed = False
        try:
            refusal = await self._refusal(request)
            is_allowed = refusal is None
        finally:
            (self._listening.allowed if is_allowed else self._listening.refused)(request)
        if refusal is not None:
            return refusal
        names = request.match_info
        namespace, pod = names.get("namespace", ""), names.get("pod", "")
        with self._shares.held(namespace, pod), calling_for(Purpose.PERSON, namespace, pod):
            return await handler(request)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """None: it may."""
        identity = await self._authenticator.identify(self._credentials(request))
        if identity is None:
            # The connection may have been made under a client CA that is gone: the next one is judged anew.
            return _text(401, "Unauthorized", {"Connection": "close"})
        _caller.set(identity.name)
        verb, subresources = auth.attributes(
            request.method,
            request.path,
            from_api_server=auth.is_api_server(identity, self._api_server_users),
        )
        who = f"user={identity.name}, verb={verb}, resource=nodes"
        try:
            allowed = await self._authorizer.allows(identity, verb, subresources)
        except AuthorizationUnavailable as error:
            return _text(500, f"Authorization error ({who}, subresource={error.subresource})")
        if not allowed:
            why = f"Forbidden ({who}, subresource(s)=[{' '.join(subresources)}])"
            return _text(403, why, {"Connection": "close"})
        return None

    def _credentials(self, request: web.Request) -> Credentials:
        trusted = self._tls.trusts(request.get_extra_info("ssl_object"))
        certificate = request.get_extra_info("peercert") if trusted else None
        return Credentials(certificate, request.headers.get("Authorization", ""))

    # --- what is served here ----------------------------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        """All checks, or the one that the path names."""
        name = request.match_info.get("check")
        if name is not None and name not in self._checks:
            raise web.HTTPNotFound
        faults = {key: check() for key, check in self._checks.items() if name in (None, key)}
        failed = [f"{key} failed: {fault}" for key, fault in faults.items() if fault]
        if "verbose" in request.query:
            lines = [f"[-]{key} failed: {fault}" if fault else f"[+]{key} ok" for key, fault in faults.items()]
            verdict = f"healthz check {'failed' if failed else 'passed'}"
            return _text(500 if failed else 200, "\n".join([*lines, verdict]))
        return _text(500, "; ".join(failed)) if failed else web.Response(text="ok")

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        return await _send_pod_list(request, self._all_pods())

    async def _running_pods(self, request: web.Request) -> web.StreamResponse:
        pairs = ((pod, self._instance_of(pod["metadata"]["uid"])) for pod in self._all_pods())
        running = (_running(pod, instance) for pod, instance in pairs if instance is not None)
        return await _send_pod_list(request, (pod for pod in running if pod is not None))

    async def _metrics(self, request: web.Request) -> web.Response:
        page, content_type = self._registry.page(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    async def _slis(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- all there is, always
        page = Page(_SLIS)
        for name, check in self._checks.items():
            page.add("kubernetes_healthcheck", labels(name=name, type="healthz"), int(not check()))
        return web.Response(body=page.text().encode(), headers={"Content-Type": CONTENT_TYPE})


def _well() -> str:
    return ""


async def _close_old_style(request: web.Request, response: web.StreamResponse) -> None:
    """To HTTP/1.0 a stream ends with its connection, which aiohttp would keep open if the client asks for that."""
    if request.version < HttpVersion11:
        response.force_close()


def _paths(app: web.Application) -> list[str]:
    return sorted({f"/{resource.canonical.split('/')[1].partition('{')[0]}" for resource in app.router.resources()})


def _running(pod: Json, instance: Instance | None) -> Json | None:
    """What really runs of a pod, in the few fields that a kubelet tells of it; None if nothing does.

    A pod that is told to end runs no more, although its last words may take a while: who reads this to see that a
    deletion has reached the node (as the suite of the Go library for virtual nodes) does so a second later.
    """
    if instance is None or "deletionTimestamp" in pod["metadata"]:
        return None
    reports = (*instance.init_containers, *instance.containers)
    running = [report for report in reports if report.state.kind is StateKind.RUNNING]
    if not running:
        return None
    meta = pod["metadata"]
    return {
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "spec": {"containers": [{"name": report.name, "image": report.image} for report in running]},
        "status": {},
    }


async def _send_pod_list(request: web.Request, pods: Iterable[Json]) -> web.StreamResponse:
    """Piece by piece, since turning thousands of pods into text at once would hold up everything else."""
    items = list(pods)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[')
    for start in range(0, len(items), PODS_AT_ONCE):
        texts = [json.dumps(pod, separators=(",", ":")) for pod in items[start : start + PODS_AT_ONCE]]
        await response.write((("," if start else "") + ",".join(texts)).encode())
        await asyncio.sleep(0)
    await response.write(b"]}\n")
    await response.write_eof()
    return response


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text, headers=headers)


# Services of several paths to the router of a kubelet, which has other words for a path below them that is none.
_SERVICES = frozenset({"stats", "debug", "containerLogs", "exec", "attach", "portForward", "run", "checkpoint"})


def _first_name(request: web.Request) -> str:
    return request.rel_url.raw_path.removeprefix("/").partition("/")[0]


def _first_part(request: web.Request) -> str:
    """`/containerLogs` of `/containerLogs/web/api-0/app`: few enough to count by. Unknown paths are all `other`."""
    resource = request.match_info.route.resource
    if resource is None:
        return "other"
    return "/" + resource.canonical.split("/")[1].partition("{")[0]


def _known_method(method: str) -> str:
    return method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; for an empty host one that takes IPv4 and IPv6, where the system has both."""
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"port {port} of {host}" if host else f"port {port}"
        raise ConfigError(
            [f"the kubelet API cannot listen at {where}: {error.strerror}; choose another port"]
        ) from error


def _parser_log() -> logging.Logger:
    """aiohttp's own log for this server, without what a request that is no HTTP makes it say.

    Those lines repeat the bytes that came, which may hold a token, and any stranger can cause as many as he likes.
    """
    own = logging.getLogger(f"{__name__}.http")
    if not any(isinstance(known, _NotOurs) for known in own.filters):
        own.addFilter(_NotOurs())
    return own


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not type(error).__module__.startswith("aiohttp.")
