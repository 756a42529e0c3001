"""Metrics of idle capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.idle.holdings import Holding, requested_by_node
from vk_provider.idle.market import SpotPrice
from vk_provider.idle.offer import Evaluation
from vk_provider.idle.pool import Quota
from vk_provider.idle.resources import CPU, MEMORY, total
from vk_provider.metrics import Registry

MOST_WAITING = 1_000


class IdleMetrics:
    def __init__(self, metrics: Registry) -> None:
        self._published = metrics.gauge(
            "eci_idle_published", "Idle capacity that the nodes offer: vCPU, bytes.", ("resource",)
        )
        self._allocated = metrics.gauge(
            "eci_idle_allocated", "Idle capacity that pods on the nodes request: vCPU, bytes.", ("resource",)
        )
        self._quota = metrics.gauge("eci_quota_vcpu", "The account's quota in this region, in vCPU.", ("kind",))
        self._regular = metrics.gauge(
            "eci_regular_vcpu", "vCPU that all but preemptible pods hold of the quota, now and as predicted.", ("kind",)
        )
        self._depth = metrics.gauge("eci_spot_depth_vcpu", "vCPU that the spot market is thought to sell still.")
        self._ratio = metrics.gauge(
            "eci_spot_price_ratio", "Spot price of the usual size, of that on demand.", ("zone",)
        )
        self.reclaims = metrics.counter("eci_reclaims_total", "Preemptible pods that were told to end.", ("trigger",))
        self.reclaim_seconds = metrics.histogram(
            "eci_reclaim_seconds", "From the order that a preemptible pod ends until its instance is gone."
        )
        self._wait = metrics.histogram(
            "eci_regular_wait_seconds", "From a regular pod's refusal for want of quota until it has an instance."
        )
        self._stale = metrics.gauge("eci_prediction_stale_seconds", "Age of the newest reading of the quota.")
        self.create_failures = metrics.counter(
            "eci_spot_create_failures_total", "Creates of preemptible pods that found no capacity.", ("reason",)
        )
        self._since: dict[str, float] = {}

    def waits_from(self, uid: str, now_s: float) -> None:
        if len(self._since) < MOST_WAITING:
            self._since.setdefault(uid, now_s)

    def waits_no_more(self, uid: str, now_s: float) -> None:
        since_s = self._since.pop(uid, None)
        if since_s is not None:
            self._wait.observe(now_s - since_s)

    def show(self, evaluation: Evaluation, quota: Quota | None, holdings: Sequence[Holding], *, now_s: float) -> None:
        published = total(evaluation.shares.values())
        for gauge, amount in (
            (self._published, published),
            (self._allocated, total(requested_by_node(holdings).values())),
        ):
            gauge.set(amount.cpu, resource=CPU)
            gauge.set(amount.memory, resource=MEMORY)
        self._depth.set(evaluation.depth_cpu)
        if evaluation.prediction is not None:
            self._regular.set(evaluation.prediction.peak, kind="predicted")
        if quota is not None:
            self._stale.set(max(0.0, now_s - quota.at_s))
            self._regular.set(quota.regular_cpu, kind="now")
            self._quota.set(quota.most_cpu, kind="max")
            self._quota.set(quota.used_cpu, kind="used")

    def show_prices(self, prices: Mapping[str, SpotPrice]) -> None:
        for zone, price in prices.items():
            self._ratio.set(price.ratio, zone=zone)
