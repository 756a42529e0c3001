"""Events as users read them under `kubectl describe`: the cloud's, mirrored, and our own.

A name is worked out from what the event says, so that the same event, told again or by the next process, meets itself
(409 on create) and is counted up rather than doubled. A container's stop, of which the cloud may tell as well as we,
has one name whoever tells: a kubelet writes it once (P49), and nobody need remember whether it was written.
Source: kubernetes staging/src/k8s.io/client-go/tools/record, kubelet.md b.11.
"""

from __future__ import annotations

import hashlib
import re

from vk_provider import bounds
from vk_provider.model.instance import CloudEvent, Instance, began_at
from vk_provider.model.pod import Json, containers_of, init_containers_of, is_deleting, is_terminal
from vk_provider.model.probe import ProbeSupport
from vk_provider.translate.probes import health

COMPONENT = "kubelet"
STARTED = "Started"
MIRRORED_BY_ANNOTATION = "vk-provider.io/mirrored-by"
_NODE_EVENTS_NAMESPACE = "default"
_NAME_MAX = 253
_MOMENT = re.compile(r"^1[0-9a-f]{15}$")  # nanoseconds since 1970, from 2006 to 2043
_HEALTH = re.compile(r"(Liveness|Readiness|PostStart|PreStop)(?: probe |Hook )failed")
_STOP = re.compile(r"^Stopping container\b")
_HOOKS = {"poststart": "postStart", "prestop": "preStop"}
_IMAGE = re.compile(r'\bimage "([^"]+)"', re.IGNORECASE)


def involved(target: Json, *, container: str = "") -> Json:
    """The reference to a pod or node that an event hangs on. container: the one it is about, if any."""
    meta = target["metadata"]
    kind = "Pod" if "namespace" in meta else "Node"  # items of a list carry no kind
    path = _field_path(target, container) if container else ""
    return {
        "apiVersion": "v1",
        "kind": kind,
        **{name: meta[name] for name in ("namespace", "name", "uid", "resourceVersion") if meta.get(name)},
        **({"fieldPath": path} if path else {}),
    }


def pod_event(pod: Json, event: CloudEvent, *, node: str, host: str) -> Json:
    """The cloud's event on the pod. One event of one instance always gets the same name, in each life of the pod.

    host: shown as `From: kubelet, <host>`, which tells the cloud's word from our own.
    """
    container = _container_in(pod, event.message)
    reference = involved(pod, container=container)
    first, last = event.first_at or event.last_at, event.last_at or event.first_at
    stop = bool(container) and _is_stop(event)
    body = _event(
        reference,
        name=_own_name(reference, *stopping(container)) if stop else _mirrored_name(reference, event.id),
        host=host,
        type_=event.type,
        reason=event.reason or "ProviderEvent",
        message=event.message,
        times=(first, last),
        count=max(event.count, 1),
    )
    body["metadata"]["annotations"] = {MIRRORED_BY_ANNOTATION: node}
    return body


def stopping(container: str) -> tuple[str, str, str]:
    """Type, reason and message of a container's stop."""
    return "Normal", "Killing", f"Stopping container {container}"


def is_of_our_restart(pod: Json, event: CloudEvent, cloud: ProbeSupport) -> bool:
    """Whether the cloud tells of a stop that our probe brought about, which we told in better words (S36).

    Read off the pod alone, so that it holds in each life of ours; not once the pod ends, when a stop is its end.
    """
    if is_deleting(pod) or is_terminal(pod) or not _is_stop(event):
        return False
    name = _container_in(pod, event.message)
    return any(each["name"] == name and _restarts(pod, each, cloud) for each in containers_of(pod))


def _restarts(pod: Json, container: Json, cloud: ProbeSupport) -> bool:
    duties = health(pod, container, cloud).duties
    return duties.startup is not None or duties.liveness is not None


def has_all_start_events(instance: Instance) -> bool:
    """Whether of each container that began an event tells, and of the newest start of all.

    Both bear the cloud's own time. A cloud that tells of a start in another word does not tell of it.
    """
    began = [at for each in (*instance.init_containers, *instance.containers) if (at := began_at(each))]
    if not began:
        return True
    reported = [each.last_at or each.first_at for each in instance.events if each.reason == STARTED]
    return len(reported) >= len(began) and max(reported) >= max(began)


