"""What every room's tests may use."""

import asyncio
import math
import os
import sys

import hypothesis
import pytest

from tests.leaks import pytest_runtest_makereport, pytest_sessionfinish  # noqa: F401 - hooks of every run
from tests.thorough import examples

# How long an example takes is this machine's matter.
hypothesis.settings.register_profile("calm", deadline=None, max_examples=examples(100))
hypothesis.settings.load_profile("calm")


def pytest_runtest_setup():
    """make mutate judges a fault by the tests that reach it, in a fork of what ran them: nothing may be kept."""
    if "MUTANT_UNDER_TEST" in os.environ:
        modules = [module for name, module in sys.modules.items() if name.startswith("vk_provider")]
        for value in [value for module in modules for value in vars(module).values()]:
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


class _JumpingSelector:
    """Instead of sleeping until the next timer, moves the clock there."""

    def __init__(self, selector, clock):
        self._selector = selector
        self._clock = clock

    def select(self, timeout=None):
        events = self._selector.select(0)
        if not events and timeout:
            self._clock.now += timeout
        return events

    def __getattr__(self, name):
        return getattr(self._selector, name)


class _Clock:
    def __init__(self, now):
        self.began = self.now = now

    def __call__(self):
        """Virtual seconds since the test began."""
        return self.now - self.began


@pytest.fixture
async def virtual_time():
    """The running loop's clock, jumping over every wait; call it for the seconds passed. No real I/O beside it."""
    loop = asyncio.get_running_loop()
    clock = _Clock(math.ceil(loop.time()))  # from a whole second, so that sums of whole seconds are exact
    real_time, real_selector = loop.time, loop._selector
    loop.time = lambda: clock.now
    loop._selector = _JumpingSelector(real_selector, clock)
    yield clock
    loop.time, loop._selector = real_time, real_selector
