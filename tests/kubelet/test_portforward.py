"""port-forward at the door: SPDY pairs, old WebSocket channels and the tunnel, against a real server behind it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from vk_provider.kubelet.hijack import StreamTimeouts

from .commands import Streaming
from .spdyclient import SpdyClient, Stream, UpgradeRefused, upgraded
from .world import DEADLINE_S, TERMINATED, instance_of_pod, pod_named, until


@pytest.fixture
def world(tmp_path: Path) -> Streaming:
    return Streaming(tmp_path)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Answers each connection with all it got, once it has got all of it; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def forward(
    world: Streaming, *, path: str = "/portForward/web/api-0", **options: object
) -> AsyncIterator[SpdyClient]:
    async with upgraded(world.port, path, world.context, protocols=["portforward.k8s.io"], **options) as client:  # type: ignore[arg-type]
        yield client


async def pair(client: SpdyClient, port: int | str, requestid: str | None = "0") -> tuple[Stream, Stream]:
    ids = {} if requestid is None else {"requestid": requestid}
    error = await client.open(streamtype="error", port=str(port), fin=True, **ids)
    return error, await client.open(streamtype="data", port=str(port), **ids)


@pytest.mark.parametrize("path", ["/portForward/web/api-0", "/portForward/web/api-0/uid-api-0"])
@pytest.mark.parametrize("requestid", ["7", None])
async def test_one_connection(world: Streaming, path: str, requestid: str | None) -> None:
    async with world.serving(), echo_server() as port, forward(world, path=path) as client:
        error, data = await pair(client, port, requestid)
        await client.send(data, b"hello", fin=True)
        await client.ended(data, error)
        assert (data.received, error.received) == (b"hello", b"")
        assert client.headers["x-stream-protocol-version"] == "portforward.k8s.io"


async def test_forty_connections_at_once_each_intact(world: Streaming) -> None:
    async with world.serving(), echo_server() as port, forward(world, read_buffer=2**20) as client:
        pairs = [await pair(client, port, str(number)) for number in range(40)]
        for number, (_, data) in enumerate(pairs):
            await client.send(data, b"%03d" % number * 50_000, fin=True)
        for number, (error, data) in enumerate(pairs):
            await client.ended(data, error)
            assert data.received == b"%03d" % number * 50_000


async def test_nobody_at_the_port_is_told_and_the_session_lives_on(world: Streaming) -> None:
    async with world.serving(), echo_server() as port, forward(world) as client:
        error, data = await pair(client, 1, "a")
        await client.ended(error, data)
        assert error.received.startswith(b"error forwarding port 1 to pod api-0, uid uid-api-0: connection refused: ")
        assert b"127.0.0.1 only" in error.received, "the usual cause, of which a kubelet's users know nothing"
        error, data = await pair(client, port, "b")
        await client.send(data, b"hello", fin=True)
        await client.ended(data, error)
        assert data.received == b"hello"


@asynccontextmanager
async def slow_sink() -> AsyncIterator[tuple[int, bytearray, asyncio.Event]]:
    """Reads after a while, and all of it; its port, what came, and whether its end came."""
    taken, ended = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        await asyncio.sleep(0.5)
        while data := await reader.read(10_000):
            taken.extend(data)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    async with server:
        yield server.sockets[0].getsockname()[1], taken, ended


@pytest.mark.parametrize("size", [1, 900_000])
async def test_what_came_before_the_end_is_delivered_before_the_end(world: Streaming, size: int) -> None:
    async with world.serving(), slow_sink() as (port, taken, ended):
        async with forward(world) as client:
            _, data = await pair(client, port)
            await client.send(data, b"x" * size)
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
    assert len(taken) == size


async def test_what_came_before_the_end_is_delivered_by_websocket(world: Streaming) -> None:
    async with world.serving(), slow_sink() as (port, taken, ended):
        async with (
            world.client(world.pair) as session,
            session.ws_connect(f"/portForward/web/api-0?port={port}", protocols=("v4.channel.k8s.io",)) as ws,
        ):
            for _ in range(100):
                await ws.send_bytes(b"\x00" + b"x" * 2_000)
            await ws.close()
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
    assert len(taken) == 200_000


async def test_streams_that_make_no_sense_are_reset_alone(world: Streaming) -> None:
    async with world.serving(), echo_server() as port, forward(world) as client:
        for headers in ({"streamtype": "data"}, {"streamtype": "tea", "port": "80"}, {"port": "http"}):
            stream = await client.open(**headers)
            assert stream.reset == 1
        _, data = await pair(client, port)
        await client.send(data, b"ok", fin=True)
        await client.ended(data)
        assert data.received == b"ok"


async def test_a_stream_whose_other_does_not_come(tmp_path: Path) -> None:
    world = Streaming(tmp_path, StreamTimeouts(creation_s=0.1))
    async with world.serving(), forward(world) as client:
        error = await client.open(streamtype="error", port="80", requestid="0")
        await client.ended(error)
        assert b"did not come" in error.received


async def test_a_client_that_gives_connections_up(world: Streaming) -> None:
    async with world.serving(), echo_server() as port, forward(world) as client:
        _, data = await pair(client, port, "0")
        await client.send(data, b"x")
        await until(lambda: data.received == b"x")
        client.rst(data)
        for number in range(20):  # some before their task has begun
            error = await client.open(streamtype="error", port=str(port), requestid=f"r{number}", wait=False)
            data = await client.open(streamtype="data", port=str(port), requestid=f"r{number}", wait=False)
            client.rst(data)
            del error
        _, data = await pair(client, port, "0")
        await client.send(data, b"again", fin=True)
        await client.ended(data)
        assert data.received == b"again"


async def test_a_port_that_reads_nothing_holds_up_the_client(world: Streaming) -> None:
    got, forever = asyncio.Event(), asyncio.Event()  # a task that waits for an event nobody holds is collected

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set()
        await reader.read(1)
        try:
            await forever.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=1024)
    async with world.serving(), server:
        async with forward(world) as client:
            _, data = await pair(client, server.sockets[0].getsockname()[1])
            await got.wait()
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await client.send(data, bytes(65536))
                    sent += 65536

            task = asyncio.create_task(flood())
            last = -1
            while last != sent:
                last = sent
                await asyncio.sleep(0.2)
            assert 0 < sent < 64 << 20
            task.cancel()
            await asyncio.wait({task})
        for running in asyncio.all_tasks():
            if getattr(running.get_coro(), "__name__", "") == "stall":
                running.cancel()


async def test_what_is_refused_before_the_101(world: Streaming) -> None:
    done = pod_named("done")
    world.add(done, instance_of_pod(done, TERMINATED))
    world.add(pod_named("nowhere", status={"podIP": "10.0.0.1"}))
    elsewhere = pod_named("elsewhere", status={"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]})
    world.add(elsewhere, instance_of_pod(elsewhere))  # that address is the pod's word, and not the cloud's
    async with world.serving():
        for path, answer in (
            ("/portForward/web/nope", (404, "pod does not exist")),
            ("/portForward/web/nowhere", (400, 'pod "nowhere" is not running')),
            ("/portForward/web/done", (400, 'pod "done" has no address yet')),
            ("/portForward/web/elsewhere", (400, 'pod "elsewhere" has no address yet')),
            ("/portForward/web/api-0/other", (404, "pod does not exist")),
        ):
            with pytest.raises(UpgradeRefused) as caught:
                async with forward(world, path=path):
                    pass
            assert (caught.value.status, caught.value.body) == answer


async def test_noise_ends_its_own_session_and_no_other(world: Streaming) -> None:
    async with world.serving(), echo_server() as port, forward(world) as good, forward(world) as bad:
        bad.writer.write(b"\x80\x09" + bytes(100))
        async with asyncio.timeout(DEADLINE_S):
            await bad.closed.wait()
        _, data = await pair(good, port)
        await good.send(data, b"ok", fin=True)
        await good.ended(data)
        assert data.received == b"ok"


# --- WebSocket -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocols", [(), ("v4.channel.k8s.io",)])
async def test_channels_of_ports(world: Streaming, protocols: tuple[str, ...]) -> None:
    async with (
        world.serving(),
        echo_server() as port,
        world.client(world.pair) as session,
        session.ws_connect(f"/portForward/web/api-0?port={port}&port=1", protocols=protocols) as ws,
    ):
        greetings = [await ws.receive_bytes() for _ in range(4)]
        number = struct.pack("<H", port)
        assert greetings == [b"\x00" + number, b"\x01" + number, b"\x02\x01\x00", b"\x03\x01\x00"]
        assert b"connection refused" in await ws.receive_bytes(timeout=DEADLINE_S)
        await ws.send_bytes(b"\x00hello")
        assert await ws.receive_bytes(timeout=DEADLINE_S) == b"\x00hello"


async def test_the_session_ends_with_its_last_port(world: Streaming) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with world.serving(), server, world.client(world.pair) as session:
        port = server.sockets[0].getsockname()[1]
        async with session.ws_connect(f"/portForward/web/api-0?port={port}") as ws:
            async with asyncio.timeout(DEADLINE_S):
                messages = [message.data async for message in ws]
            assert messages[2:] == [b"\x00bye"]


@pytest.mark.parametrize("query", ["", "?port=", "?port=http", "?port=1,2,70000"])
async def test_ports_that_are_none(world: Streaming, query: str) -> None:
    async with world.serving(), world.client(world.pair) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with session.ws_connect(f"/portForward/web/api-0{query}"):
                pass
    assert caught.value.status == 400


class WebSocketStream:
    """The two halves of a tunnel in the shape of asyncio's streams, for the SPDY client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._buffer = b""
        self._sending: list[bytes] = []

    async def readexactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            message = await self._ws.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError("closed")
            self._buffer += message.data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def write(self, data: bytes) -> None:
        self._sending.append(data)

    async def drain(self) -> None:
        sending, self._sending = b"".join(self._sending), []
        for start in range(0, len(sending), 7):  # frames are cut by messages anywhere
            await self._ws.send_bytes(sending[start : start + 7])


