"""Whether the rules of NodeQOS hold: over a threshold for a while, and no longer once under it for a while.

Every evaluation says the whole state, so that a condition or an offer that another process left behind is put right by
the next one, and nothing hangs on a single signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from vk_provider.idle.qos import (
    CPU_USAGE,
    CPU_UTILIZATION,
    DISTRIBUTE,
    MEMORY_DISTRIBUTE,
    MEMORY_USAGE,
    MEMORY_UTILIZATION,
    AvoidanceAction,
    NodeQos,
    Rule,
)
from vk_provider.model.quantity import GIB


class RuleKey(NamedTuple):
    qos: str
    rule: str

    def __str__(self) -> str:
        return f"{self.qos}/{self.rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What rules measure on a virtual node: regular pods against the quota and the memory budget. None = not known."""

    cpu: float | None = None  # vCPU
    all_cpu: float | None = None
    memory: float | None = None  # bytes
    all_memory: float | None = None
    requested_cpu: float | None = None  # of gocrane.io/cpu
    published_cpu: float | None = None
    requested_memory: float | None = None  # of gocrane.io/memory
    published_memory: float | None = None

    def metrics(self) -> dict[str, float]:
        """Those that are known, by NodeQOS' names and in its units."""
        values = {
            CPU_USAGE: None if self.cpu is None else self.cpu * 1000,
            CPU_UTILIZATION: _percent(self.cpu, self.all_cpu),
            MEMORY_USAGE: self.memory,
            MEMORY_UTILIZATION: _percent(self.memory, self.all_memory),
            DISTRIBUTE: _percent(self.requested_cpu, self.published_cpu),
            MEMORY_DISTRIBUTE: _percent(self.requested_memory, self.published_memory),
        }
        return {name: value for name, value in values.items() if value is not None}


def gap_cpu(rule: Rule, load: Load, *, gib_per_cpu: float = 4.0) -> float:
    """vCPU by which the rule is exceeded: what its action reclaims. Memory is counted as the vCPU sold with it."""
    if rule.metric == DISTRIBUTE:
        return max(0.0, (load.requested_cpu or 0.0) - (load.published_cpu or 0.0))
    if rule.metric == MEMORY_DISTRIBUTE:
        return max(0.0, (load.requested_memory or 0.0) - (load.published_memory or 0.0)) / (gib_per_cpu * GIB)
    over = load.metrics().get(rule.metric, 0.0) - rule.value
    units = {
        CPU_USAGE: 1 / 1000,
        CPU_UTILIZATION: (load.all_cpu or 0.0) / 100,
        MEMORY_USAGE: 1 / (gib_per_cpu * GIB),
        MEMORY_UTILIZATION: (load.all_memory or 0.0) / 100 / (gib_per_cpu * GIB),
    }
    return max(0.0, over * units.get(rule.metric, 0.0))


@dataclass(frozen=True, slots=True)
class RuleState:
    """over, under: evaluations in a row. holds: it is triggered. restored_s: since when it is no more, until the
    action's cool-down has passed; None = nothing to cool down from."""

    over: int = 0
    under: int = 0
    holds: bool = False
    restored_s: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One line for an event. kind: `triggered` or `restored`."""

    key: RuleKey
    action: str
    kind: str
    is_preview: bool

    def __str__(self) -> str:
        preview = " (Preview: nothing is done)" if self.is_preview else ""
        return f"{self.key} {self.kind} action {self.action}{preview}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """suspended: offer nothing more, for a rule holds or cools down. reclaiming: rules whose action ends pods, and that
    hold now, each with its action. changes: since the evaluation before."""

    suspended: bool = False
    reclaiming: tuple[tuple[Rule, AvoidanceAction], ...] = ()
    changes: tuple[Change, ...] = ()


class RuleBook:
    """The state of all rules of one node. Bounded by the rules there are: what is gone from NodeQOS is forgotten."""

    def __init__(self) -> None:
        self._states: dict[RuleKey, RuleState] = {}
        self._inherited_s: float | None = None

    def inherit(self, now_s: float) -> None:
        """The node bears the condition of a process that is no more: it cools down from now on, by the longest time."""
        self._inherited_s = now_s

    def evaluate(
        self,
        now_s: float,
        objects: Iterable[NodeQos],
        actions: Mapping[str, AvoidanceAction],
        metrics: Mapping[str, float],
    ) -> Verdict:
        """objects: those that apply to the node. actions: by name; a rule whose action is missing only suspends.

        A metric that is not known leaves its rule as it is. Called every 10 s.
        """
        states = dict[RuleKey, RuleState]()
        changes, reclaiming, suspended = list[Change](), list[tuple[Rule, AvoidanceAction]](), False
        for qos in objects:
            for rule in qos.rules:
                key = RuleKey(qos.name, rule.name)
                action = actions.get(rule.action) or AvoidanceAction(name=rule.action)
                before = self._states.get(key, RuleState())
                state = _cooled(_next(before, rule, metrics.get(rule.metric), now_s), action, now_s)
                states[key] = state
                if state.holds != before.holds:
                    kind = "triggered" if state.holds else "restored"
                    changes.append(Change(key, action.name, kind, rule.is_preview))
                if rule.is_preview:
                    continue
                suspended |= state.holds or state.restored_s is not None
                if state.holds and action.evicts:
                    reclaiming.append((rule, action))
        self._states = states
        return Verdict(suspended or self._still_inherited(now_s, actions), tuple(reclaiming), tuple(changes))

    def _still_inherited(self, now_s: float, actions: Mapping[str, AvoidanceAction]) -> bool:
        longest_s = max((action.cool_down_s for action in actions.values()), default=0)
        if self._inherited_s is not None and not 0 <= now_s - self._inherited_s < longest_s:
            self._inherited_s = None
        return self._inherited_s is not None


def _next(state: RuleState, rule: Rule, value: float | None, now_s: float) -> RuleState:
    if value is None:
        return state
    if value > rule.value:
        over = min(state.over + 1, rule.avoid_rounds)
        holds = state.holds or over >= rule.avoid_rounds
        return RuleState(over, 0, holds, None if holds else state.restored_s)
    under = min(state.under + 1, rule.restore_rounds)
    if state.holds and under >= rule.restore_rounds:
        return RuleState(0, under, holds=False, restored_s=now_s)
    return RuleState(0, under, state.holds, state.restored_s)


def _cooled(state: RuleState, action: AvoidanceAction, now_s: float) -> RuleState:
    if state.restored_s is None or 0 <= now_s - state.restored_s < action.cool_down_s:
        return state
    return replace(state, restored_s=None)


def _percent(part: float | None, whole: float | None) -> float | None:
    if part is None or whole is None:
        return None
    if whole <= 0:
        return 0.0 if part <= 0 else float("inf")
    return 100 * part / whole
