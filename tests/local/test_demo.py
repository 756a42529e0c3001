"""The story itself, and that nothing outlives it."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from fakes.processes import Child

SAID = (
    "how pods' commands run here: ",
    "Insufficient cpu",
    "bound to virtual-kubelet",
    "SuccessfulMountVolume",
    "kubelet, eci",
    "Completed",
    "2000 digits, all right",
    "16 vCPU, 32 GiB",
    "billing stopped",
)


def processes_of(directory: Path) -> list[str]:
    """Command lines of everything that was told to work in this folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in line and int(each.parent.name) != os.getpid():
                found.append(line)
    return found


async def nothing_left(directory: Path) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while left := processes_of(directory):
        assert asyncio.get_running_loop().time() < deadline, f"still there: {left}"
        await asyncio.sleep(0.1)


async def test_the_story_is_told_to_the_end_and_leaves_nothing(tmp_path):
    demo = await Child.start("demo", ["fakes", "demo", f"--dir={tmp_path}/world"], directory=tmp_path)
    code = await asyncio.wait_for(demo.wait(), 150)
    told = demo.log.read_text()
    assert code == 0, told
    for part in SAID:
        assert part in told
    await nothing_left(tmp_path / "world")


async def test_killed_midway_it_leaves_nothing(tmp_path):
    """Not even SIGKILL, which nobody can catch, leaves a part of it behind."""
    demo = await Child.start("demo", ["fakes", "demo", f"--dir={tmp_path}/world"], directory=tmp_path)
    try:
        async with asyncio.timeout(120):
            while "Started container pi" not in demo.log.read_text():
                assert demo.ended is None, demo.tail()
                await asyncio.sleep(0.05)
        assert processes_of(tmp_path / "world"), "its parts are running"
    finally:
        demo.kill()
        await demo.wait()
    await nothing_left(tmp_path / "world")


async def test_ctrl_c_ends_a_local_cluster_without_a_trace(tmp_path):
    world = tmp_path / "world"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fakes", "up", f"--dir={world}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    text = b""
    async with asyncio.timeout(60):
        while b"Ctrl-C stops everything" not in text:
            text += await process.stdout.readline()
    assert f"export KUBECONFIG={world}/kubeconfig".encode() in text
    process.send_signal(signal.SIGINT)
    rest, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"nothing is left running" in rest
    await nothing_left(world)
