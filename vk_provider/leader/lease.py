"""A Lease of another process, as it is seen from here: who holds it, and for how long it may be counted on. Pure.

No clock of another machine is believed: a change of any kind is a sign of life, and what counts is how long nothing has
changed by our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
_CLOCK_DRIFT = 0.05  # of the duration: how much faster another machine's clock may go


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease as it was seen first in its present version. at_s: by the clock of fences.

    was_seen_alive: it has changed since it was first seen at all.
    """

    holder: str
    version: str
    duration_s: float
    at_s: float
    was_seen_alive: bool = False

    @classmethod
    def of(cls, lease: Json, before: Sighting | None, duration_s: float, now_s: float) -> Sighting:
        """before: what was seen of the same Lease. duration_s: where it names none."""
        version = str(lease["metadata"].get("resourceVersion") or "")
        if before is not None and before.version == version:
            return before
        told_s = float((lease.get("spec") or {}).get("leaseDurationSeconds") or duration_s)
        return cls(holder_of(lease), version, told_s, now_s, before is not None)

    def age_s(self, now_s: float) -> float:
        return now_s - self.at_s

    def remaining_s(self, now_s: float) -> float:
        """How long its holder may still count on it."""
        return max(0.0, self.at_s + self.duration_s * (1 + _CLOCK_DRIFT) - now_s)


def holder_of(lease: Json) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def micro_time(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`; six digits always, as the API's MicroTime demands."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
