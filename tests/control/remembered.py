"""What a pod's reconciler remembers, written down flat, and the decision that follows: for tables of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vk_provider.control.actions import Action
from vk_provider.control.decide import decide
from vk_provider.control.drift import SpecDrift
from vk_provider.control.memory import (
    CreatedMemory,
    CreateMemory,
    PodMemory,
    Problem,
    RestartMemory,
    StopMemory,
    VerifyMemory,
    WriteMemory,
)
from vk_provider.control.observation import Facts, NodePolicy, Observation, observe, state_of
from vk_provider.control.ownership import Ownership, own_and_spare
from vk_provider.model.instance import Instance
from vk_provider.model.workload import Intent
from vk_provider.pacing.clock import Now

ANY_INTENT = Intent()


@dataclass
class Remembered:
    """last: the instance as it was seen before it went."""

    seen: bool = False
    last: Instance | None = None
    problem: Problem | None = None
    refusal: Problem | None = None
    next_candidate: tuple[str, int] | None = None
    not_before_s: float = 0.0
    in_doubt: bool = False
    made_s: float | None = None
    last_created_id: str = ""
    earlier_ids: Mapping[str, str] = field(default_factory=dict)
    deletes: Mapping[str, float] = field(default_factory=dict)
    forced_id: str = ""
    deleting_since_s: float | None = None
    orphaned_since_s: float | None = None
    only_sidecars_since_s: float | None = None
    missing_id: str = ""
    absent: bool = False
    ended_s: float | None = None
    ended_confirmed: bool = False
    write_in_doubt: bool = False
    drift: SpecDrift | None = None
    restart_at_s: float = 0.0
    refuse_at_s: float = 0.0

    @property
    def created(self) -> CreatedMemory:
        return CreatedMemory(self.made_s, self.last_created_id, self.earlier_ids)

    @property
    def memory(self) -> PodMemory:
        return PodMemory(
            seen=self.seen,
            creating=CreateMemory(
                problem=self.problem,
                refusal=self.refusal,
                refuse_at_s=self.refuse_at_s,
                next_candidate=self.next_candidate,
                not_before_s=self.not_before_s,
                in_doubt=self.in_doubt,
            ),
            created=self.created,
            stopping=StopMemory(
                self.deletes, self.forced_id, self.deleting_since_s, self.orphaned_since_s, self.only_sidecars_since_s
            ),
            verifying=VerifyMemory(
                missing_id=self.missing_id,
                absent=self.absent,
                ended_s=self.ended_s,
                ended_confirmed=self.ended_confirmed,
            ),
            writing=WriteMemory(in_doubt=self.write_in_doubt),
            restarting=RestartMemory(not_before_s=self.restart_at_s),
            drift=self.drift,
        )


def observed(
    pod: Any,
    instances: Sequence[Instance],
    record: Remembered,
    *,
    node: NodePolicy,
    now: Now,
    intent: Intent | None = ANY_INTENT,
    **facts: Any,
) -> Observation:
    own, spare = own_and_spare(pod, instances, record.created) if pod is not None else (None, None)
    known = Facts(last=record.last, intent=intent, **facts)
    return observe(pod, state_of(pod), Ownership(own, spare, instances), record.memory, known, node=node, now=now)


def plan(pod: Any, instances: Sequence[Instance], record: Remembered, **more: Any) -> Action:
    """The action that is decided on; see `observed`."""
    return decide(observed(pod, instances, record, **more), record.memory).action
