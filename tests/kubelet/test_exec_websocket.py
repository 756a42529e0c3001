"""exec over WebSocket at the door, with aiohttp's client: every subprotocol, and what a client may do wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import WSMsgType

from vk_provider.kubelet.hijack import StreamTimeouts

from .commands import Streaming
from .world import DEADLINE_S, until

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


@pytest.fixture
def world(tmp_path: Path) -> Streaming:
    return Streaming(tmp_path)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


@asynccontextmanager
async def socket(
    world: Streaming, *command: str, streams: str = "oe", protocols: tuple[str, ...] = (V4,), path: str = "/exec"
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    names = {"i": "stdin", "o": "stdout", "e": "stderr", "t": "tty"}
    query = [(names[letter], "true") for letter in streams] + [("command", word) for word in command]
    async with (
        world.client(world.pair) as session,
        session.ws_connect(f"{path}/web/api-0/app?{urlencode(query)}", protocols=protocols) as ws,
    ):
        yield ws


async def channels(ws: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All that comes to the end, by channel."""
    got: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        async for message in ws:
            assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT)
            if message.type is WSMsgType.TEXT:
                number, data = int(message.data[0]), base64.b64decode(message.data[1:])
            else:
                number, data = message.data[0], message.data[1:]
            got[number] = got.get(number, b"") + data
    return got


