"""The node's pods and the QoS objects as the agent needs them, worked out once per change and not once per round."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from vk_provider.idle.qos import AvoidanceAction, NodeQos, PodRules, Read, avoidance_action, node_qos, pod_qos
from vk_provider.kube.store import Store
from vk_provider.model.pod import MIRROR_ANNOTATION, Json, is_terminal, uid_of
from vk_provider.qos_agent import pod_roles
from vk_provider.qos_agent.pod_roles import NodePod
from vk_provider.qos_agent.throttle import CpuThrottle, cpu_throttle
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

T = TypeVar("T")
_CONTAINER = ("name", "resources", "restartPolicy")
_SPEC = ("priority", "resources", "overhead")
_STATUS = ("phase", "qosClass", "startTime")
_METADATA = ("namespace", "name", "uid", "resourceVersion", "labels", "deletionTimestamp", "creationTimestamp")


def slim(pod: Json) -> Json:
    """What the agent reads of a pod, a tenth of it."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    kept = {name: metadata[name] for name in _METADATA if name in metadata}
    if mirror := (metadata.get("annotations") or {}).get(MIRROR_ANNOTATION):
        kept["annotations"] = {MIRROR_ANNOTATION: mirror}
    lists = {
        kind: [{name: each[name] for name in _CONTAINER if name in each} for each in spec[kind]]
        for kind in ("initContainers", "containers")
        if spec.get(kind)
    }
    return {
        "metadata": kept,
        "spec": {**{name: spec[name] for name in _SPEC if name in spec}, **lists},
        "status": {name: status[name] for name in _STATUS if name in status},
    }


class PodView:
    """changed: called after each change of a pod or of the PodQOS."""

    def __init__(
        self,
        pods: Store[Json],
        pod_rules: Store[Json],
        node_rules: Store[Json],
        actions: Store[Json],
        *,
        changed: Callable[[], object],
    ) -> None:
        self._pods, self._changed = pods, changed
        self._stores = (pod_rules, node_rules, actions)
        self._known: dict[str, NodePod] = {}
        self._stale = True
        self.rules = PodRules(())
        self.node_rules: list[NodeQos] = []
        self.actions: Mapping[str, AvoidanceAction] = {}
        self.throttles: Mapping[str, CpuThrottle] = {}
        self._log = ThrottledLog(log)
        pods.subscribe(self._pod_changed)
        for store in self._stores:
            store.subscribe(self._rules_changed)

    def pods(self) -> list[NodePod]:
        """Those that have not ended."""
        if self._stale:
            self._read_rules()
            self._known = {pod.uid: pod for pod in self._read(self._pods.values())}
            self._stale = False
        return list(self._known.values())

    def is_allowed(self, action: str, pod: NodePod) -> bool:
        return self.rules.is_allowed(action, pod.facts)

    def _pod_changed(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None or is_terminal(pod):
            self._known.pop(uid, None)
        elif not self._stale:
            self._known[uid] = self._read([pod])[0]
        self._changed()

    def _rules_changed(self, _: str) -> None:
        self._stale = True
        self._changed()

    def _read(self, pods: Iterable[Json]) -> list[NodePod]:
        found = list(pods)
        started_s = {uid_of(pod): _started_s(pod) for pod in found}
        return pod_roles.read(found, self.rules, started_s=started_s)

    def _read_rules(self) -> None:
        pod_rules, node_rules, actions = self._stores
        self.rules = PodRules(_values(map(self._reported, map(pod_qos, pod_rules.values()))))
        self.node_rules = sorted(
            _values(map(self._reported, map(node_qos, node_rules.values()))), key=lambda each: each.name
        )
        documents = list(actions.values())
        throttles = [each for each in map(cpu_throttle, documents) if each is not None]
        self.throttles = {each.action: each for each in throttles}
        found = _values(map(avoidance_action, documents))
        self.actions = {each.name: each for each in found}

    def _reported(self, read: Read[T]) -> Read[T]:
        """What of it is wrong or not carried out goes to the log, once."""
        name = getattr(read.value, "name", "one that is not used")
        for fault in read.faults:
            self._log.warning((name, fault), "qos=%s is wrong: %s", name, fault)
        for field in read.unsupported:
            self._log.warning((name, field), "qos=%s is not carried out: %s", name, field)
        return read


def _values(reads: Iterable[Read[T]]) -> list[T]:
    return [read.value for read in reads if read.value is not None]


def _started_s(pod: Json) -> float:
    text = (pod.get("status") or {}).get("startTime") or pod["metadata"].get("creationTimestamp")
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
