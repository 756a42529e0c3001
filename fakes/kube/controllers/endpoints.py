"""What a Service's selector finds, as Endpoints and EndpointSlices. Pure.

Source: kubernetes pkg/controller/endpoint and staging endpointslice, v1.32.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fakes.kube.controllers.pods import is_finished
from fakes.kube.reads import Json, condition_is, is_deleting, labels_of

MAX_ADDRESSES = 1000
MAX_PER_SLICE = 100
HEADLESS = "service.kubernetes.io/headless"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MIRROR_SKIP = "endpointslice.kubernetes.io/skip-mirror"

PortKey: TypeAlias = tuple[tuple[str, int, str, str], ...]
"""((name, port, protocol, appProtocol), …): what makes two pods share a subset or slice."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod behind a Service."""

    pod: Json
    ports: PortKey
    ready: bool

    @property
    def address(self) -> str:
        return str(self.pod["status"]["podIP"])


def is_headless(service: Json) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def backends(service: Json, candidates: Iterable[Json]) -> list[Backend]:
    """The selected pods that have an address and have not finished, by address; those being deleted are among them."""
    selector = service["spec"].get("selector") or {}
    tolerant = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in candidates:
        if not (pod.get("status") or {}).get("podIP") or is_finished(pod):
            continue
        if selector.items() <= labels_of(pod).items():
            ready = tolerant or (condition_is(pod, "Ready") and not is_deleting(pod))
            found.append(Backend(pod, ports_of(service, pod), ready))
    return sorted(found, key=lambda one: (one.address, one.pod["metadata"]["name"]))


def ports_of(service: Json, pod: Json) -> PortKey:
    """The pod's own numbers for the Service's ports; one whose name the pod does not know is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number is not None:
            found.append((port.get("name") or "", number, port.get("protocol") or "TCP", port.get("appProtocol") or ""))
    return tuple(found)


def _target(port: Json, pod: Json) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    sidecars = [item for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for offered in container.get("ports") or ():
            if offered.get("name") == target and (offered.get("protocol") or "TCP") == (port.get("protocol") or "TCP"):
                return int(offered["containerPort"])
    return None


def subsets(service: Json, found: Sequence[Backend]) -> list[Json]:
    """The `subsets` of the Endpoints object; pods being deleted are left out unless the Service publishes them."""
    tolerant = bool(service["spec"].get("publishNotReadyAddresses"))
    usable = [one for one in found if tolerant or not is_deleting(one.pod)][:MAX_ADDRESSES]
    result = []
    for ports, group in _groups(usable, keep_portless=is_headless(service)):
        subset: Json = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            addresses = [_address(service, one) for one in group if one.ready == ready]
            if addresses:
                subset[field] = addresses
        if ports:
            subset["ports"] = [_port(*port) for port in ports]
        result.append(subset)
    return result


def slices(service: Json, found: Sequence[Backend]) -> list[Json]:
    """The body (everything but metadata) of each EndpointSlice the Service should have, at least one."""
    result = []
    for ports, group in _groups(found, keep_portless=True):
        for family in ("IPv4", "IPv6"):
            mine = [one for one in group if (":" in one.address) == (family == "IPv6")]
            for start in range(0, len(mine), MAX_PER_SLICE):
                part = mine[start : start + MAX_PER_SLICE]
                endpoints = [_endpoint(service, one) for one in part]
                numbers = [_slice_port(*port) for port in ports]
                result.append({"addressType": family, "endpoints": endpoints, "ports": numbers})
    return result or [{"addressType": "IPv4", "endpoints": [], "ports": []}]


def _groups(found: Sequence[Backend], *, keep_portless: bool) -> list[tuple[PortKey, list[Backend]]]:
    groups: dict[PortKey, list[Backend]] = {}
    for one in found:
        if one.ports or keep_portless:
            groups.setdefault(one.ports, []).append(one)
    return sorted(groups.items())


def _address(service: Json, one: Backend) -> Json:
    address: Json = {"ip": one.address}
    if _hostname(service, one):
        address["hostname"] = _hostname(service, one)
    if one.pod["spec"].get("nodeName"):
        address["nodeName"] = one.pod["spec"]["nodeName"]
    return {**address, "targetRef": _reference(one.pod)}


def _endpoint(service: Json, one: Backend) -> Json:
    serving = bool(service["spec"].get("publishNotReadyAddresses")) or condition_is(one.pod, "Ready")
    endpoint: Json = {
        "addresses": [one.address],
        "conditions": {"ready": one.ready, "serving": serving, "terminating": is_deleting(one.pod)},
        "targetRef": _reference(one.pod),
    }
    if _hostname(service, one):
        endpoint["hostname"] = _hostname(service, one)
    if one.pod["spec"].get("nodeName"):
        endpoint["nodeName"] = one.pod["spec"]["nodeName"]
    return endpoint


def _hostname(service: Json, one: Backend) -> str:
    spec = one.pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def _reference(pod: Json) -> Json:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _port(name: str, number: int, protocol: str, application: str) -> Json:
    port: Json = {"port": number, "protocol": protocol}
    if name:
        port["name"] = name
    if application:
        port["appProtocol"] = application
    return port


def _slice_port(name: str, number: int, protocol: str, application: str) -> Json:
    return {**_port(name, number, protocol, application), "name": name}
