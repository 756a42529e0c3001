"""What a request to upgrade must be, and what aiohttp's server does with a connection that was taken from it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from .commands import Streaming
from .spdyclient import UpgradeRefused, cut, upgraded
from .world import DEADLINE_S, until

PATH = "/exec/web/api-0/app?output=1&command=echo&command=hi"
V4 = "v4.channel.k8s.io"


@pytest.fixture
def world(tmp_path: Path) -> Streaming:
    return Streaming(tmp_path)


async def answered(world: Streaming, *lines: str, body: bytes = b"") -> tuple[str, bytes]:
    """Status line and body that a request of these header lines gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=world.context)
    try:
        writer.write("\r\n".join((f"POST {PATH} HTTP/1.1", "Host: node", *lines, "", "")).encode() + body)
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            return head.split(b"\r\n")[0].decode(), await reader.read(300)
    finally:
        cut(writer)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"], "v4.channel.k8s.io"),
        (["v9.channel.k8s.io, v3.channel.k8s.io", "v4.channel.k8s.io"], "v3.channel.k8s.io"),
        (["channel.k8s.io"], "channel.k8s.io"),
    ],
    ids=["first", "joined by a comma", "oldest"],
)
async def test_the_client_s_order_decides(world: Streaming, offered: list[str], chosen: str) -> None:
    async with world.serving(), upgraded(world.port, PATH, world.context, protocols=offered) as client:
        assert client.headers["x-stream-protocol-version"] == chosen
        assert (client.headers["upgrade"], client.headers["connection"]) == ("SPDY/3.1", "Upgrade")


async def test_without_a_common_protocol(world: Streaming) -> None:
    async with world.serving():
        with pytest.raises(UpgradeRefused) as caught:
            async with upgraded(world.port, PATH, world.context, protocols=["v9"]):
                pass
    assert caught.value.status == 403
    assert "v4.channel.k8s.io" in caught.value.headers["x-accepted-stream-protocol-versions"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("Connection: keep-alive", "Content-Length: 0"), 500),
        (("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 0"), 500),
        (("Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {V4}", "Content-Length: 0"), 500),
        (("Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"), 400),
        (("Connection: Upgrade", "Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {V4}", "Content-Length: 5"), 400),
    ],
    ids=["no upgrade", "another", "without Connection", "without a protocol", "with a body"],
)
async def test_what_is_no_upgrade(world: Streaming, lines: tuple[str, ...], code: int) -> None:
    async with world.serving():
        status, _ = await answered(world, *lines, body=b"hello" if "Content-Length: 5" in lines else b"")
    assert status.startswith(f"HTTP/1.1 {code} ")
    assert world.commands.sessions == []


@pytest.mark.parametrize("length", [("Content-Length: 0",), ()], ids=["with a length", "without"])
async def test_frames_after_the_101_are_ours(world: Streaming, length: tuple[str, ...]) -> None:
    lines = ("Connection: keep-alive, upgrade", "Upgrade: spdy/3.1", f"X-Stream-Protocol-Version: {V4}", *length)
    async with world.serving():
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=world.context)
        writer.write("\r\n".join((f"POST {PATH} HTTP/1.1", "Host: node", *lines, "", "")).encode())
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"chunked" not in head.lower()
            writer.write(bytes.fromhex("80030006 00000004 00000001"))
            assert await reader.readexactly(12) == bytes.fromhex("80030006 00000004 00000001")
        cut(writer)


async def test_no_request_is_left_open_and_the_server_goes_on(
    world: Streaming, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with world.serving(), world.api_server() as session:
        for leaves_first in (True, False):
            async with world.exec("echo", "hi", streams="o") as it:
                await it.client.ended(it.stdout, it.error)
                if not leaves_first:
                    await it.client.closed.wait()
        gauge = "vk_kubelet_http_open_requests"
        await until(lambda: f"{gauge} 0" in world.registry.exposition())
        async with session.get("/metrics") as response:
            assert 'code="101",method="POST",path="/exec"} 2.0' in await response.text()
        assert world.server is not None
        assert world.server._runner is not None
        assert world.server._runner.server is not None
        await until(lambda: len(world.server._runner.server.connections) == 1)  # that of the API server's client
    lines = [record.getMessage() for record in caplog.records if "/exec/" in record.getMessage()]
    assert len(lines) == 2
    assert not any("echo" in line for line in lines), "a command is never logged"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
