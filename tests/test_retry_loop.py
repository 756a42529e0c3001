"""The one loop: what it outlives, what ends it, how long it waits, what it says."""

import asyncio
import functools

import pytest

from tests.control.pure_time import play
from vk_provider.errors import CloudUnavailable, ConfigError, KubeUnavailable
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop

BACKOFF = Backoff(first_s=1.0, most_s=8.0, spread=0.0)


def in_no_time(story):
    return functools.wraps(story)(lambda *args, **more: play(story(*args, **more)))


def now():
    return asyncio.get_running_loop().time()


class Steps:
    """Rounds that end as told: an error is raised, a number of seconds passes; then nothing more happens."""

    def __init__(self, *ends):
        self.ends, self.at = list(ends), []

    async def __call__(self):
        self.at.append(now())
        if not self.ends:
            await asyncio.Event().wait()
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        await asyncio.sleep(end)


async def run(steps, for_s=1000.0, **options):
    """The loop times at which rounds began."""
    task = asyncio.create_task(retry_loop(steps, name="x", **{"backoff": BACKOFF, **options}))
    await asyncio.wait([task], timeout=for_s)
    if task.done():
        task.result()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return steps.at


@pytest.mark.parametrize(
    "error",
    [
        KeyError("metadata"),
        AttributeError("'list' object has no attribute 'get'"),
        RecursionError(),
        MemoryError(),
        AssertionError(),
        TimeoutError(),
        KubeUnavailable("no"),
        CloudUnavailable("no"),
        ExceptionGroup("several", [KeyError("a"), KubeUnavailable("b")]),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
@in_no_time
async def test_whatever_a_round_raises_the_next_one_comes(error):
    assert await run(Steps(error, error)) == [0.0, 1.0, 3.0]


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: ExceptionGroup("g", [KeyError(), ExceptionGroup("h", [e])])])
@in_no_time
async def test_wrong_settings_end_it(wrap):
    with pytest.raises(ConfigError, match="the name is taken"):
        await run(Steps(wrap(ConfigError(["the name is taken"]))))


@in_no_time
async def test_being_cancelled_ends_it_in_a_round_in_a_pause_and_in_a_rest():
    for steps, rest in ((Steps(), None), (Steps(KeyError()), None), (Steps(0.0), lambda: asyncio.sleep(1e9))):
        task = asyncio.create_task(retry_loop(steps, name="x", backoff=BACKOFF, rest=rest))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@in_no_time
async def test_waits_grow_and_begin_anew_after_a_round_that_went_well():
    errors = [KeyError()] * 6
    assert await run(Steps(*errors, 0.0, KeyError())) == [0, 1, 3, 7, 15, 23, 31, 31, 32]


@in_no_time
async def test_what_a_server_asks_for_is_obeyed_within_reason():
    asked = [KubeUnavailable("", retry_after_s=20.0), KubeUnavailable("", retry_after_s=1e9)]
    assert await run(Steps(*asked)) == [0, 20, 320]


@in_no_time
async def test_failures_are_remembered_until_it_was_calm():
    steps = Steps(KeyError(), 5.0, KeyError(), 200.0, KeyError())
    assert await run(steps, calm_s=120.0) == [0, 1, 6, 8, 208, 209]


@in_no_time
async def test_a_rest_is_part_of_a_round_and_left_out_after_a_failure():
    calls = []

    async def rest():
        calls.append(now())
        await asyncio.sleep(10)
        if len(calls) == 2:
            raise KeyError

    assert await run(Steps(0.0, KeyError(), 0.0, 0.0), rest=rest, rest_first=True) == [10, 21, 23, 33, 43]
    assert calls == [0, 10, 23, 33]


@in_no_time
async def test_the_same_failure_is_logged_at_growing_intervals_with_its_count(caplog):
    await run(Steps(*[KubeUnavailable(f"no answer {n}") for n in range(2000)]), for_s=8 * 1800)
    told = [each.getMessage() for each in caplog.records if "loop=x" in each.getMessage()]
    assert told[0] == "loop=x failed and goes on in_s=1.0: no answer 0"
    assert 5 <= len(told) <= 9
    assert "repeats=" in told[-1]


@in_no_time
async def test_what_nobody_foresaw_is_logged_with_its_traceback(caplog):
    await run(Steps(KeyError("metadata")))
    [record] = [each for each in caplog.records if "loop=x" in each.getMessage()]
    assert record.exc_info[0] is KeyError


@in_no_time
async def test_who_is_told_of_failures_may_fail_too():
    def told(error, delay_s):
        raise KeyError

    assert await run(Steps(KeyError()), on_failure=told) == [0, 1]
