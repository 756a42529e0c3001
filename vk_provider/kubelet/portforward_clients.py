"""A client's side of port-forwarding, as pairs by key: over SPDY, also through a tunnel, or by WebSocket channels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from vk_provider.kubelet.hijack import NO_LIMIT, REPLY_BUFFER_BYTES, ClientDisconnected, Link, MessageLink
from vk_provider.wire.forwarding import Begun, Complete, ForwardEvent, MessageForwarding, SpdyForwarding


class Side(Protocol):
    """The client, as pairs by key. Any call may raise ClientLeft. half_closes: an end can be told each way apart."""

    half_closes: bool

    @property
    def is_over(self) -> bool: ...

    async def receive(self) -> Sequence[ForwardEvent]: ...

    async def send(self, key: str, data: bytes) -> None:
        """Waits while the client takes nothing."""
        ...

    async def finish(self, key: str) -> None: ...

    async def close(self, key: str, error: str = "") -> None:
        """Does not wait for the client, since it is called while a session ends."""
        ...

    async def guard(self) -> None: ...

    async def leave(self) -> None: ...


class SpdySide:
    half_closes = True

    def __init__(self, link: Link, pairs: SpdyForwarding) -> None:
        self._link = link
        self._pairs = pairs

    @property
    def is_over(self) -> bool:
        return self._pairs.is_over

    async def receive(self) -> Sequence[ForwardEvent]:
        events = self._pairs.receive(await self._link.read())
        await self._link.write(self._pairs.take(), beyond=REPLY_BUFFER_BYTES)
        return events

    async def send(self, key: str, data: bytes) -> None:
        self._pairs.send(key, data)
        await self._link.write(self._pairs.take())

    async def finish(self, key: str) -> None:
        self._pairs.finish(key)
        await self._link.write(self._pairs.take(), beyond=NO_LIMIT)

    async def close(self, key: str, error: str = "") -> None:
        self._pairs.close(key, error)
        await self._link.write(self._pairs.take(), beyond=NO_LIMIT)

    async def guard(self) -> None:
        await self._link.guard()

    async def leave(self) -> None:
        with suppress(ClientDisconnected):
            self._pairs.go_away()
            await self._link.write(self._pairs.take(), beyond=NO_LIMIT)
            await self._link.close()


class MessageSide:
    half_closes = False

    def __init__(self, link: MessageLink, pairs: MessageForwarding) -> None:
        self._link = link
        self._pairs = pairs
        self._open: set[str] | None = None  # None until the client has been greeted

    @property
    def is_over(self) -> bool:
        return self._open is not None and not self._open

    async def receive(self) -> Sequence[ForwardEvent]:
        if self._open is not None:
            return self._pairs.receive(await self._link.read())
        self._open = set(self._pairs.ports)
        await self._link.write(*self._pairs.hello())
        return [event for key, port in self._pairs.ports.items() for event in (Begun(key), Complete(key, port))]

    async def send(self, key: str, data: bytes) -> None:
        await self._link.write(self._pairs.send(key, data))

    async def finish(self, key: str) -> None:
        """There is no word for it."""

    async def close(self, key: str, error: str = "") -> None:
        if self._open is not None:
            self._open.discard(key)
        if error:
            await self._link.write(self._pairs.error(key, error), beyond=NO_LIMIT)

    async def guard(self) -> None:
        await self._link.guard()

    async def leave(self) -> None:
        await self._link.close()
