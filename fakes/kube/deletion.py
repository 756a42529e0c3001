"""What a DELETE does to an object, decided before anything is written.

Follows k8s.io/apiserver `registry/rest/delete.go` and `registry/generic/registry/store.go`:
a grace period may only shrink, finalizers hold the object, the rest goes at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fakes.kube import errors
from fakes.kube.clock import parse, stamp
from fakes.kube.resources import Resource

Json = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_COLLECTOR = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


@dataclass(frozen=True)
class Deletion:
    """What becomes of the object: its next state (the very same dict if unchanged), and whether it goes now."""

    object: Json
    gone: bool


@dataclass(frozen=True)
class Precondition:
    """What must still be true of the object for it to be deleted."""

    uid: str | None = None
    resource_version: str | None = None

    def check(self, row: Resource, obj: Json) -> None:
        meta = obj["metadata"]
        if self.uid is not None and self.uid != meta["uid"]:
            why = f"Precondition failed: UID in precondition: {self.uid}, UID in object meta: {meta['uid']}"
            raise errors.conflict(row.plural, row.group, meta["name"], why)
        if self.resource_version is not None and self.resource_version != meta["resourceVersion"]:
            why = (
                f"Precondition failed: ResourceVersion in precondition: {self.resource_version}, "
                f"ResourceVersion in object meta: {meta['resourceVersion']}"
            )
            raise errors.conflict(row.plural, row.group, meta["name"], why)


def plan_deletion(
    row: Resource, obj: Json, *, grace_seconds: int | None, propagation: str | None, now: datetime
) -> Deletion:
    """Decide a DELETE; `obj` is not changed."""
    if row.native == "Namespace":
        return _namespace(obj, now)
    finalizers = _finalizers(row, obj["metadata"], propagation)
    if row.native == "Pod":
        graceful = _graceful_pod(obj, grace_seconds, now)
        if graceful is obj:
            return Deletion(_with(obj, finalizers=finalizers), gone=False)
        if graceful is not None:
            grace = graceful["metadata"]["deletionGracePeriodSeconds"]
            return Deletion(_with(graceful, finalizers=finalizers), gone=grace == 0 and not finalizers)
    if not finalizers:
        return Deletion(_with(obj, finalizers=finalizers), gone=True)
    return Deletion(_marked(_with(obj, finalizers=finalizers), now), gone=False)


def _graceful_pod(pod: Json, grace_seconds: int | None, now: datetime) -> Json | None:
    """The pod marked with its grace period; the same pod if nothing is to change; None if no grace applies."""
    meta = pod["metadata"]
    if grace_seconds is not None and grace_seconds < 0:
        grace_seconds = 1
    if meta.get("deletionTimestamp"):
        running = meta.get("deletionGracePeriodSeconds") or 0
        if running == 0:
            return None
        if grace_seconds is None or grace_seconds >= running:
            return pod
        ends = parse(meta["deletionTimestamp"]) + timedelta(seconds=grace_seconds - running)
        return _with(pod, deletionTimestamp=stamp(ends), deletionGracePeriodSeconds=grace_seconds)
    grace = _first_grace(pod, grace_seconds)
    if grace == 0:
        return None
    ends = now + timedelta(seconds=grace)
    return _with(pod, deletionTimestamp=stamp(ends), deletionGracePeriodSeconds=grace)


def _first_grace(pod: Json, grace_seconds: int | None) -> int:
    """Seconds a pod gets at its first DELETE: none if no kubelet runs it any more, or yet."""
    spec = pod["spec"]
    if not spec.get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = grace_seconds if grace_seconds is not None else int(spec.get("terminationGracePeriodSeconds", 30))
    return 1 if grace < 0 else grace


def _finalizers(row: Resource, meta: Json, propagation: str | None) -> list[str]:
    """The object's finalizers with the collector's own two set as the propagation policy wants."""
    present = list(meta.get("finalizers") or [])
    if propagation is None:
        if any(name in present for name in _COLLECTOR.values()):
            return present
        propagation = "Orphan" if row.orphans else "Background"
    kept = [name for name in present if name not in _COLLECTOR.values()]
    return kept + ([_COLLECTOR[propagation]] if propagation in _COLLECTOR else [])


def _marked(obj: Json, now: datetime) -> Json:
    """The object being deleted with nothing left to wait for but its finalizers."""
    meta = obj["metadata"]
    since = meta.get("deletionTimestamp")
    if since and parse(since) <= now and meta.get("deletionGracePeriodSeconds") == 0:
        return obj
    when = since if since and parse(since) <= now else stamp(now)
    return _with(obj, deletionTimestamp=when, deletionGracePeriodSeconds=0)


def _namespace(obj: Json, now: datetime) -> Deletion:
    held = bool((obj.get("spec") or {}).get("finalizers")) or bool(obj["metadata"].get("finalizers"))
    if obj["metadata"].get("deletionTimestamp"):
        return Deletion(obj, gone=not held)
    marked = _with(obj, deletionTimestamp=stamp(now))
    marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return Deletion(marked, gone=not held)


def _with(obj: Json, **fields: Any) -> Json:
    """The object with metadata changed; the same dict when that changes nothing. An empty list removes a field."""
    meta = obj["metadata"]
    if all(meta.get(name, []) == value for name, value in fields.items()):
        return obj
    changed = {name: value for name, value in {**meta, **fields}.items() if value != []}
    if "deletionTimestamp" in fields and "deletionTimestamp" not in meta and meta.get("generation"):
        changed["generation"] = meta["generation"] + 1
    return {**obj, "metadata": changed}