def _is_stop(event: CloudEvent) -> bool:
    return event.reason == "Killing" and _STOP.match(event.message) is not None


def own_event(
    involved: Json,
    *,
    type: str,  # noqa: A002 - the event's own word for it
    reason: str,
    message: str,
    now: str,
    node: str,
    count: int = 1,
    first_at: str = "",
) -> Json:
    """An event of ours. involved: as `involved()` gives it. now: RFC 3339 UTC; first_at: of the first, when repeated.

    The same words on the same object always get the same name.
    """
    return _event(
        involved,
        name=_own_name(involved, type, reason, message),
        host=node,
        type_=type,
        reason=reason,
        message=message,
        times=(first_at or now, now),
        count=count,
    )


def repeat(event: Json) -> Json:
    """The merge patch that counts an event up which is there already (P48)."""
    return {name: event[name] for name in ("count", "lastTimestamp", "message") if name in event}


def _event(
    reference: Json, *, name: str, host: str, type_: str, reason: str, message: str, times: tuple[str, str], count: int
) -> Json:
    first, last = times
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": reference.get("namespace", _NODE_EVENTS_NAMESPACE)},
        "involvedObject": reference,
        "reason": bounds.shortened_bytes(reason, bounds.MOST_EVENT_REASON),
        "message": bounds.shortened_bytes(message, bounds.MOST_EVENT),
        "type": type_,
        "source": {"component": COMPONENT, "host": host},
        "reportingComponent": COMPONENT,
        "reportingInstance": host,
        "count": count,
        **({"firstTimestamp": first} if first else {}),
        **({"lastTimestamp": last} if last else {}),
    }


def _own_name(reference: Json, type_: str, reason: str, message: str) -> str:
    return _name(reference, reference.get("uid", ""), reference.get("fieldPath", ""), type_, reason, message)


def _mirrored_name(reference: Json, event_id: str) -> str:
    """A cloud that names events by their moment in nanoseconds keeps them in order among those of one second."""
    if _MOMENT.match(event_id):
        return _stem(reference, event_id)
    return _name(reference, reference.get("uid", ""), event_id)


def _name(reference: Json, *key: str) -> str:
    digest = hashlib.sha256("\0".join(key).encode(errors="replace")).hexdigest()[:16]
    return _stem(reference, digest)


def _stem(reference: Json, suffix: str) -> str:
    name = str(reference["name"])[: _NAME_MAX - len(suffix) - 1].rstrip("-.")
    return f"{name}.{suffix}"


def _field_path(target: Json, container: str) -> str:
    if "spec" not in target:
        return ""
    if any(each["name"] == container for each in init_containers_of(target)):
        return f"spec.initContainers{{{container}}}"
    if any(each["name"] == container for each in containers_of(target)):
        return f"spec.containers{{{container}}}"
    return ""


def _container_in(pod: Json, message: str) -> str:
    """Which container the message speaks of: by its name, else by an image that only one of them has; or empty."""
    specs = [*init_containers_of(pod), *containers_of(pod)]
    image = _IMAGE.search(message)
    if image is not None:
        return _only([spec["name"] for spec in specs if spec.get("image") == image.group(1)])
    named = _only([spec["name"] for spec in specs if _names(message, spec["name"])])
    return named or _only([spec["name"] for spec in specs if _is_of(message, spec)])


def _is_of(message: str, spec: Json) -> bool:
    """Whether it tells of a probe or a hook that the container has: those are told without a name."""
    said = _HEALTH.match(message)
    if said is None:
        return False
    kind = said.group(1).lower()
    return bool(spec.get(f"{kind}Probe") or (spec.get("lifecycle") or {}).get(_HOOKS.get(kind, "")))


def _names(message: str, container: str) -> bool:
    """`Started container web`, `Created container: web`, `…failed container=web pod=…`, `Container web failed…`."""
    return re.search(rf'\bcontainer[=: ]+"?{re.escape(container)}(?![-.\w])', message, re.IGNORECASE) is not None


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""
