"""The running cluster that the controllers' tests play with."""

import pytest

from .world import World


@pytest.fixture
async def world(virtual_time):
    made = World(virtual_time)
    made.start()
    yield made
    await made.stop()
