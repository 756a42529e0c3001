"""One event of our own about a pod, before it is sent. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodEvent:
    """type: Normal or Warning. container: whom it concerns, empty = the pod."""

    type: str
    reason: str
    message: str
    container: str = ""
