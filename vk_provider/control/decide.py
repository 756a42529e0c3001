"""The one decision: from what is observed and remembered of a pod, what to do next. Pure.

An event only says "reconcile this key again"; whoever does so calls `decide`, carries out that one action, and is
called again by what it changes. So the process may die on any line: the next reconcile starts from the same two truths.

`RULES` is this table, row by row and in this order: the first rule that has an answer wins. A test compares the two,
and the guide's copy of it.

| rule                | pod               | instance              | action                                    |
|---------------------|-------------------|-----------------------|-------------------------------------------|
| nothing_left        | none              | none                  | Done                                      |
| orphan              | none              | some                  | DeleteOrphan, RequeueAfter                |
| not_ours            | mirror            | any                   | Done                                      |
| patch_unanswered    | any               | any                   | ReadPod                                   |
| noted_but_unlisted  | live              | some                  | VerifyInstance                            |
| surplus             | any               | some                  | DeleteInstance                            |
| message_unread      | live, deleting    | some                  | ReadTerminationMessages                   |
| overwritten         | terminal          | any                   | PatchStatus                               |
| has_ended           | terminal          | none, unplaced, ended | Done                                      |
| no_longer_wanted    | terminal, leaving | some                  | DeleteInstance, RequeueAfter              |
| removal             | leaving           | any                   | RemovePod, RequeueAfter, Done             |
| create_unanswered   | deleting          | none                  | VerifyInstance                            |
| last_states         | deleting          | any                   | PatchStatus                               |
| pre_stop_sleep      | deleting          | present               | PatchStatus, RequeueAfter                 |
| stop_deleted        | deleting          | present               | DeleteInstance                            |
| grace_over          | deleting          | present               | DeleteInstance                            |
| is_stopping         | deleting          | present               | PatchStatus, RequeueAfter                 |
| daemon              | live              | none                  | PatchStatus, Done                         |
| refused             | live              | none                  | PatchStatus, RequeueAfter                 |
| stop_as_failed      | live              | any                   | PatchStatus, DeleteInstance, RequeueAfter |
| ended_unseen        | live              | none                  | PatchStatus                               |
| unlisted            | live              | none                  | VerifyInstance                            |
| vanished            | live              | none                  | PatchStatus                               |
| not_admitted        | live              | none, unplaced        | PatchStatus, Refuse, RequeueAfter         |
| intent_unknown      | live              | none, unplaced        | FetchIntent, PatchStatus, RequeueAfter    |
| unplaced_unreported | live              | unplaced              | PatchStatus                               |
| gave_up             | live              | none, unplaced        | PatchStatus, Done                         |
| not_yet             | live              | none, unplaced        | PatchStatus, RequeueAfter                 |
| another_exists      | live              | unplaced              | RequeueAfter                              |
| successor_gone      | live              | unplaced              | VerifyInstance, PatchStatus               |
| create              | live              | none, unplaced        | Create                                    |
| exit_codes_missing  | live              | present, ended        | VerifyInstance                            |
| makes_way           | live              | present, ended        | PatchStatus, MakeWay, RequeueAfter        |
| status_differs      | live              | present, ended        | PatchStatus, RequeueAfter                 |
| drifted             | live              | present               | UpdateContainers                          |
| probe_failed        | live              | present, ended        | Restart, RequeueAfter                     |
| stop_by_order       | live              | present, ended        | DeleteInstance, RequeueAfter              |
| exit_codes_awaited  | live              | ended                 | RequeueAfter                              |
| files_outdated      | live              | present               | UpdateFiles                               |
| at_rest             | live              | present               | Done, RequeueAfter                        |
| (any)               | any               | not proven            | VerifyInstance                            |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vk_provider.control.actions import Action, DeleteInstance, MakeWay, Restart, UpdateContainers, VerifyInstance
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation, OwnState, PodState
from vk_provider.control.rules import absent, creating, deleting, orphan, preliminary, present, stopping, terminal

Answer = Callable[[Observation, PodMemory], Action | None]
NONE, UNPLACED, PRESENT, ENDED = OwnState.NONE, OwnState.UNPLACED, OwnState.PRESENT, OwnState.ENDED
LIVE, DELETING, TERMINAL, LEAVING = PodState.LIVE, PodState.DELETING, PodState.TERMINAL, PodState.LEAVING


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. pods, owns: the states in which it is asked. reason: why it answers, for logs and people."""

    answer: Answer
    pods: Sequence[PodState]
    owns: Sequence[OwnState]
    reason: str

    @property
    def name(self) -> str:
        return self.answer.__name__


class Decision(NamedTuple):
    action: Action
    reason: str


_ANY = tuple(OwnState)
_SOME = (UNPLACED, PRESENT, ENDED)
_PODS = (LIVE, DELETING, TERMINAL, LEAVING)

