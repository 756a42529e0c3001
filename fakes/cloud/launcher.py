"""Has programs started by the spawner (`spawner.py`), and follows each from the event loop until it has ended.

No thread and no task belongs to a program, only two file descriptors: a socket on which the spawner's copy tells what
becomes of it, and a pidfd that says it has ended.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.parameters import Json

_PACKAGES = Path(__file__).parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from fakes.cloud import spawner; spawner.main(int(sys.argv[2]))"
_MESSAGE_BYTES = 64 << 10
FAILED = 128  # the code of a program that did not begin through no fault of its own


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program did not begin. code: what a shell would end with; 128 where it was not the program's fault."""

    message: str
    code: int


class Launcher:
    """One spawner, started with the first program, and again should it ever end.

    To be used from one thread, which must outlive what it has started: the programs die with it.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._spawner: subprocess.Popen[bytes] | None = None

    def start(self, request: Json, flags: int, files: Sequence[int], program: "Program") -> None:
        """Have a program started. The files stay the caller's. Raises OSError; then nothing is told to `program`."""
        told, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        document = os.memfd_create("request")
        try:
            os.write(document, json.dumps(request).encode())
            pid = self._ask(b"%d" % flags, (document, teller.fileno(), *files))
        except BaseException:
            told.close()
            raise
        finally:
            os.close(document)
            teller.close()
        program.begin(pid, told, is_starter=request["kind"] == "enter" or request.get("join", False))

    def close(self) -> None:
        """End the spawner, and with it what it has started."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._spawner is not None:
            self._spawner.wait()
            self._spawner = None

    def _ask(self, message: bytes, files: Sequence[int]) -> int:
        for attempt in (1, 2):
            connection = self._connected()
            try:
                socket.send_fds(connection, [message], files)
                answer = int(connection.recv(64) or b"0")
            except OSError:
                answer = 0
            if answer > 0:
                return answer
            if answer < 0:
                raise OSError(-answer, f"no process can be started: {os.strerror(-answer)}")
            self.close()
            if attempt == 2:
                break
        raise OSError("the program that starts containers has ended")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            words = [sys.executable, "-I", "-S", "-c", _START, str(_PACKAGES), str(theirs.fileno())]
            # Its copies become processes of containers, which nothing of this process's variables is for.
            kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            self._spawner = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**kept, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
            theirs.close()
            self._socket = ours
        return self._socket


class Program:
    """One started program. `on_started` is called when it runs, `on_exit` once, when it has ended.

    on_exit: gets the exit code, negative for a signal, and the failure of a program that did not begin. on_terminal:
    gets the descriptor of a terminal's master, which is then the receiver's.
    """

    def __init__(
        self,
        *,
        on_started: Callable[[], None],
        on_exit: Callable[[int, Failure | None], None],
        on_terminal: Callable[[int], None] = os.close,
    ) -> None:
        self._on_started = on_started
        self._on_exit = on_exit
        self._on_terminal = on_terminal
        self._loop = asyncio.get_running_loop()
        self._told: socket.socket | None = None
        self._pidfd = -1
        self._failure: Failure | None = None
        self._is_starter = False  # pid is of a process that only starts the program
        self._owed = 0  # a signal for the program, sent before there was one
        self.pid = 0
        self.view = ""  # its mount namespace, where it told it
        self.started = False
        self.ended = False

    def begin(self, pid: int, told: socket.socket, *, is_starter: bool) -> None:
        """Follow a process that was started just now. For the launcher."""
        self._told = told
        self._is_starter = is_starter
        told.setblocking(False)
        self._loop.add_reader(told, self._hear)
        self._follow(pid)

    def open_handle(self) -> int:
        """A pidfd of it, for the caller. Raises OSError when it has gone."""
        if self.ended or not self.pid:
            raise ProcessLookupError("the program has ended")
        return os.pidfd_open(self.pid)

    def send_signal(self, number: int) -> None:
        if self._is_starter:
            self._owed = number
        elif not self.ended and self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _follow(self, pid: int) -> None:
        handle = os.pidfd_open(pid)
        self.pid, self._pidfd = pid, handle
        self._loop.add_reader(handle, self._reap, pid, handle)

    def _reap(self, pid: int, handle: int) -> None:
        self._loop.remove_reader(handle)
        os.close(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._hear()
        if self._pidfd != handle:
            return  # it has only started the program, which is followed now
        self.ended, self._is_starter = True, False
        if self._failure is None:
            self._report_started()  # a very short run
        self._close()
        self._on_exit(code, self._failure)

    def _hear(self) -> None:
        while self._told is not None:
            try:
                data, files, _, _ = socket.recv_fds(self._told, _MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except OSError:
                data, files = b"", []
            if not data:
                self._close()
                if self._failure is None:
                    self._report_started()
                return
            self._learn(json.loads(data), files)

    def _learn(self, message: Mapping[str, object], files: Sequence[int]) -> None:
        if "pid" in message:
            self._is_starter = False
            self._follow(int(str(message["pid"])))
            if self._owed:
                self.send_signal(self._owed)
        elif "view" in message:
            self.view = str(message["view"])
        elif "terminal" in message:
            self._on_terminal(files[0])
        elif "error" in message:
            self._failure = Failure(str(message["error"]), int(str(message["code"])))

    def _report_started(self) -> None:
        if not self.started:
            self.started = True
            self._on_started()

    def _close(self) -> None:
        if self._told is not None:
            self._loop.remove_reader(self._told)
            self._told.close()
            self._told = None
