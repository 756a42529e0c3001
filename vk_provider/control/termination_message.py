"""Termination messages out of the log (S40), for containers that failed without leaving one, where the pod asks. Pure.

Nothing documents whether the cloud does this itself, so where it did not, we do. The log of each failed
run is read once, by an action of its own; a cloud that does not answer leaves it without a message. What was found
stays on the pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vk_provider.control.actions import FailedRun
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, StateKind
from vk_provider.model.pod import Json
from vk_provider.translate.container_status import by_name, ended, ended_before

POLICY = "FallbackToLogsOnError"


def with_fallback_messages(
    pod: Json, instance: Instance, read: Mapping[str, tuple[str, str]]
) -> tuple[Instance, Sequence[FailedRun]]:
    """The instance with what is known in place of the messages that failed containers did not leave.

    read: container → the id of its newest run whose log was read, and the end of that. The second result are the runs
    whose logs are yet to be read.
    """
    wanting = {
        each["name"]
        for each in (*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ()))
        if each.get("terminationMessagePolicy") == POLICY
    }
    if not wanting:
        return instance, ()
    fill = _Fill(_known(pod), read)
    containers = tuple([fill.report(each) if each.name in wanting else each for each in instance.containers])
    inits = tuple([fill.report(each) if each.name in wanting else each for each in instance.init_containers])
    return replace(instance, containers=containers, init_containers=inits), fill.unread


@dataclass(slots=True)
class _Fill:
    """known: messages by container and run that the pod has already. unread: filled as reports are gone through."""

    known: Mapping[tuple[str, str], str]
    read: Mapping[str, tuple[str, str]]
    unread: list[FailedRun] = field(default_factory=list)

    def report(self, report: ContainerReport) -> ContainerReport:
        state, last = report.state, report.last_state
        if _lacks_message(state):
            return replace(report, state=self._filled(report.name, state, previous=False))
        if last is not None and _lacks_message(last):
            return replace(report, last_state=self._filled(report.name, last, previous=True))
        return report

    def _filled(self, name: str, state: ContainerState, *, previous: bool) -> ContainerState:
        """state: the end of a run. Start and end times identify a run."""
        run = f"{state.started_at} {state.finished_at}"
        if (name, run) in self.known:
            return replace(state, message=self.known[name, run])
        id_, message = self.read.get(name, ("", ""))
        if id_ != run:
            self.unread.append(FailedRun(name, run, previous))
            return state
        return replace(state, message=message)


def _lacks_message(state: ContainerState) -> bool:
    return state.kind is StateKind.TERMINATED and not state.message and state.exit_code not in (None, 0)


def _known(pod: Json) -> dict[tuple[str, str], str]:
    """The messages that the pod has already, by container and run."""
    status = pod.get("status") or {}
    entries = by_name([*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())])
    return {
        (name, f"{end.get('startedAt') or ''} {end.get('finishedAt') or ''}"): end["message"]
        for name, entry in entries.items()
        for end in (ended(entry), ended_before(entry))
        if end is not None and end.get("message")
    }
