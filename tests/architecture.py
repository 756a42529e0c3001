"""The rooms of the provider as the import contract has them, and the drawing of them in vk_provider/README.md.

`.importlinter` is the one place where layers are written down; `python -m tests.guides` puts the drawing of it into the
guide, and `test_guides` compares the two.
"""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_WIDTH = 74


def layers(root: Path = ROOT) -> Sequence[Sequence[str]]:
    """From top to bottom; the rooms of one layer, without the package's name, do not know each other."""
    contract = configparser.ConfigParser()
    contract.read_string((root / ".importlinter").read_text())
    lines = contract["importlinter:contract:layers"]["layers"].split("\n")
    found = [[room.strip().removeprefix("vk_provider.") for room in line.split("|")] for line in lines if line.strip()]
    if not found:
        raise ValueError("the layers contract names no layer")
    return found


def pure_rooms(root: Path = ROOT) -> Sequence[str]:
    """Modules and packages that do no I/O, as dotted names below vk_provider."""
    contract = configparser.ConfigParser()
    contract.read_string((root / ".importlinter").read_text())
    lines = contract["importlinter:contract:pure"]["source_modules"].split("\n")
    return [line.strip().removeprefix("vk_provider.") for line in lines if line.strip()]


def drawing(rows: Sequence[Sequence[str]]) -> str:
    """One box a layer; a box may import from any box below it. A room whose every module is pure has a star."""
    pure = set(pure_rooms())
    edge = "─" * _WIDTH
    lines = [f"┌{edge}┐"]
    for number, rooms in enumerate(rows):
        lines += [f"├{edge}┤"] if number else []
        lines += [f"│ {part.ljust(_WIDTH - 2)} │" for part in _wrapped([_starred(room, pure) for room in rooms])]
    return "\n".join([*lines, f"└{edge}┘"])


def _starred(room: str, pure: set[str]) -> str:
    return f"{room}*" if room in pure else room


def _wrapped(rooms: Sequence[str]) -> list[str]:
    """The rooms of a layer beside each other, in as many lines as they need."""
    lines = [""]
    for room in rooms:
        joined = f"{lines[-1]}   {room}" if lines[-1] else room
        if len(joined) > _WIDTH - 2 and lines[-1]:
            lines.append(room)
        else:
            lines[-1] = joined
    return lines
