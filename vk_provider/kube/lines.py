"""Bytes in, lines out: the frames of a watch. No limit on a line, since a Pod may be as large as etcd takes."""

from __future__ import annotations


class LineSplitter:
    """Holds at most one unfinished line; a line is looked at once however many pieces it comes in."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines this chunk completes, without their ends; empty lines are left out."""
        head, separator, rest = chunk.partition(b"\n")
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
