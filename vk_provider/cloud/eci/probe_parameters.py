"""A container's probes and hooks in ECI's parameters, as the vendor's request class takes them.

Probes are dotted there, hooks glued together (eci.md 2.1). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vk_provider.errors import Refusal
from vk_provider.model.probe import Exec, Grpc, Handler, HttpGet, Probe, TcpSocket
from vk_provider.model.workload import Container

Json = dict[str, Any]

MAX_WORDS = 20  # of a probe's command
_FIELDS: Mapping[str, str] = {
    "liveness": "livenessProbe.exec.command",
    "readiness": "readinessProbe.exec.command",
}


def of(container: Container) -> Json:
    """Members for the class's container; those without a value are left out."""
    found: Json = {}
    for name, probe in (("LivenessProbe", container.liveness), ("ReadinessProbe", container.readiness)):
        if probe is not None:
            found |= {f"{name}.{key}": value for key, value in _probe(probe).items()}
    for name, handler in (("PostStart", container.post_start), ("PreStop", container.pre_stop)):
        if handler is not None:
            found |= {f"Lifecycle{name}Handler{key}": value for key, value in _hook(handler).items()}
    return found


def refusals(container: Container, path: str) -> Iterator[Refusal]:
    for name, field in _FIELDS.items():
        probe: Probe | None = getattr(container, name)
        if probe is not None and isinstance(probe.handler, Exec) and len(probe.handler.command) > MAX_WORDS:
            yield Refusal(
                f"{path}.{field}",
                f"{len(probe.handler.command)} items; ECI takes at most {MAX_WORDS}: put them into one `sh -c` text",
            )


def _probe(probe: Probe) -> Json:
    return {
        **_question(probe.handler),
        "InitialDelaySeconds": probe.initial_delay_s,
        "PeriodSeconds": probe.period_s,
        "TimeoutSeconds": probe.timeout_s,
        "SuccessThreshold": probe.success_threshold,
        "FailureThreshold": probe.failure_threshold,
    }


def _question(handler: Handler) -> Json:
    match handler:
        case Exec(command):
            return {"Exec.Commands": list(command)}
        case HttpGet(port, path, scheme):
            return {"HttpGet.Path": path, "HttpGet.Port": port, "HttpGet.Scheme": scheme}
        case TcpSocket(port):
            return {"TcpSocket.Port": port}
        case Grpc():
            raise AssertionError("the provider asks gRPC itself")


def _hook(handler: Handler) -> Json:
    match handler:
        case Exec(command):
            return {"Execs": list(command)}
        case HttpGet(port, path, scheme, host, headers):
            return {
                "HttpGetHost": host or None,
                "HttpGetPort": port,
                "HttpGetPath": path,
                "HttpGetScheme": scheme,
                "HttpGetHttpHeaders": [{"Name": name, "Value": value} for name, value in headers] or None,
            }
        case TcpSocket(port, host):
            return {"TcpSocketHost": host or None, "TcpSocketPort": port}
        case Grpc():
            raise AssertionError("Kubernetes has no such hook")
