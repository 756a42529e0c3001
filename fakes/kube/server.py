"""The HTTPS door: who is asking, may they, and which part of the server answers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from fakes.kube import discovery, errors, eviction, metrics, openapi, websocket
from fakes.kube.api import Api
from fakes.kube.authentication import ANONYMOUS, Authenticator, User, impersonated
from fakes.kube.authorization import Authorizer, Deed, impersonations, refusal
from fakes.kube.backends import Backends
from fakes.kube.content import answer, is_dry, json_object
from fakes.kube.content import refusal as refused
from fakes.kube.errors import ApiError
from fakes.kube.metrics import Metrics
from fakes.kube.objects import Call, Objects, call_of, warned
from fakes.kube.proxy import Kubelets
from fakes.kube.requests import Asked, parse
from fakes.kube.resources import Resource
from fakes.kube.reviews import Reviews
from fakes.kube.streams import Streams
from fakes.kube.tokens import Tokens

_log = logging.getLogger(__name__)

Handler = Callable[[Call, web.Request], Awaitable[web.StreamResponse]]

_LARGEST_BODY = 3 * 1024 * 1024
_HEALTH = ("/healthz", "/livez", "/readyz")
_PUBLIC = (*_HEALTH, "/version")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the door opens to."""

    api: Api
    authenticator: Authenticator
    authorizer: Authorizer
    tokens: Tokens
    kubelets: Kubelets
    backends: Backends
    streams: Streams
    metrics: Metrics | None = None


