"""The events of one container group: what a kubelet would say, and what the platform says, kept apart by source.

Equal events are counted, not repeated, as Kubernetes does; at most the 50 newest are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fakes.cloud.clock import iso_time
from fakes.cloud.parameters import Json

KEPT = 50
AGENT = "K8sAgent"  # the agent inside the instance: kubelet's words
SERVICE = "EciService"  # the platform
_newest = 0


def _unique_nanoseconds(when: float) -> int:
    """A number that grows with time and is never given twice, not even by two groups in one nanosecond."""
    global _newest
    _newest = max(int(when * 1e9), _newest + 1)
    return _newest


@dataclass(slots=True)
class Event:
    name: str
    type: str
    reason: str
    message: str
    source: str
    first: float
    last: float
    count: int = 1

    def as_listed(self) -> Json:
        """The form inside DescribeContainerGroups."""
        return {
            "Type": self.type,
            "Reason": self.reason,
            "Name": self.name,
            "Message": self.message,
            "Count": self.count,
            "FirstTimestamp": iso_time(self.first),
            "LastTimestamp": iso_time(self.last),
        }


class EventLog:
    """Newest last. Times never go down from one event to the next."""

    __slots__ = ("_events", "_prefix")

    def __init__(self, group_name: str) -> None:
        self._prefix = group_name
        self._events: list[Event] = []

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def normal(self, when: float, reason: str, message: str, *, source: str = AGENT) -> None:
        self._add(when, "Normal", reason, message, source)

    def warning(self, when: float, reason: str, message: str, *, source: str = AGENT) -> None:
        self._add(when, "Warning", reason, message, source)

    def _add(self, when: float, kind: str, reason: str, message: str, source: str) -> None:
        for place, event in enumerate(self._events):
            if (event.type, event.reason, event.message, event.source) == (kind, reason, message, source):
                event.count += 1
                event.last = max(event.last, when)
                self._events.append(self._events.pop(place))
                return
        if self._events:
            when = max(when, self._events[-1].last)
        name = f"{self._prefix}.{_unique_nanoseconds(when):016x}"
        self._events.append(Event(name, kind, reason, message, source, when, when))
        del self._events[:-KEPT]
