"""Fake clouds that listen, for tests that go through the door; and the rule that no test leaves anything of one."""

import os
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from fakes.cloud.cli import Options, run
from fakes.cloud.lifecycle import Settings


@pytest.fixture
async def start():
    """A function that starts a fake cloud with some options; all are ended with the test."""
    async with AsyncExitStack() as stack:

        async def begin(**options):
            options.setdefault("settings", Settings(start_delay_s=0.05, release_s=0.5))
            return await stack.enter_async_context(run(Options(**options)))

        yield begin


@pytest.fixture(autouse=True)
def nothing_left():
    """After a test no process of ours runs, no namespace is open, and no interface is there that was not before."""
    interfaces, children, namespaces = _interfaces(), _children(), _open_namespaces()
    yield
    deadline = time.monotonic() + 60
    while True:
        left = [*(_interfaces() - interfaces), *(_children() - children), *(_open_namespaces() - namespaces)]
        if not left:
            break
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


def _interfaces():
    """Bridges of this process's fakes; those of other runs on this machine are theirs."""
    names = {line.partition(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()}
    return {name for name in names if name.startswith(f"vkbr{os.getpid()}")}


def _children():
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found |= set((task / "children").read_text().split())
    return found


def _open_namespaces():
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        try:
            target = str(file.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("net:"):
            found.add(target)
    return found
