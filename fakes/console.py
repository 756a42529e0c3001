"""What people see: plain lines, with a little colour where there is a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

GREEN, BLUE, RED, DIM, BOLD, OFF = "\x1b[32m", "\x1b[36m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


class Console:
    """Writes to `write`; every line is flushed, for somebody is watching."""

    def __init__(self, write: Callable[[str], object], *, colour: bool) -> None:
        self._write = write
        self._colour = colour
        self._began = time.monotonic()

    @classmethod
    def of_terminal(cls) -> Self:
        def write(text: str) -> None:
            sys.stdout.write(text)
            sys.stdout.flush()

        return cls(write, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    def chapter(self, title: str) -> None:
        self._write(f"\n{self._in(BOLD, title)}\n")

    def step(self, text: str) -> None:
        self._write(f"  {self._in(DIM, self._elapsed())} {text}\n")

    def done(self, text: str) -> None:
        self._write(f"  {self._in(DIM, self._elapsed())} {self._in(GREEN, '✔')} {text}\n")

    def failed(self, text: str) -> None:
        self._write(f"\n  {self._in(RED, '✘ ' + text)}\n")

    def command(self, text: str) -> None:
        self._write(f"  {self._in(BLUE, '$ ' + text)}\n")

    def text(self, text: str) -> None:
        self._write(text + "\n")

    def indented(self, text: str) -> None:
        for line in text.splitlines():
            self._write(f"    {line}\n")

    def table(self, table: Mapping[str, Any], *, wide: bool = False) -> None:
        """A Kubernetes `Table` (meta.k8s.io/v1) as kubectl prints it: columns of priority 0, or all of them."""
        columns = table["columnDefinitions"]
        shown = [number for number, column in enumerate(columns) if wide or not column.get("priority")]
        rows = [[columns[number]["name"].upper() for number in shown]]
        rows += [[str(row["cells"][number]) for number in shown] for row in table.get("rows") or ()]
        widths = [max(len(row[place]) for row in rows) for place in range(len(shown))]
        for row in rows:
            self.indented("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:5.1f}s"

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{OFF}" if self._colour else text
