"""`kubectl port-forward`: TCP connections from here to the pod's own address, many at once on one client connection.

The client's one connection has no flow control of its own (X25), so what its pairs have sent and their ports have not
taken is held within one budget; beyond it nothing more is read until a port takes some. When the client leaves, what it
has sent is delivered first. The way goes to the pod's address: a server that listens at 127.0.0.1 only is not reached.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from vk_provider.kubelet import target
from vk_provider.kubelet.hijack import (
    ClientDisconnected,
    ConnectionGone,
    StreamTimeouts,
    TunnelLink,
)
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.listener import OutOfConnections
from vk_provider.kubelet.portforward_clients import MessageSide, Side, SpdySide
from vk_provider.kubelet.target import FindPod
from vk_provider.kubelet.upgrade import SPDY, Agreed, SpdyUpgrade, WebSocketUpgrade, negotiate, upgrading
from vk_provider.model.instance import Instance
from vk_provider.wire import forwarding
from vk_provider.wire.channels import Left
from vk_provider.wire.forwarding import (
    Begun,
    Complete,
    ForwardEvent,
    MessageForwarding,
    PairGone,
    PairInput,
    PairInputEnded,
    SpdyForwarding,
)

log = logging.getLogger(__name__)

DIAL_TIMEOUT_S = 30.0
READ_BYTES = 32 * 1024
HELD_BYTES = 1024 * 1024
DELIVERY_S = 10.0  # for ports to take what came, and to end, after the client has left

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[str, int], Awaitable[Connected]]


async def dial_tcp(address: str, port: int) -> Connected:
    return await asyncio.open_connection(address, port, limit=2 * READ_BYTES)


@dataclass(frozen=True, slots=True)
class Destination:
    """A pod, by what an error must tell of it, and its address."""

    name: str
    uid: str
    address: str


class PortForwardServer:
    """Answers `/portForward`. Holds no state of its own."""

    def __init__(
        self,
        *,
        pods: FindPod,
        instance_of: Callable[[str], Instance | None],
        times: StreamTimeouts,
        dial: Dial = dial_tcp,
    ) -> None:
        self._pods = pods
        self._instance_of = instance_of
        self._times = times
        self._dial = dial

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises RequestRefused."""
        names = request.match_info
        pod = target.streaming_pod(self._pods, names)
        uid = pod["metadata"]["uid"]
        destination = Destination(names["pod"], uid, target.address(pod, self._instance_of(uid)))
        agreed = negotiate(
            request,
            spdy=forwarding.SPDY_PROTOCOLS,
            websocket=(forwarding.TUNNEL_PROTOCOL, *forwarding.WEBSOCKET_PROTOCOLS),
        )
        if isinstance(agreed, web.Response):
            return agreed
        ports = _ports(request) if _is_channels(agreed) else []
        async with upgrading(request, agreed, self._times) as upgrade:
            side = await _begin(upgrade, agreed, ports)
            await Session(side, destination, times=self._times, dial=self._dial).run()
        return upgrade.response


def _is_channels(agreed: Agreed) -> bool:
    return agreed.transport != SPDY and agreed.protocol != forwarding.TUNNEL_PROTOCOL


def _ports(request: web.Request) -> list[int]:
    """Of a query `port`, repeated or joined by commas. Raises RequestRefused 400."""
    texts = [text.strip() for value in request.query.getall("port", []) for text in value.split(",")]
    ports = [forwarding.port_number(text) for text in texts]
    if not ports or len(ports) > forwarding.MOST_PORTS or None in ports:
        raise HttpError(400, f"the query needs port=… with 1 to {forwarding.MOST_PORTS} port numbers")
    return [port for port in ports if port is not None]


async def _begin(upgrade: SpdyUpgrade | WebSocketUpgrade, agreed: Agreed, ports: Sequence[int]) -> Side:
    if isinstance(upgrade, SpdyUpgrade):
        return SpdySide(await upgrade.begin(), SpdyForwarding())
    link = await upgrade.begin()
    if agreed.protocol == forwarding.TUNNEL_PROTOCOL:
        return SpdySide(TunnelLink(link), SpdyForwarding())
    return MessageSide(link, MessageForwarding(ports, protocol=agreed.protocol))


# --- a session -------------------------------------------------------------------------------------------------------


class _Budget:
    """Bytes that came and are not yet taken, of all pairs of a session."""

    def __init__(self) -> None:
        self._held = 0
        self._changed = asyncio.Event()

    def hold(self, size: int) -> None:
        self._held += size

    def release(self, size: int) -> None:
        self._held -= size
        self._changed.set()

    async def wait_for_room(self) -> None:
        while self._held > HELD_BYTES:
            self._changed.clear()
            await self._changed.wait()


class _Inbox:
    """What the client has sent to one pair, in order; None is its end. port: set once the pair is complete."""

    def __init__(self, budget: _Budget) -> None:
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._budget = budget
        self._items: deque[bytes | None] = deque()
        self._something = asyncio.Event()

    def put(self, data: bytes | None) -> None:
        self._budget.hold(len(data or b""))
        self._items.append(data)
        self._something.set()

    async def get(self) -> bytes | None:
        while not self._items:
            self._something.clear()
            await self._something.wait()
        data = self._items.popleft()
        self._budget.release(len(data or b""))
        return data

    def discard(self) -> None:
        while self._items:
            self._budget.release(len(self._items.popleft() or b""))


