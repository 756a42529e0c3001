"""JSON both ways, fast. What msgspec is too strict for (NaN, half a surrogate pair) is the standard library's: nothing
that a server sends is lost for that, and what was read can be written. Whole numbers are exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

Unread = msgspec.Raw  # JSON that is known to be some, as it was written

_decode = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, Unread]).decode
_elements = msgspec.json.Decoder(list[Unread]).decode


def loads(text: bytes | str | Unread) -> Any:
    """Raises ValueError for what is no JSON, or nested deeper than anybody nests."""
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        try:
            return json.loads(bytes(text) if isinstance(text, Unread) else text)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error


def opened(text: bytes) -> Any:
    """As `loads`, but of an object's members that are lists the elements are `Unread`, for `loads` to read one by one.

    All of a page's elements together take ten times the bytes of the page, and most of them may be known already.
    """
    try:
        str(text, "utf-8")  # what is skipped is looked at for its form only
        return {name: _opened(value) for name, value in _members(text).items()}
    except (ValueError, RecursionError):
        return loads(text)


class Items(Sequence[Any]):
    """A list that is read element by element, each time anew: whoever goes through it holds one of them at a time."""

    def __init__(self, elements: Sequence[Any]) -> None:
        """elements: `Unread` ones, or what is read already."""
        self._elements = elements

    def __len__(self) -> int:
        return len(self._elements)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> Items: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return Items(self._elements[at])
        found = self._elements[at]
        return loads(found) if isinstance(found, Unread) else found

    def __iter__(self) -> Iterator[Any]:
        return (loads(each) if isinstance(each, Unread) else each for each in self._elements)


def _opened(value: Unread) -> Any:
    return _elements(value) if bytes(memoryview(value)[:1]) == b"[" else loads(value)


def dumps(value: Any) -> bytes:
    """UTF-8, without spaces; infinity, which has no word, as null. Raises TypeError for what is nothing like JSON."""
    try:
        return msgspec.json.encode(value)
    except ValueError:
        return json.dumps(value, separators=(",", ":")).encode()
