"""Until when a process may write."""

import pytest

from vk_provider import fence as fences
from vk_provider.errors import LeadershipLost
from vk_provider.fence import Fence


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_shut_at_first() -> None:
    fence = Fence(Clock())
    assert fence.remaining_s() == 0
    with pytest.raises(LeadershipLost):
        fence.permit()


def test_it_is_open_until_its_time_and_never_again() -> None:
    clock = Clock()
    fence = Fence(clock)
    fence.open_until(110)
    fence.permit()
    assert fence.remaining_s() == 10
    clock.now_s = 109.9
    fence.open_until(120)
    clock.now_s = 119.9
    fence.permit()
    clock.now_s = 120
    with pytest.raises(LeadershipLost):
        fence.permit()
    fence.open_until(1000)  # a renewal whose answer came too late
    with pytest.raises(LeadershipLost):
        fence.permit()


def test_what_slept_past_its_time_stays_shut_though_nobody_asked_meanwhile() -> None:
    clock = Clock()
    fence = Fence(clock)
    fence.open_until(110)
    clock.now_s = 500
    fence.open_until(510)
    assert not fence.is_open
    assert fence.remaining_s() == 0


def test_shut_is_shut() -> None:
    fence = Fence(Clock())
    fence.open_until(1e9)
    fence.shut()
    fence.open_until(2e9)
    assert not fence.is_open


def test_without_another_process_it_is_always_open() -> None:
    assert Fence.always_open().remaining_s() == float("inf")
    assert fences.clock() > 0


def test_a_write_may_be_under_way_as_long_as_the_fence_is_open() -> None:
    clock = Clock()
    fence = Fence(clock)
    fence.open_until(110)
    assert fence.permit() == 10
    clock.now_s = 109.75
    assert fence.permit() == fence.remaining_s() == 0.25
    assert Fence.always_open().permit() is None


def test_a_refused_write_says_why() -> None:
    with pytest.raises(LeadershipLost, match=r"^another process may have taken over the node"):
        Fence(Clock()).permit()
