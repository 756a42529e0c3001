"""What the agent says of its node and of its victims: events, and the condition `interference-identified`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vk_provider.model.pod import Json
from vk_provider.qos_agent.pod_roles import NodePod
from vk_provider.translate import events

COMPONENT = "crane-agent"  # as upstream's agent names itself
CONDITION = "interference-identified"


def node_event(node: Json, kind: str, reason: str, message: str, *, now: str) -> Json:
    """On the Node, by its name: kubectl and kubelets use a node's name where others use a uid."""
    name = node["metadata"]["name"]
    reference = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": name}
    return _ours(events.own_event(reference, type=kind, reason=reason, message=message, now=now, node=name))


def pod_event(pod: NodePod, reason: str, message: str, *, now: str, node: str = "") -> Json:
    namespace, name = pod.name
    reference = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": pod.uid}
    return _ours(events.own_event(reference, type="Warning", reason=reason, message=message, now=now, node=node))


def _ours(event: Json) -> Json:
    source = {**event["source"], "component": COMPONENT}
    return {**event, "source": source, "reportingComponent": COMPONENT}


def has_condition(node: Mapping[str, Any]) -> bool:
    """Whether the Node says that something interferes."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == CONDITION and each.get("status") == "True" for each in conditions)


def condition_patch(*, holds: bool, now: str) -> Json:
    """A strategic merge patch of `nodes/status`."""
    state = (
        ("True", "AvoidanceTriggered", "a NodeQOS rule holds or cools down, so no more idle capacity is offered")
        if holds
        else ("False", "NoInterference", "no NodeQOS rule holds")
    )
    status, reason, message = state
    condition = {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {"status": {"conditions": [condition]}}
