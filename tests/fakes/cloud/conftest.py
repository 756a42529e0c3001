"""Fake clouds that listen, for tests that go through the door."""

from contextlib import AsyncExitStack

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
