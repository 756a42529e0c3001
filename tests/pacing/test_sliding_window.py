"""Rate limits in virtual time: what is granted when."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from tests.cloud import virtualtime
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

    times = virtualtime.run(main())
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

    times = virtualtime.run(main())
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

    assert virtualtime.run(main()) == list(range(9))


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

    assert virtualtime.run(main()) == pytest.approx(61.0)


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

    together, again = virtualtime.run(main())
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

    times, pace = virtualtime.run(main())
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
