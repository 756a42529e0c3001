"""The fake cloud's own HTTP checks, against a server of this machine."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fakes.cloud.checks import failure


@asynccontextmanager
async def answering(answers):
    """A server that knows these paths: status, or status and Location. Gives its port and the requests' heads."""
    asked = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        status, *location = answers.get(head.split()[1], (404,))
        lines = "".join(f"Location: {each}\r\n" for each in location)
        writer.write(f"HTTP/1.1 {status} X\r\nServer: x\r\n{lines}\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


async def check(port, path, **more):
    return await failure({"HttpGet": {"Port": port, "Path": path, **more}}, None, "127.0.0.1", 5.0)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/fine", ""),
        ("/fine?deep=%2F", ""),
        ("/broken", "HTTP probe failed with statuscode: 500"),
        ("/to-fine", ""),
        ("/to-broken", "HTTP probe failed with statuscode: 500"),
        ("/elsewhere", ""),
        ("/round", "stopped after 10 redirects"),
    ],
)
async def test_http(path, fault):
    answers = {
        "/fine": (200,),
        "/fine?deep=%2F": (204,),
        "/broken": (500,),
        "/to-fine": (302, "/fine"),
        "/to-broken": (307, "broken"),
        "/elsewhere": (302, "http://203.0.113.1/"),
        "/round": (301, "/round"),
    }
    async with answering(answers) as (port, _):
        assert await check(port, path) == fault


async def test_headers():
    async with answering({"/": (200,)}) as (port, asked):
        assert await check(port, "/", HttpHeader=[{"Name": "X-A", "Value": "1"}, {"Name": "Host", "Value": "h"}]) == ""
    lines = asked[0].split("\r\n")
    assert {"X-A: 1", "Host: h"} <= set(lines)
    assert f"Host: 127.0.0.1:{port}" not in lines
