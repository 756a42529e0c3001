"""The pure room on the fake cloud, in virtual time: what the provider's loops will do, in a hundred lines.

One node; every second pods are scheduled, created, deleted and looked after, every ten the quota is read and the offer
evaluated, every minute the market polled. Regular pods want an instance at once; a preemptible one that ends unfinished
is made again by its Job.
"""

from __future__ import annotations

from dataclasses import dataclass

from fakes.cloud.errors import ApiError
from fakes.cloud.group import Group
from fakes.cloud.lifecycle import Settings
from fakes.cloud.series import Constant
from tests.fakes.cloud.world import START, World
from vk_provider.idle.forecast import Dsp, Forecaster
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.idle.holdings import Hold, Holding, candidates, preemptible_cpu
from vk_provider.idle.market import Depth, Poll, SpotPrice, Stock
from vk_provider.idle.no_stock import StockWaits
from vk_provider.idle.offer import NodeFacts, Offer, OfferSettings
from vk_provider.idle.pool import Quota
from vk_provider.idle.reclaims import Reclaims
from vk_provider.idle.resources import Amount
from vk_provider.idle.victims import LOWEST, Waiting
from vk_provider.model.quantity import GIB

ZONE = "cn-hangzhou-a"
LIVE = ("Scheduling", "Pending", "Running")


@dataclass(slots=True)
class Pod:
    uid: str
    cpu: int
    is_preemptible: bool
    wanted_s: float
    bound_s: float | None = None
    group: Group | None = None
    phase: str = "Pending"
    reason: str = ""
    running_s: float | None = None


