"""The smallest strategic-merge patch of pods/status that brings the API's copy to what we want.

Rules of the merge that matter here: conditions merge by `type`, podIPs and hostIPs by `ip`, container lists are
replaced as a whole, null removes. Fields of others are never in the patch.
Source: kubernetes staging/src/k8s.io/api/core/v1/types.go (patchStrategy tags), kubelet.md b.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vk_provider.model.pod import Json, containers_of, init_containers_of, is_terminal, restart_policy
from vk_provider.translate import conditions
from vk_provider.translate.container_status import by_name, valid_transition
from vk_provider.translate.resize import FIELDS as RESOURCES

_SCALARS = ("phase", "hostIP", "podIP", "startTime")
_REMOVABLE = ("reason", "message")
_CONTAINERS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def patch(
    pod: Json,
    desired: Json,
    *,
    annotations: Mapping[str, str] | None = None,
    along: Mapping[str, str] | None = None,
) -> Json | None:
    """The body for `PATCH …/pods/<name>/status`, or None when the pod has it all, or has ended: that is final (P18).

    pod: the newest copy from the API. desired: a whole status as `translate.status` makes it.
    annotations: to be on the pod as well; the status subresource takes them along. along: further ones, which are no
    reason for a patch of their own.
    """
    if is_terminal(pod):
        return None
    meta = {} if annotations is None else _missing(pod["metadata"].get("annotations") or {}, annotations)
    changes = _changes(pod, desired, anyhow=bool(meta))
    if not changes and not meta:
        return None
    meta |= _missing(pod["metadata"].get("annotations") or {}, along or {})
    body: Json = {"metadata": {"uid": pod["metadata"]["uid"], **({"annotations": meta} if meta else {})}}
    if changes:
        body["status"] = changes
    return body


def is_in(pod: Json, body: Json) -> bool:
    """Whether a pod, as the API server answers, has all that this patch was to bring; what older servers are known to
    drop may be missing."""
    noted = pod["metadata"].get("annotations") or {}
    if _missing(noted, body["metadata"].get("annotations") or {}):
        return False
    status: Json = pod.get("status") or {}
    return all(_is_kept(pod, status, name, wanted) for name, wanted in body.get("status", {}).items())


def _is_kept(pod: Json, status: Json, name: str, wanted: Any) -> bool:
    present = status.get(name)
    match name:
        case "conditions":
            known = conditions.of(pod)
            return all(_is_kept_condition(known.get(each["type"]), each) for each in wanted)
        case "podIPs" | "hostIPs":
            return not present or present == [each for each in wanted if "$patch" not in each]
        case "observedGeneration":
            return present in (None, wanted)
        case "initContainerStatuses" | "containerStatuses" | "ephemeralContainerStatuses":
            kept, told = present or [], wanted or []
            return canonical(kept) in (canonical(told), canonical(list(map(_without_resources, told))))
        case _:
            return (present or None) == (wanted or None)


def _without_resources(entry: Json) -> Json:
    """As a server before 1.27 keeps it, which drops these fields and would differ from us for ever."""
    return {key: value for key, value in entry.items() if key not in RESOURCES}


def _is_kept_condition(present: Json | None, wanted: Json) -> bool:
    if wanted.get("$patch") == "delete":
        return present is None
    if present is None:
        return False
    return all((present.get(name) or None) == (wanted.get(name) or None) for name in ("status", "reason", "message"))


def _missing(present: Mapping[str, str], wanted: Mapping[str, str]) -> Json:
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _changes(pod: Json, desired: Json, *, anyhow: bool) -> Json:
    """anyhow: something is written in any case, so that what a server may drop is worth sending."""
    status: Json = pod.get("status") or {}
    changes: Json = {
        name: desired[name] for name in _SCALARS if desired.get(name, status.get(name)) != status.get(name)
    }
    for name in _REMOVABLE:
        if (desired.get(name) or None) != (status.get(name) or None):
            changes[name] = desired.get(name) or None
    changes |= _addresses(status, desired)
    for name in _CONTAINERS:
        changes |= _container_list(pod, status, desired, name, anyhow=anyhow)
    speaks = keeps_generations(status) or bool(changes) or bool(changed_conditions(pod, desired, with_generation=False))
    if not speaks:
        return {}
    changed = changed_conditions(pod, desired, with_generation=True)
    if changed:
        changes["conditions"] = changed
    generation = desired.get("observedGeneration")
    if generation not in (None, status.get("observedGeneration")):
        changes["observedGeneration"] = generation
    return changes


def _addresses(status: Json, desired: Json) -> Json:
    """podIPs and hostIPs, with the directive that replaces the list where there is one to replace.

    A server that does not know hostIPs drops them, so their absence beside the right hostIP is no difference; and
    without an old list the directive itself would end up in the new one.
    """
    changes: Json = {}
    for single, plural in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        present, wanted = status.get(plural) or [], desired.get(plural) or []
        dropped = not present and status.get(single) == desired.get(single)
        if wanted and present != wanted and not dropped:
            changes[plural] = [*wanted, {"$patch": "replace"}] if present else wanted
    return changes


def _container_list(pod: Json, status: Json, desired: Json, name: str, *, anyhow: bool) -> Json:
    present: Sequence[Json] = status.get(name) or []
    reported: Sequence[Json] = desired.get(name) or []
    if not (present or reported):
        return {}
    wanted = _lawful_list(pod, reported, present, name)
    if not present:
        return {name: wanted}
    compared = wanted
    if not anyhow and all(entry.keys().isdisjoint(RESOURCES) for entry in present):
        compared = list(map(_without_resources, wanted))
    if compared == present or canonical(compared) == canonical(present):
        return {}
    return {name: wanted or None}


def _lawful_list(pod: Json, wanted: Sequence[Json], present: Sequence[Json], name: str) -> list[Json]:
    """Once more what `translate.status` did already: the pod may have moved on since (P14)."""
    is_init = name == "initContainerStatuses"
    specs = by_name(init_containers_of(pod) if is_init else containers_of(pod))
    policy = restart_policy(pod) if name != "ephemeralContainerStatuses" else "Never"
    previous = by_name(present)
    return [
        valid_transition(
            each, previous.get(each["name"]), container=specs.get(each["name"], {}), policy=policy, is_init=is_init
        )
        for each in wanted
    ]


def keeps_generations(status: Json) -> bool:
    """Whether this API server is known to store observedGeneration (P22).

    One that drops it would differ from us for ever, so it alone is a reason to write only where it is kept; with any
    other change it is sent along.
    """
    return "observedGeneration" in status or any(
        "observedGeneration" in condition for condition in status.get("conditions") or ()
    )


def changed_conditions(pod: Json, desired: Json, *, with_generation: bool) -> list[Json]:
    """Those that differ, each with null for what it no longer has, and its old time while its status is the same."""
    known = conditions.of(pod)
    compared = ("status", "reason", "message", *(("observedGeneration",) if with_generation else ()))
    changed: list[Json] = []
    reported = {each["type"] for each in desired.get("conditions") or ()}
    passing = (conditions.RESIZE_PENDING, conditions.UP_TO_DATE)
    changed += [{"type": type_, "$patch": "delete"} for type_ in passing if type_ in known and type_ not in reported]
    for wanted in desired.get("conditions") or ():
        present = known.get(wanted["type"])
        if present is None:
            changed.append(wanted)
            continue
        for name in compared:
            if (wanted.get(name) or None) != (present.get(name) or None):
                changed.append(_over(present, wanted))
                break
    return changed


def _over(present: Json, wanted: Json) -> Json:
    gone = {name: None for name in ("reason", "message") if present.get(name) and not wanted.get(name)}
    same = present.get("status") == wanted["status"] and present.get("lastTransitionTime")
    time = {"lastTransitionTime": present["lastTransitionTime"]} if same else {}
    return {**wanted, **gone, **time}


def canonical(value: Any) -> Any:
    """The value without what means nothing: null, empty text, empty maps and lists, which servers add and drop."""
    if isinstance(value, dict):
        parts = {}
        for key, item in value.items():
            part = canonical(item) if isinstance(item, _NESTED) else item
            if part not in _MEANINGLESS:
                parts[key] = part
        return parts
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


_NESTED = (dict, list, tuple)
_MEANINGLESS: tuple[Any, ...] = (None, "", {}, [])