class Server:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._objects = Objects(parts.api)
        self._schemas = openapi.Schemas(parts.api.catalog)
        self._reviews = Reviews(parts.authenticator, parts.authorizer)
        self._special: dict[tuple[str, str], Handler] = {
            ("pods", "log"): parts.kubelets.logs,
            ("pods", "exec"): parts.kubelets.upgrade,
            ("pods", "attach"): parts.kubelets.upgrade,
            ("pods", "portforward"): parts.kubelets.upgrade,
            ("pods", "binding"): self._bind,
            ("pods", "eviction"): self._evict,
            ("nodes", "proxy"): parts.kubelets.node,
            ("pods", "proxy"): parts.backends.pod,
            ("services", "proxy"): parts.backends.service,
            ("serviceaccounts", "token"): self._token,
            ("bindings", ""): self._bind,
        }
        if parts.metrics is not None:
            self._special |= {(row.key, ""): parts.metrics.serve for row in (metrics.NODES, metrics.PODS)}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            return refused(error)
        except web.HTTPRequestEntityTooLarge:
            return refused(ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"))
        except Exception as fault:  # the one place: a fault of ours must not look like silence
            if isinstance(fault, (ConnectionError, web.HTTPException)):
                raise
            _log.exception("failed %s %s", request.method, request.path)
            return refused(errors.internal(f"{type(fault).__name__}: {fault}"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        shown = request.headers.get("Authorization", "") or websocket.authorization(request)
        user = self._parts.authenticator.identify(certificate, shown)
        path = request.path.rstrip("/") or "/"
        if user is None or (user is ANONYMOUS and not path.startswith(_PUBLIC)):
            raise errors.unauthorized()
        user = self._acting(user, request)
        asked = parse(request.method, request.rel_url.raw_path, request.query, self._parts.api.catalog.route)
        self._authorize(user, asked, request, path)
        if asked is None:
            return self._path(request, path)
        return await self._resource(asked, user, request)

    def _acting(self, user: User, request: web.Request) -> User:
        """The user the request is to be judged as. Raises ApiError 403 when it may not act as another."""
        other = impersonated(request.headers, request.headers.getall("Impersonate-Group", []))
        for deed in impersonations(other) if other else ():
            if not self._parts.authorizer.decide(user, deed).allowed:
                raise errors.forbidden(deed.resource, "", deed.name, refusal(user, deed))
        return other or user

    def _authorize(self, user: User, asked: Asked | None, request: web.Request, path: str) -> None:
        if asked is None:
            deed = Deed(verb=request.method.lower(), path=path)
        else:
            deed = Deed(
                verb=asked.verb,
                group=asked.group,
                resource=asked.resource,
                subresource=asked.subresource,
                namespace=asked.namespace,
                name=asked.name,
            )
        if not self._parts.authorizer.decide(user, deed).allowed:
            why = refusal(user, deed)
            if asked is None:
                raise ApiError(403, "Forbidden", f"forbidden: {why}", {})
            raise errors.forbidden(asked.resource, asked.group, asked.name, why)

    def _path(self, request: web.Request, path: str) -> web.Response:
        """Everything that is no resource: health, version, discovery, schemas."""
        if path.startswith(_HEALTH):
            return web.Response(text="ok")
        accept = request.headers.get("Accept", "")
        if path == "/version":
            return answer(discovery.version())
        if path.startswith("/openapi/"):
            return self._schemas.serve(path, accept)
        if path == "/":
            return answer({"paths": ["/api", "/apis", *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]})
        rows = list(self._parts.api.catalog.rows())
        if found := _discovered(rows, path, accept, request.host):
            return found
        raise errors.no_such_path()

    async def _resource(self, asked: Asked, user: User, request: web.Request) -> web.StreamResponse:
        row = asked.row
        if row is None or (asked.subresource and asked.subresource not in row.subresources):
            raise errors.no_such_path()
        call = call_of(asked, row, request)
        if special := self._special.get((row.key, asked.subresource)):
            return await special(call, request)
        if row.verbs == ("create",):
            return await self._review(call, user, request)
        if (
            asked.verb not in row.verbs
            or (asked.verb == "create" and asked.name)
            or (asked.verb in ("update", "patch") and not asked.name)
        ):
            raise errors.method_not_allowed()
        if row.namespaced and not asked.namespace and asked.verb not in ("list", "watch", "deletecollection"):
            raise errors.method_not_allowed() if asked.name == "" else errors.no_such_path()
        if asked.verb == "watch":
            return await self._parts.streams.serve(call, request)
        if row.native == "CertificateSigningRequest" and asked.verb == "create":
            return await self._request_certificate(call, user, request)
        return await self._objects.serve(call, request)

    async def _review(self, call: Call, user: User, request: web.Request) -> web.Response:
        if call.asked.verb != "create":
            raise errors.method_not_allowed()
        return answer(self._reviews.answer(call.row, await json_object(request), user), 201)

    async def _request_certificate(self, call: Call, user: User, request: web.Request) -> web.Response:
        """A signing request says who made it; the maker cannot."""
        body = await json_object(request)
        spec = body.setdefault("spec", {})
        spec |= {"username": user.name, "groups": list(user.groups)} | ({"uid": user.uid} if user.uid else {})
        made = self._parts.api.create(call.row.key, body, dry_run=is_dry(call.query))
        return warned(answer(made, 201), [call.row.unheeded])

    async def _bind(self, call: Call, request: web.Request) -> web.Response:
        body = await json_object(request)
        target, meta = body.get("target") or {}, body.get("metadata") or {}
        if call.asked.verb != "create":
            raise errors.method_not_allowed()
        if target.get("kind") not in (None, "", "Node"):
            fault = errors.Fault.unsupported("target.kind", target["kind"], ("Node", "<empty>"))
            raise errors.invalid("Binding", "", call.asked.name, [fault])
        if not target.get("name"):
            raise errors.invalid("Binding", "", call.asked.name, [errors.Fault.required("target.name")])
        name = call.asked.name or meta.get("name", "")
        if not is_dry(call.query):
            self._parts.api.bind(call.asked.namespace, name, target["name"], annotations=meta.get("annotations"))
        return answer(_success(), 201)

    async def _evict(self, call: Call, request: web.Request) -> web.Response:
        if call.asked.verb != "create":
            raise errors.method_not_allowed()
        body = await json_object(request)
        dry = is_dry(call.query, body.get("deleteOptions"))
        done = eviction.evict(self._parts.api, call.asked.namespace, call.asked.name, body, dry_run=dry)
        return answer(done, 201)

    async def _token(self, call: Call, request: web.Request) -> web.Response:
        if call.asked.verb != "create":
            raise errors.method_not_allowed()
        body = await json_object(request)
        return answer(self._parts.tokens.request(call.asked.namespace, call.asked.name, body), 201)


def _success() -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _discovered(rows: list[Resource], path: str, accept: str, host: str) -> web.Response | None:
    parts = path.strip("/").split("/")
    if path in ("/api", "/apis"):
        for version in ("v2", "v2beta1"):
            if f"g=apidiscovery.k8s.io;v={version};" in accept.replace(" ", "") + ";":
                body = discovery.aggregated(rows, core=path == "/api", api_version=version)
                kind = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                return web.Response(body=answer(body).body, headers={"Content-Type": kind})
        return answer(discovery.core_versions(host) if path == "/api" else discovery.group_list(rows))
    found = None
    if parts[0] == "api" and len(parts) == 2:
        found = discovery.resource_list(rows, "", parts[1])
    elif parts[0] == "apis" and len(parts) == 2:
        found = discovery.group(rows, parts[1])
    elif parts[0] == "apis" and len(parts) == 3:
        found = discovery.resource_list(rows, parts[1], parts[2])
    return answer(found) if found else None
