"""Spec and status of an instance, as the provider speaks of it. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from vk_provider.model.instance import (
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    MadeOf,
    Owner,
    StateKind,
)
from vk_provider.model.probe import ProbeSupport
from vk_provider.model.vocabulary import Vocabulary

Json = dict[str, Any]
WORDS = Vocabulary(id_scheme="process", probes=ProbeSupport(headers=True))
_LOST = "its supervisor has ended without a word, as when the host restarts"


def instance(id_: str, spec: Json, status: Json, *, alive: bool, deleting: bool) -> Instance:
    """alive: its supervisor runs. status: empty before that has written any."""
    runs = status.get("runs") or {}
    word = InstanceStatus(status.get("status") or "Pending")
    if not alive and not word.is_ended:
        word = InstanceStatus.FAILED
    elif alive and deleting:
        word = InstanceStatus.TERMINATING
    return Instance(
        id=id_,
        owner=Owner(**spec["owner"]),
        status=word,
        ip=spec["address"] if status else "",
        cpu=spec["cpu"],
        memory_gib=spec["memory_gib"],
        created_at=spec["created_at"],
        placed_at=spec["created_at"],
        ended_at=_second(status.get("ended_at") or ""),
        containers=tuple(
            _container(id_, each, runs.get(each["name"]) or {}, alive=alive) for each in spec["containers"]
        ),
        init_containers=tuple(
            _container(id_, each, runs.get(each["name"]) or {}, alive=alive) for each in spec["init_containers"]
        ),
        events=tuple(_event(id_, each) for each in status.get("events") or ()),
        attempt=spec["attempt"],
        made_of=MadeOf(**spec["made_of"]),
        words=WORDS,
    )


def of(instance: Instance) -> InstanceReport:
    return InstanceReport(
        instance.id,
        status=instance.status,
        ip=instance.ip or None,
        containers=instance.containers,
        init_containers=instance.init_containers,
        events=instance.events,
        placed_at=instance.placed_at,
        ended_at=instance.ended_at or None,
        owner=instance.owner,
    )


def _container(id_: str, container: Json, run: Json, *, alive: bool) -> ContainerReport:
    last = run.get("last")
    if not run.get("started_at"):
        now = ContainerState(StateKind.WAITING, reason="ContainerCreating")
    elif run.get("waiting"):
        now, last = ContainerState(StateKind.WAITING, reason=run["waiting"]), run
    elif run.get("exit_code") is not None or not alive:
        now = _ended(run)
    else:
        now = ContainerState(StateKind.RUNNING, started_at=_second(run["started_at"]))
    number = int(run.get("restarts") or 0)
    return ContainerReport(
        container["name"],
        now,
        _ended(last) if last else None,
        ready=bool(run.get("ready")) and now.kind is StateKind.RUNNING,
        restart_count=number,
        image=container["image"],
        image_id=container["image"],
        container_id=hashlib.sha256(f"{id_}/{container['name']}/{number}".encode()).hexdigest(),
    )


def _ended(run: Json) -> ContainerState:
    code = run.get("exit_code")
    return ContainerState(
        StateKind.TERMINATED,
        reason="Completed" if code == 0 else "Error" if code is not None else "ContainerStatusUnknown",
        message=run.get("message") or ("" if code is not None else _LOST),
        exit_code=code,
        signal=code - 128 if code is not None and code > 128 else 0,
        started_at=_second(run.get("started_at") or ""),
        finished_at=_second(run.get("finished_at") or ""),
    )


def _event(id_: str, event: Json) -> CloudEvent:
    named = hashlib.sha256(f"{id_}/{event['at']}/{event['reason']}/{event['message']}".encode()).hexdigest()[:16]
    at = _second(event["at"])
    return CloudEvent(f"x{named}", event["type"], event["reason"], event["message"], 1, at, at)


def _second(stamp: str) -> str:
    """RFC 3339 with seconds, as a pod's status has it."""
    return f"{stamp[:19]}Z" if stamp else ""
