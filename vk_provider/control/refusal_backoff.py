"""How soon a pod that cannot be carried is failed.

A ReplicaSet makes a new pod the moment one fails, so failing each at once would fill the cluster with dead pods. The
first of an owner is failed at once, for its user is waiting; each further one after a growing wait.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from vk_provider.model import pod as pods
from vk_provider.pacing.backoff import Backoff

Json = dict[str, Any]

BACKOFF = Backoff(first_s=10.0, most_s=300.0)
RESET_AFTER_S = 1800.0  # after so long without a refusal an owner begins anew
PATIENT_OWNERS = frozenset({"Job"})  # they wait longer and longer by themselves
MOST_OWNERS = 1024


class OwnerBackoff:
    """Bounded: the owners refused most recently."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, tuple[int, float]] = OrderedDict()  # uid → refusals, when the last is due

    def not_before(self, pod: Json, now_s: float) -> float:
        """When this pod may be failed, on the clock of `now_s`; counts as a refusal of its owner."""
        owner = pods.controller_of(pod)
        if owner is None or owner.get("kind") in PATIENT_OWNERS:
            return now_s
        refusals, last_s = self._owners.pop(owner["uid"], (0, now_s))
        if now_s - last_s > RESET_AFTER_S:
            refusals = 0
        due_s = now_s if refusals == 0 else now_s + BACKOFF.delay(refusals - 1)
        self._owners[owner["uid"]] = (refusals + 1, due_s)
        while len(self._owners) > MOST_OWNERS:
            self._owners.popitem(last=False)
        return due_s
