"""Whether this process does its work, in words: what probes, /healthz and the node condition ProviderHealthy show.

A check reads what a loop has noted of itself; it never waits. Each says since when something is wrong, so that a
passing trouble need not be shown everywhere at once, and its words stay the same while the trouble does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vk_provider.retry_loop import retry_loop

PATIENCE_S = 30.0  # how long something must be wrong before the Node shows it


@dataclass(frozen=True, slots=True)
class Fault:
    """reason: one word in CamelCase, as of a condition. age_s: for how long it has been so."""

    reason: str
    message: str
    age_s: float = 0.0


Check = Callable[[], Fault | None]


@dataclass(frozen=True, slots=True)
class _Known:
    check: Check
    is_own: bool
    restart_helps: bool


class Health:
    """All checks by name, in the order in which they were added. of: of the process that this is a part of."""

    def __init__(self, of: Health | None = None) -> None:
        self._of = of
        self._known: dict[str, _Known] = {}
        self._parts: dict[str, Health] = {}

    def part(self, name: str = "") -> Health:
        """Checks of a part of the process, as of one of its nodes: `name/check` here, and nothing of the other parts
        there. Without a name the part is the whole."""
        self._parts[name] = Health(self)
        return self._parts[name]

    def add(self, name: str, check: Check, *, is_own: bool = True, restart_helps: bool = False) -> None:
        """is_own: what is wrong is at us or our way to the API server; the cloud has a condition of its own.

        restart_helps: a new process would have a chance to do better, so the liveness probe may fail for it.
        """
        self._known[name] = _Known(check, is_own, restart_helps)

    def clear(self) -> None:
        """What the checks were about is no more, as when another process has taken over."""
        self._known.clear()

    def faults(self, *, restart_helps: bool | None = None, is_own: bool | None = None) -> dict[str, Fault | None]:
        """By check; None where all is well. Only checks of that kind, where one is given."""
        return {
            name: known.check()
            for name, known in self._all()
            if restart_helps in (None, known.restart_helps) and is_own in (None, known.is_own)
        }

    def _all(self) -> Iterator[tuple[str, _Known]]:
        if self._of is not None:
            yield from self._of._known.items()
        yield from self._known.items()
        for part, of_part in self._parts.items():
            yield from ((f"{part}/{name}" if part else name, known) for name, known in of_part._known.items())

    def for_node(self) -> Fault | None:
        """What the Node should show: our own faults that last."""
        lasting = [fault for fault in self.faults(is_own=True).values() if fault and fault.age_s >= PATIENCE_S]
        if not lasting:
            return None
        return Fault(lasting[0].reason, "; ".join(fault.message for fault in lasting), lasting[0].age_s)


@dataclass(slots=True)
class Pulse:
    """What a loop notes of itself, in loop time; its failure also by the wall clock, for people."""

    tried_s: float | None = None
    well_s: float | None = None
    failing_s: float | None = None
    failing_since: str = ""
    message: str = ""
    _kind: object = field(default=None, repr=False)

    def tried(self) -> None:
        self.tried_s = _now()

    def well(self) -> None:
        self.tried_s = self.well_s = _now()
        self.failing_s, self.message, self._kind = None, "", None

    def failed(self, message: str, kind: object = None) -> None:
        """kind: the message stays what it was while this is the same, for servers word one trouble in many ways."""
        self.tried_s = _now()
        if self.failing_s is None:
            self.failing_s = self.tried_s
            self.failing_since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if not self.message or kind is None or kind != self._kind:
            self.message, self._kind = message, kind

    def fault(self, reason: str, what: str, *, stale_s: float) -> Fault | None:
        """Wrong once nothing went well for `stale_s`. what: "the lease has not been renewed"."""
        now = _now()
        since = self.failing_s if self.well_s is None else self.well_s
        if since is None or now - since < stale_s:
            return None
        text = f" since {self.failing_since}: {self.message}" if self.failing_s is not None else ""
        return Fault(reason, f"{what}{text}", now - since)

    def stillness(self, reason: str, what: str, *, most_s: float) -> Fault | None:
        """Wrong when it was not even tried for so long: the loop stands still."""
        if self.tried_s is None or (age_s := _now() - self.tried_s) < most_s:
            return None
        return Fault(reason, f"{what} has stood still for more than {most_s:.0f} s", age_s)


class LoopLag:
    """How late the event loop comes to what is due: something that computes, or a machine that stands, holds it up."""

    EVERY_S, WINDOW, MOST_S = 1.0, 60, 5.0

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=self.WINDOW)

    @property
    def worst_s(self) -> float:
        """Of the last minute."""
        return max(self._lags, default=0.0)

    def fault(self) -> Fault | None:
        if self.worst_s < self.MOST_S:
            return None
        return Fault("EventLoopBlocked", f"the event loop was held up for more than {self.MOST_S:.0f} s", 0.0)

    async def run(self) -> None:
        await retry_loop(self._measure, name="loop lag")

    async def _measure(self) -> None:
        began = _now()
        await asyncio.sleep(self.EVERY_S)
        self._lags.append(max(0.0, _now() - began - self.EVERY_S))


def _now() -> float:
    return asyncio.get_running_loop().time()
