"""Rate limits in virtual time: what is granted when."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from tests.control import pure_time
from vk_provider.pacing.callers import Caller, Purpose
from vk_provider.pacing.sliding_window import Limits, RetryBudget, SlidingWindowLimiter


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def take(bucket: SlidingWindowLimiter, times: list[float]) -> None:
    await bucket.acquire()
    times.append(loop_time())


def most_in_any_minute(times: list[float]) -> int:
    return max(sum(1 for other in times if start <= other <= start + 60.0) for start in times)


def test_a_burst_takes_a_whole_minutes_worth_at_once():
    async def main() -> list[float]:
        bucket, times = SlidingWindowLimiter(100), []
        await asyncio.gather(*(take(bucket, times) for _ in range(101)))
        return times

    times = pure_time.play(main())
    assert times[:100] == [0.0] * 100
    assert times[100] == pytest.approx(61.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_sliding_minute_exceeds_the_limit(seed):
    async def main() -> list[float]:
        bucket, times = SlidingWindowLimiter(50), []
        dice = random.Random(seed)
        for _ in range(400):
            await asyncio.sleep(dice.choice([0, 0, 0.1, 1.5]))
            await take(bucket, times)
        return times

    times = pure_time.play(main())
    assert len(times) == 400
    assert most_in_any_minute(times) <= 50


def test_first_come_first_served():
    async def main() -> list[int]:
        bucket, order = SlidingWindowLimiter(2), []

        async def one(number: int) -> None:
            await bucket.acquire()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(9)))
        return order

    assert pure_time.play(main()) == list(range(9))


async def take_for(bucket: SlidingWindowLimiter, namespace: str, times: dict[str, list[float]]) -> None:
    await bucket.acquire(Caller(Purpose.CONTROL, namespace, f"pod-{len(times[namespace])}"))
    times[namespace].append(loop_time())


def test_who_has_used_least_of_late_is_served_first_in_the_next_minute():
    async def main() -> dict[str, list[float]]:
        bucket, times = SlidingWindowLimiter(40), {"flood": [], "late": []}
        flood = [asyncio.create_task(take_for(bucket, "flood", times)) for _ in range(120)]
        await asyncio.sleep(1)
        late = [asyncio.create_task(take_for(bucket, "late", times)) for _ in range(30)]
        await asyncio.gather(*flood, *late)
        return times

    times = pure_time.play(main())
    assert times["flood"][:40] == [0.0] * 40
    assert max(times["late"]) <= 61.1
    assert most_in_any_minute([*times["flood"], *times["late"]]) <= 40


def test_a_namespace_alone_has_its_burst_whole_and_later_ones_within_seconds_of_what_is_allowed():
    async def main() -> list[float]:
        bucket, times = SlidingWindowLimiter(40), {"big": []}
        await asyncio.gather(*(take_for(bucket, "big", times) for _ in range(400)))
        return times["big"]

    times = pure_time.play(main())
    assert times[:40] == [0.0] * 40
    assert times[-1] <= 9 * 61.0 * 1.05
    assert most_in_any_minute(times) <= 40


def test_one_that_comes_a_moment_after_the_tokens_do_finds_some_left():
    """Of the many who wait for tokens only a few wait here; the others have to come here first."""

    async def main() -> float:
        bucket, times = SlidingWindowLimiter(40), {"flood": [], "late": []}
        flood = [asyncio.create_task(take_for(bucket, "flood", times)) for _ in range(80)]
        await asyncio.sleep(61.3)
        await take_for(bucket, "late", times)
        late_s = loop_time()
        await asyncio.gather(*flood)
        return late_s

    assert pure_time.play(main()) == pytest.approx(61.3)


def test_one_who_gives_up_takes_nothing():
    async def main() -> float:
        bucket, times = SlidingWindowLimiter(1), []
        await take(bucket, times)
        impatient = asyncio.create_task(take(bucket, times))
        await asyncio.sleep(10)
        impatient.cancel()
        await take(bucket, times)
        assert len(times) == 2
        return times[-1]

    assert pure_time.play(main()) == pytest.approx(61.0)


def test_throttling_halves_the_pace_once_for_calls_under_way_together():
    async def main() -> tuple[float, float]:
        bucket = SlidingWindowLimiter(100)
        bucket.slow_down()
        for _ in range(9):
            bucket.slow_down()
        together = bucket.pace
        await asyncio.sleep(2)
        bucket.slow_down()
        return together, bucket.pace

    together, again = pure_time.play(main())
    assert together == pytest.approx(0.5)
    assert again == pytest.approx((0.5 + 2 / 60) / 2)


def test_slowed_down_tokens_come_evenly_and_the_pace_recovers():
    async def main() -> tuple[list[float], float]:
        bucket, times = SlidingWindowLimiter(60), []
        await take(bucket, times)
        bucket.slow_down()
        for _ in range(4):
            await take(bucket, times)
        await asyncio.sleep(60)
        return times, bucket.pace

    times, pace = pure_time.play(main())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(1.0 < gap <= 2.0 for gap in gaps)
    assert pace == 1.0


def test_each_call_has_its_own_bucket():
    limits = Limits({"Create": 5}, default=3)
    assert limits.bucket("Create") is limits.bucket("Create")
    assert limits.bucket("Create") is not limits.bucket("Delete")


def test_the_retry_budget_runs_dry_and_fills_again_with_successes():
    budget = RetryBudget(size=2, refund=0.5)
    assert [budget.try_acquire() for _ in range(3)] == [True, True, False]
    budget.succeeded()
    assert budget.try_acquire() is False
    budget.succeeded()
    assert budget.try_acquire() is True
