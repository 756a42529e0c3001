"""Accepting connections: nobody who has not proven who he is can take what the node needs to live.

A connection is a stranger until one of its requests was allowed. Strangers have deadlines, and a number, in all and
per source address; beyond it the one that is least likely to be a client makes room. Everything that the kubelet API
opens comes out of a share of the process's file descriptors: the rest stays for the API server, the cloud and probes.

Clients of a kubelet speak first, so TLS begins with a connection's first byte; before that it costs a descriptor only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from aiohttp import web

from vk_provider.errors import ProviderError
from vk_provider.metrics import Registry

log = logging.getLogger(__name__)

ACCEPTS_AT_ONCE = 64
PAUSE_S = 0.02  # of accepting, where there is no room; who comes meanwhile waits in the system's backlog
TELL_EVERY_S = 60.0
_V6_SITE = 64  # bits: all the addresses that one machine may give itself


class OutOfConnections(ProviderError):
    """The kubelet API's share of file descriptors is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """open: file descriptors that the kubelet API may hold; strangers: of them, in all and per address.

    silent_s: from the connection to its first byte. handshake_s: of TLS. stranger_s: from the connection to the end of
    the headers of a request that is allowed. Who makes room for others has had patience_s before his first byte, and
    young_s after it: an honest client is through by then.
    """

    open: int
    strangers: int
    strangers_per_address: int
    silent_s: float = 5.0
    handshake_s: float = 5.0
    stranger_s: float = 10.0
    patience_s: float = 0.5
    young_s: float = 1.0

    @classmethod
    def of(cls, descriptors: int) -> Limits:
        """descriptors: how many files the process may have open. Half of them stay for all that is not this API."""
        share = max(8, descriptors // 2)
        strangers = min(1024, share * 3 // 4)
        return cls(open=share, strangers=strangers, strangers_per_address=strangers * 3 // 4)


def raise_descriptor_limit() -> int:
    """To what the system allows this process; how many files it may have open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # a hard limit above the system's own
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()


def descriptor_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class Room(Enum):
    """For a newcomer."""

    YES = auto()
    SOON = auto()
    NO = auto()


class State(IntEnum):
    """In the order in which they make room for others."""

    SILENT = 0  # nothing has come
    SPEAKING = 1  # handshake and headers
    JUDGED = 2  # a request is here, and the API server is asked about it
    KNOWN = 3  # a request was allowed


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    address: str
    came_at: float
    state: State = State.SILENT
    task: asyncio.Task[None] | None = None
    transport: asyncio.Transport | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def is_closed(self) -> bool:
        return self.socket.fileno() < 0


