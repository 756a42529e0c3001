"""What instances cost: noted on the pod and in an event at its end, and counted for the metrics.

All of it is an estimate: seconds by the cloud's own times, rounded up as a bill is, times the price that is known.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from vk_provider.cloud.base import Cloud, Price, SupportsPricing
from vk_provider.instances.cache import InstanceCache
from vk_provider.metrics import Registry
from vk_provider.model.instance import Instance, InstanceStatus

_FEW = 64
_FREE = frozenset({InstanceStatus.SCHEDULING, InstanceStatus.SCHEDULE_FAILED, InstanceStatus.UNKNOWN})


class CostMeter:
    """Every instance is counted once: as long as the store has it by its own times, and for good when it has gone."""

    def __init__(
        self, cloud: Cloud, store: InstanceCache, metrics: Registry, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._prices = cloud if isinstance(cloud, SupportsPricing) else None
        self._store = store
        self._clock = clock or (lambda: datetime.now(UTC))
        self._spans: dict[str, tuple[Instance, float, float | None]] = {}  # id → its times, as read once
        self._seconds_gone: dict[str, float] = defaultdict(float)
        self._cost_gone: dict[tuple[str, str], float] = defaultdict(float)
        self._seconds = metrics.counter(
            "vk_instance_seconds_total", "Seconds that instances ran and are billed for.", ("namespace",)
        )
        self._cost = metrics.counter(
            "vk_cost_estimated_total", "Estimated cost of instances until now.", ("namespace", "currency")
        )
        self._rate = metrics.gauge(
            "vk_cost_estimated_per_hour", "Estimated cost of the instances running now.", ("namespace", "currency")
        )
        metrics.before_scrape(self._collect)

    def price_text(self, instance: Instance) -> str:
        """For the pod's annotation; empty where nothing is known."""
        price = self._price(instance)
        if price is None:
            return ""
        source = "list price" if price.is_list else "by the cloud"
        return sys.intern(f"{price.per_hour:.4f} {price.currency}/h ({source})")  # thousands of pods cost the same

    def gone(self, instance: Instance) -> None:
        """It leaves the store now."""
        self._spans.pop(instance.id, None)
        namespace, seconds = instance.owner.namespace, billed_s(instance, self._clock())
        self._seconds_gone[namespace] += seconds
        price = self._price(instance)
        if price is not None:
            self._cost_gone[namespace, price.currency] += seconds * price.per_second

    def summary(self, instance: Instance) -> str:
        """What it was and what it cost, in a sentence; empty for one that was never billed."""
        seconds = billed_s(instance, self._clock())
        if not seconds or not instance.sku:
            return ""
        spec = instance.sku.replace("/spot", " (spot)")
        price = self._price(instance)
        if price is None:
            return f"ran {seconds} s on {spec}; its price is not known here"
        basis = "estimated by list price" if price.is_list else "estimated"
        return f"ran {seconds} s on {spec}, about {price.currency} {_amount(seconds * price.per_second)} ({basis})"

    def _price(self, instance: Instance) -> Price | None:
        return self._prices.price(instance.sku) if self._prices is not None and instance.sku else None

    def per_hour(self, sku: str) -> tuple[float, str]:
        """Price and currency; 0 and empty where nothing is known."""
        price = self._prices.price(sku) if self._prices is not None and sku else None
        return (price.per_hour, price.currency) if price is not None else (0.0, "")

    def totals(self) -> Mapping[str, tuple[float, float]]:
        """currency → an hour's cost of what runs now, and the cost of all that this process has seen."""
        _, cost, rate = self._sums()
        found: dict[str, tuple[float, float]] = {}
        for (_, currency), total in cost.items():
            found[currency] = (0.0, found.get(currency, (0.0, 0.0))[1] + total)
        for (_, currency), total in rate.items():
            per_hour, until_now = found.get(currency, (0.0, 0.0))
            found[currency] = (per_hour + total, until_now)
        return found

    def _collect(self) -> None:
        seconds, cost, rate = self._sums()
        for namespace, total in seconds.items():
            self._seconds.set_total(total, namespace=namespace)
        for (namespace, currency), total in cost.items():
            self._cost.set_total(round(total, 8), namespace=namespace, currency=currency)
        self._rate.replace({key: round(total, 8) for key, total in rate.items()})

    def _sums(self) -> tuple[dict[str, float], dict[tuple[str, str], float], dict[tuple[str, str], float]]:
        """Seconds, cost and cost per hour, by namespace and currency. For thousands of instances it takes milliseconds,
        as their times are read once."""
        now_s, prices = self._clock().timestamp(), dict[str, Price | None]()
        seconds, cost = self._seconds_gone.copy(), self._cost_gone.copy()
        rate: dict[tuple[str, str], float] = defaultdict(float)
        for instance in self._store:
            namespace, ran_s = instance.owner.namespace, self._ran_s(instance, now_s)
            seconds[namespace] += ran_s
            if instance.sku not in prices:
                prices[instance.sku] = self._price(instance)
            if (price := prices[instance.sku]) is not None:
                cost[namespace, price.currency] += ran_s * price.per_second
                if instance.status not in _FREE and not instance.status.is_ended:
                    rate[namespace, price.currency] += price.per_hour
        return seconds, cost, rate

    def _ran_s(self, instance: Instance, now_s: float) -> int:
        """As `billed_s` has it."""
        span = self._spans.get(instance.id)
        if span is None or span[0] is not instance:
            if len(self._spans) > 2 * len(self._store) + _FEW:
                self._spans.clear()
            began, end = billed_span(instance)
            began_s = began.timestamp() if began is not None else math.inf
            span = self._spans[instance.id] = (instance, began_s, end.timestamp() if end is not None else None)
        _, began_s, end_s = span
        return max(0, math.ceil((now_s if end_s is None else end_s) - began_s)) if began_s != math.inf else 0


def billed_s(instance: Instance, now: datetime) -> int:
    """Whole seconds, a begun one counted; from its placing to its end, or to now while it runs."""
    began, end = billed_span(instance)
    return 0 if began is None else max(0, math.ceil(((end or now) - began).total_seconds()))


def billed_span(instance: Instance) -> tuple[datetime | None, datetime | None]:
    """From when it is billed, None = it is not; and until when, None = until now."""
    if instance.status in _FREE:
        return None, None
    began = _instant(instance.placed_at) or _instant(instance.created_at)
    if began is None or not instance.status.is_ended:
        return began, None
    last = max((one.state.finished_at for one in instance.containers), default="")
    return began, _instant(instance.ended_at) or _instant(last)


def _amount(amount: float) -> str:
    return f"{amount:.4f}" if amount >= 0.001 else f"{amount:.7f}".rstrip("0").rstrip(".")


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
