"""Addresses and ports that Services are given when they do not ask for particular ones."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from fakes.kube import errors
from fakes.kube.errors import Fault

Json = dict[str, Any]

_RANGE = ipaddress.ip_network("10.96.0.0/16")
_NODE_PORTS = range(30000, 32768)
_FIRST = 10  # the addresses below are for the cluster's own Services


def allocate(service: Json, others: Iterable[Json]) -> None:
    """Fill in clusterIP and nodePorts. Raises ApiError 422 when a wanted address is taken or all are."""
    spec = service["spec"]
    taken = list(others)
    if spec.get("type") != "ExternalName":
        _cluster_ip(service, {other["spec"].get("clusterIP") for other in taken})
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        used = {port.get("nodePort") for other in taken for port in other["spec"].get("ports") or ()}
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                port["nodePort"] = next(number for number in _NODE_PORTS if number not in used)
            used.add(port["nodePort"])


def _cluster_ip(service: Json, used: set[str | None]) -> None:
    spec = service["spec"]
    wanted = spec.get("clusterIP")
    if wanted and wanted != "None" and wanted in used:
        fault = Fault.invalid(
            "spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: provided IP is already allocated"
        )
        raise errors.invalid("Service", "", service["metadata"].get("name", ""), [fault])
    if not wanted:
        number = int(_RANGE.network_address) + _FIRST
        spec["clusterIP"] = next(
            text for offset in range(2**15) if (text := str(ipaddress.ip_address(number + offset))) not in used
        )
    spec["clusterIPs"] = [spec["clusterIP"]]