class Listener:
    """One listening socket. Always true: at most `limits.open` descriptors are held by it and by `dial` together."""

    def __init__(
        self,
        listening: socket.socket,
        *,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext,
        limits: Limits,
        registry: Registry,
    ) -> None:
        self._socket = listening
        self._protocol = protocol
        self._tls = tls
        self._limits = limits
        self._open: dict[int, _Connection] = {}  # by file descriptor; who has closed is found out when there is need
        self._strangers: dict[str, dict[_Connection, None]] = defaultdict(dict)  # by address, oldest first
        self._stranger_count = 0
        self._dialled = 0
        self._newcomer: tuple[socket.socket, str] | None = None
        self._dropped: Counter[str] = Counter()
        self._told_at = float("-inf")
        self._drops = registry.counter(
            "vk_kubelet_connections_dropped_total",
            "Connections to the kubelet API that it cut or did not take.",
            ("why",),
        )
        connections = registry.gauge("vk_kubelet_connections", "Connections to the kubelet API.", ("state",))
        registry.before_scrape(lambda: self._count(connections.set))

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._accept)

    async def stop(self) -> None:
        """Take no more, and end those that no request has come of; the others are the HTTP server's to end."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._newcomer is not None:
            self._newcomer[0].close()
        tasks = [each.task for each in self._open.values() if each.task is not None and not each.task.done()]
        for connection in list(self._open.values()):
            if connection.state < State.JUDGED:
                self._cut(connection)
            elif connection.timer is not None:
                connection.timer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the HTTP server says of a request ---

    def judging(self, request: web.Request) -> None:
        """Its headers are here; whose it is takes a while to find out."""
        connection = self._of(request)
        if connection is not None and connection.state is State.SPEAKING:
            connection.state = State.JUDGED

    def allowed(self, request: web.Request) -> None:
        """From now on its connection is a known one."""
        connection = self._of(request)
        if connection is not None and connection.state is not State.KNOWN:
            self._no_stranger(connection)
            connection.state = State.KNOWN

    def refused(self, request: web.Request) -> None:
        """The client is answered 401 or 403, and its connection has to end in time."""
        connection = self._of(request)
        if connection is None:
            return
        if connection.state is State.KNOWN:
            self._new_stranger(connection, self._limits.stranger_s)
        connection.state = State.SPEAKING

    def _of(self, request: web.Request) -> _Connection | None:
        found = request.get_extra_info("socket")
        return self._open.get(found.fileno()) if found is not None else None

    # --- connections that we make for a client ---

    async def dial(self, address: str, port: int, *, buffer: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `asyncio.open_connection`, out of the same share. Raises OutOfConnections, OSError."""
        if not self._has_room():
            raise OutOfConnections("the node has too many connections open")
        self._dialled += 1
        reader = asyncio.StreamReader(limit=buffer)
        try:
            transport, protocol = await self._loop.create_connection(
                lambda: _Dialled(reader, self._hung_up), address, port
            )
        except BaseException:
            self._dialled -= 1
            raise
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    def _hung_up(self) -> None:
        self._dialled -= 1

    # --- accepting ---

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                made, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._warn(f"cannot accept: {error.strerror}")
                self._pause()
                return
            made.setblocking(False)
            self._newcomer = (made, source_of(peer[0]))
            if not self._settle_newcomer():
                self._pause()
                return

    def _pause(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._socket.fileno() < 0:
            return
        if self._settle_newcomer():
            self._loop.add_reader(self._socket.fileno(), self._accept)
        else:
            self._loop.call_later(PAUSE_S, self._resume)

    def _settle_newcomer(self) -> bool:
        """Take or drop the one that was accepted last; False: it has to wait, and so have those behind it."""
        if self._newcomer is None:
            return True
        made, address = self._newcomer
        room = self._make_room(address)
        if room is Room.SOON:
            return False
        self._newcomer = None
        if room is Room.YES:
            self._take(made, address)
        else:
            self._drop("no room")
            made.close()
        return True

    def _take(self, made: socket.socket, address: str) -> None:
        connection = _Connection(made, address, self._loop.time())
        before = self._open.pop(made.fileno(), None)
        if before is not None:  # is closed, for its descriptor is used again
            self._no_stranger(before)
        self._open[made.fileno()] = connection
        self._new_stranger(connection, self._limits.silent_s)
        self._loop.add_reader(made.fileno(), self._greet, connection)

    def _greet(self, connection: _Connection) -> None:
        """The first byte is here, or the end."""
        self._loop.remove_reader(connection.socket.fileno())
        connection.state = State.SPEAKING
        self._set_timer(connection, connection.came_at + self._limits.stranger_s)
        connection.task = self._loop.create_task(self._serve(connection))

    async def _serve(self, connection: _Connection) -> None:
        try:
            made, _ = await self._loop.connect_accepted_socket(
                self._protocol, connection.socket, ssl=self._tls, ssl_handshake_timeout=self._limits.handshake_s
            )
        except OSError as error:  # also of TLS, and of time
            log.debug("no handshake with %s: %s", connection.address, error)
            self._no_stranger(connection)
        else:
            connection.transport = made
            if connection.state is State.SPEAKING and connection.timer is None:
                made.abort()  # was cut meanwhile

    # --- room ---

    def _make_room(self, address: str) -> Room:
        own = self._strangers.get(address, {})
        if len(own) >= self._limits.strangers_per_address:
            self._forget_closed()
            if len(own) >= self._limits.strangers_per_address and not self._cut_one_of(own):
                return Room.SOON
        if not self._is_full():
            return Room.YES
        self._forget_closed()
        if not self._is_full():
            return Room.YES
        most = max(self._strangers.values(), key=len, default=None)
        if most is None:
            return Room.NO
        return Room.YES if self._cut_one_of(most) else Room.SOON

    def _is_full(self) -> bool:
        return self._stranger_count >= self._limits.strangers or not self._has_room()

    def _has_room(self) -> bool:
        if len(self._open) + self._dialled < self._limits.open:
            return True
        self._forget_closed()
        return len(self._open) + self._dialled < self._limits.open

    def _cut_one_of(self, strangers: dict[_Connection, None]) -> bool:
        """The first that has said nothing, else the first that was not through in time. False: all of them are new."""
        now = self._loop.time()
        old = [each for each in strangers if now - each.came_at >= self._patience_s(each)]
        if not old:
            return False
        self._drop("too many")
        self._cut(min(old, key=lambda each: each.state))  # the oldest of these
        return True

    def _patience_s(self, connection: _Connection) -> float:
        return self._limits.patience_s if connection.state is State.SILENT else self._limits.young_s

    def _forget_closed(self) -> None:
        for descriptor, connection in list(self._open.items()):
            if connection.is_closed:
                self._no_stranger(connection)
                del self._open[descriptor]

    # --- strangers ---

    def _new_stranger(self, connection: _Connection, within_s: float) -> None:
        self._strangers[connection.address][connection] = None
        self._stranger_count += 1
        self._set_timer(connection, self._loop.time() + within_s)

    def _no_stranger(self, connection: _Connection) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
            connection.timer = None
        own = self._strangers.get(connection.address)
        if own is not None and connection in own:
            del own[connection]
            self._stranger_count -= 1
            if not own:
                del self._strangers[connection.address]

    def _set_timer(self, connection: _Connection, at: float) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
        connection.timer = self._loop.call_at(at, self._late, connection)

    def _late(self, connection: _Connection) -> None:
        if connection.is_closed:
            self._no_stranger(connection)
        elif connection.state is State.JUDGED:
            self._set_timer(connection, self._loop.time() + 1.0)  # the one who judges has deadlines of his own
        else:
            self._drop("late")
            self._cut(connection)

    def _cut(self, connection: _Connection) -> None:
        self._no_stranger(connection)
        if connection.is_closed:
            return
        if connection.state is State.SILENT:
            self._loop.remove_reader(connection.socket.fileno())
            connection.socket.close()
        elif connection.transport is not None:
            with suppress(AttributeError):  # Python 3.11.2's, of a TLS connection that was closed twice
                connection.transport.abort()
        else:
            with suppress(OSError):  # the other side is gone already
                connection.socket.shutdown(socket.SHUT_RDWR)  # a handshake that is cancelled may leave its socket open

    # --- telling ---

    def _drop(self, why: str) -> None:
        self._drops.add(why=why)
        self._dropped[why] += 1
        if why != "late":
            self._warn(f"more strangers than are let in ({self._stranger_count} connections without a request)")

    def _warn(self, what: str) -> None:
        now = self._loop.time()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            text = ", ".join(f"{why}: {number}" for why, number in sorted(self._dropped.items()))
            log.warning("the kubelet API is crowded: %s; connections dropped so far: %s", what, text or "none")

    def _count(self, put: Callable[..., None]) -> None:
        self._forget_closed()
        states = Counter(each.state for each in self._open.values())
        for state in State:
            put(states[state], state=state.name.lower())


class _Dialled(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, hung_up: Callable[[], None]) -> None:
        super().__init__(reader)
        self._hung_up = hung_up

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._hung_up()


def source_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or all the IPv6 addresses of a site."""
    if ":" not in address:
        return address
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _V6_SITE), strict=False))
