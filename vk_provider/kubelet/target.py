"""From what a path names (namespace, pod, container) to what the cloud is asked about. Pure.

The pod's status is what was last told the API server; the instance is what the cloud said since. Either may be ahead of
the other for a moment, so a run exists if either knows of it. But of whom the cloud is asked, and which address is
dialled, is told by the instance alone, which the cloud's own answer showed to be this pod's: annotations and status are
written by others too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.kubelet.http_errors import HttpError
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, StateKind

Json = dict[str, Any]
FindPod = Callable[[str, str], Json | None]  # (namespace, name)

_SPEC_LISTS = ("containers", "initContainers", "ephemeralContainers")
_STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_PULL_TROUBLE = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
_COULD_NOT_START = 128
_NO_REASON_YET = "ContainerCreating"


@dataclass(frozen=True, slots=True)
class Runs:
    """What one run at a container knows. waiting: why it waits, None if it does not."""

    running: bool = False
    ended: bool = False  # its state is terminated
    ended_before: bool = False  # its last state is
    waiting: str | None = None


def find_pod(find: FindPod, namespace: str, name: str, uid: str = "") -> Json:
    """Raises RequestRefused 404 when there is none, or (with uid) only a namesake."""
    pod = find(namespace, name)
    if pod is None or (uid and pod["metadata"].get("uid") != uid):
        raise HttpError(404, f"pod {quoted(name)} does not exist")
    return pod


def require_container(pod: Mapping[str, Any], container: str) -> None:
    """Raises RequestRefused 404 unless the pod's spec has it, be it of whichever kind."""
    if not any(item.get("name") == container for item in _specs(pod)):
        raise HttpError(404, f"container {quoted(container)} not found in pod {quoted(pod['metadata']['name'])}")


def require_run(pod: Mapping[str, Any], instance: Instance | None, container: str, *, previous: bool) -> None:
    """Raises RequestRefused 400 when no run of the container is there whose log could be read (H11, H12).

    The run itself is the cloud's to choose by `previous`: the last that ended before the present one, or else the
    present one and, while the container waits for its next, the last.
    """
    runs = list(_runs_of(pod, instance, container))
    where = f"container {quoted(container)} in pod {quoted(pod['metadata']['name'])}"
    if why := _why_never(pod, container):
        raise HttpError(400, f"{where} did not run: {why}")
    if previous:
        if not any(run.ended_before for run in runs):
            raise HttpError(400, f"previous terminated {where} not found")
        return
    if any(run.running or run.ended or run.ended_before for run in runs):
        return
    reasons = [run.waiting for run in runs if run.waiting is not None]
    if not reasons:
        raise HttpError(400, f"{where} is not available")
    reason = next((reason for reason in reasons if reason), _NO_REASON_YET)
    raise HttpError(400, f"{where} is waiting to start: {_PULL_TROUBLE.get(reason, reason)}")


def _why_never(pod: Mapping[str, Any], container: str) -> str:
    """Why an ephemeral container has ended without having run; empty for any other."""
    for item in (pod.get("status") or {}).get("ephemeralContainerStatuses") or ():
        end = (item.get("state") or {}).get("terminated")
        if item.get("name") == container and end is not None and end.get("exitCode") == _COULD_NOT_START:
            return end.get("message") or end.get("reason") or "it could not be started"
    return ""


def instance_id(pod: Mapping[str, Any], instance: Instance | None, container: str) -> str:
    """The instance to ask. Raises RequestRefused 400 without any."""
    if instance is None:
        name = pod["metadata"]["name"]
        raise HttpError(
            400,
            f"container {quoted(container)} in pod {quoted(name)} has no instance in the cloud, "
            "so there is no log of it: it was never started, or its instance is gone",
        )
    return instance.id


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """spec: its entry in the pod's spec. started_at: of the present run, RFC 3339; empty where nobody knows."""

    instance_id: str
    spec: Mapping[str, Any]
    started_at: str = ""


def streaming_pod(find: FindPod, names: Mapping[str, str]) -> Json:
    """The pod that a path of `exec`, `attach`, `run` or `portForward` names. Raises RequestRefused 404.

    names: the parts of the path: namespace, pod and perhaps uid.
    """
    pod = find(names["namespace"], names["pod"])
    uid = names.get("uid", "")
    if pod is None or (uid and pod["metadata"].get("uid") != uid):
        raise HttpError(404, "pod does not exist")
    return pod


def running_container(
    names: Mapping[str, str], pods: FindPod, instance_of: Callable[[str], Instance | None], *, not_found: str = ""
) -> RunningContainer:
    """The running container that a path of `exec`, `attach` or `run` names. Raises RequestRefused.

    names: as of `streaming_pod`, and container. not_found: what to say where it does not run; tools run for the words.
    """
    pod = streaming_pod(pods, names)
    name = names["container"]
    instance = instance_of(pod["metadata"]["uid"])
    spec = next((item for item in _specs(pod) if item.get("name") == name), None)
    if spec is None or instance is None or not any(run.running for run in _runs_of(pod, instance, name)):
        raise HttpError(500, not_found or f"container not found ({quoted(name)})")
    reports = (*instance.containers, *instance.init_containers)
    started_at = next((report.state.started_at for report in reports if report.name == name), "")
    return RunningContainer(instance.id, spec, started_at)


def _specs(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = pod.get("spec") or {}
    for key in _SPEC_LISTS:
        yield from spec.get(key) or ()


def address(pod: Mapping[str, Any], instance: Instance | None) -> str:
    """The pod's IP. Raises RequestRefused 400 unless it is up: the address of an ended one may be another's now."""
    name = quoted(pod["metadata"]["name"])
    if instance is None or instance.status.is_ended:
        raise HttpError(400, f"pod {name} is not running")
    if not instance.ip:
        raise HttpError(400, f"pod {name} has no address yet")
    return instance.ip


def quoted(name: str) -> str:
    """As the kubelet quotes names in its answers."""
    return json.dumps(name, ensure_ascii=False)


def _runs_of(pod: Mapping[str, Any], instance: Instance | None, container: str) -> Iterator[Runs]:
    status = pod.get("status") or {}
    for key in _STATUS_LISTS:
        for item in status.get(key) or ():
            if item.get("name") == container:
                yield _of_status(item)
    if instance is not None:
        for report in (*instance.containers, *instance.init_containers):
            if report.name == container:
                yield _of_report(report)


def _of_status(item: Mapping[str, Any]) -> Runs:
    state = item.get("state") or {}
    waiting = state.get("waiting")
    return Runs(
        running=state.get("running") is not None,
        ended=state.get("terminated") is not None,
        ended_before=(item.get("lastState") or {}).get("terminated") is not None,
        waiting=None if waiting is None else waiting.get("reason") or "",
    )


def _of_report(report: ContainerReport) -> Runs:
    last: ContainerState | None = report.last_state
    return Runs(
        running=report.state.kind is StateKind.RUNNING,
        ended=report.state.kind is StateKind.TERMINATED,
        ended_before=last is not None and last.kind is StateKind.TERMINATED,
        waiting=report.state.reason if report.state.kind is StateKind.WAITING else None,
    )
