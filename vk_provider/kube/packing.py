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
_ALIKE = 0.125  # of its text: what takes more is not like the example
_LEAST_USED = 16  # times before an example is replaced, for it stays as long as one is that was packed with it
_FAST = 1
_MOST_EXAMPLE = 2**15  # bytes: deflate sees no further back, and what is larger would only be kept
_LEAST_WINDOW, _MOST_WINDOW = 12, 15  # bits; deflate's memory grows with it

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Packed(msgspec.Struct, frozen=True, gc=False):
    """example: the text that it was packed with, shared by many. Half the size of a tuple of the two."""

    content: bytes
    example: bytes


@dataclass(slots=True)
class _Example:
    text: bytes
    used: int = 0


class Packer:
    """Remembers one example for all, and one for each family that is not like it, of `_MOST_FAMILIES` at most."""

    def __init__(self) -> None:
        self._common: _Example | None = None
        self._families: OrderedDict[Hashable, _Example] = OrderedDict()

    def pack(self, item: Any, family: Hashable = None) -> Packed | None:
        """family: what is probably much alike. None where the item has no such form, as a number of more than 64 bits:
        it has to stay as it is."""
        try:
            text = _encode(item)
        except (OverflowError, ValueError, RecursionError):
            return None
        if len(text) > _MOST_EXAMPLE:
            return Packed(_deflated(text, b""), b"")
        own = self._families.get(family)
        example = own or self._common
        if example is None:
            self._common = _Example(text)
            return Packed(_deflated(text, b""), b"")
        packed = Packed(_deflated(text, example.text), example.text)
        example.used += 1
        if len(packed.content) > len(text) * _ALIKE:
            self._unlike(text, family, example)
        return packed

    def _unlike(self, text: bytes, family: Hashable, example: _Example) -> None:
        """A worn example gives way to this text; a family that does not share a fresh one gets its own."""
        if example.used >= _LEAST_USED:
            example.text, example.used = text, 0
        elif example is self._common:
            self._families[family] = _Example(text)
            if len(self._families) > _MOST_FAMILIES:
                self._families.popitem(last=False)


def unpack(packed: Packed) -> Any:
    """A new object each time."""
    return _decode(zlib.decompressobj(-_MOST_WINDOW, zdict=packed.example).decompress(packed.content))


def _deflated(text: bytes, example: bytes) -> bytes:
    """With a window that reaches over the text to the same place of the example."""
    window = min(_MOST_WINDOW, max(_LEAST_WINDOW, (len(text) + len(example)).bit_length()))
    deflate = zlib.compressobj(_FAST, zlib.DEFLATED, -window, window - 8, zlib.Z_DEFAULT_STRATEGY, example)
    return deflate.compress(text) + deflate.flush()
