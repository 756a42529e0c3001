"""Who may request idle capacity, and how: the rules of the admission policy and webhook, and again when a pod is bound.

Both webhooks fail open, so that a dead one stops no cluster; hence `check` is repeated at bind, before anything is
created. All rules look at one object alone, in time linear in its size.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vk_provider import bounds
from vk_provider.admission import placement
from vk_provider.admission.placement import Target
from vk_provider.errors import Refusal
from vk_provider.idle.resources import CPU, MEMORY, NAMES, is_preemptible, requested
from vk_provider.model.pod import Json, controller_of
from vk_provider.model.quantity import GIB, parse

BATCH_JOB = "Job.batch"
MOST_CPU, MOST_MEMORY = 64, 512 * GIB  # the largest instance ECI sells as spot (eci.md 5.1)
MOST_GRACE_S = 180  # a cloud's notice is as long
LABEL = ("preemptible_job", "true")
PRIORITY_CLASS = "gocrane-preemptible"
REASON_AT_BIND = "UnexpectedAdmissionError"  # of a pod's status, as a kubelet's for what admission let through
_ORDINARY = ("cpu", "memory")
_GPU = "nvidia.com/gpu"
_INSTEAD = "a preemptible pod requests gocrane.io/cpu and gocrane.io/memory instead"
_RULE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@dataclass(frozen=True, slots=True)
class Verdict:
    """refusals: why it is refused, all of them; empty = allowed. warnings: what its owner should know."""

    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


ALLOWED = Verdict()


def check(document: Json, *, owner_kinds: Collection[str] = (BATCH_JOB,)) -> Verdict:
    """Of a Pod, or of anything with a pod template: a CronJob, a Job, a Deployment…

    owner_kinds: `Kind.group` of controllers whose pods may use idle capacity, plain `Kind` in the core group. An object
    that requests none is allowed and not looked at any further.
    """
    path, pod = _pod_within(document)
    if pod is None or not is_preemptible(pod):
        return ALLOWED
    faults = _Faults(path)
    _check_owner(document, faults, owner_kinds)
    for where, container in _containers(pod):
        _check_container(where, container, faults)
    _check_pod_level(pod["spec"], faults)
    if not faults.found:
        _check_sum(pod, faults)
    return Verdict(tuple(faults.found), tuple(_warnings(pod["spec"])))


def job_patch(job: Json, target: Target, *, zero_ordinary: bool = False, workers_first: bool = False) -> list[Json]:
    """JSON patch operations (RFC 6902) that give a Job all that its pods need to use idle capacity on a virtual node.

    workers_first: they may use that of worker nodes as well, and do so first, for it costs nothing.

    None for any other object, for a Job that requests none, and for one that has it all; what a Job says already is
    never replaced. zero_ordinary: its namespace has default requests, which would be added later: an explicit 0 keeps
    them away.
    """
    _, template = _pod_within(job)
    if job.get("kind") != "Job" or template is None or not is_preemptible(template):
        return []
    spec = template["spec"]
    placing = placement.preference if workers_first else placement.patch
    placed = [{**each, "path": f"/spec/template{each['path']}"} for each in placing(template, target)]
    patch = [*_label(template), *placed]
    if not spec.get("priorityClassName") and spec.get("priority") is None:
        patch.append(_add("/spec/template/spec/priorityClassName", PRIORITY_CLASS))
    if spec.get("restartPolicy") == "Never" and not job["spec"].get("podFailurePolicy"):
        patch.append(_add("/spec/podFailurePolicy", {"rules": [_RULE]}))
    return [*patch, *_zeros(spec)] if zero_ordinary else patch


def _label(template: Json) -> list[Json]:
    key, value = LABEL
    path = "/spec/template/metadata"
    metadata = template.get("metadata")
    if not metadata:
        return [_add(path, {"labels": {key: value}})]
    labels = metadata.get("labels")
    if not labels:
        return [_add(f"{path}/labels", {key: value})]
    return [] if key in labels else [_add(f"{path}/labels/{key}", value)]


def _zeros(spec: Json) -> list[Json]:
    patch = []
    zeros = dict.fromkeys(_ORDINARY, "0")
    for kind in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(kind) or ()):
            before = container.get("resources") or {}
            after = {**before, **{group: {**zeros, **(before.get(group) or {})} for group in ("requests", "limits")}}
            if after != before:
                patch.append(_add(f"/spec/template/spec/{kind}/{place}/resources", after))
    return patch


def _add(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


class _Faults:
    """At most MOST_REFUSALS of them; path: of the pod within the object."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.found: list[Refusal] = []

    def add(self, field: str, reason: str) -> None:
        if len(self.found) < bounds.MOST_REFUSALS:
            self.found.append(Refusal(f"{self._path}{field}", reason))


