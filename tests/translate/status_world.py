"""A pod, what a cloud reports of it, and a small API server that merges pods/status its own way and refuses as it does.

Written from the API's rules and independent of `vk_provider.translate`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind

Json = dict[str, Any]

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:09:05Z"
HOST = "10.0.0.7"
ID = "eci-1"

BOUND = {
    "type": "PodScheduled",
    "status": "True",
    "lastProbeTime": None,
    "lastTransitionTime": "2026-01-02T03:04:00Z",
    "observedGeneration": 1,
}


def pod(
    *,
    containers: Sequence[str | Json] = ("c",),
    inits: Sequence[str | Json] = (),
    policy: str = "Never",
    deleting: bool = False,
    gates: Sequence[str] = (),
    ephemeral: Sequence[str] = (),
    generation: int | None = 1,
    status: Json | None = None,
) -> Json:
    """A pod just bound, unless `status` says more."""
    spec: Json = {"restartPolicy": policy, "nodeName": "vk", "containers": [_container(each) for each in containers]}
    if inits:
        spec["initContainers"] = [_container(each) for each in inits]
    if gates:
        spec["readinessGates"] = [{"conditionType": gate} for gate in gates]
    if ephemeral:
        spec["ephemeralContainers"] = [_container(each) for each in ephemeral]
    meta: Json = {"name": "p", "namespace": "ns", "uid": "u-1"}
    if generation:
        meta["generation"] = generation
    if deleting:
        meta |= {"deletionTimestamp": NOW, "deletionGracePeriodSeconds": 30}
    bound = {key: value for key, value in BOUND.items() if generation or key != "observedGeneration"}
    return {
        "metadata": meta,
        "spec": spec,
        "status": {"phase": "Pending", "conditions": [bound], "qosClass": "BestEffort", **(status or {})},
    }


def _container(container: str | Json) -> Json:
    return {"name": container, "image": "img"} if isinstance(container, str) else {"image": "img", **container}


def wait(name: str = "c", reason: str = "", message: str = "", **more: Any) -> ContainerReport:
    return ContainerReport(name, ContainerState(StateKind.WAITING, reason=reason, message=message), **more)


def run(name: str = "c", at: str = "2026-01-02T03:05:00Z", **more: Any) -> ContainerReport:
    return ContainerReport(name, ContainerState(StateKind.RUNNING, started_at=at), **more)


def end(
    name: str = "c", code: int | None = 0, at: str = "2026-01-02T03:05:00Z", reason: str = "", **more: Any
) -> ContainerReport:
    state = ended(code, at=at, reason=reason)
    return ContainerReport(name, state, **more)


def ended(
    code: int | None = 0, *, at: str = "2026-01-02T03:05:00Z", reason: str = "", signal: int = 0
) -> ContainerState:
    return ContainerState(
        StateKind.TERMINATED,
        reason=reason,
        exit_code=code,
        signal=signal,
        started_at=at,
        finished_at="2026-01-02T03:08:00Z",
    )


def instance(status: str = "Running", *containers: ContainerReport, **more: Any) -> Instance:
    more.setdefault("ip", "192.168.0.9")
    more.setdefault("words", WORDS)
    return Instance(ID, Owner(uid="u-1"), InstanceStatus(status), containers=containers, **more)


def condition(status_or_pod: Mapping[str, Any], type_: str) -> Json:
    """One condition of a status or a pod; empty when it is not there."""
    status = status_or_pod.get("status", status_or_pod)
    return next((each for each in status["conditions"] if each["type"] == type_), {})


def entry(status_or_pod: Mapping[str, Any], name: str = "c") -> Json:
    status = status_or_pod if "containerStatuses" in status_or_pod else status_or_pod["status"]
    entries = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next(each for each in entries if each["name"] == name)


class Rejected(AssertionError):
    """The API server answers 422 or 409."""


@dataclass(frozen=True)
class Server:
    """modern: it knows hostIPs and observedGeneration; an old one drops them without a word."""

    modern: bool = True

    def patch(self, stored: Json, body: Json) -> Json:
        """The pod after `PATCH pods/status` with a strategic-merge body."""
        if body["metadata"]["uid"] != stored["metadata"]["uid"]:
            raise Rejected("409: another uid")
        if body["metadata"].get("resourceVersion") not in (None, stored["metadata"].get("resourceVersion")):
            raise Rejected("409: the object has been modified")
        merged = copy.deepcopy(stored)
        merged["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        for name, value in copy.deepcopy(body.get("status", {})).items():
            _merge_field(merged["status"], name, value)
        self._drop_unknown(merged["status"])
        _spell_zeros(merged["status"])
        _validate(stored, merged)
        return merged

    def _drop_unknown(self, status: Json) -> None:
        if self.modern:
            return
        status.pop("hostIPs", None)
        status.pop("observedGeneration", None)
        for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            each.pop("resources", None)
            each.pop("allocatedResources", None)
        for each in status.get("conditions", []):
            each.pop("observedGeneration", None)


_MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def _merge_field(status: Json, name: str, value: Any) -> None:
    if value is None:
        status.pop(name, None)
    elif name not in _MERGE_KEYS or name not in status:
        status[name] = value  # as the real one: a directive in a list without an old one would stay
    elif {"$patch": "replace"} in value:
        status[name] = [each for each in value if "$patch" not in each]
    else:
        _merge_list(status[name], value, _MERGE_KEYS[name])


def _merge_list(present: list[Json], changes: list[Json], key: str) -> None:
    for change in changes:
        match = next((each for each in present if each[key] == change[key]), None)
        if change.get("$patch") == "delete":
            present[:] = [each for each in present if each is not match]
            continue
        if match is None:
            present.append(change)
            continue
        for field, value in change.items():
            if value is None:
                match.pop(field, None)
            else:
                match[field] = value


def _spell_zeros(status: Json) -> None:
    for each in status.get("conditions", []):
        each.setdefault("lastProbeTime", None)
    for name in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(name, []):
            each.setdefault("lastState", {})
            each.setdefault("imageID", "")
            for state in (each["state"], each["lastState"]):
                if "terminated" in state:
                    state["terminated"].setdefault("startedAt", None)
                    state["terminated"].setdefault("finishedAt", None)


def _validate(old: Json, new: Json) -> None:
    status, policy = new["status"], new["spec"]["restartPolicy"]
    for single, plural in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        listed = status.get(plural, [])
        if any(set(each) != {"ip"} for each in listed):
            raise Rejected(f"422: {plural} {listed}")
        if listed and listed[0]["ip"] != status.get(single):
            raise Rejected(f"422: {plural} against {single}")
    for each in status["conditions"]:
        if None in (each.get("status"), each.get("lastTransitionTime"), each.get("reason", "")):
            raise Rejected(f"422: {each}")
    for field, specs in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        policies = {each["name"]: each.get("restartPolicy") or policy for each in new["spec"].get(specs, [])}
        reported = {each["name"]: each for each in status.get(field, [])}
        _validate_states(old["status"].get(field, []), reported, policies)


def _validate_states(old: list[Json], new: Mapping[str, Json], policies: Mapping[str, str]) -> None:
    for before in old:
        end, policy = before["state"].get("terminated"), policies[before["name"]]
        if end is None or policy == "Always" or (policy == "OnFailure" and end["exitCode"] != 0):
            continue
        after = new.get(before["name"])
        if after is not None and "terminated" not in after["state"]:
            raise Rejected(f"422: {before['name']} may not be transitioned to non-terminated state")
