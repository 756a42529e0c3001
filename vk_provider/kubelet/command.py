"""One command's session: between a client, over SPDY or WebSocket, and what runs in the cloud.

The order of an end is fixed (kubelet-contract X8): all output, then the ends of stdout and stderr, then how it ended,
then goodbye. Every task of a session is in one TaskGroup; input that the command does not take holds up reading from
the client, output that the client does not take holds up reading from the cloud.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from vk_provider.cloud.base import Channel, ExecSession
from vk_provider.errors import ProviderError
from vk_provider.kubelet.link import REPLY_BUFFER_BYTES, ClientLeft, Link, MessageLink, StreamTimes
from vk_provider.kubelet.refusal import RequestRefused, answer_to
from vk_provider.kubelet.upgrade import Agreed, SpdyUpgrade, WebSocketUpgrade, negotiate
from vk_provider.wire import channels, messages
from vk_provider.wire.channels import CommandEvent, Input, InputEnded, Left, Name, Ready, Resized, SpdyCommand
from vk_provider.wire.exit_status import Json, failure, status_of
from vk_provider.wire.messages import MessageCommand

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which streams a request asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Wanted:
        """The API server names them input, output and error, others stdin, stdout and stderr (X1).

        Raises RequestRefused 400 when none is asked for.
        """
        stdin, stdout, stderr, tty = (
            any(query.get(name, "") in ("1", "true", "True") for name in names)
            for names in (("input", "stdin"), ("output", "stdout"), ("error", "stderr"), ("tty",))
        )
        if not (stdin or stdout or stderr):
            raise RequestRefused(400, "you must specify at least 1 of stdin, stdout, stderr")
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
    upgrade: SpdyUpgrade | WebSocketUpgrade, protocol: str, session: ExecSession, *, wanted: Wanted, times: StreamTimes
) -> None:
    """Answers 101 and carries the session to its end, which it closes in any case. Errors after the 101 are told to
    the client by the stream for errors, so none leaves here but a cancellation."""
    try:
        client = await _begin(upgrade, protocol, wanted)
        status = await _converse(client, session, wanted=wanted, creation_s=times.creation_s)
        if status is not None:
            await _end(client, status)
        await client.close()
    finally:
        await close_session(session)


async def _begin(upgrade: SpdyUpgrade | WebSocketUpgrade, protocol: str, wanted: Wanted) -> Client:
    stdin, stdout, stderr, tty = wanted.stdin, wanted.stdout, wanted.stderr, wanted.tty
    if isinstance(upgrade, WebSocketUpgrade):
        command = MessageCommand(protocol=protocol, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        return MessageClient(await upgrade.begin(), command)
    expected = channels.expected_streams(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, protocol=protocol)
    return SpdyClient(await upgrade.begin(), SpdyCommand(protocol=protocol, expected=expected))


async def _converse(client: Client, session: ExecSession, *, wanted: Wanted, creation_s: float) -> Json | None:
    """How it ended; None when there is nobody left to tell."""
    status: Json | None = None
    left = False
    try:
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            helpers = [
                tasks.create_task(client.guard()),
                tasks.create_task(_feed(client, session, ready, takes_input=wanted.stdin)),
            ]
            await _wait_for_streams(ready, creation_s)
            status = await _follow(client, session, tty=wanted.tty)
            for helper in helpers:
                helper.cancel()
    except* ClientLeft as reasons:
        left = True
        log.debug("a session has lost its client: %s", reasons.exceptions[0])
    except* Exception as errors:
        status = failure(_told(errors.exceptions[0]))
    return None if left else status


async def _wait_for_streams(ready: asyncio.Event, creation_s: float) -> None:
    try:
        async with asyncio.timeout(creation_s):
            await ready.wait()
    except TimeoutError as error:
        raise ClientLeft(f"the client did not open its streams within {creation_s:g} s") from error


async def _feed(client: Client, session: ExecSession, ready: asyncio.Event, *, takes_input: bool) -> None:
    """From the client to the command; one thing at a time, so that what is not taken holds up the client."""
    while True:
        for event in await client.receive():
            match event:
                case Ready():
                    ready.set()
                case Input(data) if takes_input:
                    await session.write(data)
                case InputEnded() if takes_input:
                    await session.close_stdin()
                case Resized(width, height):
                    await session.resize(width=width, height=height)
                case Left(reason):
                    raise ClientLeft(reason)
                case _:
                    pass  # input that was not asked for


async def _follow(client: Client, session: ExecSession, *, tty: bool) -> Json:
    """From the command to the client, to its end."""
    output = session.output()
    try:
        async for channel, data in output:
            await client.write(Name.STDERR if channel is Channel.STDERR and not tty else Name.STDOUT, data)
    finally:
        if isinstance(output, AsyncGenerator):
            await output.aclose()
    result = await session.result()
    return status_of(result.exit_code, result.message)


async def _end(client: Client, status: Json) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            guard = tasks.create_task(client.guard())
            await client.end(status)
            guard.cancel()
    except* ClientLeft as reasons:
        log.debug("a session has lost its client: %s", reasons.exceptions[0])


async def close_session(session: ExecSession) -> None:
    """Within a deadline; a cloud that does not close it is only told of in the log."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await session.close()
    except (ProviderError, TimeoutError) as error:
        log.warning("a session in the cloud could not be closed: %s", error or "no answer in time")


def _told(error: BaseException) -> str:
    """What the client may read of an error; what is our own mistake goes to the log as well."""
    known = error if isinstance(error, Exception) else RuntimeError()
    if not isinstance(error, (ProviderError, TimeoutError)):
        log.error("a session broke", exc_info=error)
    return answer_to(known)[1]