async def test_the_tunnel(world: Streaming) -> None:
    protocol = "SPDY/3.1+portforward.k8s.io"
    async with world.serving(), echo_server() as port, world.client(world.pair) as session:
        async with session.ws_connect("/portForward/web/api-0", protocols=(protocol,)) as ws:
            assert ws.protocol == protocol
            stream = WebSocketStream(ws)
            client = SpdyClient(stream, stream, {})  # type: ignore[arg-type]
            reading = asyncio.create_task(client.read())
            error = await client.open(streamtype="error", port=str(port), requestid="0", wait=False)
            data = await client.open(streamtype="data", port=str(port), requestid="0", wait=False)
            await client.send(data, b"through the tunnel", fin=True)
            await stream.drain()
            await client.ended(data, error)
            assert data.received == b"through the tunnel"
        await reading


async def test_text_in_a_tunnel_ends_it(world: Streaming) -> None:
    async with (
        world.serving(),
        world.client(world.pair) as session,
        session.ws_connect("/portForward/web/api-0", protocols=("SPDY/3.1+portforward.k8s.io",)) as ws,
    ):
        await ws.send_str("hello")
        async with asyncio.timeout(DEADLINE_S):
            assert [m.type async for m in ws if m.type is not aiohttp.WSMsgType.BINARY] == []
