"""Bytes in, lines out: the frames of a watch."""

from __future__ import annotations

from vk_provider import bounds


class LineSplitter:
    """Holds at most one unfinished line; a line is looked at once however many pieces it comes in.

    most: bytes of a line. One that gets longer is dropped with all that comes after, and `is_overlong` says so.
    """

    def __init__(self, most: int = bounds.MOST_ANSWER) -> None:
        self._most = most
        self._pending = bytearray()
        self.is_overlong = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines this chunk completes, without their ends; empty lines are left out."""
        head, separator, rest = chunk.partition(b"\n")
        if self.is_overlong or len(self._pending) + len(head) > self._most:
            self.is_overlong = True
            self._pending.clear()
            return []
        if not separator:
            self._pending += chunk
            return []
        first = bytes(self._pending) + head
        *whole, last = rest.split(b"\n")
        self._pending = bytearray(last)
        return [line for line in (first, *whole) if line.strip()]

    @property
    def pending(self) -> int:
        """Bytes of the unfinished line; what is left of them when the stream ends is no object."""
        return len(self._pending)
