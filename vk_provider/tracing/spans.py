"""What takes spans: OpenTelemetry's SDK, or a list of a test's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

Attributes = Mapping[str, str | float | bool]


class Span(Protocol):
    """A stretch of time with a name, within another or by itself. None of this blocks or raises."""

    def child(self, name: str, began: datetime, attributes: Attributes) -> Span: ...

    def end(self, at: datetime, *, error: str = "") -> None:
        """error: why it did not come to what it was for; empty = it did."""
        ...


class Tracer(Protocol):
    def trace(self, name: str, began: datetime, attributes: Attributes) -> Span:
        """The first span of a trace of its own."""
        ...
