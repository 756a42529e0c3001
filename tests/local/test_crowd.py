"""A thousand connections that say nothing, to a provider that may have 1,024 files open: pods go on as ever."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from tests.local.conftest import World, pod

FILES = 1024
CROWD = 1_060


@contextlib.contextmanager
def crowd(port: int, first_bytes: bytes) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            made = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            with contextlib.suppress(ConnectionError):
                made.sendall(first_bytes)
        yield


async def few_files(world: World) -> int:
    """Start the provider anew with so few; the port of its kubelet API."""
    starts = world.local.provider.log.read_text().count("kubelet API serves at port")
    await world.crash()
    await world.restart()
    resource.prlimit(world.local.provider.pid, resource.RLIMIT_NOFILE, (FILES, FILES))

    async def serving() -> list[str]:
        return re.findall(r"kubelet API serves at port (\d+)", world.local.provider.log.read_text())[starts:]

    (port,) = await world.until(serving, what="the kubelet API serves")
    return int(port)


@pytest.mark.parametrize("first_bytes", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01"], ids=["silent", "slow handshake"])
async def test_pods_are_made_and_kubectl_gets_in_beside_a_crowd(make, first_bytes: bytes) -> None:
    world: World = await make()
    port = await few_files(world)
    with crowd(port, first_bytes):
        began = time.monotonic()
        await world.apply(pod("beside", "echo here; sleep 100"))
        await world.phase("beside", "Running", within_s=30)
        assert await world.kubectl("exec", "-n", "vk", "beside", "--", "echo", "in") == "in\n"
        assert await world.kubectl("logs", "-n", "vk", "beside") == "here\n"
        assert time.monotonic() - began < 60
    assert "Too many open files" not in world.local.provider.log.read_text()


async def test_people_get_in_beside_a_pod_whose_probes_never_rest(make) -> None:
    """Eighteen commands a second, of sixty a minute that the cloud allows: kubectl waits for none of them."""
    world: World = await make(provider_arguments=("--eci-calls-per-minute=ExecContainerCommand=60",))
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 100_000}
    restless = pod("restless", "sleep 1000")
    (first,) = restless["spec"]["containers"]
    restless["spec"]["containers"] = [{**first, "name": f"c{number}", "startupProbe": probe} for number in range(18)]
    await world.apply(restless, pod("beside", "sleep 1000"))
    await world.phase("beside", "Running")

    async def probed() -> bool:
        entries = (await world.cloud("journal"))["entries"]
        return sum(each.get("action") == "ExecContainerCommand" for each in entries) >= 6

    await world.until(probed, what="the probes run")
    for _ in range(6):
        began = time.monotonic()
        assert await world.kubectl("exec", "-n", "vk", "beside", "--", "echo", "in") == "in\n"
        assert time.monotonic() - began < 20
