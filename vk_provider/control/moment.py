"""When a decision is made. Pure: whoever decides is told the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of a decision. wall: UTC; loop_s: the loop's clock, for intervals; stamp: wall as RFC 3339."""

    wall: datetime
    loop_s: float

    @property
    def stamp(self) -> str:
        return f"{self.wall.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
