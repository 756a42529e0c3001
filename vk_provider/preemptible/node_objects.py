"""What a Node object says of idle capacity, and the condition by which it shows that a rule holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vk_provider.errors import NotFound
from vk_provider.idle.offer import NodeFacts
from vk_provider.idle.resources import CPU, MEMORY, NOTHING, Amount
from vk_provider.idle.rules import Verdict
from vk_provider.kube import paths
from vk_provider.model.pod import Json
from vk_provider.model.quantity import parse

if TYPE_CHECKING:
    from vk_provider.preemptible.preemptible_node import PreemptibleNode

INTERFERENCE = "interference-identified"
RESERVE = "reserve.node.gocrane.io/cpu"
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


async def read(node: PreemptibleNode) -> None:
    """Note what the Node says now. Raises KubeError."""
    seen = node.seen
    try:
        found = await node.wiring.client.get(paths.node(node.wiring.name))
    except NotFound:
        found = {}
    meta, status = _map(found.get("metadata")), _map(found.get("status"))
    seen.facts = NodeFacts(published=published(_map(status.get("capacity"))))
    seen.labels = _map(meta.get("labels"))
    seen.reserve = _reserve(_map(meta.get("annotations")).get(RESERVE))
    seen.is_interfered = any(
        isinstance(each, dict) and (each.get("type"), each.get("status")) == (INTERFERENCE, "True")
        for each in status.get("conditions") or ()
    )


async def show_interference(node: PreemptibleNode, *, now: datetime, verdict: Verdict) -> None:
    """Raises KubeError."""
    if verdict.suspended == node.seen.is_interfered:
        return
    stamp = now.astimezone(UTC).strftime(_STAMP)
    condition = {
        "type": INTERFERENCE,
        "status": "True" if verdict.suspended else "False",
        "reason": "AvoidanceTriggered" if verdict.suspended else "RestoreTriggered",
        "message": "a NodeQOS rule holds or cools down, and nothing more is offered to preemptible pods"
        if verdict.suspended
        else "no NodeQOS rule holds",
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }
    async with asyncio.timeout(10):
        await node.wiring.client.patch(paths.node_status(node.wiring.name), {"status": {"conditions": [condition]}})
    node.seen.is_interfered = verdict.suspended


def published(capacity: Mapping[str, Any]) -> Amount:
    """Of a Node's `status.capacity`; what is no quantity counts as nothing."""
    try:
        return Amount(int(parse(capacity.get(CPU, 0))), int(parse(capacity.get(MEMORY, 0))))
    except ValueError:
        return NOTHING


def _reserve(text: object) -> float | None:
    """`20%`, as gocrane writes it; None for anything else."""
    number = str(text or "").removesuffix("%")
    try:
        value = float(number) / 100
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
