"""One command's session: between a client, over SPDY or WebSocket, and what runs in the cloud.

The order of an end is fixed (kubelet.md X8): all output, then the ends of stdout and stderr, then how it ended,
then goodbye. Every task of a session is in one TaskGroup; much input that the command does not take holds up reading
from the client, output that the client does not take holds up reading from the cloud.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from vk_provider.cloud.base import Channel, ExecSession
from vk_provider.errors import ProviderError
from vk_provider.kubelet.hijack import (
    REPLY_BUFFER_BYTES,
    ClientDisconnected,
    ConnectionGone,
    Link,
    MessageLink,
    StreamTimeouts,
)
from vk_provider.kubelet.http_errors import HttpError, to_status_and_text
from vk_provider.kubelet.upgrade import Agreed, SpdyUpgrade, WebSocketUpgrade, negotiate
from vk_provider.wire import channels, messages
from vk_provider.wire.channels import CommandEvent, Input, InputEnded, Left, Name, Ready, Resized, SpdyCommand
from vk_provider.wire.exit_status import Json, failure, status_of, with_prefix
from vk_provider.wire.messages import MessageCommand

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0
INPUT_BYTES = 512 * 1024  # read ahead of what the command takes
DELIVERY_S = 10.0  # for input that has come to be taken, after its client has left
MOST_ORPHANS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Which streams a request asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> StreamOptions:
        """The API server names them input, output and error, others stdin, stdout and stderr (X1).

        Raises RequestRefused 400 when none is asked for.
        """
        stdin, stdout, stderr, tty = (
            any(query.get(name, "") in ("1", "true", "True") for name in names)
            for names in (("input", "stdin"), ("output", "stdout"), ("error", "stderr"), ("tty",))
        )
        if not (stdin or stdout or stderr):
            raise HttpError(400, "you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty)


# --- clients ---------------------------------------------------------------------------------------------------------


class Client(Protocol):
    """All calls but `receive` may be made while another waits; any may raise ClientLeft."""

    async def receive(self) -> Sequence[CommandEvent]: ...

    async def write(self, name: Name, data: bytes) -> None:
        """Waits while the client does not take it; to a stream that nobody listens to, nothing."""
        ...

    async def end(self, status: Json) -> None:
        """All of it is on its way when this returns."""
        ...

    async def guard(self) -> None:
        """Never returns; raises ClientLeft as soon as there is no client any more."""
        ...

    async def close(self) -> None:
        """Give the client a moment to read all and to close first."""
        ...


class SpdyClient:
    def __init__(self, link: Link, command: SpdyCommand) -> None:
        self._link = link
        self._command = command

    async def receive(self) -> Sequence[CommandEvent]:
        events = self._command.receive(await self._link.read())
        await self._link.write(self._command.take(), beyond=REPLY_BUFFER_BYTES)
        return events

    async def write(self, name: Name, data: bytes) -> None:
        self._command.write(name, data)
        await self._link.write(self._command.take())

    async def end(self, status: Json) -> None:
        self._command.end(status)
        await self._link.write(self._command.take())
        await self._link.flush()

    async def guard(self) -> None:
        await self._link.guard()

    async def close(self) -> None:
        await self._link.close()


class MessageClient:
    def __init__(self, link: MessageLink, command: MessageCommand) -> None:
        self._link = link
        self._command = command
        self._greeted = False

    async def receive(self) -> Sequence[CommandEvent]:
        if not self._greeted:
            self._greeted = True
            await self._link.write(self._command.hello())
            return [Ready()]
        return self._command.receive(await self._link.read())

    async def write(self, name: Name, data: bytes) -> None:
        await self._link.write(self._command.write(name, data))

    async def end(self, status: Json) -> None:
        await self._link.write(self._command.end(status))
        await self._link.flush()

    async def guard(self) -> None:
        await self._link.guard()

    async def close(self) -> None:
        await self._link.close()


# --- sessions --------------------------------------------------------------------------------------------------------


def negotiate_command(request: web.Request) -> Agreed | web.Response:
    """As `negotiate`, for exec and attach."""
    return negotiate(request, spdy=channels.SPDY_PROTOCOLS, websocket=messages.WEBSOCKET_PROTOCOLS)


async def serve(
    upgrade: SpdyUpgrade | WebSocketUpgrade,
    protocol: str,
    session: ExecSession,
    *,
    wanted: StreamOptions,
    times: StreamTimeouts,
    orphans: Orphans | None = None,
    failing: str = "",
) -> None:
    """Answers 101 and carries the session to its end, which it closes in any case. Errors after the 101 are told to
    the client by the stream for errors, so none leaves here but a cancellation.

    orphans: where a command without a terminal goes on when its client has left, as a kubelet's does; None = it ends.
    failing: what a kubelet puts before the reason why there was no exit code.
    """
    try:
        client = await _begin(upgrade, protocol, wanted)
        conversation = _Conversation(client, session, wanted, times, None if wanted.tty else orphans)
        status = await conversation.run()
        if status is not None:
            await _end(client, with_prefix(status, failing))
        await client.close()
    finally:
        await close_session(session)


async def _begin(upgrade: SpdyUpgrade | WebSocketUpgrade, protocol: str, wanted: StreamOptions) -> Client:
    stdin, stdout, stderr, tty = wanted.stdin, wanted.stdout, wanted.stderr, wanted.tty
    if isinstance(upgrade, WebSocketUpgrade):
        command = MessageCommand(protocol=protocol, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        return MessageClient(await upgrade.begin(), command)
    expected = channels.expected_streams(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, protocol=protocol)
    return SpdyClient(await upgrade.begin(), SpdyCommand(protocol=protocol, expected=expected))


class Orphans:
    """Commands whose clients have left. At most `most` of them: beyond that the one that was left first is given up."""

    def __init__(self, most: int = MOST_ORPHANS) -> None:
        self._most = most
        self._left: deque[asyncio.Event] = deque()

    @contextmanager
    def one_more(self) -> Iterator[asyncio.Event]:
        """Set when it has to end."""
        end = asyncio.Event()
        self._left.append(end)
        if len(self._left) > self._most:
            log.warning("more than %d commands go on without their clients; the oldest is given up", self._most)
            self._left.popleft().set()
        try:
            yield end
        finally:
            if end in self._left:
                self._left.remove(end)


class _Inbox:
    """What has come from the client and was not yet handed on, in order; `put` waits while it is much."""

    def __init__(self) -> None:
        self._events: deque[CommandEvent] = deque()
        self._held = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, event: CommandEvent) -> None:
        self._events.append(event)
        self._something.set()
        self._held += _size(event)
        while self._held > INPUT_BYTES:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> CommandEvent:
        while not self._events:
            self._something.clear()
            await self._something.wait()
        event = self._events.popleft()
        self._held -= _size(event)
        self._room.set()
        return event


def _size(event: CommandEvent) -> int:
    return len(event.data) if isinstance(event, Input) else 0


class _Conversation:
    """One client and one command.

    The client is listened to although the command does not take its input yet: by a connection that ends, what has
    not been read is lost. Its end comes in line behind all that it has sent.
    """

    def __init__(
        self,
        client: Client,
        session: ExecSession,
        wanted: StreamOptions,
        times: StreamTimeouts,
        orphans: Orphans | None,
    ) -> None:
        self._client = client
        self._session = session
        self._wanted = wanted
        self._times = times
        self._orphans = orphans
        self._inbox = _Inbox()
        self._ready = asyncio.Event()
        self._input_ended = False
        self._has_left = asyncio.Event()

    async def run(self) -> Json | None:
        """How it ended; None when there is nobody left to tell."""
        status: Json | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(each) for each in (self._guard(), self._listen(), self._feed(), self._outlive())
                ]
                await _wait_for_streams(self._ready, self._times.creation_s)
                status = await self._follow()
                for helper in helpers:
                    helper.cancel()
        except* ClientDisconnected as reasons:
            self._has_left.set()
            log.debug("a session has lost its client: %s", reasons.exceptions[0])
        except* Exception as errors:
            status = failure(_as_message(errors.exceptions[0]))
        return None if self._has_left.is_set() else status

    async def _guard(self) -> None:
        try:
            await self._client.guard()
        except ConnectionGone:
            self._has_left.set()

    async def _outlive(self) -> None:
        """Ends what has no client any more, in its time."""
        await self._has_left.wait()
        if self._orphans is None:
            await asyncio.sleep(DELIVERY_S)  # for what has come
            raise ClientDisconnected("the client has left")
        with self._orphans.one_more() as has_to_end, suppress(TimeoutError):
            async with asyncio.timeout(self._times.idle_s):
                await has_to_end.wait()
        raise ClientDisconnected("the command went on without its client for long enough")

    async def _listen(self) -> None:
        try:
            while True:
                for event in await self._client.receive():
                    await self._inbox.put(event)
        except ClientDisconnected as error:
            await self._inbox.put(Left(str(error)))

    async def _feed(self) -> None:
        """From the client to the command, one thing at a time."""
        while True:
            match await self._inbox.get():
                case Ready():
                    self._ready.set()
                case Input(data) if self._wanted.stdin:
                    await self._session.write(data)
                case InputEnded() if self._wanted.stdin:
                    await self._end_input()
                case Resized(width, height):
                    await self._session.resize(width=width, height=height)
                case Left(reason):
                    await self._leave(reason)
                    return
                case _:
                    pass  # input that was not asked for

    async def _leave(self, reason: str) -> None:
        self._has_left.set()
        if not self._ready.is_set() or self._orphans is None:
            raise ClientDisconnected(reason)
        log.debug("a command goes on without its client: %s", reason)
        if self._wanted.stdin:
            await self._end_input()

    async def _end_input(self) -> None:
        if not self._input_ended:
            self._input_ended = True
            await self._session.close_stdin()

    async def _follow(self) -> Json:
        """From the command to the client, to its end; what no client takes any more is dropped."""
        output = self._session.output()
        try:
            async for channel, data in output:
                is_error = channel is Channel.STDERR and not self._wanted.tty
                if not self._has_left.is_set():
                    await self._show(Name.STDERR if is_error else Name.STDOUT, data)
        finally:
            if isinstance(output, AsyncGenerator):
                await output.aclose()
        result = await self._session.result()
        return status_of(result.exit_code, result.message)

    async def _show(self, name: Name, data: bytes) -> None:
        try:
            await self._client.write(name, data)
        except ClientDisconnected:
            self._has_left.set()  # `_listen` finds out as well, behind all that came before


async def _wait_for_streams(ready: asyncio.Event, creation_s: float) -> None:
    try:
        async with asyncio.timeout(creation_s):
            await ready.wait()
    except TimeoutError as error:
        raise ClientDisconnected(f"the client did not open its streams within {creation_s:g} s") from error


async def _end(client: Client, status: Json) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            guard = tasks.create_task(client.guard())
            await client.end(status)
            guard.cancel()
    except* ClientDisconnected as reasons:
        log.debug("a session has lost its client: %s", reasons.exceptions[0])


async def close_session(session: ExecSession) -> None:
    """Within a deadline; a cloud that does not close it is only told of in the log."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await session.close()
    except (ProviderError, TimeoutError) as error:
        log.warning("a session in the cloud could not be closed: %s", error or "no answer in time")


def _as_message(error: BaseException) -> str:
    """What the client may read of an error; what is our own mistake goes to the log as well."""
    known = error if isinstance(error, Exception) else RuntimeError()
    if not isinstance(error, (ProviderError, TimeoutError)):
        log.error("a session broke", exc_info=error)
    return to_status_and_text(known)[1]
