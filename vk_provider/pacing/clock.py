"""When a decision is made. Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of a decision. wall: UTC; loop_s: the loop's clock, for intervals; stamp: wall as RFC 3339.

    crowded: other pods wait for their turn to get an instance, so that what can be written later had better be.
    """

    wall: datetime
    loop_s: float
    crowded: bool = False

    @property
    def stamp(self) -> str:
        return f"{self.wall.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
