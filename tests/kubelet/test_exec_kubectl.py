"""kubectl itself, through a real API server, against our kubelet API: only where there are the binaries.

KUBEBUILDER_ASSETS names the folder with etcd and kube-apiserver; VK_TEST_KUBECTL the kubectls, with colons between
them, else the one on the path. Versions up to 1.30 speak SPDY, later ones WebSocket.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.programs import NO_KUBECTL

from .commands import Streaming
from .controlplane import assets, control_plane
from .world import until

BINARIES = assets()
KUBECTLS = os.environ.get("VK_TEST_KUBECTL", shutil.which("kubectl") or "").split(":")
BIG = random.Random(2).randbytes(50 << 20)


class Kubectl:
    def __init__(self, program: str, config: Path) -> None:
        self._program = program
        self._environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(config.parent)}

    async def start(self, *words: str, stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self._program, *words, stdin=stdin, stdout=pipe, stderr=pipe, env=self._environment
        )

    async def __call__(self, *words: str, stdin: bytes | None = None) -> tuple[int | None, bytes, str]:
        """Exit code, output, errors."""
        pipe = asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE
        process = await self.start(*words, stdin=pipe)
        try:
            async with asyncio.timeout(60):
                output, errors = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode, output, errors.decode()


@asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=BIG[:200_000] + request.query["n"].encode())

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def commands(kubectl: Kubectl) -> None:
    code, output, errors = await kubectl("exec", "api-0", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, output) == (7, b"out\n")
    assert errors.startswith("err\n")
    assert await kubectl("exec", "api-0", "--", "echo", "fine") == (0, b"fine\n", "")
    code, output, errors = await kubectl("exec", "-i", "api-0", "--", "cat", stdin=BIG)
    assert (code, output == BIG, errors) == (0, True, "")
    assert (await kubectl("exec", "-i", "api-0", "--", "wc", "-c", stdin=b""))[1].strip() == b"0"


async def copies(kubectl: Kubectl, folder: Path) -> None:
    source, there, back = folder / "source", folder / "there", folder / "back"
    await asyncio.to_thread(source.write_bytes, BIG)
    assert (await kubectl("cp", str(source), f"api-0:{there}"))[0] == 0
    assert (await kubectl("cp", f"api-0:{there}", str(back)))[0] == 0
    assert await asyncio.to_thread(back.read_bytes) == BIG
    for file in (source, there, back):
        file.unlink()


async def attaching(kubectl: Kubectl, world: Streaming) -> None:
    before = len(world.cloud.streams)
    world.cloud.ends = False
    process = await kubectl.start("attach", "api-0")
    await until(lambda: len(world.cloud.streams) > before)
    world.cloud.streams[-1].put(b"from now on\n")
    world.cloud.streams[-1].put(None)
    output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"from now on\n")
    code, _, errors = await kubectl("attach", "-i", "api-0", stdin=b"")
    assert (code, "attach without -i" in errors) == (1, True)


async def forwarding(kubectl: Kubectl) -> None:
    async with http_server() as port:
        process = await kubectl.start("port-forward", "api-0", f":{port}")
        assert process.stdout is not None
        local = (await process.stdout.readline()).decode().split("127.0.0.1:")[1].split()[0]
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{local}", connector=connector) as session:

            async def get(number: int) -> bool:
                async with session.get(f"/?n={number}") as response:
                    return await response.read() == BIG[:200_000] + str(number).encode()

            assert all(await asyncio.gather(*(get(number) for number in range(20))))
        process.terminate()
        await process.communicate()


if BINARIES is not None:

    async def test_every_stream_of_every_kubectl(tmp_path: Path) -> None:
        if KUBECTLS == [""]:
            pytest.skip(NO_KUBECTL)
        world = Streaming(tmp_path)
        async with world.serving(), control_plane(world, BINARIES) as config:
            for program in KUBECTLS:
                kubectl = Kubectl(program, config)
                await commands(kubectl)
                await copies(kubectl, tmp_path)
                await attaching(kubectl, world)
                await forwarding(kubectl)
