"""The last events that this process has written about pods and its node, newest last."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vk_provider import bounds
from vk_provider.snapshot.document import RecentEvent

MOST_EVENTS = 100
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class RecentEvents:
    """Events as they are put in line for the API server; whether they arrived is another matter."""

    def __init__(self) -> None:
        self._events: deque[RecentEvent] = deque(maxlen=MOST_EVENTS)

    def observe(self, event: Mapping[str, Any]) -> None:
        regarding = event.get("involvedObject") or {}
        named = "/".join(filter(None, (regarding.get("namespace"), regarding.get("name"))))
        self._events.append(
            RecentEvent(
                at=str(event.get("lastTimestamp") or "") or datetime.now(UTC).strftime(_STAMP),
                type=str(event.get("type") or ""),
                reason=str(event.get("reason") or "")[: bounds.MOST_EVENT_REASON],
                object=f"{regarding.get('kind')} {named}"[: bounds.MOST_FIELD],
                message=bounds.shortened(str(event.get("message") or ""), bounds.MOST_REASON),
            )
        )

    def newest_first(self) -> tuple[RecentEvent, ...]:
        return tuple(reversed(self._events))
