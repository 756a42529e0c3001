"""The stand-in put together: certificates, objects, controllers and the HTTPS door, as one thing to start and stop."""

import asyncio
import base64
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from fakes.kube.api import Api
from fakes.kube.authentication import AUTHENTICATED, Authenticator, User
from fakes.kube.authorization import MASTERS, Authorizer
from fakes.kube.backends import Backends
from fakes.kube.certificates import Authority, KeyPair, write_private
from fakes.kube.definition_cleanup import run_definitions
from fakes.kube.events import expire
from fakes.kube.garbage import Collector
from fakes.kube.metrics import Metrics
from fakes.kube.namespaces import furnish, run_namespaces
from fakes.kube.proxy import Kubelets
from fakes.kube.seed import NAMESPACES, seed
from fakes.kube.server import Parts, Server
from fakes.kube.streams import Streams
from fakes.kube.tokens import Tokens

_log = logging.getLogger(__name__)

_EXPIRY_CHECK_S = 10.0
_GOODBYE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """directory: where certificates and keys are kept. port 0 = any. nodes: workers to begin with.

    keep: revisions of history before a watcher must list again. bookmark_s: seconds between watch bookmarks.
    metrics_s: seconds between scrapes of every kubelet for metrics.k8s.io; 0 = that is not served.
    static_tokens: further bearer tokens, token → (user, groups).
    """

    directory: Path
    kubeconfig: Path
    host: str = "127.0.0.1"
    port: int = 0
    nodes: int = 2
    controllers: bool = True
    event_ttl_s: float = 3600.0
    keep: int = 10_000
    bookmark_s: float = 5.0
    metrics_s: float = 0.0
    static_tokens: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A cluster that answers. `server` is its URL; `api` the door for those in the same process."""

    server: str
    kubeconfig: Path
    api: Api


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """A cluster for as long as the block lasts. Raises OSError when the port is taken."""
    authority, api = Authority(), Api(keep=settings.keep, event_ttl_s=settings.event_ttl_s)
    listener = _listener(settings.host, settings.port)
    port = int(listener.getsockname()[1])
    root_ca = authority.pem.decode()
    async with contextlib.AsyncExitStack() as stack:
        seed(api, client_ca=root_ca, host=settings.host, port=port, workers=settings.nodes)
        for name in NAMESPACES:
            furnish(api, name, root_ca)
        session = await _session(stack)
        kubelets = Kubelets(api, _kubelet_tls(authority, settings.directory), session)
        metrics = Metrics(api, kubelets, interval_s=settings.metrics_s) if settings.metrics_s > 0 else None
        server = _server(api, settings, kubelets, metrics, Backends(api, session))
        await _listen(server, listener, _server_tls(authority, settings), stack)
        url = f"https://{_bracketed(settings.host)}:{port}"
        write_private(settings.kubeconfig, _kubeconfig(url, authority))
        tasks = asyncio.create_task(_background(api, root_ca, metrics, controllers=settings.controllers))
        stack.push_async_callback(_cancelled, tasks)
        work = asyncio.current_task()
        tasks.add_done_callback(lambda done: _fall_with(done, work))
        yield Running(url, settings.kubeconfig, api)


def _fall_with(done: "asyncio.Task[None]", work: "asyncio.Task[Any] | None") -> None:
    """A controller that dies takes the cluster with it: a half-dead control plane helps nobody."""
    if not done.cancelled() and (fault := done.exception()) is not None and work is not None:
        _log.error("controllers failed", exc_info=fault)
        work.cancel()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


def _server(api: Api, settings: Settings, kubelets: Kubelets, metrics: Metrics | None, backends: Backends) -> Server:
    tokens = Tokens(api)
    static = {token: User(name, (*groups, AUTHENTICATED)) for token, (name, groups) in settings.static_tokens.items()}
    return Server(
        Parts(
            api=api,
            authenticator=Authenticator(tokens, static),
            authorizer=Authorizer(api),
            tokens=tokens,
            kubelets=kubelets,
            backends=backends,
            streams=Streams(api, bookmark_s=settings.bookmark_s),
            metrics=metrics,
        )
    )


async def _background(api: Api, root_ca: str, metrics: Metrics | None, *, controllers: bool) -> None:
    async with asyncio.TaskGroup() as group:
        if metrics is not None:
            group.create_task(metrics.run())
        group.create_task(run_namespaces(api, root_ca=root_ca))
        group.create_task(run_definitions(api))
        group.create_task(Collector(api).run())
        group.create_task(_forget_events(api))
        if controllers and find_spec("fakes.kube.controllers") is not None:
            run = getattr(import_module("fakes.kube.controllers"), "run_controllers", None)
            if run is not None:
                group.create_task(run(api))


async def _forget_events(api: Api) -> None:
    while True:
        await asyncio.sleep(min(_EXPIRY_CHECK_S, max(0.1, api.event_ttl_s / 2)))
        expire(api, api.clock())


async def _session(stack: contextlib.AsyncExitStack) -> aiohttp.ClientSession:
    """For requests that are handed on as they are: nothing is unpacked, no cookie is kept for the next caller."""
    connector, jar = aiohttp.TCPConnector(limit=0), aiohttp.DummyCookieJar()
    session = aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False)
    return await stack.enter_async_context(session)


def _kubelet_tls(authority: Authority, directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as without --kubelet-certificate-authority
    _load(context, authority.client("kube-apiserver-kubelet-client", [MASTERS]), directory / "kubelet-client")
    return context


def _server_tls(authority: Authority, settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    hosts = [
        settings.host,
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "10.96.0.1",
    ]
    _load(context, authority.server(hosts), settings.directory / "apiserver")
    write_private(settings.directory / "ca.crt", authority.pem)
    context.load_verify_locations(cadata=authority.pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pair: KeyPair, stem: Path) -> None:
    """Python's TLS reads key pairs from files only."""
    certificate, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
    write_private(certificate, pair.certificate)
    write_private(key, pair.key)
    context.load_cert_chain(certificate, key)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


async def _listen(
    server: Server, listener: socket.socket, tls: ssl.SSLContext, stack: contextlib.AsyncExitStack
) -> None:
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GOODBYE_S,
        keepalive_timeout=120,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, ssl_context=tls).start()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _kubeconfig(url: str, authority: Authority) -> bytes:
    """An administrator's kubeconfig, with everything inline. JSON is YAML."""
    pair = authority.client("kubernetes-admin", [MASTERS])
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "standin", "cluster": {"server": url, "certificate-authority-data": _base64(authority.pem)}}
        ],
        "users": [
            {
                "name": "kubernetes-admin",
                "user": {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)},
            }
        ],
        "contexts": [{"name": "standin", "context": {"cluster": "standin", "user": "kubernetes-admin"}}],
        "current-context": "standin",
    }
    return json.dumps(config, indent=2).encode() + b"\n"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
