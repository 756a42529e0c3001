"""A case: objects of a namespace of its own, and what is done to its pod. Reads only; `player` plays it.

A case is a YAML file. The annotation `oracle/steps` of its Pod or Job says what is done, a line each (by default
`until ended`):

    until CONDITION [SECONDS]   one of these; after SECONDS (60) it goes on all the same: ended, ready, gone, phase=X,
                                reason=X, condition=TYPE:STATUS, event=REASON, waiting=REASON, restarts=N,
                                running=NAME, terminated=NAME
    for SECONDS                 only watch
    delete [GRACE]              delete the pod
    apply YAML                  server-side apply of an object, in flow style
    patch[/SUBRESOURCE] YAML    strategic merge patch of the pod

`nodeName: NODE` stands for the node that is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
HERE = Path(__file__).parent
CASES, RECORDS = HERE / "cases", HERE / "records"
_RESOURCES = {
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Pod": "pods",
    "Job": "jobs",
    "Service": "services",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}
_VERBS = ("until", "for", "delete", "apply", "patch")


@dataclass(frozen=True, slots=True)
class Step:
    """seconds: how long `until` waits at most, and how long `for` watches."""

    verb: str
    words: str = ""
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    objects: Sequence[Json]
    steps: Sequence[Step]

    def placed(self, node: str) -> list[Json]:
        """The objects for a cluster with a virtual node: its pods tolerate the node's taint and choose it."""
        return [_placed(each, node) for each in self.objects]


def load(path: Path) -> Case:
    """Raises ValueError for a case without a pod, or with a step that is none."""
    objects = [each for each in yaml.safe_load_all(path.read_text()) if each]
    mains = [each for each in objects if each["kind"] in ("Pod", "Job")]
    if not mains:
        raise ValueError(f"{path.name}: it has neither a Pod nor a Job")
    text = mains[-1]["metadata"].get("annotations", {}).get("oracle/steps", "until ended")
    try:
        steps = [_step(line.strip()) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return Case(path.stem, objects, steps)


def all_cases() -> list[Case]:
    return [load(path) for path in sorted(CASES.glob("*.yaml"))]


def collection(body: Json, namespace: str) -> str:
    """The path that an object is created at."""
    group = "/api/v1" if body["apiVersion"] == "v1" else f"/apis/{body['apiVersion']}"
    return f"{group}/namespaces/{namespace}/{_RESOURCES[body['kind']]}"


def holds(condition: str, pod: Json | None, *, gone: bool, events: Sequence[Json]) -> bool:
    """Whether a condition of `until` is true of the pod as it was seen last."""
    what, _, value = condition.partition("=")
    if what == "event":
        return any(each["reason"] == value for each in events)
    if pod is None:
        return False
    status = pod.get("status") or {}
    lists = "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"
    containers = [each for name in lists for each in status.get(name) or ()]
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    match what:
        case "gone":
            return gone
        case "ended":
            return status.get("phase") in ("Succeeded", "Failed")
        case "ready":
            return conditions.get("Ready") == "True"
        case "condition":
            wanted, _, truth = value.partition(":")
            return conditions.get(wanted) == truth
        case "phase" | "reason":
            return bool(status.get(what) == value)
        case "waiting":
            return any(each["state"].get("waiting", {}).get("reason") == value for each in containers)
        case "restarts":
            return any(each["restartCount"] >= int(value) for each in containers)
        case "running" | "terminated":
            return any(each["name"] == value and what in each["state"] for each in containers)
    raise ValueError(f"{condition} is no condition")


def _step(line: str) -> Step:
    verb, _, rest = line.partition(" ")
    if verb.partition("/")[0] not in _VERBS:
        raise ValueError(f"{line!r} is no step")
    if verb == "for":
        return Step(verb, seconds=float(rest))
    if verb == "until":
        condition, _, seconds = rest.partition(" ")
        holds(condition, {"status": {}}, gone=False, events=())
        return Step(verb, condition, float(seconds or 60))
    return Step(verb, rest)


def _placed(body: Json, node: str) -> Json:
    if body["kind"] == "Job":
        template = body["spec"]["template"]
        return {
            **body,
            "spec": {**body["spec"], "template": {**template, "spec": _placed_spec(template["spec"], node)}},
        }
    return {**body, "spec": _placed_spec(body["spec"], node)} if body["kind"] == "Pod" else body


def _placed_spec(spec: Json, node: str) -> Json:
    toleration = {"key": "virtual-kubelet.io/provider", "operator": "Exists"}
    spec = {**spec, "tolerations": [*spec.get("tolerations", ()), toleration]}
    if spec.get("nodeName"):
        return {**spec, "nodeName": node}
    return {**spec, "nodeSelector": {"type": "virtual-kubelet", **spec.get("nodeSelector", {})}}
