"""Where the cluster's Services are, as environment variables (contract S11).

Source: kubernetes pkg/kubelet/envvars/envvars.go and pkg/kubelet/kubelet_pods.go, getServiceEnvVarMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vk_provider import bounds
from vk_provider.model.pod import Json
from vk_provider.translate.node_context import NodeContext

MASTER_NAMESPACE, MASTER_NAME = "default", "kubernetes"
_MASTER_KEY = (MASTER_NAMESPACE, MASTER_NAME)
_MASTER_VARIABLES = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_READ = 64 * 1024  # characters of a container's words that are searched for names of variables


def service_variables(
    services: Sequence[Json], *, namespace: str, links: bool, context: NodeContext
) -> Mapping[str, str]:
    """The variables of every Service the pod is told of, sorted by name of the Service.

    links: the pod's `enableServiceLinks`; without it only the API server's own Service is told.
    """
    reported: dict[str, Json] = {}
    master = _master(services, context)
    if master is not None:
        reported[MASTER_NAME] = master
    for service in services:
        meta = service["metadata"]
        is_master = (meta["namespace"], meta["name"]) == _MASTER_KEY
        if links and meta["namespace"] == namespace and not is_master:
            reported[meta["name"]] = service
    found: dict[str, str] = {}
    for name in sorted(reported):
        if len(found) < bounds.MOST_SERVICE_VARIABLES or name == MASTER_NAME:  # no cloud takes so many
            found.update(_variables(name, reported[name].get("spec") or {}))
    return found


def by_use(names: Iterable[str], texts: Iterable[str]) -> tuple[str, ...]:
    """The names of such variables, the most useful first, for a container with these texts.

    Where the API server is; what the texts name, be it as `$(X)` or in a script as `$X`; each Service's host and port;
    its ports by name; and what only Docker's links used to have.
    """
    known = list(names)
    named = _named(set(known), texts) if known else frozenset()

    def rank(name: str) -> int:
        if name in _MASTER_VARIABLES:
            return 0
        if name in named:
            return 1
        if name.endswith(("_SERVICE_HOST", "_SERVICE_PORT")):
            return 2
        return 3 if "_SERVICE_PORT_" in name else 4

    return tuple(sorted(known, key=rank))


def _named(names: set[str], texts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    left = _MOST_READ
    for text in texts:
        found.update(word[0] for word in _WORD.finditer(text, 0, left) if word[0] in names)
        left -= len(text)
        if left <= 0:
            break
    return found


def _master(services: Sequence[Json], context: NodeContext) -> Json | None:
    """The Service `kubernetes`, at the address that the settings say instances can reach."""
    found = next(
        (item for item in services if (item["metadata"]["namespace"], item["metadata"]["name"]) == _MASTER_KEY), None
    )
    if found is None and not context.service_host:
        return None
    spec = (found or {}).get("spec") or {"ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}
    ports = [dict(port) for port in spec.get("ports") or ()]
    if context.service_port and ports:
        ports[0]["port"] = context.service_port
    return {"spec": {**spec, "clusterIP": context.service_host or spec.get("clusterIP"), "ports": ports}}


def _variables(name: str, spec: Json) -> Iterator[tuple[str, str]]:
    address, ports = spec.get("clusterIP"), spec.get("ports") or ()
    if not address or address == "None" or not ports:
        return
    prefix = _variable_name(name)
    yield f"{prefix}_SERVICE_HOST", address
    yield f"{prefix}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{_variable_name(port['name'])}", str(port["port"])
    yield f"{prefix}_PORT", _url(address, ports[0])
    for port in ports:
        yield from _link(prefix, address, port)


def _link(prefix: str, address: str, port: Json) -> Iterator[tuple[str, str]]:
    """What Docker's own links used to say of one port."""
    protocol = port.get("protocol") or "TCP"
    stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
    yield stem, _url(address, port)
    yield f"{stem}_PROTO", protocol.lower()
    yield f"{stem}_PORT", str(port["port"])
    yield f"{stem}_ADDR", address


def _url(address: str, port: Json) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{(port.get('protocol') or 'TCP').lower()}://{host}:{port['port']}"


def _variable_name(name: str) -> str:
    return name.upper().replace("-", "_")