RULES: Sequence[Rule] = (
    Rule(orphan.nothing_left, (PodState.NONE,), (NONE,), "neither pod nor instance exists"),
    Rule(orphan.orphan, (PodState.NONE,), _SOME, "the pod is gone and its instance is not"),
    Rule(preliminary.not_ours, (PodState.MIRROR,), _ANY, "a mirror pod is carried by nobody"),
    Rule(preliminary.patch_unanswered, _PODS, _ANY, "the outcome of the last status patch is unknown"),
    Rule(preliminary.noted_but_unlisted, (LIVE,), _SOME, "the instance noted on the pod is in no list"),
    Rule(preliminary.surplus, _PODS, _SOME, "the pod has an instance too many"),
    Rule(preliminary.message_unread, (LIVE, DELETING), _SOME, "a failed container left no termination message"),
    Rule(terminal.overwritten, (TERMINAL,), _ANY, "others wrote over the final status"),
    Rule(terminal.has_ended, (TERMINAL,), (NONE, UNPLACED, ENDED), "the pod has ended"),
    Rule(terminal.no_longer_wanted, (TERMINAL, LEAVING), _SOME, "the pod has ended and its instance is not wanted"),
    Rule(terminal.removal, (LEAVING,), _ANY, "the pod has ended and is being deleted"),
    Rule(deleting.create_unanswered, (DELETING,), (NONE,), "the outcome of the create is unknown"),
    Rule(deleting.last_states, (DELETING,), _ANY, "the pod is being deleted and nothing of it runs"),
    Rule(deleting.pre_stop_sleep, (DELETING,), (PRESENT,), "the pod is being deleted and its preStop hook sleeps"),
    Rule(deleting.stop_deleted, (DELETING,), (PRESENT,), "the pod is being deleted and its instance runs"),
    Rule(deleting.grace_over, (DELETING,), (PRESENT,), "the pod is being deleted and its grace is over"),
    Rule(deleting.is_stopping, (DELETING,), (PRESENT,), "the pod is being deleted and its instance stops"),
    Rule(absent.daemon, (LIVE,), (NONE,), "pods of a DaemonSet do not run here"),
    Rule(absent.refused, (LIVE,), (NONE,), "the pod cannot be carried"),
    Rule(stopping.stop_as_failed, (LIVE,), _ANY, "the pod is to be stopped for good"),
    Rule(absent.ended_unseen, (LIVE,), (NONE,), "the instance ended and is gone"),
    Rule(absent.unlisted, (LIVE,), (NONE,), "the pod's instance is in no list"),
    Rule(absent.vanished, (LIVE,), (NONE,), "the cloud no longer has the pod's instance"),
    Rule(absent.not_admitted, (LIVE,), (NONE, UNPLACED), "a policy does not admit the pod"),
    Rule(creating.intent_unknown, (LIVE,), (NONE, UNPLACED), "what the pod wants is not known yet"),
    Rule(creating.unplaced_unreported, (LIVE,), (UNPLACED,), "the instance found no room"),
    Rule(creating.gave_up, (LIVE,), (NONE, UNPLACED), "no capacity, and the pod wants no further try"),
    Rule(creating.not_yet, (LIVE,), (NONE, UNPLACED), "the next create is not due yet"),
    Rule(creating.another_exists, (LIVE,), (UNPLACED,), "another instance of the pod exists"),
    Rule(absent.successor_gone, (LIVE,), (UNPLACED,), "what was made in the place of the instance is gone"),
    Rule(creating.create, (LIVE,), (NONE, UNPLACED), "the pod has no instance"),
    Rule(present.exit_codes_missing, (LIVE,), (PRESENT, ENDED), "the instance ended and its exit codes never came"),
    Rule(present.makes_way, (LIVE,), (PRESENT, ENDED), "the pod was changed before its instance ran"),
    Rule(present.status_differs, (LIVE,), (PRESENT, ENDED), "the pod's status differs from the instance"),
    Rule(present.drifted, (LIVE,), (PRESENT,), "the pod was changed since its instance was made"),
    Rule(present.probe_failed, (LIVE,), (PRESENT, ENDED), "a probe of the provider failed"),
    Rule(stopping.stop_by_order, (LIVE,), (PRESENT, ENDED), "the pod is to be stopped"),
    Rule(present.exit_codes_awaited, (LIVE,), (ENDED,), "the instance ended and its exit codes are not in"),
    Rule(present.files_outdated, (LIVE,), (PRESENT,), "the instance shows outdated files"),
    Rule(present.at_rest, (LIVE,), (PRESENT,), "the pod is as it should be"),
)

AT_REST = next(rule.reason for rule in RULES if rule.answer is present.at_rest)
_BY_STATE: Mapping[PodState, Mapping[OwnState, Sequence[Rule]]] = {
    pod: {own: tuple(rule for rule in RULES if pod in rule.pods and own in rule.owns) for own in OwnState}
    for pod in PodState
}
UNPROVEN = "that the instance is the pod's is yet to be shown"


def decide(seen: Observation, memory: PodMemory) -> Decision:
    """The answer of the first rule that has one. An instance not proven to be the pod's is verified, not touched."""
    for rule in _BY_STATE[seen.state][seen.own_state]:
        action = rule.answer(seen, memory)
        if action is not None:
            if isinstance(action, DeleteInstance | Restart | MakeWay | UpdateContainers) and not action.instance.proven:
                return Decision(VerifyInstance(action.instance.id), UNPROVEN)
            return Decision(action, rule.reason)
    raise AssertionError(f"no rule for a pod that is {seen.state} with an instance that is {seen.own_state}")
