"""Good inputs made bad, by a seeded die: bytes and JSON values."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD_BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b"\x80\x03",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\n",
    b"\r\n\r\n",
    b"\xed\xa0\x80",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "0",
    "-1",
    "1e999999999",
    "NaN",
    "\x00",
    "\ud800",
    "é" * 40,
    "a" * 70_000,
    "2026-13-45T99:99:99Z",
    "$(A)$$(B)$(",
    "../../etc/passwd",
    [],
    {},
    [None],
    [[]],
    {"": {}},
    [{"name": None}],
)


def of_bytes(dice: random.Random, seed: bytes) -> bytes:
    """One to six small harms."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(data))
        match dice.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << dice.randrange(8)
            case 1:
                data[at:at] = dice.randbytes(dice.randint(1, 12))
            case 2:
                del data[at : at + dice.randint(1, 12)]
            case 3:
                data[at:at] = data[at : at + dice.randint(1, 40)]
            case 4:
                del data[at:]
            case 5:
                odd = dice.choice(ODD_BYTES)
                data[at : at + len(odd)] = odd
            case _ if data:
                data[at % len(data)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(data)


def of_json(dice: random.Random, seed: Any) -> Any:
    """One to four places replaced, left out, doubled or exchanged."""
    value = copy.deepcopy(seed)
    for _ in range(dice.randint(1, 4)):
        places = list(_places(value))
        if not places:
            return dice.choice(ODD_VALUES)
        holder, key = dice.choice(places)
        match dice.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 1:
                holder[dice.choice(("", "x", "name", "Name", "\ud800"))] = copy.deepcopy(holder[key])
            case 2:
                other, place = dice.choice(places)
                if _has(other, place) and _has(holder, key):
                    holder[key] = copy.deepcopy(other[place])
            case _:
                holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    return value


def _places(value: Any) -> Any:
    """Every place in it that holds something, as its holder and the key or index there."""
    stack = [value]
    while stack:
        holder = stack.pop()
        entries = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in entries:
            yield holder, key
            stack.append(inner)


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)