def _pod_within(document: Json) -> tuple[str, Json | None]:
    """Where the pod stands in it, and the pod: something with `spec.containers`."""
    path, pod = "", document
    for _ in range(2):  # a CronJob has a Job's template, which has a pod's
        spec = pod.get("spec")
        if not isinstance(spec, Mapping):
            return path, None
        inner = next((name for name in ("jobTemplate", "template") if isinstance(spec.get(name), dict)), None)
        if inner is None:
            break
        path, pod = f"{path}spec.{inner}.", spec[inner]
    return path, pod if isinstance(pod.get("spec"), dict) else None


def _containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for kind in ("initContainers", "containers"):
        for place, container in enumerate(pod["spec"].get(kind) or ()):
            yield f"spec.{kind}[{place}]", container


def _check_owner(document: Json, faults: _Faults, owner_kinds: Collection[str]) -> None:
    kind = _owner_kind(document)
    if kind in owner_kinds:
        return
    allowed = " and ".join(sorted({"CronJobs", *(f"{each.partition('.')[0]}s" for each in owner_kinds)}))
    what = f"a pod of a {kind.partition('.')[0]}" if kind else "a pod without a controller"
    reason = (
        f"{what} may not request idle capacity, which is taken back at any moment; only {allowed} may. "
        "Request cpu and memory, or make it a Job"
    )
    faults.found.append(Refusal("metadata.ownerReferences" if document.get("kind") == "Pod" else "kind", reason))


def _owner_kind(document: Json) -> str:
    """`Kind.group` of what controls the pods of an object; empty for nobody."""
    kind, version = str(document.get("kind") or "Pod"), str(document.get("apiVersion") or "v1")
    if kind == "CronJob":
        kind = "Job"
    elif kind == "Pod":
        owner = controller_of({"metadata": document.get("metadata") or {}})
        if owner is None:
            return ""
        kind, version = str(owner.get("kind")), str(owner.get("apiVersion"))
    group = version.rpartition("/")[0]
    return f"{kind}.{group}" if group else kind


def _check_container(where: str, container: Json, faults: _Faults) -> None:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    named = [name for name in NAMES if name in limits or name in requests]
    for name in NAMES if named else ():
        field = f"{where}.resources.limits[{name}]"
        if name not in named:
            faults.add(field, f"{named[0]} alone is not enough; a container requests {CPU} and {MEMORY} together")
        elif name not in limits:
            faults.add(field, "is missing; idle capacity cannot be overcommitted, so state limits, equal to requests")
        else:
            _check_amount(field, name, limits[name], requests.get(name, limits[name]), faults)
    for group, stated in (("requests", requests), ("limits", limits)):
        for name in (*_ORDINARY, _GPU):
            if name in stated and _amount(stated[name]) != 0:
                faults.add(f"{where}.resources.{group}[{name}]", f"cannot stand beside idle capacity: {_INSTEAD}")


def _check_amount(field: str, name: str, limit: object, request: object, faults: _Faults) -> None:
    amount = _amount(limit)
    if amount is None or amount.denominator != 1 or amount < 1:
        unit = "whole vCPU, as 1 or 16" if name == CPU else "whole bytes, as 512Mi or 2Gi"
        faults.add(field, f"{limit} is not possible; {name} is requested in {unit}{_nearest(name, amount)}")
    elif _amount(request) != amount:
        faults.add(
            field, f"is {limit}, and the request {request}; idle capacity cannot be overcommitted: state the same"
        )


def _nearest(name: str, amount: Fraction | None) -> str:
    return f"; the next would be {max(1, math.ceil(amount))}" if name == CPU and amount is not None else ""


def _check_pod_level(spec: Json, faults: _Faults) -> None:
    stated = {
        "spec.overhead": spec.get("overhead") or {},
        **{
            f"spec.resources.{group}": (spec.get("resources") or {}).get(group) or {}
            for group in ("requests", "limits")
        },
    }
    for where, amounts in stated.items():
        for name in _ORDINARY:
            if name in amounts and _amount(amounts[name]) != 0:
                faults.add(f"{where}[{name}]", f"cannot stand beside idle capacity: {_INSTEAD}")


def _check_sum(pod: Json, faults: _Faults) -> None:
    amount = requested(pod)
    if amount.cpu > MOST_CPU or amount.memory > MOST_MEMORY:
        reason = (
            f"{amount.cpu} vCPU and {amount.memory / GIB:g} GiB in all are more than one spot instance has, "
            f"{MOST_CPU} vCPU and {MOST_MEMORY // GIB} GiB; divide the work among more pods"
        )
        faults.add("spec.containers", reason)
    elif amount.cpu == 0:
        faults.add("spec.containers", f"none of the containers that run together requests {CPU}")


def _amount(value: object) -> Fraction | None:
    try:
        return parse(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None


def _warnings(spec: Json) -> Iterator[str]:
    if spec.get("restartPolicy") == "OnFailure":
        yield (
            "restartPolicy OnFailure: each time this pod is reclaimed counts against the Job's backoffLimit; "
            "with Never it does not"
        )
    grace_s = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace_s, int) and grace_s > MOST_GRACE_S:
        yield (
            f"terminationGracePeriodSeconds {grace_s}: when the cloud takes the instance back, there are "
            f"{MOST_GRACE_S} s at most"
        )
