"""Commands in running containers: ECI's ExecContainerCommand and the WebSocket it answers with.

Every message is one byte that names a channel, then data: 0 standard input, 1 and 2 the outputs, 3 how it ended, 4 the
terminal's size. The words are Kubernetes', but ECI documents neither sub-protocol nor exit code (eci.md 2.8), so what
can be had is settled by what the server picks of the sub-protocols offered:

    v5.channel.k8s.io   exit code, and an end of input
    v4.channel.k8s.io   exit code
    anything else       what channel 3 says in words, if anything

Where there is no exit code the result has none and says so. The way out of a shell around the command, which would
print its exit code behind a marker, is not taken: it needs a shell in every image, loses the marker to a command that
closes its output or leaves a child writing, takes part of the few characters that ECI allows a command, and a program
that prints the marker itself could lie. Where there is no word for the end of input, a session whose input has ended
is given up once it has been quiet for long: else `printf x | kubectl exec -i pod -- cat` would never come back.

An address holds a token: it stands in no log, no message and no exception chain.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
from yarl import URL

from vk_provider.cloud.base import Channel, ExecResult
from vk_provider.cloud.eci import calls, response
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudUnavailable

log = logging.getLogger(__name__)

Call = Callable[[EciRequest], Awaitable[Mapping[str, Any]]]

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
HAS_CLOSE = frozenset({"v5.channel.k8s.io"})

STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_OUTPUTS = {STDOUT: Channel.STDOUT, STDERR: Channel.STDERR}

SESSIONS_AT_ONCE = 512  # more than twice what all probes together may hold, so that there are some left for people
CONNECT_S = 15.0  # the address is good for 30 s
MAX_PIECE = 32 * 1024  # of input, per message
MAX_MESSAGE = 4 * 1024 * 1024  # of output, per message
CLOSE_S = 2.0
AFTER_STATUS_S = 2.0  # for the server to close, once it has said how the command ended
PING_S = 20.0  # a silent session is forgotten by address translators on the way, often after a minute
QUIET_S = 60.0  # for a session whose input has ended and whose server cannot be told

_END_OF_INPUT_UNTOLD = "the end of its input could not be told to it, for which the cloud has no word"


class Terminals:
    """Opens sessions. call: sends a request to ECI and gives its answer."""

    def __init__(self, call: Call, *, ping_s: float = PING_S, quiet_s: float = QUIET_S) -> None:
        self._call = call
        self._ping_s = ping_s
        self._quiet_s = quiet_s
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self, instance_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> WebSocketSession:
        """Start a command. Raises CloudRefused for one that ECI cannot carry, and the other kinds of CloudError."""
        asked = calls.exec_command(instance_id, container, command, stdin=stdin, tty=tty)
        address = response.terminal_address(await self._call(asked))
        if not address:
            raise CloudUnavailable("ExecContainerCommand: the answer names no ws:// or wss:// address")
        session = WebSocketSession(await self._connect(address), tty=tty, ping_s=self._ping_s, quiet_s=self._quiet_s)
        log.info("command started instance=%s container=%s tty=%s %s", instance_id, container, tty, session.manner)
        return session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _connect(self, address: str) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._opened().ws_connect(
                    URL(address, encoded=True),
                    protocols=PROTOCOLS,
                    max_msg_size=MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            text = f"HTTP {error.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            text = type(error).__name__
        # Not chained: the foreign error's text holds the address.
        raise CloudUnavailable(f"ExecContainerCommand: the cloud's terminal could not be reached ({text}); try again")

    def _opened(self) -> aiohttp.ClientSession:
        """A pool of its own: sessions last for hours and must not keep calls waiting."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=SESSIONS_AT_ONCE, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
            )
        return self._session


