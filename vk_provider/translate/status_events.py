"""What a status patch says for the first time and its pod's owner should hear of by an event, too (P46, P47)."""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.model.pod import Json
from vk_provider.model.workload import Notice
from vk_provider.translate import conditions
from vk_provider.translate.container_status import by_name


def events_for_patch(pod: Json, body: Json) -> Sequence[Notice]:
    """body: the patch that has just been written over `pod`."""
    status = body.get("status") or {}
    return (
        *_ephemeral(pod, status),
        *_condition(pod, status, conditions.RESIZE_PENDING, "ResizeInfeasible"),
        *_condition(pod, status, conditions.UP_TO_DATE, "SpecChangeNotApplied"),
    )


def _ephemeral(pod: Json, status: Json) -> list[Notice]:
    reported = by_name((pod.get("status") or {}).get("ephemeralContainerStatuses"))
    ends = {
        entry["name"]: entry["state"]["terminated"]
        for entry in status.get("ephemeralContainerStatuses") or ()
        if entry["name"] not in reported
    }
    return [Notice(end["reason"], f"container {name}: {end['message']}") for name, end in ends.items()]


def _condition(pod: Json, status: Json, type_: str, reason: str) -> list[Notice]:
    """The event of a condition that was not there, or had another message."""
    reported = conditions.of(pod).get(type_, {}).get("message")
    return [
        Notice(reason, each["message"])
        for each in status.get("conditions") or ()
        if each.get("type") == type_ and each.get("message") not in (None, reported)
    ]
