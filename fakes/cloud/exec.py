"""Commands inside a running container, with just its own first process's rights, view and limits.

All forms end with the container.
"""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from fakes.cloud.errors import ApiError
from fakes.cloud.isolation import Isolation
from fakes.cloud.launcher import Failure, Launcher, Program
from fakes.cloud.network import Link
from fakes.cloud.process import Holder, Process, end_all
from fakes.cloud.runtime import ExecResult
from fakes.cloud.sandbox import Sandbox

OUTPUT_LIMIT_BYTES = 1 << 20
STDOUT, STDERR = 1, 2
_PIECE_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class Inside:
    """Where to go: the run of a container, and all by which it was started."""

    launcher: Launcher
    process: Process
    box: Sandbox
    isolation: Isolation
    link: Link | None
    holder: Holder | None
    user: int | None


class _Command:
    """One command; `ended` gets its exit code. Raises ApiError where it cannot begin."""

    def __init__(self, inside: Inside) -> None:
        loop = asyncio.get_running_loop()
        self._inside = inside
        self._began: asyncio.Future[Failure | None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.terminal = -1
        self._program = Program(on_started=self._started, on_exit=self._exited, on_terminal=self._keep_terminal)

    async def start(self, words: Sequence[str], stdio: Sequence[int], *, tty: bool) -> None:
        inside = self._inside
        box = replace(inside.box, terminal=tty)
        request = inside.isolation.enter(box, words, linked=inside.link is not None, user=inside.user)
        files: dict[str, int] = {}
        opened: list[int] = []
        try:
            if inside.isolation.is_sandboxed:
                opened.append(inside.process.open_handle())
                files["container"] = opened[-1]
                if inside.holder is not None:
                    opened.append(inside.holder.open_handle())
                    files["holder"] = opened[-1]
            elif inside.link is not None:
                files["network"] = inside.link.namespace
            inside.launcher.start({**request, "files": list(files)}, 0, [*stdio, *files.values()], self._program)
        except OSError as error:
            raise ApiError("InternalError", f"{_EXEC_FAILED}{error}", 500) from error
        finally:
            for file in opened:
                os.close(file)
        inside.process.entered.add(self._program)
        try:
            failure = await asyncio.shield(self._began)
        except BaseException:
            self.kill()
            raise
        if failure is not None:
            raise ApiError("InternalError", f"{_EXEC_FAILED}{failure.message}", 500)

    def kill(self) -> None:
        end_all(self._program)

    def _started(self) -> None:
        if not self._began.done():
            self._began.set_result(None)

    def _exited(self, code: int, failure: Failure | None) -> None:
        self._inside.process.entered.discard(self._program)
        if not self._began.done():
            self._began.set_result(failure)
        self.ended.set_result(128 - code if code < 0 else code)

    def _keep_terminal(self, file: int) -> None:
        self.terminal = file


_EXEC_FAILED = (
    'failed to exec in container: failed to start exec "0": OCI runtime exec failed: exec failed: '
    "unable to start container process: "
)


async def run(inside: Inside, command: Sequence[str], *, timeout_s: float) -> ExecResult:
    """Run to the end; stdout and stderr as one text of at most 1 MiB. Raises ApiError when it takes too long."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    reading, output = os.pipe2(os.O_CLOEXEC)
    _give(inside, output)
    running = _Command(inside)
    kept = bytearray()

    def keep(data: bytes) -> None:
        if len(kept) < OUTPUT_LIMIT_BYTES:
            kept.extend(data)

    reader = _Reader(reading, keep)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    await running.start(command, [null, output, output], tty=False)
                finally:
                    os.close(null)
                    os.close(output)
                await reader.done
                code = await asyncio.shield(running.ended)
        except TimeoutError as error:
            raise ApiError("InternalError", f"The command did not end within {timeout_s:g} s.", 500) from error
        return ExecResult(code, bytes(kept[:OUTPUT_LIMIT_BYTES]))
    finally:
        running.kill()
        reader.close()


async def stream(inside: Inside, command: Sequence[str], *, tty: bool, stdin: bool) -> "_Piped | _Terminal":
    """Start a command whose streams the caller carries. The caller kills it when it leaves."""
    if tty:
        return await _Terminal.start(inside, command)
    return await _Piped.start(inside, command, stdin=stdin)


def _give(inside: Inside, *files: int) -> None:
    """Let the container's user open these by name, as /dev/stdout."""
    if os.geteuid() == 0:
        for file in files:
            os.fchown(file, inside.box.uid if inside.user is None else inside.user, -1)


class _Reader:
    """Reads a descriptor, which is its own, from the event loop to its end; `done` is a future for that."""

    def __init__(self, file: int, take: Callable[[bytes], None]) -> None:
        self._file = file
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(file, False)
        self._loop.add_reader(file, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file, _PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(data)
        else:
            self.close()

    def pause(self) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)

    def resume(self) -> None:
        if self._file >= 0:
            self._loop.add_reader(self._file, self._read)

    def close(self) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1
        if not self.done.done():
            self.done.set_result(None)


class _Piped:
    """Two or three pipes; stdout and stderr apart."""

    def __init__(self, running: _Command, reading: dict[int, int], writing: int) -> None:
        self._running = running
        self._writing = writing
        self._chunks: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._readers = {
            channel: _Reader(file, lambda data, channel=channel: self._put(channel, data))  # type: ignore[misc]
            for channel, file in reading.items()
        }
        self._open = len(self._readers)
        for reader in self._readers.values():
            reader.done.add_done_callback(self._closed)

    @classmethod
    async def start(cls, inside: Inside, command: Sequence[str], *, stdin: bool) -> "_Piped":
        out, out_end = os.pipe2(os.O_CLOEXEC)
        err, err_end = os.pipe2(os.O_CLOEXEC)
        source, writing = os.pipe2(os.O_CLOEXEC) if stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
        _give(inside, out_end, err_end, *([source] if stdin else []))
        if writing >= 0:
            os.set_blocking(writing, False)
        running = _Command(inside)
        piped = cls(running, {STDOUT: out, STDERR: err}, writing)
        try:
            await running.start(command, [source, out_end, err_end], tty=False)
        except BaseException:
            piped.kill()
            raise
        finally:
            for file in (source, out_end, err_end):
                os.close(file)
        return piped

    def _put(self, channel: int, data: bytes) -> None:
        self._chunks.put_nowait((channel, data))
        if self._chunks.qsize() >= 8:
            for reader in self._readers.values():
                reader.pause()

    def _closed(self, _: asyncio.Future[None]) -> None:
        self._open -= 1
        if not self._open:
            self._chunks.put_nowait(None)

    async def read(self) -> tuple[int, bytes] | None:
        chunk = await self._chunks.get()
        if self._chunks.qsize() < 4:
            for reader in self._readers.values():
                reader.resume()
        return chunk

    async def write(self, data: bytes) -> None:
        while data and self._writing >= 0:
            try:
                data = data[os.write(self._writing, data) :]
            except BlockingIOError:
                await _writable(self._writing)
            except BrokenPipeError:
                self.close_stdin()

    def close_stdin(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def resize(self, *, columns: int, rows: int) -> None:
        """Pipes have no size."""

    async def wait(self) -> int:
        return await asyncio.shield(self._running.ended)

    def kill(self) -> None:
        self._running.kill()
        self.close_stdin()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        for reader in self._readers.values():
            reader.close()
        self._chunks.put_nowait(None)  # whoever reads shall not wait for ever


class _Terminal:
    """One pseudo-terminal; everything is channel 1."""

    def __init__(self, running: _Command) -> None:
        self._running = running
        self._master = running.terminal
        self._readable = asyncio.Event()
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._readable.set)

    @classmethod
    async def start(cls, inside: Inside, command: Sequence[str]) -> "_Terminal":
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        running = _Command(inside)
        try:
            await running.start(command, [null, null, null], tty=True)
        except BaseException:
            if running.terminal >= 0:
                os.close(running.terminal)
            raise
        finally:
            os.close(null)
        return cls(running)

    async def read(self) -> tuple[int, bytes] | None:
        while self._master >= 0:
            self._readable.clear()
            try:
                data = os.read(self._master, _PIECE_BYTES)
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
            except OSError:
                return  # nobody reads any more

    def close_stdin(self) -> None:
        if self._master >= 0:
            with suppress(OSError):
                os.write(self._master, b"\x04")

    def resize(self, *, columns: int, rows: int) -> None:
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return await asyncio.shield(self._running.ended)

    def kill(self) -> None:
        self._running.kill()
        self._close()

    def _close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1
            self._readable.set()


async def _writable(file: int) -> None:
    """Wait until a pipe takes more, or its reader has gone."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def go_on() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(file, go_on)
    try:
        await ready
    finally:
        loop.remove_writer(file)
