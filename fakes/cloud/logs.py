"""The output of containers, on disk, in bounded files: every line with the time at which it was complete.

A line on disk is 30 characters of time, a space, the text, a newline; the last line of an ended run lacks the newline
if the program never wrote it. Times only go up, so a file can be searched from its end. A run keeps at least its
newest 10 MiB and at most twice that.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from fakes.cloud.clock import nano_time
from fakes.cloud.runtime import LogQuery

SEGMENT_BYTES = 10 << 20
LINE_LIMIT_BYTES = 1 << 20  # a longer line is broken here, since no window could show it whole
STAMP_LENGTH = 30
_BLOCK = 64 << 10


class RunLog:
    """The log of one run, being written. The file is opened at the first line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._size = 0
        self._partial = b""
        self._last_ns = 0

    @property
    def partial(self) -> bytes:
        return self._partial

    def feed(self, data: bytes, now: float) -> None:
        """Take in output; only whole lines are written."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if lines:
            self._write(b"".join(self._stamped(line, now) + b"\n" for line in lines))
        while len(self._partial) > LINE_LIMIT_BYTES:
            head, self._partial = self._partial[:LINE_LIMIT_BYTES], self._partial[LINE_LIMIT_BYTES:]
            self._write(self._stamped(head, now) + b"\n")

    def close(self, now: float) -> None:
        """The run has ended: what was said without a newline becomes visible."""
        if self._partial:
            self._write(self._stamped(self._partial, now))
            self._partial = b""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _stamped(self, line: bytes, now: float) -> bytes:
        self._last_ns = max(int(now * 1e9), self._last_ns + 1)
        return nano_time(self._last_ns).encode() + b" " + line

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > SEGMENT_BYTES and self._file is not None:
            os.close(self._file)
            self._file, self._size = None, 0
            self._path.replace(_older(self._path))
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        while data:
            data = data[os.write(self._file, data) :]
            # a short write happens on a full disk; the next one then raises
        self._size = os.lseek(self._file, 0, os.SEEK_END)


def read(path: Path, query: LogQuery) -> str:
    """The text a query selects: the newest lines up to `tail` and not before `since_ns`, then its first bytes."""
    since = nano_time(query.since_ns).encode()
    lines: list[bytes] = []
    for line in _backwards(path):
        if len(lines) == query.tail or line[:STAMP_LENGTH] < since:
            break
        lines.append(line if query.timestamps else line[STAMP_LENGTH + 1 :])
    content = b"".join(reversed(lines))[: query.limit_bytes]
    return content.decode(errors="replace")


def remove(path: Path) -> None:
    for each in (path, _older(path)):
        each.unlink(missing_ok=True)


def _older(path: Path) -> Path:
    return path.with_suffix(".old")


def _backwards(path: Path) -> Iterator[bytes]:
    """Whole lines, newest first, each with its newline if it has one; across both segments."""
    for segment in (path, _older(path)):
        try:
            with segment.open("rb") as file:
                yield from _backwards_in(file.fileno())
        except FileNotFoundError:
            continue


def _backwards_in(file: int) -> Iterator[bytes]:
    end = os.lseek(file, 0, os.SEEK_END)
    pieces: list[bytes] = []  # of the line whose beginning is not yet read, its last piece first
    while end > 0:
        start = max(0, end - _BLOCK)
        block = os.pread(file, end - start, start)
        end = start
        stop = len(block)
        while stop > 0:
            # A newline at the very end belongs to the line it ends, unless that line goes on in `pieces`.
            place = block.rfind(b"\n", 0, stop if pieces else stop - 1)
            if place < 0:
                break
            yield block[place + 1 : stop] + b"".join(reversed(pieces))
            pieces.clear()
            stop = place + 1
        if stop > 0:
            pieces.append(block[:stop])
    if pieces:
        yield b"".join(reversed(pieces))
