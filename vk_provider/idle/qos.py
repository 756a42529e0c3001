"""AvoidanceAction, NodeQOS and PodQOS: custom resources → plain values, with what of them is not carried out.

Source: gocrane's ensurance.crane.io/v1alpha1. What has no counterpart on a virtual node is noted, to be reported once,
and never acted on: a throttle must not become an eviction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from vk_provider import bounds
from vk_provider.idle.fields import Fields, Notes
from vk_provider.idle.selectors import EMPTY, LabelSelector, PodFacts, Scope, priority_range
from vk_provider.idle.victims import LOWEST
from vk_provider.model.pod import Json

CPU_USAGE, CPU_UTILIZATION = "cpu_total_usage", "cpu_total_utilization"  # millicores; per cent
MEMORY_USAGE, MEMORY_UTILIZATION = "memory_total_usage", "memory_total_utilization"  # bytes; per cent
DISTRIBUTE = "ext_cpu_total_distribute"  # per cent: requested of published gocrane.io/cpu
MEMORY_DISTRIBUTE = "ext_memory_total_distribute"  # likewise gocrane.io/memory; of worker nodes
METRICS = frozenset({CPU_USAGE, CPU_UTILIZATION, MEMORY_USAGE, MEMORY_UTILIZATION, DISTRIBUTE, MEMORY_DISTRIBUTE})
_MOST_SECONDS = 7 * 86_400
_MOST_ROUNDS = 10_000
_MOST_VALUE = 2.0**60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """value: None when the object cannot be used at all. faults, unsupported: lines for people."""

    value: T | None
    faults: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AvoidanceAction:
    """evicts: it ends pods; without it only stops to offer more. grace_s: None = the pod's own."""

    name: str
    cool_down_s: int = 300
    evicts: bool = False
    grace_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Holds when the metric is over `value` for `avoid_rounds` evaluations in a row, and no longer once it was not for
    `restore_rounds`. is_preview: it only reports."""

    name: str
    metric: str
    value: float
    action: str
    avoid_rounds: int = 1
    restore_rounds: int = 1
    is_preview: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQos:
    """selector: over node labels, None = all nodes. most_share: of the quota, for regular and preemptible together."""

    name: str
    rules: tuple[Rule, ...] = ()
    selector: LabelSelector | None = None
    most_share: float = 1.0

    def applies_to(self, node_labels: Mapping[str, str]) -> bool:
        return self.selector is None or self.selector.matches(node_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodQos:
    """cpu_priority: None = says nothing of it. allowed_actions: names of AvoidanceActions that may end its pods."""

    name: str
    selector: LabelSelector = EMPTY
    scopes: tuple[Scope, ...] = ()
    allowed_actions: frozenset[str] = frozenset()
    cpu_priority: int | None = None

    def matches(self, pod: PodFacts) -> bool:
        """Label selector and all scopes; one that selects by nothing at all matches nothing."""
        if not self.selector and not self.scopes:
            return False
        return self.selector.matches(pod.labels) and all(scope.matches(pod) for scope in self.scopes)


class PodRules:
    """All PodQOS of the cluster that are used: the first MOST_QOS_OBJECTS by name, whatever order they came in."""

    def __init__(self, objects: Iterable[PodQos]) -> None:
        self._objects = sorted(objects, key=lambda each: each.name)[: bounds.MOST_QOS_OBJECTS]

    def cpu_priority(self, pod: PodFacts) -> int:
        """The pod's effective one, 0-7: of the match with the most label conditions, by name among equals. Without a
        match it yields like any other."""
        stating = [each for each in self._objects if each.cpu_priority is not None and each.matches(pod)]
        best = max(stating, key=lambda each: len(each.selector), default=None)
        return LOWEST if best is None or best.cpu_priority is None else best.cpu_priority

    def is_allowed(self, action: str, pod: PodFacts) -> bool:
        """Whether some PodQOS of the pod lists the action. Pods without one are never ended by a rule."""
        return any(action in each.allowed_actions and each.matches(pod) for each in self._objects)


def avoidance_action(document: Json) -> Read[AvoidanceAction]:
    def read(name: str, spec: Fields) -> AvoidanceAction | None:
        spec.unsupported("throttle")
        eviction = spec.fields("eviction")
        grace_s = eviction.whole("terminationGracePeriodSeconds", -1, least=0, most=_MOST_SECONDS)
        cool_down_s = spec.whole("coolDownSeconds", 300, least=1, most=_MOST_SECONDS)
        return AvoidanceAction(
            name=name,
            cool_down_s=cool_down_s,
            evicts="eviction" in spec,
            grace_s=None if grace_s < 0 else grace_s,
        )

    return _read(document, read)


def node_qos(document: Json) -> Read[NodeQos]:
    """A rule with a fault or on a metric that a virtual node does not have is left out, and noted."""

    def read(name: str, spec: Fields) -> NodeQos | None:
        spec.unsupported("memLimit", "memoryCompression", "netLimits")
        spec.fields("nodeQualityProbe").unsupported("httpGet")
        limits = spec.fields("elasticCpuLimit")
        limits.unsupported("elasticCoreCpuLimit", "elasticCoreCpuLimitPeriod", "elasticCpuAvoidance")
        percent = limits.fields("elasticNodeCpuLimit").number("percent", 100, least=0, most=100)
        rules = [rule for each in spec.each("rules", bounds.MOST_QOS_RULES) if (rule := _rule(each)) is not None]
        names = [rule.name for rule in rules]
        for twice in sorted({each for each in names if names.count(each) > 1}):
            spec.notes.fault(spec.at("rules"), f"two rules are named {twice}; the first is used")
        unique = {rule.name: rule for rule in reversed(rules)}
        return NodeQos(
            name=name,
            rules=tuple(rule for rule in rules if unique[rule.name] is rule),
            selector=spec.selector("selector"),
            most_share=percent / 100,
        )

    return _read(document, read)


def pod_qos(document: Json) -> Read[PodQos]:
    """One whose selector has a fault is not used: it would protect, or give away, other pods than it says."""

    def read(name: str, spec: Fields) -> PodQos | None:
        before = len(spec.notes.faults)
        selector = spec.selector("labelSelector") or EMPTY
        expressions = spec.fields("scopeSelector").each("matchExpressions", bounds.MOST_SELECTOR_TERMS)
        scopes = [_scope(each) for each in expressions]
        if len(spec.notes.faults) > before or None in scopes:
            return None
        quality = spec.fields("resourceQOS")
        quality.unsupported("memoryQOS", "netIOQOS", "diskIOQOS")
        spec.unsupported("podQualityProbe")
        cpu = quality.fields("cpuQOS")
        cpu.unsupported("containerPriority", "cpuBurst", "htIsolation", "rdt", "containerRdt")
        if cpu.fields("cpuSet").text("cpuSet", "none") != "none":
            cpu.notes.unsupport(cpu.at("cpuSet"))
        priority = cpu.whole("cpuPriority", -1, least=0, most=LOWEST)
        return PodQos(
            name=name,
            selector=selector,
            scopes=tuple(scope for scope in scopes if scope is not None),
            allowed_actions=frozenset(spec.texts("allowedActions", bounds.MOST_SELECTOR_TERMS)),
            cpu_priority=None if priority < 0 else priority,
        )

    return _read(document, read)


def _read(document: Json, read: Callable[[str, Fields], T | None]) -> Read[T]:
    notes = Notes()
    whole = Fields(document, "", notes)
    name = whole.fields("metadata").text("name")
    value = read(name, whole.fields("spec")) if name else None
    return Read(value, tuple(notes.faults), tuple(notes.unsupported))


def _rule(fields: Fields) -> Rule | None:
    before = len(fields.notes.faults)
    metric = fields.fields("metricRule")
    metric_name, action = metric.text("name"), fields.text("actionName")
    name = fields.text("name", metric_name)
    value = metric.number("value", 0, least=0, most=_MOST_VALUE)
    avoid = fields.whole("avoidanceThreshold", 1, least=1, most=_MOST_ROUNDS)
    restore = fields.whole("restoreThreshold", 1, least=1, most=_MOST_ROUNDS)
    strategy = fields.text("strategy", "None", among=("None", "Preview"))
    if not metric_name or not action:
        fields.notes.fault(fields.path, "must have metricRule.name and actionName")
    if value <= 0:
        fields.notes.fault(metric.at("value"), "must be over 0")
    if len(fields.notes.faults) > before:
        return None
    metric.unsupported("selector")
    if metric_name not in METRICS:
        fields.notes.unsupport(f"{metric.at('name')}: {metric_name}")
        return None
    return Rule(
        name=name,
        metric=metric_name,
        value=value,
        action=action,
        avoid_rounds=avoid,
        restore_rounds=restore,
        is_preview=strategy == "Preview",
    )


def _scope(fields: Fields) -> Scope | None:
    name = fields.text("scopeName", among=("QOSClass", "Priority", "Namespace"))
    operator = fields.text("operator", among=("In", "NotIn"))
    values = fields.texts("values", bounds.MOST_SELECTOR_TERMS)
    if not name or not operator or not values:
        fields.notes.fault(fields.path, "must have scopeName, operator and values")
        return None
    if name != "Priority":
        return Scope(name, operator == "In", texts=frozenset(values))
    ranges = [priority_range(value) for value in values]
    if None in ranges:
        fields.notes.fault(fields.at("values"), "priorities are written as 1000 or as 1000-3000")
        return None
    return Scope(name, operator == "In", ranges=tuple(each for each in ranges if each is not None))
