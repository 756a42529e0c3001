"""run -i, attach, exec and debug with real clients, and what becomes of a command whose client has gone."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from kubernetes_asyncio import client as kubernetes
from kubernetes_asyncio import config
from kubernetes_asyncio.stream import WsApiClient

from tests.local.conftest import World, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUN = ("run", "-n", "vk", "--rm", "-i", "--restart=Never", "--image=busybox")


async def running(world: World, name: str, command: str, **spec) -> None:
    await world.apply(pod(name, command, **spec))
    await world.phase(name, "Running")


async def done(world: World, name: str, *command: str) -> str:
    return await world.kubectl("exec", "-n", "vk", name, "--", "sh", "-c", " ".join(command), check=False)


async def test_run_with_input_shows_what_comes_late_and_how_it_ended(world: World) -> None:
    process = await world.start_kubectl(*RUN, "r", "--", "sh", "-c", "echo early; sleep 4; echo late; exit 6")
    output, _ = await asyncio.wait_for(process.communicate(b""), 60)
    assert "falling back" not in output.decode()
    assert "early\nlate\n" in output.decode()
    assert process.returncode == 6


async def test_run_with_input_that_cannot_arrive_says_so(world: World) -> None:
    process = await world.start_kubectl(*RUN, "typed", "--", "sh", "-c", "sleep 3; echo end")
    output, _ = await asyncio.wait_for(process.communicate(b"hello\n"), 60)
    assert "kubectl exec -i" in output.decode()


@pytest.mark.parametrize("size", [3, 200_000])
async def test_the_python_client_writes_and_closes(world: World, size: int) -> None:
    """The official client's `stream`, whose asyncio form this is, has v4 only: its end is the end of the connection."""
    name = f"python-{size}"
    await running(world, name, "sleep 300")
    loader = await config.new_client_from_config(config_file=str(world.local.kubeconfig))
    async with WsApiClient(configuration=loader.configuration) as ws:
        answer = await kubernetes.CoreV1Api(ws).connect_get_namespaced_pod_exec(
            name,
            "vk",
            command=["sh", "-c", "sleep 1; cat > /tmp/in; mv /tmp/in /tmp/kept"],
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        async with answer as connection:
            for start in range(0, size, 50_000):
                await connection.send_bytes(b"\x00" + b"x" * min(50_000, size - start))
    await loader.close()

    async def kept() -> bool:
        return (await done(world, name, "wc -c < /tmp/kept")).strip() == str(size)

    await world.until(kept, within_s=90)


async def test_a_killed_kubectl_does_not_kill_the_command(world: World) -> None:
    await running(world, "abandoned", "sleep 300")
    exec_ = await world.start_kubectl(
        "exec", "-n", "vk", "abandoned", "--", "sh", "-c", "echo begun; sleep 3; touch /tmp/done"
    )
    assert exec_.stdout is not None
    assert await exec_.stdout.readline() == b"begun\n"
    exec_.kill()
    await exec_.wait()

    async def ended() -> bool:
        return (await done(world, "abandoned", "ls /tmp/done")).strip() == "/tmp/done"

    await world.until(ended, within_s=90)


async def test_a_debug_container_that_cannot_be_ends(world: World) -> None:
    await running(world, "examined", "sleep 300")
    process = await world.start_kubectl(
        "debug", "-n", "vk", "examined", "--image=busybox", "-c", "dbg", "-i", "--", "cat"
    )
    with contextlib.suppress(BrokenPipeError):
        output, _ = await asyncio.wait_for(process.communicate(b"x\n"), 30)
    if b"EphemeralContainers in version" in output:
        pytest.skip("kubectl debug is older than Kubernetes 1.23 here; name a newer kubectl: KUBECTL=/path/to/kubectl")
    assert "takes no further container" in output.decode()
    assert process.returncode == 1


@pytest.mark.parametrize("container", ["c"])
async def test_exec_into_what_has_not_begun(world: World, container: str) -> None:
    slow = pod("not-yet", "true", initContainers=[{"name": "hold", "image": "busybox", "command": ["sleep", "300"]}])
    await world.apply(slow)

    async def held() -> bool:
        found = (await world.pod("not-yet"))["status"].get("initContainerStatuses") or [{}]
        return "running" in found[0].get("state", {})

    await world.until(held)
    said = await world.kubectl("exec", "-n", "vk", "not-yet", "-c", container, "--", "true", check=False)
    assert said == f'error: unable to upgrade connection: container not found ("{container}")\n'
