"""Where the cluster's Services are, as environment variables (contract S11).

Source: kubernetes pkg/kubelet/envvars/envvars.go and pkg/kubelet/kubelet_pods.go, getServiceEnvVarMap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vk_provider.model.pod import Json
from vk_provider.translate.objects import NodeContext

MASTER_NAMESPACE, MASTER_NAME = "default", "kubernetes"
_MASTER_KEY = (MASTER_NAMESPACE, MASTER_NAME)


def service_variables(
    services: Sequence[Json], *, namespace: str, links: bool, context: NodeContext
) -> Mapping[str, str]:
    """The variables of every Service the pod is told of, sorted by name of the Service.

    links: the pod's `enableServiceLinks`; without it only the API server's own Service is told.
    """
    told: dict[str, Json] = {}
    master = _master(services, context)
    if master is not None:
        told[MASTER_NAME] = master
    for service in services:
        meta = service["metadata"]
        is_master = (meta["namespace"], meta["name"]) == _MASTER_KEY
        if links and meta["namespace"] == namespace and not is_master:
            told[meta["name"]] = service
    return {key: text for name in sorted(told) for key, text in _variables(name, told[name].get("spec") or {})}


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
