"""How often, and in what portions, a cloud lets itself be read; handed in by its driver."""

from __future__ import annotations

from dataclasses import dataclass, replace

LEAST_PER_MINUTE = 20  # of calls for changes: a status is seconds late, not minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLimits:
    """What the loops that read a cloud keep to. The defaults suit a cloud of which nothing better is known.

    ids_per_call: of a question by ids. per_page: instances of a listing. window_s: least and most seconds that a
    question for changes may look back. changes_per_minute: calls for changes, of which changes_at_once may come without
    a pause. listed_per_minute: instances of full listings. usage_per_minute, updates_per_minute: calls for measurements
    and for updates of files. events_apart: whether events are read by calls of their own; else they come with the
    changes.
    """

    ids_per_call: int = 20
    per_page: int = 200
    window_s: tuple[int, int] = (60, 3600)
    changes_per_minute: int = 270
    changes_at_once: int = 200
    listed_per_minute: int = 2000
    usage_per_minute: float = 250.0
    updates_per_minute: int = 400
    events_apart: bool = True

    def shared_by(self, nodes: int) -> PollLimits:
        """Of an account in which so many nodes ask alike: a share of each rate. What may come at once stays, for bursts
        are seldom everywhere, and the calls' own limits bound them all."""
        return replace(
            self,
            changes_per_minute=max(LEAST_PER_MINUTE, self.changes_per_minute // nodes),
            listed_per_minute=max(self.per_page, self.listed_per_minute // nodes),
            usage_per_minute=max(1.0, self.usage_per_minute / nodes),
            updates_per_minute=max(1, self.updates_per_minute // nodes),
        )


CAREFUL = PollLimits()