class Scene:
    """quota, others: vCPU, of which `others` has been the load for seven days. grace_s: that containers take to end."""

    def __init__(self, *, quota: float, others: float, grace_s: float = 30.0, start_cpu: float = 1e4) -> None:
        scenario = f"[[rule]]\nduration_s = 1e9\nstop_s = {grace_s}\n"
        settings = Settings(start_delay_s=28.0, release_s=5.0)  # and a second to pull the image
        self.cloud = World(scenario, settings=settings, quota_cpu=quota)
        self.cloud.service.others = Constant(others)
        history = History()
        for when_s in range(int(START) - 7 * DAY_S, int(START), MINUTE_S):
            history.record(when_s, others)
        forecaster = Forecaster(history, Dsp(), all_there_is=quota)
        self.offer = Offer(forecaster, Depth(start_cpu=start_cpu), OfferSettings())
        self.reclaims, self.stock_waits = Reclaims(), StockWaits()
        self.pods: dict[str, Pod] = {}
        self.published = Amount()
        self.quota: Quota | None = None
        self.reads = True
        self.attempts: list[tuple[float, str]] = []  # creates of preemptible pods
        self.seconds = 0

    @property
    def now_s(self) -> float:
        return self.cloud.clock.now()

    def add(self, uid: str, cpu: int, *, is_preemptible: bool) -> Pod:
        self.pods[uid] = Pod(uid, cpu, is_preemptible, self.now_s)
        return self.pods[uid]

    def remove(self, uid: str) -> None:
        pod = self.pods.pop(uid)
        if pod.group is not None:
            self._delete(pod.group)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            if self.seconds % 60 == 0:
                self._poll()
            if self.seconds % 10 == 0:
                self._evaluate()
            self._schedule()
            self._create()
            self._reclaim()
            self.cloud.run(1.0)
            self._observe()
            self.seconds += 1

    def phases(self, *, is_preemptible: bool) -> dict[str, str]:
        return {uid: pod.phase for uid, pod in self.pods.items() if pod.is_preemptible is is_preemptible}

    # --- the cloud's words --------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        region = {"RegionId": "cn-hangzhou"}
        spot = {**region, "Cpu": "4", "Memory": "8", "SpotStrategy": "SpotAsPriceGo", "ZoneId": ZONE}
        [row] = self.cloud.queries.price(spot)["PriceInfo"]["SpotPrices"]["SpotPrice"]
        wanted = {"DestinationResource.Category": "InstanceType", "DestinationResource.Cores": "4"}
        wanted |= {"DestinationResource.Memory": "8", "SpotResource.SpotStrategy": "SpotAsPriceGo", "ZoneId": ZONE}
        [zone] = self.cloud.queries.stock(region | wanted)["AvailableZones"]["AvailableZone"]
        [resource] = zone["AvailableResources"]["AvailableResource"]
        word = resource["SupportedResources"]["SupportedResource"][0]["StatusCategory"]
        price = SpotPrice(row["SpotPrice"], row["OriginPrice"])
        self.offer.depth.poll(Poll(self.now_s, {ZONE: Stock(word)}, {ZONE: price}))

    def _evaluate(self) -> None:
        holdings = self._holdings()
        if self.reads:
            usage = self.cloud.queries.usage({"RegionId": "cn-hangzhou"})["Attributes"]
            self.quota = Quota(
                at_s=self.now_s,
                most_cpu=usage["MaxCpu"],
                used_cpu=usage["UsedCpu"],
                preemptible_cpu=preemptible_cpu(holdings),
            )
            self.offer.record(self.quota)
        evaluation = self.offer.evaluate(
            self.now_s, quota=self.quota, holdings=holdings, nodes={"vk": NodeFacts(published=self.published)}
        )
        self.published = evaluation.shares["vk"]
        self.reclaims.forget(self.now_s, self.quota, self.pods.keys())

    def _holdings(self) -> list[Holding]:
        held = []
        for pod in self.pods.values():
            if not pod.is_preemptible or pod.bound_s is None or (pod.group is None and pod.phase != "Pending"):
                continue
            is_ended = pod.phase != "Pending" and pod.phase != "Running"
            status = pod.group.status if pod.group is not None else ""
            hold = Hold.BOUND if pod.group is None else Hold.LIVE if status in LIVE else Hold.RELEASING
            held.append(
                Holding(
                    uid=pod.uid,
                    node="vk",
                    hold=hold,
                    cpu=float(pod.cpu),
                    requested=Amount() if is_ended else Amount(pod.cpu, pod.cpu * 4 * GIB),
                    bound_s=pod.bound_s,
                    is_running=pod.phase == "Running",
                )
            )
        return held

    # --- what is done -------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        requested = sum(each.requested.cpu for each in self._holdings())
        for pod in self.pods.values():
            if pod.bound_s is None and (not pod.is_preemptible or requested + pod.cpu <= self.published.cpu):
                pod.bound_s = self.now_s
                requested += pod.cpu if pod.is_preemptible else 0

    def _create(self) -> None:
        for pod in list(self.pods.values()):
            if pod.bound_s is None or pod.group is not None or pod.phase != "Pending":
                continue
            if pod.is_preemptible and self.stock_waits.is_given_up(self.now_s, pod.uid):
                pod.phase, pod.reason = "Failed", "NoStock"
            elif not pod.is_preemptible or self.stock_waits.remaining_s(self.now_s, pod.uid) == 0:
                self._try(pod)

    def _try(self, pod: Pod) -> None:
        spot = {"SpotStrategy": "SpotAsPriceGo"} if pod.is_preemptible else {}
        if pod.is_preemptible:
            self.attempts.append((self.now_s - START, pod.uid))
        try:
            pod.group = self.cloud.create(
                Cpu=str(pod.cpu), Memory=str(2 * pod.cpu), ZoneId=ZONE, TerminationGracePeriodSeconds="30", **spot
            )
        except ApiError as error:
            if pod.is_preemptible:
                self.stock_waits.refused(self.now_s, pod.uid)
                if "NoStock" in error.code:
                    self.offer.depth.refused(self.now_s)
            else:
                self.reclaims.refused(self.now_s, Waiting(uid=pod.uid, cpu=float(pod.cpu), since_s=pod.wanted_s))
            return
        self.reclaims.served(pod.uid)
        if pod.is_preemptible:
            self.offer.depth.created(self.now_s, pod.cpu)

    def _reclaim(self) -> None:
        if self.quota is None:
            return
        holdings = self._holdings()
        going = sum(each.cpu for each in holdings if each.hold is Hold.RELEASING and not self.reclaims.order(each.uid))
        open_ones = candidates(holdings, lambda _: LOWEST)
        for victim in self.reclaims.for_quota(self.now_s, self.quota, open_ones, releasing_cpu=going).victims:
            group = self.pods[victim.uid].group
            assert group is not None
            self._delete(group)

    def _delete(self, group: Group) -> None:
        self.cloud.service.delete({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})

    def _observe(self) -> None:
        for pod in list(self.pods.values()):
            if pod.group is None:
                continue
            if pod.group.status == "Running" and pod.phase == "Pending":
                pod.phase, pod.running_s = "Running", self.now_s
            elif pod.group.status == "Gone":
                pod.phase, pod.group = "Failed", None
                pod.reason = "Preempted" if self.reclaims.order(pod.uid) else "Gone"
                if pod.is_preemptible:
                    self.reclaims.released(self.now_s, pod.uid, float(pod.cpu))
                    self.offer.depth.released(pod.cpu)
                    self.add(f"{pod.uid}'", pod.cpu, is_preemptible=True)  # its Job makes another
