"""Whom a probe asks, and what came of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Where a container is: its instance, its name, the pod's address."""

    instance_id: str
    container: str
    ip: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """ok None: nothing was learnt. unreached: no packet came back, from the pod or from anything else."""

    ok: bool | None
    message: str = ""
    unreached: bool = False


SUCCESS = ProbeResult(True)


def host_of(ip: str) -> str:
    """As a URL or an authority spells it."""
    return f"[{ip}]" if ipaddress.ip_address(ip).version == 6 else ip
