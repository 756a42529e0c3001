"""One run of a container as processes of this machine: started, read, signalled, reaped; all from the event loop."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.group import Exit
from fakes.cloud.isolation import Isolation
from fakes.cloud.launcher import FAILED, Failure, Launcher, Program
from fakes.cloud.logs import RunLog
from fakes.cloud.metrics import children, tree
from fakes.cloud.network import Link
from fakes.cloud.sandbox import Sandbox

_READ_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and in which view.

    link: the network to run in, or None for this machine's. holder: whose PID namespace to be in, or None for an own
    one. user: of plain processes. stdin: standard input is open, and stays so; else it is empty.
    """

    words: Sequence[str]
    box: Sandbox
    isolation: Isolation
    link: Link | None = None
    holder: "Holder | None" = None
    user: int | None = None
    stdin: bool = False


class Holder:
    """Process 1 of what several containers of a group share."""

    def __init__(self, launcher: Launcher, isolation: Isolation, on_settled: Callable[[], None]) -> None:
        """on_settled: called when it can be entered, or never will. Raises OSError."""
        self._program = Program(on_started=on_settled, on_exit=lambda _, __: on_settled())
        request = isolation.hold()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            launcher.start({**request, "files": []}, isolation.flags(request), [null, null, null], self._program)
        finally:
            os.close(null)

    @property
    def pid(self) -> int:
        return 0 if self._program.ended else self._program.pid

    @property
    def is_settled(self) -> bool:
        return self._program.started or self._program.ended

    def open_handle(self) -> int:
        return self._program.open_handle()

    def kill(self) -> None:
        self._program.kill()


class Process:
    """A run. `on_started` is called when its command runs, `on_exit` once everything of it has ended."""

    def __init__(
        self,
        command: Command,
        log: RunLog,
        *,
        now: Callable[[], float],
        on_started: Callable[[], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        self._command = command
        self._log = log
        self._now = now
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._output = self._input = -1
        self._stop_timer: asyncio.TimerHandle | None = None
        self._killed_by = 0
        self._on_started = on_started
        self._program = Program(on_started=self._started, on_exit=self._ended, on_terminal=self._read_from)
        self.entered: set[Program] = set()  # further processes in it, which end with it

    @property
    def pid(self) -> int:
        """Of the command, or of the process that stands over a plain one; 0 before it runs and after its end."""
        return self._program.pid if self._program.started and not self._program.ended else 0

    def spawn(self, launcher: Launcher) -> None:
        """Raises OSError when this machine can start no more."""
        command = self._command
        request = command.isolation.run(
            command.box, command.words, linked=command.link is not None, joins=command.holder is not None,
            user=command.user,
        )  # fmt: skip
        more: dict[str, int] = {}
        opened: list[int] = []
        try:
            stdio = self._open_streams(opened, request["uid"])
            if command.link is not None:
                more["network"] = command.link.namespace
            if command.holder is not None:
                opened.append(command.holder.open_handle())
                more["holder"] = opened[-1]
            files = [*stdio, *more.values()]
            launcher.start({**request, "files": list(more)}, command.isolation.flags(request), files, self._program)
        except BaseException:
            self._close("_output")
            self._close("_input")
            raise
        finally:
            for file in opened:
                os.close(file)

    def stop(self, grace_s: float) -> None:
        """SIGTERM to the command now, SIGKILL to all after grace_s real seconds."""
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        if grace_s <= 0:
            self.kill()
            return
        self._stop_timer = self._loop.call_later(grace_s, self.kill)
        if not self._program.ended and self._killed_by != signal.SIGKILL:
            self._killed_by = signal.SIGTERM
            if self._program.started:
                self._program.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything of the run."""
        if self._program.ended:
            return
        self._killed_by = signal.SIGKILL
        is_watched = self._program.started and not self._command.isolation.is_sandboxed
        self._program.send_signal(signal.SIGINT if is_watched else signal.SIGKILL)

    def pids(self) -> list[int]:
        return list(tree(self.pid)) if self.pid else []

    def open_handle(self) -> int:
        """A pidfd of its first process. Raises OSError when that has gone."""
        return self._program.open_handle()

    def _open_streams(self, opened: list[int], uid: int) -> list[int]:
        """Standard input, output and error; what is opened for the process only is in `opened` too."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        opened.append(null)
        if self._command.box.terminal:
            return [null, null, null]  # it makes a terminal itself
        reading, output = os.pipe2(os.O_CLOEXEC)
        opened.append(output)
        if os.geteuid() == 0:
            os.fchown(output, uid, -1)  # for those who open /dev/stdout by name
        self._read_from(reading)
        if not self._command.stdin:
            return [null, output, output]
        source, self._input = os.pipe2(os.O_CLOEXEC)
        opened.append(source)
        return [source, output, output]

    def _started(self) -> None:
        if self._killed_by == signal.SIGTERM:  # asked to end before there was one who could
            self._program.send_signal(signal.SIGTERM)
        self._on_started()

    def _read_from(self, file: int) -> None:
        self._output = file
        os.set_blocking(file, False)
        self._loop.add_reader(file, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that nobody holds any more
        if data:
            self._log.feed(data, self._now())
        else:
            self._close("_output")

    def _ended(self, code: int, failure: Failure | None) -> None:
        self._end_shared()
        while self._output >= 0:
            try:
                data = os.read(self._output, _READ_BYTES)
            except (BlockingIOError, OSError):
                break  # a process that got away still holds the pipe; or a terminal without its other end
            if not data:
                break
            self._log.feed(data, self._now())
        self._log.close(self._now())
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        self._close("_output")
        self._close("_input")
        if failure is not None:
            self._on_exit(start_error(failure))
            return
        code = 128 - code if code < 0 else code
        self._on_exit(Exit(code, signal=self._killed_by if code == 128 + self._killed_by else 0))

    def _end_shared(self) -> None:
        """End what entered it, and in a PID namespace with others what it leaves behind, known by its view of files."""
        for program in self.entered:
            end_all(program)
        holder, view = self._command.holder, self._program.view
        while holder is not None and view:
            left = [pid for pid in tree(holder.pid) if _view(pid) == view]
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break

    def _close(self, name: str) -> None:
        file = getattr(self, name)
        if file >= 0:
            if name == "_output":
                self._loop.remove_reader(file)
            os.close(file)
            setattr(self, name, -1)


def end_all(program: Program) -> None:
    """Kill a program and all it started, which may have left its session.

    Each is stopped before its children are read: of one that dies the kernel shows none, and they would live on.
    """
    if program.ended:
        return
    if not program.started:
        program.kill()
        return
    found, waiting = [], [program.pid]
    while waiting:
        pid = waiting.pop()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            found.append(pid)
            waiting += children(pid)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start_error(failure: Failure) -> Exit:
    """How a run ended that did not begin, in the words of containerd and runc."""
    what = "unable to start container process: "
    if failure.code == FAILED:
        what += "error during container init: "
    text = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f"{what}{failure.message}: unknown"
    )
    return Exit(128, reason="StartError", message=text)


def _view(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""
