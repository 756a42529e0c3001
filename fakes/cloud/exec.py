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
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.errors import ApiError
from fakes.cloud.runtime import ExecResult
from fakes.cloud.sandbox import Sandbox, rewrite

OUTPUT_LIMIT_BYTES = 1 << 20
STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Inside:
    """Where to go. pid: the container's first process, as this machine numbers it."""

    pid: int
    box: Sandbox
    sandboxed: bool

    def arguments(self, command: Sequence[str]) -> list[str]:
        if not self.sandboxed:
            return [rewrite(word, self.box.mounts) for word in command]
        nsenter = shutil.which("nsenter")
        if nsenter is None:
            raise ApiError("InternalError", "This stand-in needs nsenter (util-linux) to run commands.", 500)
        own = ["--user", "--preserve-credentials"] if self._has_user_namespace() else []
        spaces = ["--mount", "--pid", "--ipc", "--uts", "--wd"]
        return [nsenter, "--target", str(self.pid), *own, *spaces, "--", *command]

    def environment(self) -> dict[str, str]:
        if self.sandboxed:
            return dict(self.box.environment)
        return {name: rewrite(value, self.box.mounts) for name, value in self.box.environment.items()}

    def _has_user_namespace(self) -> bool:
        return Path(f"/proc/{self.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()


async def run(inside: Inside, command: Sequence[str], *, timeout_s: float) -> ExecResult:
    """Run to the end; stdout and stderr as one text of at most 1 MiB. Raises ApiError when it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *inside.arguments(command),
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
            os.killpg(process.pid, signal.SIGKILL)
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
            *inside.arguments(command),
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
        for reader in self._readers:
            reader.cancel()
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)


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
            setsid = shutil.which("setsid") or "setsid"
            process = await asyncio.create_subprocess_exec(
                *(setsid, "--ctty", "--wait", *inside.arguments(command)),
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
        self._close()  # hangs up on the command
        if self._process.returncode is None:
            self._process.kill()

    def _close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1
            self._readable.set()


def _code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode
