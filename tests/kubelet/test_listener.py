"""Who says nothing, or says it slowly, takes no room from others: neither at this port nor of the process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from vk_provider.kubelet import listener
from vk_provider.kubelet.listener import Limits

from .commands import Streaming
from .test_portforward import forward
from .world import DEADLINE_S, World, client_context, instance_of_pod, pod_named, until

# Deadlines that a machine with other work does not miss; that they are kept is tried with short ones.
LIMITS = dataclasses.replace(Limits.of(1024), silent_s=40.0, handshake_s=40.0, stranger_s=80.0)
CROWD = 1_060

Hostile = Callable[[World, str], Awaitable[socket.socket]]


@pytest.fixture(autouse=True)
def descriptors() -> None:
    """Both ends of a crowd's connections are this process's, which a login may leave 1,024 of them."""
    listener.raise_descriptor_limit()


@pytest.fixture
def small(world: World) -> World:
    world.limits = LIMITS
    return world


def followed_by_many(world: World) -> Callable[[int], str]:
    """The path for the number-th follower: one of four pods, for none may have all there is to have."""
    for number in range(4):
        pod = pod_named(f"p{number}", namespace=f"n{number}")
        world.add(pod, instance_of_pod(pod))
    world.cloud.ends, world.cloud.ready = False, [b"first\n"]
    return lambda number: f"/containerLogs/n{number % 4}/p{number % 4}/app?follow=true"


@contextlib.asynccontextmanager
async def listening_nearby() -> AsyncIterator[int]:
    """A port that takes connections, and leaves nothing of them behind."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: accepted.append(writer), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for each in accepted:
            each.transport.abort()


@contextlib.contextmanager
def sockets() -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    try:
        yield held
    finally:
        for each in held:
            each.close()


async def connected(world: World, source: str) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", world.port))
    return made


async def silent(world: World, source: str) -> socket.socket:
    return await connected(world, source)


async def half_closed(world: World, source: str) -> socket.socket:
    made = await connected(world, source)
    made.shutdown(socket.SHUT_WR)
    return made


async def slow_handshake(world: World, source: str) -> socket.socket:
    """The first bytes of a ClientHello, and no more."""
    made = await connected(world, source)
    await asyncio.get_running_loop().sock_sendall(made, b"\x16\x03\x01\x02\x00\x01\x00\x01")
    return made


async def healthy(world: World) -> bool:
    """A client with a new connection is answered before those would be cut who say nothing."""
    name = "kube-apiserver-kubelet-client"
    world.review.allowed.add((name, "get", "proxy"))
    async with (
        asyncio.timeout(LIMITS.silent_s - 1),
        world.client(world.client_ca.issue(name, ["system:masters"])) as client,
        client.get("/healthz") as answer,
    ):
        return await answer.text() == "ok"


# --- crowds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1, 250], ids=["one address", "many addresses"])
@pytest.mark.parametrize("hostile", [silent, half_closed, slow_handshake])
async def test_a_crowd_of_strangers_keeps_nobody_out(small: World, hostile: Hostile, spread: int) -> None:
    async with small.serving():
        with sockets() as held:
            for number in range(CROWD):
                held.append(await hostile(small, f"127.0.0.{1 + number % spread}"))
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await until(lambda: accepted(small) <= LIMITS.strangers)
            await asyncio.sleep(LIMITS.young_s)  # so long whoever has begun to speak is left in peace
            assert await healthy(small)
            assert await healthy(small)


def accepted(world: World) -> int:
    """Strangers that the server holds."""
    return connections(world, but="known")


def connections(world: World, but: str = "nothing") -> int:
    """Those that the server holds, in all states but one."""
    assert world.server is not None
    page = world.registry.exposition()
    states = [line for line in page.splitlines() if line.startswith("vk_kubelet_connections{")]
    return int(sum(float(line.split()[-1]) for line in states if f'state="{but}"' not in line))


async def test_whoever_was_let_in_is_not_counted_and_not_cut(small: World) -> None:
    """Behind an API server all the traffic comes from one address."""
    path = followed_by_many(small)
    calm = {"young_s": 60.0, "handshake_s": 60.0, "stranger_s": 60.0}  # so many handshakes take a busy machine a while
    small.limits = dataclasses.replace(Limits.of(200), patience_s=2.0, **calm)
    many = small.limits.strangers_per_address + 10
    async with small.serving(), small.api_server() as session:
        session.connector._limit = 0  # type: ignore[union-attr]
        followers = await asyncio.gather(*(session.get(path(number)) for number in range(many)))
        assert small.registry.exposition().count("vk_kubelet_connections_dropped_total{") == 0
        with sockets() as held:
            for _ in range(small.limits.open - many):
                held.append(await silent(small, "127.0.0.1"))
            assert await healthy(small)
        for stream in small.cloud.streams:
            stream.put(None)
        for each in followers:
            assert await each.read() == b"first\n"


