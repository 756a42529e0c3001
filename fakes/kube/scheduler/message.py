"""The scheduler's words for "it does not fit". Pure. Source: kubernetes pkg/scheduler/framework/types.go, FitError."""

from collections import Counter
from collections.abc import Iterable

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


def fit_error(node_count: int, reasons: Iterable[str], *, preemption: str = "") -> str:
    """`0/N nodes are available: <count> <reason>, …. <preemption>`; the parts sorted as strings, counts included.

    reasons: one entry per node and reason.
    """
    parts = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    text = f"0/{node_count} nodes are available:"
    if parts:
        text += f" {', '.join(parts)}."
    return f"{text} {preemption}" if preemption else text


def blocked(node_count: int, reason: str, *, preemption: str = "") -> str:
    """The same when the pod itself cannot be placed anywhere, for one reason that no node has to do with."""
    text = f"0/{node_count} nodes are available: {reason}."
    return f"{text} {preemption}" if preemption else text
