"""Prices: by list until the cloud has said its own, each asked for once however many pods want it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.cloud.workloads import SETTINGS
from tests.control import pure_time
from vk_provider.cloud.base import Price
from vk_provider.cloud.eci.prices import AGAIN_S, MOST_SKUS, REFRESH_S, PriceBook
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudRefused

SKU = "2.0-4.0Gi"
BY_LIST = Price(0.00012252, "CNY", is_list=True)


class Till:
    """Answers DescribeContainerGroupPrice. asked: the queries, with their times."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[float, Any]] = []
        self._answers = list(answers)
        self.book = PriceBook(SETTINGS, self.call)

    async def call(self, asked: EciRequest) -> Any:
        self.asked.append((asyncio.get_running_loop().time(), asked))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(amount: float, currency: str = "CNY") -> Any:
    return {"PriceInfo": {"Price": {"TradePrice": amount, "Currency": currency}}}


def played(till: Till, story: Any) -> None:
    async def main() -> None:
        task = asyncio.create_task(till.book.run())
        await story()
        task.cancel()
        await asyncio.wait([task])

    pure_time.play(main())


def test_nobody_waits_and_ten_thousand_pods_cost_one_call():
    till = Till(said(0.0002))

    async def story() -> None:
        assert {till.book.price(SKU) for _ in range(10_000)} == {BY_LIST}
        await asyncio.sleep(60)
        assert till.book.price(SKU) == Price(0.0002, "CNY")
        assert len(till.asked) == 1
        asked, query = till.asked[0][1], till.asked[0][1].query
        assert (asked.action, query["Cpu"], query["Memory"]) == ("DescribeContainerGroupPrice", "2", "4")
        await asyncio.sleep(REFRESH_S - 120)
        assert len(till.asked) == 1

    played(till, story)


def test_a_price_is_renewed():
    till = Till(said(0.0002), said(0.0003))

    async def story() -> None:
        till.book.price(SKU)
        await asyncio.sleep(REFRESH_S + 60)
        assert till.book.price(SKU) == Price(0.0003, "CNY")
        assert [round(at / REFRESH_S) for at, _ in till.asked] == [0, 1]

    played(till, story)


def test_without_the_right_to_ask_the_list_serves_and_the_cloud_is_left_in_peace():
    till = Till(CloudRefused("no", code="Forbidden.RAM"), said(0.0002))

    async def story() -> None:
        till.book.price(SKU)
        await asyncio.sleep(AGAIN_S - 1)
        assert till.book.price(SKU) == BY_LIST
        assert len(till.asked) == 1
        await asyncio.sleep(60)
        assert till.book.price(SKU) == Price(0.0002, "CNY")

    played(till, story)


@pytest.mark.parametrize("answer", [{}, said(0), {"PriceInfo": {}}, {"PriceInfo": {"Price": {"TradePrice": "?"}}}])
def test_an_answer_without_a_price_leaves_the_list(answer):
    till = Till(answer)

    async def story() -> None:
        till.book.price(SKU)
        await asyncio.sleep(60)
        assert till.book.price(SKU) == BY_LIST

    played(till, story)


def test_what_is_unknown_to_the_list_is_known_once_the_cloud_has_said_it():
    till = Till(said(0.01))

    async def story() -> None:
        assert till.book.price("ecs.gn6i-c4g1.xlarge") is None
        assert till.book.price("no sku") is None
        await asyncio.sleep(60)
        assert till.book.price("ecs.gn6i-c4g1.xlarge") == Price(0.01, "CNY")
        assert [asked.query["InstanceType"] for _, asked in till.asked] == ["ecs.gn6i-c4g1.xlarge"]

    played(till, story)


def test_only_so_many_are_kept():
    till = Till(said(0.0002))

    async def story() -> None:
        for storage in range(1, MOST_SKUS + 11):
            till.book.price(f"{SKU}+{storage}Gi")
        await asyncio.sleep(60)
        assert len(till.asked) == MOST_SKUS
        assert till.book.price(f"{SKU}+{MOST_SKUS + 10}Gi") == Price(0.0002, "CNY")
        first = till.book.price(f"{SKU}+1Gi")
        assert first is not None
        assert first.is_list, "let go for newer ones, and wanted anew"

    played(till, story)