@pytest.mark.parametrize("protocols", [(V4,), (V5, V4), ("v4.base64.channel.k8s.io",)])
async def test_output_and_status(world: Streaming, protocols: tuple[str, ...]) -> None:
    command = ("sh", "-c", "echo out; echo err >&2; exit 7")
    async with world.serving(), socket(world, *command, protocols=protocols) as ws:
        assert ws.protocol == protocols[0]
        got = await channels(ws)
        assert ws.close_code == 1000
    assert (got[1], got[2]) == (b"out\n", b"err\n")
    assert json.loads(got[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",), ("base64.channel.k8s.io",)])
async def test_older_protocols(world: Streaming, protocols: tuple[str, ...]) -> None:
    async with world.serving():
        async with socket(world, "sh", "-c", "echo out", protocols=protocols) as ws:
            assert await channels(ws) == {1: b"out\n"}
        async with socket(world, "false", protocols=protocols) as ws:
            got = await channels(ws)
    assert got == {1: b"", 3: b"command terminated with non-zero exit code: exit status 1"}


async def test_the_first_message_is_empty(world: Streaming) -> None:
    async with world.serving(), socket(world, "sleep", "60") as ws:
        assert await ws.receive_bytes() == b"\x01"


async def test_v5_ends_input(world: Streaming) -> None:
    async with world.serving(), socket(world, "wc", "-c", streams="io", protocols=(V5,)) as ws:
        await ws.send_bytes(b"\x00hello")
        await ws.send_bytes(b"\xff\x00")
        assert (await channels(ws))[1].strip() == b"5"


async def test_clients_that_send_text(world: Streaming) -> None:
    async with world.serving(), socket(world, "head", "-n", "1", streams="io") as ws:
        await ws.send_str("\x00grüße\n")
        assert (await channels(ws))[1] == "grüße\n".encode()


async def test_a_terminal_and_its_size(world: Streaming) -> None:
    async with world.serving(), socket(world, "sh", "-c", "read line; stty size", streams="iot") as ws:
        await ws.send_bytes(b'\x04{"Width":132,"Height":43}')
        await until(lambda: bool(world.commands.sessions) and bool(world.commands.sessions[0].sizes))
        await ws.send_bytes(b"\x00go\n")
        assert b"43 132" in (await channels(ws))[1]


async def test_fifty_megabytes_through_and_back(world: Streaming) -> None:
    chunk = bytes(range(256)) * 128
    async with world.serving(), socket(world, "cat", streams="io", protocols=(V5,)) as ws:

        async def send() -> None:
            for _ in range(1600):
                await ws.send_bytes(b"\x00" + chunk)
            await ws.send_bytes(b"\xff\x00")

        sending = asyncio.create_task(send())
        size = 0
        async for message in ws:
            if message.data[0] == 1:
                size += len(message.data) - 1
        await sending
    assert size == 1600 * len(chunk)


async def test_pings_are_answered(world: Streaming) -> None:
    path = "/exec/web/api-0/app?stdout=1&command=sleep&command=60"
    async with (
        world.serving(),
        world.client(world.pair) as session,
        session.ws_connect(path, protocols=(V4,), autoping=False) as ws,
    ):
        await ws.receive_bytes()
        await ws.ping(b"are you there")
        message = await ws.receive(timeout=DEADLINE_S)
        assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"are you there")


async def test_protocols_that_nobody_speaks(world: Streaming) -> None:
    async with world.serving():
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with socket(world, "true", protocols=("v9.channel.k8s.io",)):
                pass
    assert caught.value.status == 403
    assert world.commands.sessions == []


async def test_a_handshake_that_is_none(world: Streaming) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with world.serving(), world.client(world.pair) as session:
        async with session.get("/exec/web/api-0/app?stdout=1&command=true", headers=headers) as response:
            assert response.status == 400
        await until(lambda: all(ran.closed.is_set() for ran in world.commands.sessions))


async def leave(ws: aiohttp.ClientWebSocketResponse, how: str) -> None:
    if how == "vanishes":
        assert ws._response.connection is not None
        assert ws._response.connection.transport is not None
        ws._response.connection.transport.abort()
    else:
        await ws.close()


@pytest.mark.parametrize("how", ["closes", "vanishes"])
async def test_a_client_that_leaves_ends_its_terminal(world: Streaming, how: str) -> None:
    async with world.serving(), socket(world, "sleep", "60", streams="iot") as ws:
        await ws.receive_bytes()
        (session,) = world.commands.sessions
        await leave(ws, how)
        async with asyncio.timeout(DEADLINE_S):
            await session.closed.wait()


@pytest.mark.parametrize("how", ["closes", "vanishes"])
async def test_without_a_terminal_the_command_goes_on(world: Streaming, tmp_path: Path, how: str) -> None:
    done = tmp_path / "done"
    async with world.serving(), socket(world, "sh", "-c", f"sleep 1; touch {done}", streams="o") as ws:
        await ws.receive_bytes()
        await leave(ws, how)
        await until(done.exists)


@pytest.mark.parametrize("protocol", [V4, V5, "channel.k8s.io", "v4.base64.channel.k8s.io"])
@pytest.mark.parametrize(("size", "piece"), [(3, 3), (200_000, 200_000), (450_000, 1000)])
async def test_what_came_before_the_end_is_delivered_before_the_end(
    world: Streaming, tmp_path: Path, protocol: str, size: int, piece: int
) -> None:
    """Also to a command that takes its time."""
    kept = tmp_path / "kept"
    command = ("sh", "-c", f"sleep 0.5; cat > {kept}.part; mv {kept}.part {kept}")
    async with world.serving(), socket(world, *command, streams="io", protocols=(protocol,)) as ws:
        for start in range(0, size, piece):
            data = b"x" * min(piece, size - start)
            if "base64" in protocol:
                await ws.send_str("0" + base64.b64encode(data).decode())
            else:
                await ws.send_bytes(b"\x00" + data)
        await ws.close()
        await until(kept.exists)
    assert kept.stat().st_size == size


async def test_what_is_no_base64_ends_the_session_alone(world: Streaming) -> None:
    async with world.serving(), socket(world, "cat", streams="io") as good:
        async with socket(world, "cat", streams="io", protocols=("base64.channel.k8s.io",)) as bad:
            await bad.send_str("0%%%")
            await channels(bad)
        await good.send_bytes(b"\x00still here\n")
        assert await good.receive_bytes() == b"\x01"
        assert await good.receive_bytes() == b"\x01still here\n"


async def test_an_idle_session_ends(tmp_path: Path) -> None:
    world = Streaming(tmp_path, StreamTimeouts(idle_s=0.2))
    async with world.serving(), socket(world, "sleep", "60") as ws:
        assert await channels(ws) == {1: b""}
    assert world.commands.sessions[0].closed.is_set()


async def test_fifty_sessions_at_once(world: Streaming) -> None:
    async with world.serving():

        async def one(number: int) -> bytes:
            async with socket(world, "echo", str(number), streams="o") as ws:
                return (await channels(ws))[1]

        assert await asyncio.gather(*(one(number) for number in range(50))) == [b"%d\n" % n for n in range(50)]