class WebSocketSession:
    """One command. See `vk_provider.cloud.base.ExecSession`.

    Nothing is read from the socket but by `output`, and nothing is queued: who stops reading stops the server.
    """

    def __init__(
        self,
        connection: aiohttp.ClientWebSocketResponse,
        *,
        tty: bool,
        ping_s: float = PING_S,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._connection = connection
        standing = connection._response.connection  # aiohttp tells of the transport nowhere else
        self._transport = standing.transport if standing is not None else None
        self._tty = tty
        self._ping_s = ping_s
        self._quiet_s = quiet_s
        self._result: ExecResult | None = None
        self._gave_up = False
        self._untold_since: float | None = None  # loop time at which the input ended unspeakably
        self._heard_at = 0.0  # loop time of the last message, or of our beginning to listen
        self._listening = False
        self._tending = asyncio.create_task(self._tend(), name="exec-keep-alive")

    @property
    def manner(self) -> str:
        """What the server agreed to, for the log."""
        return f"protocol={self._connection.protocol or 'none'}"

    # --- in ---

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PIECE):
            await self._send(STDIN, data[start : start + MAX_PIECE])

    async def close_stdin(self) -> None:
        if self._connection.protocol in HAS_CLOSE:
            await self._send(CLOSE, bytes([STDIN]))
        elif self._untold_since is None:
            self._untold_since = _now()

    async def resize(self, *, width: int, height: int) -> None:
        if self._tty:
            await self._send(RESIZE, json.dumps({"Width": width, "Height": height}).encode())

    async def _send(self, channel: int, data: bytes) -> None:
        """Waits for room. What comes after the end is dropped: how it ended is for `output` to find out."""
        if self._result is None and not self._connection.closed:
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._connection.send_bytes(bytes([channel]) + data)

    # --- out ---

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        while (message := await self._receive()) is not None:
            channel, data = message[0], message[1:]
            if channel == STATUS and data:
                self._result = _ending(data)
            elif channel in _OUTPUTS and data:  # an empty message only says that the server is there
                yield _OUTPUTS[channel], data

    async def result(self) -> ExecResult:
        result = self._result or ExecResult(None, "its session was closed before it ended")
        if self._untold_since is None or self._tty or result.exit_code is not None:
            return result
        return ExecResult(None, f"{result.message}; {_END_OF_INPUT_UNTOLD}")

    async def _receive(self) -> bytes | None:
        """The next message that has something in it; None when the session is over."""
        while True:
            message = await self._next()
            if message is None:
                return None
            data = message.data
            if message.type is aiohttp.WSMsgType.TEXT:
                data = data.encode()
            elif message.type is not aiohttp.WSMsgType.BINARY:
                if self._result is None:
                    self._result = self._silent_end(orderly=message.type is aiohttp.WSMsgType.CLOSE)
                return None
            if data:
                return bytes(data)

    async def _next(self) -> aiohttp.WSMessage | None:
        self._listening, self._heard_at = True, _now()
        try:
            return await self._connection.receive(timeout=AFTER_STATUS_S if self._result else None)
        except TimeoutError:
            return None  # the server has said how it ended, and lets the connection stand
        finally:
            self._listening, self._heard_at = False, _now()

    def _silent_end(self, *, orderly: bool) -> ExecResult:
        if self._gave_up:
            return ExecResult(None, f"the session was given up after {self._quiet_s:g} s without output")
        if not orderly:
            return ExecResult(None, "the connection to the cloud's terminal broke, so how the command ended is unknown")
        return ExecResult(None, "the command has ended; the cloud does not say with which exit code")

    # --- end ---

    async def close(self) -> None:
        self._tending.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        await asyncio.gather(self._tending, return_exceptions=True)
        if self._transport is not None:
            with suppress(AttributeError):  # Python 3.11.2's, of a TLS connection that was closed twice
                self._transport.abort()  # mostly it is closed, as it should be; else unsent input would keep it

    async def _tend(self) -> None:
        """Keeps the session known to everything on its way, and ends the one that could wait for ever."""
        while not self._connection.closed:
            await asyncio.sleep(min(self._ping_s, self._quiet_s / 2))
            if self._is_stuck():
                self._gave_up = True
                await self._connection.close()
                return
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._connection.ping()

    def _is_stuck(self) -> bool:
        if self._untold_since is None or self._tty or not self._listening:
            return False
        return _now() - max(self._untold_since, self._heard_at) >= self._quiet_s


# --- how it ended -----------------------------------------------------------------------------------------------------

_EXIT_IN_WORDS = re.compile(r"(?:exit status|exit code:?|exited with) (\d{1,3})\s*$")


def _ending(data: bytes) -> ExecResult:
    """Channel 3: a Status object, or (in the oldest sub-protocol) a text that is there only when something failed."""
    text = data.decode(errors="replace").strip()
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        words = _EXIT_IN_WORDS.search(text)
        return ExecResult(int(words[1]) if words else None, text)
    if status.get("status") == "Success":
        return ExecResult(0)
    return ExecResult(_exit_code(status), str(status.get("message") or "the cloud says that the command failed"))


def _exit_code(status: Mapping[str, Any]) -> int | None:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "ExitCode":
            number = str(cause.get("message"))
            return int(number) if number.isascii() and number.isdigit() else None
    return None


def _now() -> float:
    return asyncio.get_running_loop().time()
