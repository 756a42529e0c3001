"""What instances cost: billed seconds, sums by namespace, and the sentence at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.control.memory_cloud import MemoryCloud
from vk_provider.cloud.base import Price
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.cost import CostMeter, billed_s
from vk_provider.metrics import Registry
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
BEGAN, ENDED = "2026-01-02T02:58:20Z", "2026-01-02T02:59:10Z"  # 100 s ago, 50 s ago
SKU = "2.0-4.0Gi"
RUNNING, SUCCEEDED, FAILED = InstanceStatus.RUNNING, InstanceStatus.SUCCEEDED, InstanceStatus.FAILED


class PricedCloud(MemoryCloud):
    """prices: by sku."""

    def __init__(self, **prices: Price) -> None:
        super().__init__()
        self.prices = prices

    def price(self, sku: str) -> Price | None:
        return self.prices.get(sku)

    async def keep_prices(self) -> None:
        return


def made(number: int = 1, *, namespace: str = "web", **more: Any) -> Instance:
    owner = Owner("c", "vk", namespace, f"p{number}", f"uid-{number}")
    return replace(Instance(f"eci-{number}", owner, RUNNING, placed_at=BEGAN, sku=SKU), **more)


def of_container(finished_at: str) -> tuple[ContainerReport, ...]:
    return (ContainerReport("c", ContainerState(StateKind.TERMINATED, exit_code=0, finished_at=finished_at)),)


@pytest.mark.parametrize(
    ("instance", "seconds"),
    [
        pytest.param(made(), 100, id="runs"),
        pytest.param(made(status=SUCCEEDED, ended_at=ENDED), 50, id="ended"),
        pytest.param(made(status=FAILED, containers=of_container(ENDED)), 50, id="ended, as its containers tell"),
        pytest.param(made(status=SUCCEEDED), 100, id="ended, nobody says when"),
        pytest.param(made(placed_at="", created_at=BEGAN), 100, id="by its creation"),
        pytest.param(made(placed_at=""), 0, id="no time known"),
        pytest.param(made(placed_at="soon"), 0, id="no time at all"),
        pytest.param(made(status=InstanceStatus.SCHEDULING), 0, id="not placed yet"),
        pytest.param(made(status=InstanceStatus.SCHEDULE_FAILED), 0, id="never placed"),
        pytest.param(made(placed_at="2026-01-02T03:00:10Z"), 0, id="by a clock that is ahead"),
        pytest.param(made(placed_at="2026-01-02T02:59:58.100000Z"), 2, id="a begun second counts"),
    ],
)
def test_billed_seconds(instance, seconds):
    assert billed_s(instance, NOW) == seconds


class Books:
    """A book over a store, and what it says at a time."""

    def __init__(self, cloud: Any) -> None:
        self.now = NOW
        self.store = InstanceCache(lambda _: None)
        self.metrics = Registry()
        self.book = CostMeter(cloud, self.store, self.metrics, clock=lambda: self.now)

    def shown(self) -> dict[str, float]:
        lines = [line for line in self.metrics.exposition().splitlines() if not line.startswith("#")]
        return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}


def test_sums_by_namespace_grow_by_running_and_stay_when_an_instance_goes():
    books = Books(PricedCloud(**{SKU: Price(0.01, "CNY")}))
    books.store.put(made(1))
    books.store.put(made(2, status=SUCCEEDED, ended_at=ENDED))
    books.store.put(made(3, namespace="other", sku="unheard-of"))
    shown = books.shown()
    assert shown['vk_instance_seconds_total{namespace="web"}'] == 150
    assert shown['vk_instance_seconds_total{namespace="other"}'] == 100
    assert shown['vk_cost_estimated_total{currency="CNY",namespace="web"}'] == 1.5
    assert shown['vk_cost_estimated_per_hour{currency="CNY",namespace="web"}'] == 36, "only what runs"
    assert not any("cost" in name and "other" in name for name in shown), "no price, no cost"

    books.book.gone(made(1))
    books.store.remove("eci-1")
    after = books.shown()
    assert after['vk_instance_seconds_total{namespace="web"}'] == 150
    assert after['vk_cost_estimated_total{currency="CNY",namespace="web"}'] == 1.5
    assert 'vk_cost_estimated_per_hour{currency="CNY",namespace="web"}' not in after
    books.now += timedelta(hours=1)
    assert books.shown()['vk_cost_estimated_total{currency="CNY",namespace="web"}'] == 1.5
    assert books.shown()['vk_instance_seconds_total{namespace="other"}'] == 3700


@pytest.mark.parametrize(
    ("price", "instance", "summary", "text"),
    [
        pytest.param(
            Price(0.01, "CNY"),
            made(status=SUCCEEDED, ended_at=ENDED),
            "ran 50 s on 2.0-4.0Gi, about CNY 0.5000 (estimated)",
            "36.0000 CNY/h (by the cloud)",
            id="by the cloud",
        ),
        pytest.param(
            Price(0.000001, "USD", is_list=True),
            made(),
            "ran 100 s on 2.0-4.0Gi, about USD 0.0001 (estimated by list price)",
            "0.0036 USD/h (list price)",
            id="by list, next to nothing",
        ),
        pytest.param(None, made(), "ran 100 s on 2.0-4.0Gi; its price is not known here", "", id="unknown"),
        pytest.param(Price(1, "CNY"), made(placed_at=""), "", "3600.0000 CNY/h (by the cloud)", id="never billed"),
        pytest.param(Price(1, "CNY"), made(sku=""), "", "", id="of no known kind"),
    ],
)
def test_what_its_owner_reads(price, instance, summary, text):
    book = Books(PricedCloud(**({SKU: price} if price else {}))).book
    assert (book.summary(instance), book.price_text(instance)) == (summary, text)


def test_spot_is_named():
    book = Books(PricedCloud(**{f"{SKU}/spot": Price(0.01, "CNY")})).book
    assert book.summary(made(sku=f"{SKU}/spot")).startswith("ran 100 s on 2.0-4.0Gi (spot), about")


def test_a_cloud_without_prices_still_has_its_seconds_counted():
    books = Books(MemoryCloud())
    books.store.put(made())
    assert books.book.price_text(made()) == ""
    assert books.shown() == {'vk_instance_seconds_total{namespace="web"}': 100}
