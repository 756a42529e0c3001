"""The fields of probes and lifecycle hooks, and the rules about them that need more than one field.

Who asks a carried probe, and what happens when the answer is no, stands in `probes`.
"""

from __future__ import annotations

from collections.abc import Iterator

from vk_provider.errors import Refusal
from vk_provider.model.pod import (
    SIDECAR_ORDER_ANNOTATION,
    Json,
    containers_with_paths,
    has_relaxed_order,
    init_containers_of,
    is_sidecar,
    late_sidecars,
    named_port,
)
from vk_provider.translate import probes
from vk_provider.translate.field_rules import ListOf, ObjectOf, Rejected, Rule, Scalar, Type, one_of

_TEXT = Scalar(Type.TEXT)
_WHOLE = Scalar(Type.WHOLE)
_PORT = Scalar(Type.PORT)
_SCHEME = Scalar(Type.TEXT, one_of("HTTP", "HTTPS"))
_EXEC = ObjectOf({"command": ListOf(_TEXT)}, required=("command",))
_HEADERS = ListOf(ObjectOf({"name": _TEXT, "value": _TEXT}, required=("name",)))
_ELSEWHERE = Rejected("a probe asks the pod at its own address; leave it out", unless=("",))

PROBE: Rule = ObjectOf(
    {
        "exec": _EXEC,
        "httpGet": ObjectOf(
            {"path": _TEXT, "port": _PORT, "host": _ELSEWHERE, "scheme": _SCHEME, "httpHeaders": _HEADERS},
            required=("port",),
        ),
        "tcpSocket": ObjectOf({"port": _PORT, "host": _ELSEWHERE}, required=("port",)),
        "grpc": ObjectOf({"port": _WHOLE, "service": _TEXT}, required=("port",)),
        "initialDelaySeconds": _WHOLE,
        "periodSeconds": _WHOLE,
        "timeoutSeconds": _WHOLE,
        "successThreshold": _WHOLE,
        "failureThreshold": _WHOLE,
        "terminationGracePeriodSeconds": _WHOLE,
    }
)
_HOOK_HANDLERS = {
    "exec": _EXEC,
    "httpGet": ObjectOf(
        {"path": _TEXT, "port": _PORT, "host": _TEXT, "scheme": _SCHEME, "httpHeaders": _HEADERS}, required=("port",)
    ),
    "tcpSocket": ObjectOf({"port": _PORT, "host": _TEXT}, required=("port",)),
}
LIFECYCLE: Rule = ObjectOf(
    {
        "postStart": ObjectOf(
            {
                **_HOOK_HANDLERS,
                "sleep": Rejected(
                    "the cloud cannot hold up what comes after a container's start; let the container sleep by itself",
                    unless=(),
                ),
            }
        ),
        "preStop": ObjectOf({**_HOOK_HANDLERS, "sleep": ObjectOf({"seconds": _WHOLE})}),
        "stopSignal": Rejected(
            "the cloud stops a container with SIGTERM or as its image says; set STOPSIGNAL in the image",
            unless=("", "SIGTERM"),
        ),
    }
)
NO_INIT_PROBE = Rejected(
    "an init container runs to its end before others start, so that nobody asks after its health; leave it out",
    unless=(),
)


def health_refusals(pod: Json) -> Iterator[Refusal]:
    """Of a pod in which every field has its proper type."""
    yield from _sidecars_out_of_turn(pod)
    for path, container in containers_with_paths(pod):
        if path.startswith("spec.initContainers") and not is_sidecar(container):
            for field in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
                if container.get(field) is not None:
                    yield Refusal(f"{path}.{field}", NO_INIT_PROBE.reason)
            continue
        for kind in ("liveness", "readiness", "startup"):
            stated = container.get(f"{kind}Probe")
            if stated is not None:
                yield from _of_handlers(container, stated, f"{path}.{kind}Probe")
        for name, stated in (container.get("lifecycle") or {}).items():
            if name in ("postStart", "preStop") and stated:
                yield from _of_handlers(container, stated, f"{path}.lifecycle.{name}")


def _sidecars_out_of_turn(pod: Json) -> Iterator[Refusal]:
    late = () if has_relaxed_order(pod) else late_sidecars(pod)
    behind = [each["name"] for each in init_containers_of(pod) if not is_sidecar(each)]
    for index, _ in late:
        yield Refusal(
            f"spec.initContainers[{index}].restartPolicy",
            "the cloud starts sidecars together with the containers, so none runs while init container"
            f" {behind[-1]} does; put the sidecars last, or, where something else puts them first and init container"
            f" {behind[-1]} does without them, annotate the pod with {SIDECAR_ORDER_ANNOTATION}=relaxed",
        )


def _of_handlers(container: Json, stated: Json, path: str) -> Iterator[Refusal]:
    handlers = [name for name in probes.HANDLERS if stated.get(name) is not None]
    if len(handlers) != 1:
        yield Refusal(path, f"must say one way to ask or act, and says {' and '.join(handlers) or 'none'}")
        return
    if handlers[0] in ("httpGet", "tcpSocket"):
        port = stated[handlers[0]]["port"]
        if named_port(container, port) is None:
            yield Refusal(f"{path}.{handlers[0]}.port", f"the container has no port {port}")
