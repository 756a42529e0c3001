"""What the owner of a pod should hear of although the pod runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """One Warning event on the pod. container: the container it concerns, empty for the pod as a whole."""

    reason: str
    message: str
    container: str = ""
