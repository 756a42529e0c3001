"""One run of a container as processes of this machine: spawned, read, signalled, reaped; all from the event loop.

No thread and no task belongs to a run, only three file descriptors: its output, the news that its sandbox stands,
and a pidfd that says it has ended.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.group import Exit
from fakes.cloud.logs import RunLog
from fakes.cloud.metrics import children, tree
from fakes.cloud.network import Link
from fakes.cloud.sandbox import Sandbox, become, bubblewrap_arguments, rewrite

_READ_BYTES = 64 << 10
_RETRY_S = 0.05
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and in which view.

    bwrap: path of bubblewrap, or None for plain processes. link: the network to run in, or None for this machine's.
    """

    words: Sequence[str]
    box: Sandbox
    bwrap: str | None
    link: Link | None = None


class Process:
    """A run. `on_started` is called when its command can run, `on_exit` once everything of it has ended."""

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
        self._on_started = on_started
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._popen: subprocess.Popen[bytes] | None = None
        self._output = self._info = self._pidfd = -1
        self._stop_timer: asyncio.TimerHandle | None = None
        self._killed_by = 0
        self._news = b""
        self._first_output = b""
        self.pid = 0  # of the sandbox's first process, or of the supervisor
        self.started = False

    def spawn(self) -> None:
        """Raises OSError when this machine can start no more."""
        self._output, output = os.pipe2(os.O_CLOEXEC)
        if os.geteuid() == 0:
            os.fchown(output, self._command.box.uid, self._command.box.gid)  # for those who open /dev/stdout by name
        self._info, info = os.pipe2(os.O_CLOEXEC)
        words, passed = self._arguments(info)
        try:
            with self._command.link.entered() if self._command.link else nullcontext():
                self._popen = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(self._environment()),
                    cwd="/" if self._command.bwrap else self._plain_workdir(),
                    pass_fds=passed,
                    start_new_session=True,
                )
        finally:
            for file in {output, info, *passed}:
                os.close(file)
        with suppress(OSError):  # it may be over already
            os.setpriority(os.PRIO_PROCESS, self._popen.pid, 5)  # so that a burst does not starve the service itself
        os.set_blocking(self._output, False)
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._pidfd, self._ended)
        if self._command.bwrap:
            self._loop.add_reader(self._info, self._learn_pid)
        else:
            os.close(self._info)
            self._info = -1
            self.pid = self._popen.pid
            self._loop.call_soon(self._report_started)

    def stop(self, grace_s: float) -> None:
        """SIGTERM to the command now, SIGKILL to all after grace_s real seconds."""
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        if grace_s <= 0:
            self.kill()
            return
        self._stop_timer = self._loop.call_later(grace_s, self.kill)
        self._terminate()

    def kill(self) -> None:
        """SIGKILL to everything of the run."""
        if self._popen is None or self._pidfd < 0:
            return
        self._killed_by = signal.SIGKILL
        if self._command.bwrap is None:
            os.kill(self._popen.pid, signal.SIGINT)
        else:
            # Its first process, since all others of the namespace die with it, and bubblewrap reports 137.
            with suppress(ProcessLookupError):
                os.kill(self.pid or self._popen.pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        return list(tree(self.pid)) if self.pid else []

    def _terminate(self) -> None:
        if self._popen is None or self._pidfd < 0 or self._killed_by == signal.SIGKILL:
            return
        self._killed_by = signal.SIGTERM
        main = [self._popen.pid] if self._command.bwrap is None else children(self.pid)[:1] if self.pid else []
        if main:
            with suppress(ProcessLookupError):  # ended this moment; its pidfd says so next
                os.kill(main[0], signal.SIGTERM)
        else:
            self._loop.call_later(_RETRY_S, self._terminate)  # the sandbox stands before its command runs

    def _arguments(self, info: int) -> tuple[list[str], tuple[int, ...]]:
        """The words to run on this machine, and the files to hand down."""
        words, box = list(self._command.words), self._command.box
        if not self._command.bwrap:
            supervisor = str(Path(__file__).with_name("supervisor.py"))
            return [sys.executable, "-I", "-S", supervisor, *(rewrite(word, box.mounts) for word in words)], ()
        # In a file, since a deep mount point makes thousands of them, and the container can read its process 1's words.
        options = os.memfd_create("bwrap-options")
        os.write(options, b"".join(os.fsencode(word) + b"\0" for word in bubblewrap_arguments(box, info_fd=info)))
        os.lseek(options, 0, os.SEEK_SET)
        return [self._command.bwrap, "--args", str(options), "--", *become(box), *words], (info, options)

    def _environment(self) -> Mapping[str, str]:
        box = self._command.box
        if self._command.bwrap:
            return box.environment
        return {name: rewrite(value, box.mounts) for name, value in box.environment.items()}

    def _plain_workdir(self) -> str:
        folder = rewrite(self._command.box.workdir, self._command.box.mounts)
        return folder if Path(folder).is_dir() else "/"

    def _learn_pid(self) -> None:
        """Read what bubblewrap writes as soon as the sandbox's first process exists, before its mounts are made."""
        piece = os.read(self._info, _READ_BYTES)
        self._news += piece
        found = re.search(rb'"child-pid": (\d+)\D', self._news)
        if not piece:
            self._close("_info")  # not before, since bubblewrap writes more and would die of a closed pipe
        if found and not self.pid:
            self.pid = int(found[1])
            self._look_for_command()

    def _look_for_command(self) -> None:
        """The command is the first child of the sandbox's first process, and is born when all mounts are made."""
        if self.started or self._pidfd < 0:
            return
        if children(self.pid):
            self._report_started()
        else:
            self._loop.call_later(_LOOK_S, self._look_for_command)

    def _report_started(self) -> None:
        if not self.started and self._pidfd >= 0:
            self.started = True
            self._on_started()

    def _read(self) -> None:
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self._close("_output")

    def _take(self, data: bytes) -> None:
        if not self.started and not self._first_output:
            self._first_output = data[:1000]
        self._log.feed(data, self._now())

    def _ended(self) -> None:
        assert self._popen is not None
        code = self._popen.wait()
        self._drain()
        self._log.close(self._now())
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        if not self.started and self._first_output.startswith(b"bwrap: "):
            message = self._first_output.decode(errors="replace").strip()
            end = Exit(128, reason="StartError", message=f"failed to create the sandbox: {message}")
        else:
            self._report_started()  # a very short run
            code = 128 - code if code < 0 else code
            end = Exit(code, signal=self._killed_by if code == 128 + self._killed_by else 0)
        self._close("_info")
        self._close("_pidfd")
        self._on_exit(end)

    def _drain(self) -> None:
        while self._output >= 0:
            try:
                data = os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                break  # a process that got away still holds the pipe
            if not data:
                break
            self._take(data)
        self._close("_output")

    def _close(self, name: str) -> None:
        file = getattr(self, name)
        if file >= 0:
            self._loop.remove_reader(file)
            os.close(file)
            setattr(self, name, -1)
