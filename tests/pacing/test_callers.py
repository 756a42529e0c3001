"""Who waits for whom under the cloud's limits, in virtual time. S11"""

from __future__ import annotations

import asyncio

from tests.control import pure_time
from vk_provider.pacing.callers import Caller, Purpose, caller, calling_for
from vk_provider.pacing.sliding_window import RetryBudget, SlidingWindowLimiter

EXEC = 500  # calls a minute
PERSON = Caller(Purpose.PERSON, "good", "web")


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def keep_asking(bucket: SlidingWindowLimiter, who: Caller, granted: list[float]) -> None:
    while True:
        await bucket.acquire(who)
        granted.append(loop_time())
        await asyncio.sleep(0)


async def beside(who: list[Caller], late: Caller, *, after_s: float) -> tuple[float, list[float]]:
    """How long one call waits beside others that never rest, each three times at once; when those had theirs."""
    bucket, granted = SlidingWindowLimiter(EXEC, reserved=0.05), []
    others = [asyncio.create_task(keep_asking(bucket, each, granted)) for each in who for _ in range(3)]
    await asyncio.sleep(after_s)
    began = loop_time()
    await bucket.acquire(late)
    took_s = loop_time() - began
    for task in others:
        task.cancel()
    return took_s, granted


def test_people_wait_for_no_probe_no_poller_and_no_background_work():
    for purpose in (Purpose.PROBE, Purpose.BACKGROUND, Purpose.CONTROL):
        others = [Caller(purpose, "bad", f"bad-{number}") for number in range(300)]
        for after_s in (0.1, 5, 30, 59, 61.05, 200):
            took_s, _ = pure_time.play(beside(others, PERSON, after_s=after_s))
            assert took_s == 0.0, (purpose, after_s)


def test_creates_and_deletes_wait_for_no_probe_and_no_person():
    others = [Caller(purpose, "bad", "bad") for purpose in (Purpose.PERSON, Purpose.PROBE) for _ in range(300)]
    took_s, granted = pure_time.play(beside(others[:300], Caller(), after_s=130))
    assert took_s == 0.0
    assert len([at for at in granted if 69 <= at <= 130]) <= 0.75 * EXEC
    assert pure_time.play(beside(others[300:], Caller(), after_s=130))[0] == 0.0


def test_probes_and_people_of_one_namespace_delay_those_of_others_by_one_call():
    for purpose in (Purpose.PROBE, Purpose.PERSON, Purpose.BACKGROUND):
        others = [Caller(purpose, "bad", f"bad-{number}") for number in range(1000)]
        for after_s in (0.1, 5, 30, 59, 61.05, 200):
            took_s, _ = pure_time.play(beside(others, Caller(purpose, "good", "web"), after_s=after_s))
            assert took_s <= 0.7, (purpose, after_s)


def test_probes_of_one_pod_delay_those_of_its_neighbours_by_one_call():
    took_s, _ = pure_time.play(
        beside([Caller(Purpose.PROBE, "same", "bad")] * 100, Caller(Purpose.PROBE, "same", "web"), after_s=30)
    )
    assert took_s <= 0.7


def test_all_together_keep_within_the_limit():
    async def main() -> list[float]:
        bucket, granted = SlidingWindowLimiter(EXEC, reserved=0.05), []
        everybody = [Caller(purpose, "any", f"{number}") for purpose in Purpose for number in range(200)]
        tasks = [asyncio.create_task(keep_asking(bucket, each, granted)) for each in everybody]
        await asyncio.sleep(300)
        for task in tasks:
            task.cancel()
        return granted

    granted = pure_time.play(main())
    assert len(granted) >= 4 * 0.9 * EXEC
    first = 0
    for last, at in enumerate(granted):
        while at - granted[first] > 60:
            first += 1
        assert last - first < EXEC


def test_one_namespace_does_not_use_up_all_retries():
    budget = RetryBudget(size=100)
    bad, good = Caller(Purpose.CONTROL, "bad"), Caller(Purpose.CONTROL, "good")
    assert sum(budget.try_acquire(bad) for _ in range(1000)) == 25
    assert sum(budget.try_acquire(good) for _ in range(1000)) == 25
    for number in range(100):
        for _ in range(100):
            budget.try_acquire(Caller(Purpose.PROBE, f"bad-{number}"))
    assert budget.try_acquire(Caller()), "something is left for what is done for no namespace"
    for _ in range(5):
        budget.succeeded(good)
    assert sum(budget.try_acquire(good) for _ in range(10)) == 0, "namespaces together leave a quarter"


def test_a_call_is_the_providers_own_unless_somebody_has_said_otherwise():
    assert caller() == Caller(Purpose.CONTROL)
    with calling_for(Purpose.PERSON, "ns", "pod"):
        assert caller() == Caller(Purpose.PERSON, "ns", "pod")
        with calling_for(Purpose.PROBE):
            assert caller().purpose is Purpose.PROBE
        assert caller().purpose is Purpose.PERSON
    assert caller() == Caller(Purpose.CONTROL)
