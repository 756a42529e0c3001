"""Objects of plain JSON as bytes, of those that are much alike only what differs.

The pods of a Job are the same text but for a few words, and a text is a quarter of what its dicts take: with another
one as deflate's dictionary, two and a half kilobytes become two hundred bytes, in 15 µs. Pure but for its memory.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import msgspec

_MOST_FAMILIES = 256
_ALIKE = 0.25  # of its text: what takes more is not like its family any more, which gets a new example then
_LEAST_USED = 16  # times before that, for an example stays as long as one is that was packed with it
_FAST = 1
_LEAST_WINDOW, _MOST_WINDOW = 12, 15  # bits; deflate's memory grows with it

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Packed(msgspec.Struct, frozen=True, gc=False):
    """example: the text that it was packed with, shared by many. Half the size of a tuple of the two."""

    content: bytes
    example: bytes


@dataclass(slots=True)
class _Family:
    example: bytes
    used: int = 0


class Packer:
    """Remembers the text of one object of each family, of `_MOST_FAMILIES` at most."""

    def __init__(self) -> None:
        self._families: OrderedDict[Hashable, _Family] = OrderedDict()

    def pack(self, item: Any, family: Hashable = None) -> Packed | None:
        """family: what is probably much alike. None where the item has no such form, as a number of more than 64 bits:
        it has to stay as it is."""
        try:
            text = _encode(item)
        except (OverflowError, ValueError, RecursionError):
            return None
        known = self._families.get(family)
        example = known.example if known is not None else self._any_example()
        packed = Packed(_deflated(text, example), example)
        if known is None:
            self._families[family] = _Family(text)
            if len(self._families) > _MOST_FAMILIES:
                self._families.popitem(last=False)
            return packed
        self._families.move_to_end(family)
        known.used += 1
        if known.used >= _LEAST_USED and len(packed.content) > len(text) * _ALIKE:
            self._families[family] = _Family(text)
        return packed

    def _any_example(self) -> bytes:
        return next(reversed(self._families.values())).example if self._families else b""


def unpack(packed: Packed) -> Any:
    """A new object each time."""
    return _decode(zlib.decompressobj(-_MOST_WINDOW, zdict=packed.example).decompress(packed.content))


def _deflated(text: bytes, example: bytes) -> bytes:
    """With a window that reaches over the text to the same place of the example."""
    window = min(_MOST_WINDOW, max(_LEAST_WINDOW, (len(text) + len(example)).bit_length()))
    deflate = zlib.compressobj(_FAST, zlib.DEFLATED, -window, window - 8, zlib.Z_DEFAULT_STRATEGY, example)
    return deflate.compress(text) + deflate.flush()
