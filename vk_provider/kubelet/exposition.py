"""Samples that carry the time of their measure, as text for Prometheus (exposition format 0.0.4).

Unlike `vk_provider.metrics`, nothing is kept here: a page is made of what is known at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Families = Mapping[str, tuple[str, str]]  # name → (type, help text)


def labels(**values: str) -> str:
    """`{a="x",b="y"}`, in the order given."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@dataclass(init=False, slots=True)
class Page:
    """Collects samples; every family stands on it, be it empty, so that a reader knows its type."""

    _families: Families
    _lines: dict[str, list[str]]

    def __init__(self, families: Families) -> None:
        self._families = families
        self._lines = {name: [] for name in sorted(families)}

    def add(self, name: str, labels: str, value: float, at_ms: int | None = None) -> None:
        """labels: made by `labels`, or empty. at_ms: when it was measured."""
        stamp = "" if at_ms is None else f" {at_ms}"
        self._lines[name].append(f"{name}{labels} {value}{stamp}\n")

    def text(self) -> str:
        parts: list[str] = []
        for name, lines in self._lines.items():
            kind, words = self._families[name]
            parts.append(f"# HELP {name} {words}\n# TYPE {name} {kind}\n")
            parts += lines
        return "".join(parts)