async def test_the_share_is_never_exceeded(small: World) -> None:
    """Neither by those who may."""
    small.limits = Limits.of(40)
    path = followed_by_many(small)
    async with small.serving(), small.api_server() as session:
        session.connector._limit = 0  # type: ignore[union-attr]
        followers = [await session.get(path(number)) for number in range(small.limits.open)]
        with pytest.raises(aiohttp.ClientError):
            await session.get(path(0))
        followers.pop().close()
        async with asyncio.timeout(DEADLINE_S):
            while len(followers) < small.limits.open:
                with contextlib.suppress(aiohttp.ClientError):
                    followers.append(await session.get(path(len(followers))))
        for each in followers:
            each.close()


async def test_a_port_forward_dials_out_of_the_same_share(tmp_path: Path) -> None:
    world = Streaming(tmp_path)
    world.limits = Limits.of(16)
    async with world.serving(), listening_nearby() as port, forward(world) as client:
        pairs = []
        for number in range(world.limits.open):
            error = await client.open(streamtype="error", port=str(port), requestid=str(number))
            pairs.append((error, await client.open(streamtype="data", port=str(port), requestid=str(number))))
        last_error, _ = pairs[-1]
        await client.ended(last_error)
        assert b"too many connections" in last_error.received
        assert pairs[0][0].received == b""


async def test_who_is_cut_as_his_handshake_begins_leaves_nothing_behind(small: World) -> None:
    """His first byte and the newcomer that he makes room for come at the same moment."""
    small.limits = dataclasses.replace(Limits.of(40), patience_s=0.05, young_s=0.0, handshake_s=60.0, stranger_s=60.0)
    async with small.serving():
        with sockets() as held:
            for _ in range(small.limits.strangers_per_address + 1):  # the last one waits for a moment
                held.append(await silent(small, "127.0.0.1"))
            first, *others = held
            assert await end_of(first)
            for each in others:
                each.send(b"\x16")
            held.append(socket.create_connection(("127.0.0.1", small.port)))
            assert await end_of(others[0])
        await until(lambda: connections(small) == 0)


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(world: World) -> World:
    world.limits = dataclasses.replace(LIMITS, silent_s=1.5, handshake_s=1.5, stranger_s=2.0)
    return world


@pytest.mark.parametrize("hostile", [silent, slow_handshake])
async def test_who_does_not_get_to_the_point_is_cut(hasty: World, hostile: Hostile) -> None:
    async with hasty.serving():
        with sockets() as held:
            held.append(await hostile(hasty, "127.0.0.1"))
            assert await end_of(held[0])


async def end_of(connection: socket.socket) -> bool:
    """Whether the other side ends it, within the deadline; alerts of TLS may come before."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(connection, 4096):
                pass
        return True


@pytest.mark.parametrize(
    "request_text", [b"", b"GET /healthz HTTP/1.1\r\n", b"POST /pods HTTP/1.1\r\nContent-Length: 999\r\n\r\n"]
)
async def test_headers_and_bodies_have_a_deadline_however_they_drip(hasty: World, request_text: bytes) -> None:
    async with hasty.serving():
        context = client_context(hasty.folder, hasty.server_ca.pem)
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port, ssl=context)
        writer.write(request_text)

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                await reader.read()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.transport.abort()
        await until(lambda: accepted(hasty) == 0)


async def test_after_a_401_nobody_stays_on_the_line(hasty: World) -> None:
    async with hasty.serving():
        context = client_context(hasty.folder, hasty.server_ca.pem)
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port, ssl=context)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: keep-alive\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            assert b"401" in await reader.readline()
        await until(lambda: accepted(hasty) == 0)
        writer.transport.abort()


async def test_a_review_that_takes_long_is_waited_for(hasty: World) -> None:
    hasty.review.tokens = {"t": {"username": "prometheus", "groups": []}}
    hasty.review.allowed = {("prometheus", "get", "healthz")}
    hasty.review.gate.clear()
    async with hasty.serving(), hasty.client(token="t") as prometheus:
        asking = asyncio.create_task(prometheus.get("/healthz"))
        await until(lambda: bool(hasty.review.asked))
        await asyncio.sleep(2.5)  # over all deadlines of strangers
        hasty.review.gate.set()
        assert (await asking).status == 200


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_that_are_one_source(address: str, counted: str) -> None:
    assert listener.source_of(address) == counted


@pytest.mark.parametrize("descriptors", [64, 1024, 4096, 1 << 20])
def test_half_of_the_descriptors_stay_for_the_rest_of_the_process(descriptors: int) -> None:
    limits = Limits.of(descriptors)
    assert limits.strangers_per_address < limits.strangers < limits.open <= descriptors // 2


def test_the_same_under_uvloop(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def play(hostile: Hostile) -> None:
        world = World(tmp_path)
        world.limits = LIMITS
        await test_a_crowd_of_strangers_keeps_nobody_out(world, hostile, 1)

    for hostile in (silent, slow_handshake):
        uvloop.run(play(hostile))
