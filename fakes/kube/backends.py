"""The proxy subresources of pods and services: plain requests to what a pod serves, by way of the API server.

Source: kubernetes pkg/registry/core/pod/strategy.go and service/storage/storage.go (ResourceLocation), apimachinery
pkg/util/proxy. Links in HTML pages are not rewritten here, redirects are.
"""

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from fakes.kube import errors
from fakes.kube.api import Api
from fakes.kube.errors import ApiError
from fakes.kube.objects import Call
from fakes.kube.proxy import Address, proxied, relay
from fakes.kube.store import Snapshot

Json = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What the name in the URL means: `name`, `name:port` or `scheme:name:port`."""

    scheme: str
    name: str
    port: str


def target(text: str) -> Target | None:
    """None when it is none of the three forms."""
    parts = text.split(":")
    if len(parts) > 3 or (len(parts) == 3 and parts[0] not in ("http", "https")):
        return None
    scheme, name, port = ("http", *parts, "")[:3] if len(parts) < 3 else parts
    return Target(scheme, name, port) if name else None


class Backends:
    """The way to what pods serve. Certificates of https backends are not checked, as a real server does not."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = session

    async def pod(self, call: Call, request: web.Request) -> web.StreamResponse:
        """`pods/{pod}/proxy/{path}`. Raises ApiError 400, 404 or 503."""
        wanted = target(call.asked.name)
        if wanted is None:
            raise errors.bad_request(f'invalid pod request "{call.asked.name}"')
        pod = self._api.get("pods", wanted.name, call.namespace)
        address = (pod.get("status") or {}).get("podIP") or ""
        if not _is_proxyable(address):
            raise errors.bad_request("address not allowed")
        return await self._relay(request, wanted.scheme, address, wanted.port or _first_port(pod))

    async def service(self, call: Call, request: web.Request) -> web.StreamResponse:
        """`services/{service}/proxy/{path}`: one of its ready pods. Raises ApiError 400, 404 or 503."""
        wanted = target(call.asked.name)
        if wanted is None:
            raise errors.bad_request(f'invalid service request "{call.asked.name}"')
        port = self._port_name(wanted, call.namespace)
        endpoints = self._api.get("endpoints", wanted.name, call.namespace)
        ready = [place for place in places(endpoints, port) if self._is_pods(place[2], place[0])]
        if not ready:
            raise _unavailable(f'no endpoints available for service "{wanted.name}"')
        address, number, _ = random.choice(ready)
        return await self._relay(request, wanted.scheme, address, str(number))

    def _port_name(self, wanted: Target, namespace: str | None) -> str:
        """Endpoints know a port by its name; a client may give the Service's number."""
        if not wanted.port.isdecimal():
            return wanted.port
        service = self._api.get("services", wanted.name, namespace)
        for port in service["spec"].get("ports") or ():
            if port["port"] == int(wanted.port):
                return str(port.get("name", ""))
        raise _unavailable(f'no service port {wanted.port} found for service "{wanted.name}"')

    def _is_pods(self, reference: Json, address: str) -> bool:
        """Only addresses that are a pod's own are gone to: Endpoints are a tenant's to write."""
        found: Snapshot | None = None
        if reference.get("kind") == "Pod":
            found = self._api.store.get("pods", reference.get("namespace", ""), reference.get("name", ""))
        status = (found.object.get("status") or {}) if found else {}
        own = {status.get("podIP"), *(item.get("ip") for item in status.get("podIPs") or ())}
        return address in own and _is_proxyable(address)

    async def _relay(self, request: web.Request, scheme: str, address: str, port: str) -> web.StreamResponse:
        prefix, rest = proxied(request)
        path, question, query = rest.partition("?")
        if not path and request.method in ("GET", "HEAD"):  # so that a page's relative links hold
            where = f"{prefix}/{question}{query}"
            return web.Response(status=301, headers={"Location": where})
        number = int(port) if port.isdecimal() else {"http": 80, "https": 443}[scheme]
        backend = Address(address, number, scheme)

        def moved(location: str) -> str:
            there = urlsplit(location)
            if there.netloc and there.hostname != address:
                return location
            return prefix + (there.path or "/") + (f"?{there.query}" if there.query else "")

        return await relay(self._session, request, backend, (path or "/") + question + query, moved=moved)


def places(endpoints: Json, port: str) -> Iterator[tuple[str, int, Json]]:
    """Address, port number and the pod's reference of everything ready behind that port's name."""
    for subset in endpoints.get("subsets") or ():
        for item in subset.get("ports") or ():
            if item.get("name", "") == port:
                for address in subset.get("addresses") or ():
                    yield address["ip"], item["port"], address.get("targetRef") or {}


def _first_port(pod: Json) -> str:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            return str(port["containerPort"])
    return ""


def _is_proxyable(address: str) -> bool:
    """A real server goes to no loopback address either; a local cluster lives there."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_link_local or found.is_multicast or found.is_unspecified)


def _unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)