class Session:
    """All pairs of one client connection, each a task of one TaskGroup."""

    def __init__(self, side: Side, destination: Destination, *, times: StreamTimeouts, dial: Dial) -> None:
        self._side = side
        self._destination = destination
        self._times = times
        self._dial = dial
        self._budget = _Budget()
        self._inboxes: dict[str, _Inbox] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until the client has left and what it sent is delivered. Raises nothing but a cancellation."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._guard())
                await self._listen(tasks)
        except* ClientDisconnected as reasons:
            log.debug("a port-forward has ended: %s", reasons.exceptions[0])
        except* Exception as errors:
            log.error("a port-forward broke", exc_info=errors.exceptions[0])  # noqa: TRY400 -- of the group, the cause
        await self._side.leave()

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        try:
            while True:
                for event in await self._side.receive():
                    await self._on_event(event, tasks)
                await self._budget.wait_for_room()
        except ClientDisconnected:
            for inbox in self._inboxes.values():
                inbox.put(None)
            if self._tasks:
                await asyncio.wait(set(self._tasks.values()), timeout=DELIVERY_S)
            raise

    async def _guard(self) -> None:
        try:
            await self._side.guard()
        except ConnectionGone:
            await asyncio.sleep(2 * DELIVERY_S)  # `_listen` finds out as well, behind all that came before
            raise

    async def _on_event(self, event: ForwardEvent, tasks: asyncio.TaskGroup) -> None:
        match event:
            case Begun(key):
                inbox = self._inboxes[key] = _Inbox(self._budget)
                self._tasks[key] = tasks.create_task(self._pair(key, inbox))
            case Complete(key, port):
                self._inboxes[key].port.set_result(port)
            case PairInput(key, data):
                self._inboxes[key].put(data)
            case PairInputEnded(key):
                self._inboxes[key].put(None)
            case PairGone(key):
                self._tasks[key].cancel()
                await self._forget(key, self._inboxes[key])  # here, for a task that has not begun ends in silence
            case Left(reason):
                raise ClientDisconnected(reason)

    async def _pair(self, key: str, inbox: _Inbox) -> None:
        """From the first of its streams to the end of both directions."""
        error = ""
        try:
            error = await self._connect_and_carry(key, inbox)
        finally:
            await self._forget(key, inbox, error)

    async def _forget(self, key: str, inbox: _Inbox, error: str = "") -> None:
        """Once; by then the client may have begun another pair with the same key."""
        inbox.discard()
        if self._inboxes.get(key) is not inbox:
            return
        del self._inboxes[key], self._tasks[key]
        with suppress(ClientDisconnected):
            await self._side.close(key, error)
        if self._side.is_over:
            raise ClientDisconnected("all connections have ended")

    async def _connect_and_carry(self, key: str, inbox: _Inbox) -> str:
        """What to tell of a connection that never was one; else empty."""
        try:
            async with asyncio.timeout(self._times.creation_s):
                port = await inbox.port
        except TimeoutError:
            return "the other of the two streams of this connection did not come"
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                reader, writer = await self._dial(self._destination.address, port)
        except (OSError, TimeoutError, OutOfConnections) as error:
            pod = self._destination
            return f"error forwarding port {port} to pod {pod.name}, uid {pod.uid}: {_why(error)}"
        try:
            await self._carry(key, inbox, reader, writer)
        finally:
            writer.close()
        return ""

    async def _carry(self, key: str, inbox: _Inbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as tasks:
            upward = tasks.create_task(_pump_up(inbox, writer))
            is_taken = True
            with suppress(ConnectionError):
                while data := await reader.read(READ_BYTES):
                    is_taken = is_taken and await self._send(key, data)
            with suppress(ClientDisconnected):
                await self._side.finish(key)
            if not self._side.half_closes:
                upward.cancel()

    async def _send(self, key: str, data: bytes) -> bool:
        """False: there is no client any more. What the port says then is read nevertheless, for it may wait for that
        before it takes what the client has sent."""
        try:
            await self._side.send(key, data)
        except ClientDisconnected:
            return False
        return True


async def _pump_up(inbox: _Inbox, writer: asyncio.StreamWriter) -> None:
    """Until the client's end, which is handed on. What a port no longer takes is dropped."""
    takes = True
    while (data := await inbox.get()) is not None:
        if takes:
            try:
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                takes = False
    with suppress(OSError):
        if takes and writer.can_write_eof():
            writer.write_eof()


def _why(error: Exception) -> str:
    if isinstance(error, OutOfConnections):
        return str(error)
    if isinstance(error, TimeoutError) or not isinstance(error, OSError):
        return f"no answer within {DIAL_TIMEOUT_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return (
            "connection refused: nothing listens on this port at the pod's own address; a server that listens on "
            "127.0.0.1 only cannot be reached on this node, let it listen on 0.0.0.0"
        )
    return os.strerror(error.errno).lower() if error.errno else str(error)
