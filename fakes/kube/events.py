"""Writing Events from inside the server's process, and forgetting old ones."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from fakes.kube.clock import parse, stamp
from fakes.kube.store import Store

Json = dict[str, Any]

_REMEMBERED = 4096
"""How many distinct events a repeat is recognised among."""


class Objects(Protocol):
    """Where Events are kept: `api.Api`."""

    store: Store
    clock: Callable[[], datetime]
    event_ttl_s: float

    def create(self, resource: str, obj: Json, namespace: str | None = None) -> Json: ...

    def patch(self, resource: str, name: str, namespace: str | None, body: Any, *, kind: Literal["merge"]) -> Json: ...


class Recorder:
    """Writes one Event per (object, reason, message, source); a repeat only counts it up."""

    def __init__(self, api: Objects) -> None:
        self._api = api
        self._names: OrderedDict[tuple[str, ...], tuple[str, str]] = OrderedDict()
        self._serial = 0

    def record(self, involved: Json, *, type: str, reason: str, message: str, component: str, host: str) -> None:  # noqa: A002
        reference = reference_to(involved)
        now = stamp(self._api.clock())
        key = (
            reference.get("uid", ""),
            reference.get("kind", ""),
            reference.get("name", ""),
            type,
            reason,
            message,
            component,
            host,
        )
        if key in self._names and self._repeat(*self._names[key], now):
            self._names.move_to_end(key)
            return
        namespace = reference.get("namespace") or "default"
        if not self._writable(namespace):
            return
        self._serial += 1
        # As client-go names them, by nanoseconds, so that lists keep events of one second in order, ours and others'.
        moment_ns = int(self._api.clock().timestamp() * 1e6) * 1000 + self._serial % 1000
        name = f"{reference.get('name', '')}.{moment_ns:x}"
        source = {"component": component} | ({"host": host} if host else {})
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": host,
        }
        self._api.create("events", event, namespace)
        self._remember(key, (namespace, name))

    def _writable(self, namespace: str) -> bool:
        """Nothing can be said in a namespace that is gone or going."""
        found = self._api.store.get("namespaces", "", namespace)
        return found is not None and not found.object["metadata"].get("deletionTimestamp")

    def _repeat(self, namespace: str, name: str, now: str) -> bool:
        found = self._api.store.get("events", namespace, name)
        if found is None:
            return False
        count = found.object.get("count", 1) + 1
        self._api.patch("events", name, namespace, {"count": count, "lastTimestamp": now}, kind="merge")
        return True

    def _remember(self, key: tuple[str, ...], place: tuple[str, str]) -> None:
        self._names[key] = place
        if len(self._names) > _REMEMBERED:
            self._names.popitem(last=False)


def reference_to(obj: Json) -> Json:
    """The ObjectReference to an object; a reference is returned as it is."""
    if "metadata" not in obj:
        return obj
    meta = obj["metadata"]
    reference = {"kind": obj.get("kind", ""), "name": meta.get("name", ""), "uid": meta.get("uid", "")}
    if meta.get("namespace"):
        reference["namespace"] = meta["namespace"]
    return reference | {"apiVersion": obj.get("apiVersion", "v1"), "resourceVersion": meta.get("resourceVersion", "")}


def expire(api: Objects, now: datetime) -> int:
    """Remove the Events that nothing has touched for their time to live; how many went."""
    oldest = now - timedelta(seconds=api.event_ttl_s)
    gone = 0
    for snapshot in api.store.objects("events"):
        meta = snapshot.object["metadata"]
        last = snapshot.object.get("lastTimestamp") or meta["creationTimestamp"]
        if parse(max(last, meta["creationTimestamp"])) < oldest:
            api.store.remove("events", meta["namespace"], meta["name"])
            gone += 1
    return gone
