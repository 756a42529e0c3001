"""Who has used least of late."""

from __future__ import annotations

import asyncio

import pytest

from tests.control import pure_time
from vk_provider.pacing.recent_use import HALF_LIFE_S, RecentUse


def test_a_use_weighs_half_after_a_while_and_the_order_stays():
    async def main() -> None:
        use = RecentUse(1000)
        for namespace, times in (("much", 8), ("some", 2)):
            for _ in range(times):
                use.note(namespace)
        assert [use.count(each) for each in ("much", "some", "none")] == pytest.approx([8, 2, 0])
        await asyncio.sleep(HALF_LIFE_S)
        assert [use.count(each) for each in ("much", "some")] == pytest.approx([4, 1])
        assert use.rank("none") < use.rank("some") < use.rank("much")
        for _ in range(4):
            use.note("some")
        assert use.rank("some") > use.rank("much"), "five of now are more than eight of an hour ago"

    pure_time.play(main())


def test_no_more_than_so_many_count():
    use = RecentUse(10)
    for _ in range(1000):
        use.note("old")
    for _ in range(10):
        use.note("new")
    assert use.count("old") == pytest.approx(10)
    assert use.rank("new") == pytest.approx(use.rank("old"))


def test_what_is_forgotten_takes_no_room():
    async def main() -> None:
        use = RecentUse(10)
        for number in range(1000):
            use.note(f"n{number}")
        await asyncio.sleep(10 * HALF_LIFE_S)
        for number in range(1000, 2100):
            use.note(f"n{number}")
        assert len(use) <= 1100

    pure_time.play(main())


def test_months_do_it_no_harm():
    async def main() -> None:
        use = RecentUse(10)
        use.note("a")
        await asyncio.sleep(60 * 86400.0)
        assert use.count("a") == 0.0
        use.note("a")
        assert use.count("a") == pytest.approx(1.0)

    pure_time.play(main())
