"""`kubectl logs` over a call that shows only the newest lines of a log (eci.md 2.7).

What can be had: the call gives the newest 2,000 lines, at most 1 MiB, of the time since StartTime; there is no end
time, so lines older than the newest 2,000 are out of reach for ever. Following therefore reads again often enough that
two reads overlap, and joins them by `loglines.Overlap`. Where lines are out of reach, one line says so: a gap that is
visible in a log is worse than none, but better than one that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from vk_provider.cloud.base import LogOptions
from vk_provider.cloud.eci import calls, loglines, response
from vk_provider.cloud.eci.loglines import MAX_LINES, Line, LogRead, Overlap
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudUnavailable, InstanceGone, Throttled
from vk_provider.model.instance import ContainerReport, Instance, StateKind

MISSING_BEFORE = "[vk-provider] lines before this one may be missing: the cloud shows only a log's newest 2000 lines"
MISSING_HERE = "[vk-provider] lines are missing here: more was written than the cloud shows at once"

# Pauses between two reads: when lines flow, and the longest when none do.
FLOWING_S, IDLE_S = 1.0, 3.0
# Nothing is known yet of how fast the container writes.
FIRST_S = 0.3
# The shortest pause: the call's own limit is about eight a second for everybody together.
HURRIED_S = 0.15
# Read again before a third of what one read can show has been written.
COMFORTABLE_LINES = MAX_LINES // 3
COMFORTABLE_BYTES = loglines.MAX_BYTES // 3
# The share of the call's limit per minute that followers may use together; the rest is for people who just read.
FOLLOWERS_PER_MINUTE = 400
# How long a follower outlasts a cloud that does not answer.
PATIENCE_S = 180.0

Call = Callable[[EciRequest], Awaitable[Mapping[str, Any]]]
LookUp = Callable[[str], Awaitable[Instance | None]]


class Stage(Enum):
    """Where the run of a container stands whose log is followed."""

    BEFORE = auto()  # it has not started
    RUNNING = auto()
    ENDED = auto()
    REPLACED = auto()  # it ended, and the next run has begun


class LogReader:
    """Reads logs of one account's containers. Followers share the rate limit: the more they are, the less often each.

    call: one ECI call. look_up: an instance's present state, None when it is gone.
    """

    def __init__(self, call: Call, look_up: LookUp) -> None:
        self._call = call
        self._look_up = look_up
        self._followers = 0

    async def read(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """See `Cloud.logs`. Raises InstanceGone when the instance is not there at the beginning."""
        printer = _Printer(options)
        log = _Log(self._call, instance_id, container, previous=options.previous)
        if not options.follow or options.previous:
            async for lines in log.begin(options):
                if chunk := printer.print(lines):
                    yield chunk
                if printer.is_done:
                    return
            if chunk := printer.print_open(log.open_line):
                yield chunk
            return
        self._followers += 1
        try:
            async for chunk in self._follow(log, printer, options):
                if chunk:
                    yield chunk
                if printer.is_done:
                    return
        finally:
            self._followers -= 1

    async def _follow(self, log: _Log, printer: _Printer, options: LogOptions) -> AsyncIterator[bytes]:
        run = _Run(self._look_up, log.instance_id, log.container)
        await run.stage()  # first, so that a restart from here on is noticed
        async for lines in log.begin(options):
            yield printer.print(lines)
        if options.tail == 0:
            printer.has_shown(log.open_line)
        pace = _Pace()
        stage = Stage.RUNNING
        while stage in (Stage.BEFORE, Stage.RUNNING):
            yield printer.print_growth(log.open_line)
            await asyncio.sleep(max(pace.pause_s, self._fair_pause_s))
            before = log.open_line
            try:
                fresh = await log.advance()
                if fresh.has_gap or not fresh.lines:
                    stage = await run.stage()
            except (CloudUnavailable, Throttled):
                if pace.is_out_of_patience():
                    raise
                continue
            except InstanceGone:
                yield printer.print_open(before)
                return
            pace.note(fresh.lines or _grown(before, log.open_line))
            if stage is not Stage.REPLACED:
                log.accept(fresh)
                yield printer.print(fresh.lines)
        async for lines in log.rest(is_replaced=stage is Stage.REPLACED):
            yield printer.print(lines)
        yield printer.print_open(log.open_line)

    @property
    def _fair_pause_s(self) -> float:
        return self._followers * 60.0 / FOLLOWERS_PER_MINUTE


class _Run:
    """The run of a container that is followed: the one that was there at the first read."""

    def __init__(self, look_up: LookUp, instance_id: str, container: str) -> None:
        self._look_up = look_up
        self._instance_id = instance_id
        self._container = container
        self._restarts: int | None = None

    async def stage(self) -> Stage:
        """Raises InstanceGone when the instance is gone."""
        instance = await self._look_up(self._instance_id)
        if instance is None:
            raise InstanceGone(f"instance {self._instance_id} is gone")
        reports = [*instance.containers, *instance.init_containers]
        report = next((one for one in reports if one.name == self._container), None)
        if report is None:
            return Stage.ENDED if instance.status.is_ended else Stage.BEFORE
        if self._restarts is None:
            self._restarts = report.restart_count
        return _stage(report, self._restarts)


def _stage(report: ContainerReport, restarts: int) -> Stage:
    """restarts: the count when following began; a higher one means that the run we follow is over."""
    if report.restart_count > restarts:
        return Stage.REPLACED
    if report.state.kind is StateKind.RUNNING:
        return Stage.RUNNING
    if report.state.kind is StateKind.WAITING and report.last_state is None:
        return Stage.BEFORE
    return Stage.ENDED  # also when it waits for its next run: the one we follow is over


@dataclass(frozen=True, slots=True)
class _Fresh:
    """New lines of a log. has_gap: they join on to nothing known. is_lossy: some were lost, and a marker says where."""

    lines: Sequence[Line]
    has_gap: bool = False
    is_lossy: bool = False


class _Log:
    """One container's log, read look by read. `open_line` is the last one while it has no newline yet."""

    def __init__(self, call: Call, instance_id: str, container: str, *, previous: bool) -> None:
        self.instance_id = instance_id
        self.container = container
        self.open_line: Line | None = None
        self._opened_at_ns: int | None = None  # when the last line without a newline was begun, be it cut or whole
        self._call = call
        self._previous = previous
        self._overlap = Overlap()

    async def begin(self, options: LogOptions) -> AsyncIterator[Sequence[Line]]:
        """What is there now, as far as `tail` and `since` want it."""
        wanted = options.tail
        if wanted == 0 and not options.follow:
            return
        since = loglines.time_ns(options.since)
        start = loglines.second_of(since[0]) if since and wanted is None else ""
        # Following goes on from a whole line, and the last may have no newline yet: so there are more than are wanted.
        tail = MAX_LINES if wanted is None else min(MAX_LINES, wanted + 2 * options.follow)
        is_first = True
        async for read in self._reads(tail=tail, start=start):
            if is_first:
                lines = self._begin_with(read, wanted, start)
                is_first = False
            else:
                lines = self._join(read)
            yield () if wanted == 0 else lines

    def _begin_with(self, read: LogRead, wanted: int | None, start: str) -> Sequence[Line]:
        """Go on from this read; as many of its lines as are wanted, of which an open one is the last."""
        opened = self._opened_at_ns
        self._overlap.begin(read.lines, is_whole=not read.is_full and not start, not_before_ns=opened)
        lines = read.lines if wanted is None else read.lines[max(0, read.line_count - wanted) :]
        if lines and _may_lack_older(read, wanted):
            return [_marker(MISSING_BEFORE, lines[0]), *lines]
        return lines

    async def advance(self) -> _Fresh:
        """What is new since the last read. With a gap in it, it counts as read only after `accept`."""
        fresh: list[Line] = []
        async for read in self._reads(tail=MAX_LINES, start=self._start):
            added = self._overlap.advance(read.lines, is_full=read.is_full)
            if added.has_gap:
                # A read that is not full shows all there is: no line is lost, the log was begun anew.
                marker = [_marker(MISSING_HERE, read.lines[0])] if read.is_full else []
                return _Fresh([*fresh, *marker, *read.lines], has_gap=True, is_lossy=read.is_full)
            fresh += added.lines
        return _Fresh(fresh)

    def accept(self, fresh: _Fresh) -> None:
        """Go on from these lines although they join on to nothing."""
        if fresh.has_gap:
            self._overlap.begin(fresh.lines, is_whole=True)

    async def rest(self, *, is_replaced: bool) -> AsyncIterator[Sequence[Line]]:
        """What the run wrote between our last read and its end. is_replaced: its log is the previous one by now."""
        self._previous = is_replaced
        while True:
            fresh = await self.advance()
            if not fresh.lines:
                return
            if not fresh.has_gap or (fresh.is_lossy and not self._previous):
                self.accept(fresh)
                yield fresh.lines
            elif self._previous:
                return  # yet another run's
            else:
                self._previous = True

    @property
    def _start(self) -> str:
        return "" if self._overlap.start_ns is None else loglines.second_of(self._overlap.start_ns)

    def _join(self, read: LogRead) -> Sequence[Line]:
        added = self._overlap.advance(read.lines, is_full=read.is_full)
        if not added.has_gap:
            return added.lines
        self._overlap.begin(read.lines, is_whole=True)
        return [_marker(MISSING_HERE, read.lines[0]), *read.lines]

    async def _reads(self, *, tail: int, start: str) -> AsyncIterator[LogRead]:
        """One read; after one that was cut by bytes more, each for fewer of the newest lines but overlapping.

        No document says at which end the cloud cuts. Cut at the end, these reads bring the rest; cut at the
        beginning, they bring nothing new.
        """
        while True:
            read = await self._read_once(tail=tail, start=start)
            yield read
            tail -= max(1, len(read.lines) * 3 // 4)
            if not read.is_cut or tail < 1:
                return

    async def _read_once(self, *, tail: int, start: str) -> LogRead:
        ask = calls.container_log(
            self.instance_id, self.container, tail=tail, start_time=start, previous=self._previous
        )
        read = loglines.parse(response.log_content(await self._call(ask)), asked_lines=tail)
        self._opened_at_ns = read.lines[-1].at_ns if read.open_end else None
        if not read.open_end:
            self.open_line = None
            return read
        # It may be only half written, or cut: it counts when its newline has come, or at the very end.
        self.open_line = None if read.is_cut else read.lines[-1]
        return replace(read, lines=read.lines[:-1])


def _may_lack_older(read: LogRead, wanted: int | None) -> bool:
    if wanted is not None and wanted <= read.line_count:
        return False
    return read.is_cut or read.line_count >= MAX_LINES


def _grown(before: Line | None, now: Line | None) -> Sequence[Line]:
    return [now] if now is not None and (before is None or before.text != now.text) else []


def _marker(text: str, before: Line) -> Line:
    return Line(before.at_ns, before.stamp, text, is_ours=True)


class _Printer:
    """Applies `since`, `timestamps` and `limit_bytes`, in this order (H13); `tail` was applied by the cloud.

    The limit is for what the container wrote: what we have to say comes behind it, if there is room left.
    """

    def __init__(self, options: LogOptions) -> None:
        since = loglines.time_ns(options.since)
        self._since_ns = since[0] if since else 0
        self._timestamps = options.timestamps
        self._left = options.limit_bytes
        self._shows_growth = options.unfinished
        self._shown = ""  # of the line that has no newline yet
        self._is_old = ""  # the whole of that line when it was there before anything was wanted
        self._ours: list[Line] = []
        self._is_within_a_line = False

    @property
    def is_done(self) -> bool:
        return self._left is not None and self._left <= 0

    def print(self, lines: Sequence[Line]) -> bytes:
        if lines:
            self._is_old = (
                ""  # that line is complete, so what is unfinished from here on is another, even if it reads alike
            )
        wanted = [line for line in lines if line.at_ns >= self._since_ns]
        if self._left is not None:
            self._ours += [line for line in wanted if line.is_ours]
            wanted = [line for line in wanted if not line.is_ours]
        return self._limited(b"".join(self._printed(line) for line in wanted))

    def has_shown(self, line: Line | None) -> None:
        """What is there of this unfinished line is not wanted."""
        self._is_old = line.text if line is not None else ""
        if self._shows_growth:
            self._shown = self._is_old

    def print_growth(self, line: Line | None) -> bytes:
        """What an unfinished line has more than before, where that is wanted."""
        if not self._shows_growth or line is None or line.at_ns < self._since_ns or line.text == self._shown:
            return b""
        chunk = self._printed(line, newline=False)
        self._shown = line.text
        return self._limited(chunk)

    def print_open(self, line: Line | None) -> bytes:
        """The end of a log: its last line, if that has no newline, and what we have to say."""
        chunk = b""
        if line is not None and line.at_ns >= self._since_ns and line.text != self._is_old:
            chunk = self._limited(self._printed(line, newline=False))
        reported = b"".join(loglines.printed(each, timestamps=False) for each in self._ours)
        reported = b"\n" + reported if reported and self._is_within_a_line else reported
        return chunk + (reported if self._left is not None and len(reported) <= self._left else b"")

    def _printed(self, line: Line, *, newline: bool = True) -> bytes:
        shown, self._shown = self._shown, ""
        if shown and line.text.startswith(shown):
            return loglines.printed(
                replace(line, stamp="", text=line.text[len(shown) :]), timestamps=False, newline=newline
            )
        begun = b"\n" if shown else b""  # another line than the one that was begun
        return begun + loglines.printed(line, timestamps=self._timestamps, newline=newline)

    def _limited(self, chunk: bytes) -> bytes:
        if self._left is None:
            return chunk
        chunk = chunk[: max(0, self._left)]
        self._is_within_a_line = not chunk.endswith(b"\n") if chunk else self._is_within_a_line
        self._left -= len(chunk)
        return chunk


class _Pace:
    """How long to pause before the next read, and how long to bear with a cloud that fails."""

    def __init__(self) -> None:
        self.pause_s = FIRST_S
        self._clock = asyncio.get_running_loop().time
        self._looked_at = self._clock()

    def note(self, lines: Sequence[Line]) -> None:
        now = self._clock()
        took_s = max(now - self._looked_at, HURRIED_S)
        self._looked_at = now
        if not lines:
            self.pause_s = min(IDLE_S, self.pause_s * 1.5)
            return
        size = sum(len(line.text) for line in lines)
        rate = max(len(lines) / COMFORTABLE_LINES, size / COMFORTABLE_BYTES) / took_s
        self.pause_s = max(HURRIED_S, min(FLOWING_S, 1.0 / rate))

    def is_out_of_patience(self) -> bool:
        self.pause_s = IDLE_S
        return self._clock() - self._looked_at > PATIENCE_S
