"""Logs and commands, as kubectl sees them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import burst
from tests.bench.api import Api
from tests.bench.parts import Cloud, Plane, Provider, until

NODE = "vk-streams"
MEGABYTES = 50
_LOG_S = 10.0
_IMAGES = ""


@dataclass(slots=True)
class Streams:
    """log_lines_per_s: that `kubectl logs -f` got, of log_written_per_s. exec_s: of `kubectl exec POD -- true`;
    api_s: of `kubectl get --raw /version`, which is kubectl's own part. exec_mb_per_s: through `kubectl exec`."""

    log_lines_per_s: float
    log_written_per_s: float
    exec_s: float
    api_s: float
    exec_mb_per_s: float


async def measure(stack: AsyncExitStack, directory: Path, plane: Plane, api: Api) -> Streams:
    cloud = await Cloud.start(
        directory, "--runtime=process", "--network=host", "--start-delay=0", create_s=0, name="cloud-streams"
    )
    stack.push_async_callback(cloud.child.stop)
    provider = Provider(directory, plane, cloud, NODE)
    stack.push_async_callback(provider.stop)
    await provider.start()
    await provider.ready(api)
    chatty = (
        "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo line $i; [ $((i % 50)) = 0 ] && sleep 0.05; done; sleep 60"
    )
    for name, command in (("quiet", ["sleep", "600"]), ("chatty", ["sh", "-c", chatty])):
        body = burst.pod(name, NODE, terminationGracePeriodSeconds=1)
        body["spec"]["containers"][0].update(image="busybox", command=command)
        await api.send("POST", f"/api/v1/namespaces/{burst.NAMESPACE}/pods", body)
        await _running(api, name)
    lines, took = await _follow(plane, "chatty")
    written = await _count(plane, "chatty")
    exec_s = min([await _timed(plane, "exec", "quiet", "--", "true") for _ in range(5)])
    api_s = min([await _timed(plane, "get", "--raw", "/version") for _ in range(5)])
    size = MEGABYTES << 20
    big_s = await _timed(plane, "exec", "quiet", "--", "head", "-c", str(size), "/dev/zero", expect=size)
    for name in ("quiet", "chatty"):
        await api.send("DELETE", f"/api/v1/namespaces/{burst.NAMESPACE}/pods/{name}")
    return Streams(lines / took, written, exec_s, api_s, MEGABYTES / big_s)


async def _running(api: Api, name: str) -> None:
    async with asyncio.timeout(60):
        path = f"/api/v1/namespaces/{burst.NAMESPACE}/pods/{name}"
        while True:
            if (await api.get(path))["status"]["phase"] == "Running":
                return
            await asyncio.sleep(0.1)


def _kubectl(plane: Plane, *words: str) -> list[str]:
    return ["kubectl", f"--kubeconfig={plane.kubeconfig}", f"--namespace={burst.NAMESPACE}", *words]


async def _follow(plane: Plane, name: str) -> tuple[int, float]:
    """Lines and seconds."""
    process = await asyncio.create_subprocess_exec(
        *_kubectl(plane, "logs", "-f", "--tail=0", name), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines, began = 0, 0.0
    while not began or time.monotonic() - began < _LOG_S:
        chunk = await asyncio.wait_for(process.stdout.read(1 << 16), 30)
        began = began or time.monotonic()
        lines += chunk.count(b"\n")
    process.kill()
    await process.wait()
    return lines, time.monotonic() - began


async def _count(plane: Plane, name: str) -> float:
    """Lines a second that the container writes, by the numbers in its newest lines."""

    async def newest() -> tuple[int, float]:
        process = await asyncio.create_subprocess_exec(
            *_kubectl(plane, "logs", "--tail=1", name), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return int(out.split()[-1]), time.monotonic()

    first, at = await newest()
    await asyncio.sleep(3)
    last, then = await newest()
    return (last - first) / (then - at)


async def _timed(plane: Plane, *words: str, expect: int | None = None) -> float:
    """Seconds. expect: bytes that have to come out."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(*_kubectl(plane, *words), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    size = 0
    while chunk := await process.stdout.read(1 << 20):
        size += len(chunk)
    code = await process.wait()
    took = time.monotonic() - began
    assert code == 0, f"kubectl {' '.join(words)} ended with {code}"
    assert expect in (None, size), f"{size} bytes came, not {expect}"
    return took


__all__ = ["Streams", "measure", "until"]
