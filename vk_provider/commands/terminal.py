"""Text for a terminal or a pipe: tables no wider than the terminal, and nothing in them that a terminal would act on.
Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vk_provider.logtext import on_one_line

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
LEAST_WIDTH = 40
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Style:
    """width: in columns; None = into a pipe, where lines are as long as they are."""

    width: int | None = None
    has_colour: bool = False

    @property
    def columns(self) -> int | None:
        return max(self.width, LEAST_WIDTH) if self.width else None

    def paint(self, colour: str, words: str) -> str:
        return f"\x1b[{colour}m{words}\x1b[0m" if self.has_colour and colour else words


PLAIN = Style()


def row(label: str, content: str, style: Style, *, colour: str = "", indent: int = 14) -> list[str]:
    """`label         content`, the content wrapped beside it."""
    first, *more = wrapped(content, style, indent=indent) or [""]
    start = f"{style.paint(DIM, label)}{' ' * max(1, indent - len(label))}"
    return [start + style.paint(colour, first), *(" " * indent + style.paint(colour, each) for each in more)]


def wrapped(content: str, style: Style, *, indent: int = 0) -> list[str]:
    """Without the indent, which its lines leave room for."""
    plain = on_one_line(content)
    if style.columns is None:
        return [plain]
    return textwrap.wrap(plain, max(20, style.columns - indent), break_on_hyphens=False)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], style: Style, colours: Sequence[str] = (), *, whole: int = 0
) -> list[str]:
    """Columns as wide as what is in them; where there is no room the widest ones are cut. colours: one a row. whole: so
    many columns are cut last, for somebody copies what is in them."""
    cells = [[on_one_line(str(each)) for each in line] for line in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    if style.columns is not None:
        room = style.columns - len(_GAP) * (len(widths) - 1)
        for first in (whole, 0):  # the widest column gives way, one by one; the first ones only after all others have
            while sum(widths) > room and max(widths[first:]) > 6:
                widths[widths.index(max(widths[first:]), first)] -= 1
    lines = [style.paint(DIM, _joined(headers, widths))]
    for number, line in enumerate(cells):
        lines.append(style.paint(colours[number] if number < len(colours) else "", _joined(line, widths)))
    return lines


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [each if len(each) <= width else each[: width - 1] + "…" for each, width in zip(cells, widths, strict=True)]
    return _GAP.join(each.ljust(width) for each, width in zip(shown, widths, strict=True)).rstrip()


def duration(seconds: float) -> str:
    """As kubectl prints ages: 42s, 5m, 3h, 2d."""
    whole = int(max(0.0, seconds))
    for unit, size, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if whole < until:
            return f"{whole // size}{unit}"
    return f"{whole // 86_400}d"


def amount(value: float) -> str:
    return f"{value:.2f}" if value >= 10 else f"{value:.4f}"
