"""Commands inside a running container: its namespaces are entered with nsenter, its variables and directory given.

Both forms end with the container, since what they start lives in its PID namespace.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.errors import ApiError
from fakes.cloud.metrics import children
from fakes.cloud.runtime import ExecResult
from fakes.cloud.sandbox import Sandbox, become, rewrite

OUTPUT_LIMIT_BYTES = 1 << 20
STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Inside:
    """Where to go. pid: the container's first process, as this machine numbers it. linked: it has its own network."""

    pid: int
    box: Sandbox
    sandboxed: bool
    linked: bool

    def arguments(self, command: Sequence[str], *, tty: bool) -> list[str]:
        """The words to run on this machine. With tty, standard input becomes the command's own terminal."""
        setsid = [_program("setsid"), "--ctty"] if tty else []
        network = ["--net"] if self.linked else []
        enter = [_program("nsenter"), "--target", str(self.pid)] if self.sandboxed or self.linked else []
        if not self.sandboxed:
            there = [*enter, *network, "--"] if self.linked else []
            return [*there, *setsid, *(rewrite(word, self.box.mounts) for word in command)]
        own = ["--user", "--preserve-credentials"] if self._has_user_namespace() else []
        view = ["--mount", "--ipc", "--uts", *network, "--wd"]
        words = [*become(self.box), *command]
        if not tty:
            return [*enter, *own, *view, "--pid", "--", *words]
        # A shell sets its terminal's process group, so the session has to begin among the container's own PIDs, but
        # with this machine's setsid, since an image may have none.
        first = [] if os.geteuid() == 0 else own
        return [*enter, *first, "--pid", "--", *setsid, *enter, *([] if first else own), *view, "--", *words]

    def environment(self) -> dict[str, str]:
        if self.sandboxed:
            return dict(self.box.environment)
        return {name: rewrite(value, self.box.mounts) for name, value in self.box.environment.items()}

    def _has_user_namespace(self) -> bool:
        return Path(f"/proc/{self.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ApiError("InternalError", f"This stand-in needs {name} (util-linux) to run commands.", 500)
    return path


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a command and all it started; it may have left its session.

    Each is stopped before its children are read: of one that dies the kernel shows none, and they would live on.
    """
    if process.returncode is not None:
        return
    found, waiting = [], [process.pid]
    while waiting:
        pid = waiting.pop()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            found.append(pid)
            waiting += children(pid)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def run(inside: Inside, command: Sequence[str], *, timeout_s: float) -> ExecResult:
    """Run to the end; stdout and stderr as one text of at most 1 MiB. Raises ApiError when it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *inside.arguments(command, tty=False),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=inside.environment(),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise ApiError("InternalError", f"The command did not end within {timeout_s:g} s.", 500) from error
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    return ExecResult(_code(process.returncode or 0), output[:OUTPUT_LIMIT_BYTES])


async def stream(inside: Inside, command: Sequence[str], *, tty: bool, stdin: bool) -> "_Piped | _Terminal":
    """Start a command whose streams the caller carries. The caller kills it when it leaves."""
    if tty:
        return await _Terminal.start(inside, command)
    return await _Piped.start(inside, command, stdin=stdin)


class _Piped:
    """Three pipes; stdout and stderr apart."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._chunks: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(maxsize=8)
        self._open = 2
        self._readers: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, inside: Inside, command: Sequence[str], *, stdin: bool) -> "_Piped":
        process = await asyncio.create_subprocess_exec(
            *inside.arguments(command, tty=False),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=inside.environment(),
            start_new_session=True,
        )
        piped = cls(process)
        assert process.stdout is not None
        assert process.stderr is not None
        piped._readers = [
            asyncio.create_task(piped._pump(STDOUT, process.stdout)),
            asyncio.create_task(piped._pump(STDERR, process.stderr)),
        ]
        return piped

    async def _pump(self, channel: int, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(32 << 10):
            await self._chunks.put((channel, data))
        self._open -= 1
        if not self._open:
            await self._chunks.put(None)

    async def read(self) -> tuple[int, bytes] | None:
        return await self._chunks.get()

    async def write(self, data: bytes) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(data)
                await self._process.stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                self.close_stdin()

    def close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def resize(self, *, columns: int, rows: int) -> None:
        """Pipes have no size."""

    async def wait(self) -> int:
        code = await self._process.wait()
        await asyncio.gather(*self._readers)
        return _code(code)

    def kill(self) -> None:
        _kill(self._process)
        for reader in self._readers:
            reader.cancel()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(None)  # whoever reads shall not wait for ever


class _Terminal:
    """One pseudo-terminal; everything is channel 1."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._readable = asyncio.Event()
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._readable.set)

    @classmethod
    async def start(cls, inside: Inside, command: Sequence[str]) -> "_Terminal":
        master, slave = os.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *inside.arguments(command, tty=True),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={"TERM": "xterm", **inside.environment()},
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(process, master)

    async def read(self) -> tuple[int, bytes] | None:
        while self._master >= 0:
            self._readable.clear()
            try:
                data = os.read(self._master, 32 << 10)
            except BlockingIOError:
                await self._readable.wait()
                continue
            except OSError:
                data = b""  # the last holder of the other side has gone
            if data:
                return STDOUT, data
            self._close()
        return None

    async def write(self, data: bytes) -> None:
        while data and self._master >= 0:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)

    def close_stdin(self) -> None:
        if self._master >= 0:
            os.write(self._master, b"\x04")

    def resize(self, *, columns: int, rows: int) -> None:
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return _code(await self._process.wait())

    def kill(self) -> None:
        _kill(self._process)
        self._close()

    def _close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1
            self._readable.set()


def _code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode
