"""Lines of a container's log as ECI gives them: each with its time before it. Reading, aligning and printing them.

Pure. What makes a log whole again from overlapping reads is `Overlap.advance`; everything else is small print.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# What one read can hold at most (eci.md 2.7).
MAX_LINES = 2000
MAX_BYTES = 1024 * 1024

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Line:
    """at_ns: nanoseconds since 1970. stamp: the time with nine digits, as `kubectl logs --timestamps` prints it.

    is_ours: the container has not written it.
    """

    at_ns: int
    stamp: str
    text: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class LogRead:
    """One answer of the log call. open_end: the last line has no newline yet. is_full: there may be more than this."""

    lines: Sequence[Line]
    open_end: bool = False
    is_full: bool = False
    is_cut: bool = False  # full by bytes: lines may be missing at either end
    line_count: int = 0  # that the answer had


def time_ns(text: str) -> tuple[int, str] | None:
    """An RFC 3339 time as (nanoseconds since 1970, the same with nine digits); None if it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    second, fraction, zone = match.groups()
    digits = (fraction or "").ljust(9, "0")
    try:
        moment = datetime.fromisoformat(f"{second}{'+00:00' if zone == 'Z' else zone}")
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1) * _SECOND + int(digits), f"{second}.{digits}{zone}"


def second_of(at_ns: int) -> str:
    """The full second before, as the call's StartTime takes it."""
    return (_EPOCH + timedelta(seconds=at_ns // _SECOND)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(content: str, *, asked_lines: int) -> LogRead:
    """An answer's text. A line without a time (its beginning was cut away) takes its predecessor's, or is dropped
    where it is the first of an answer that was cut."""
    pieces = content.split("\n")
    open_end = pieces[-1] != ""
    if not open_end:
        pieces.pop()
    size = len(content.encode("utf-8", "replace"))
    # An answer that keeps whole lines only may stay below the cap by one long line.
    is_cut = size >= MAX_BYTES * 3 // 4
    lines: list[Line] = []
    for piece in pieces:
        stamp, _, text = piece.partition(" ")
        known = time_ns(stamp)
        if known is not None:
            lines.append(Line(known[0], known[1], text))
        elif lines:
            lines.append(Line(lines[-1].at_ns, lines[-1].stamp, piece))
        elif not is_cut:
            lines.append(Line(0, "", piece))
    is_full = is_cut or len(pieces) >= asked_lines
    return LogRead(lines, open_end and bool(lines), is_full, is_cut, line_count=len(lines))


def printed(line: Line, *, timestamps: bool, newline: bool = True) -> bytes:
    prefix = f"{line.stamp} " if timestamps and line.stamp else ""
    return f"{prefix}{line.text}{chr(10) if newline else ''}".encode("utf-8", "replace")


# --- joining overlapping reads ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advance:
    """What a read adds. has_gap: nothing known is in the read, so that lines may be missing, or it is another log."""

    lines: Sequence[Line]
    has_gap: bool = False


class Overlap:
    """Joins reads at a growing log, each beginning somewhere in what the one before showed.

    Always holds the lines known since `start_ns`. The part of a new read that is known is found as the
    longest beginning of it that ends the known lines, line by line with its time: that is exact also among equal
    lines with equal times. Where the cloud has put a late line between known ones, lines are told apart by number.
    """

    def __init__(self) -> None:
        self._known: Sequence[int] = ()
        self._from_start = True
        self.start_ns: int | None = None  # begin the next read here; None = at the log's beginning

    def begin(self, lines: Sequence[Line], *, is_whole: bool, not_before_ns: int | None = None) -> None:
        """The first read, or a new start after a gap. is_whole: no line since `start_ns` was left out.

        not_before_ns: where there are no lines to go on from, the next read begins here.
        """
        self._from_start = is_whole
        self._hold(lines)
        if not lines and not_before_ns is not None:
            self.start_ns = not_before_ns // _SECOND * _SECOND

    def advance(self, lines: Sequence[Line], *, is_full: bool = False) -> Advance:
        """What is new in this read. After a gap what was known stays known, until `begin` says otherwise.

        is_full: the read may not reach back to `start_ns`.
        """
        if not lines:
            return Advance(())
        keys = [_key(line) for line in lines]
        known = 0 if self._from_start else _end_of(self._known, keys)
        known = known or _known_length(self._known, keys)
        fresh = lines[known:]
        if known == 0 and self._known:
            fresh = _difference(lines, keys, self._known)
            if len(fresh) == len(lines):
                return Advance(lines, has_gap=True)
        if is_full:
            self._hold(fresh, after=self._known)
        else:
            self._from_start = True
            self._hold(lines)
        return Advance(fresh)

    def _hold(self, lines: Sequence[Line], *, after: Sequence[int] = ()) -> None:
        if lines:
            self._known = [*after, *(_key(line) for line in lines)][-_MOST_KNOWN:]
            # One second more than needed: a line may be written a little after others with later times.
            latest_ns = max(line.at_ns for line in lines) // _SECOND * _SECOND - _SECOND
            self.start_ns = max(self.start_ns or 0, latest_ns, 0)


_MOST_KNOWN = 2 * MAX_LINES  # a read never shows more than half of it


def _key(line: Line) -> int:
    """Sixty-four bits stand for a line, so that a follower holds kilobytes and not the log."""
    return hash((line.at_ns, line.text))


def _known_length(known: Sequence[Hashable], keys: Sequence[Hashable]) -> int:
    """How long the longest beginning of keys is that is also an end of known. Linear (Knuth-Morris-Pratt)."""
    if list(keys[: len(known)]) == list(known):
        return len(known)
    border = [0] * len(keys)
    length = 0
    for position in range(1, len(keys)):
        while length and keys[position] != keys[length]:
            length = border[length - 1]
        length += keys[position] == keys[length]
        border[position] = length
    length = 0
    for key in known:
        while length and (length == len(keys) or key != keys[length]):
            length = border[length - 1]
        length += key == keys[length]
    return length


def _end_of(known: Sequence[Hashable], keys: Sequence[Hashable]) -> int:
    """Where known ends inside keys, the last such place; 0 if it is not there whole."""
    for end in range(len(keys), len(known) - 1, -1):
        if known and list(keys[end - len(known) : end]) == list(known):
            return end
    return 0


def _difference(lines: Sequence[Line], keys: Sequence[int], known: Sequence[int]) -> Sequence[Line]:
    left = Counter(known)
    fresh = []
    for line, key in zip(lines, keys, strict=True):
        if left[key] > 0:
            left[key] -= 1
        else:
            fresh.append(line)
    return fresh
