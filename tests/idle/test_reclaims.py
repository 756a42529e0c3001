"""Orders to end, from the refusal to the reading that shows the vCPU free; and what a preemptible pod's instance is."""

import pytest

from vk_provider.idle.holdings import Hold, Holding, candidates, claims, preemptible_cpu, requested_by_node
from vk_provider.idle.instance_request import instance_request
from vk_provider.idle.no_stock import PATIENCE_S, StockWaits
from vk_provider.idle.pool import Claims, Quota
from vk_provider.idle.reclaims import WAITING_S, Reclaims, waiting_message
from vk_provider.idle.resources import Amount
from vk_provider.idle.victims import LOWEST, Waiting
from vk_provider.model.quantity import GIB


class Cloud:
    """64 vCPU: regular ones of 16, and preemptible pods of 8 each. A deleted one is gone 35 s later."""

    def __init__(self, preemptible=5, regular=16.0, most=64.0):
        self.now_s, self.most, self.regular = 0.0, most, regular
        self.live = {f"p{number}": float(number) for number in range(preemptible)}
        self.ending: dict[str, float] = {}
        self.priorities: dict[str, int] = {}
        self.quota = self.read()

    def read(self):
        held = 8.0 * (len(self.live) + len(self.ending))
        self.quota = Quota(at_s=self.now_s, most_cpu=self.most, used_cpu=self.regular + held, preemptible_cpu=held)
        return self.quota

    def holdings(self):
        return [
            Holding(
                uid=uid,
                node="vk",
                hold=Hold.RELEASING if uid in self.ending else Hold.LIVE,
                cpu=8.0,
                requested=Amount(8, 32 * GIB),
                is_running=True,
                bound_s=self.live.get(uid, 0.0),
            )
            for uid in [*self.live, *self.ending]
        ]

    def step(self, reclaims, seconds=1.0):
        """Time passes; orders are carried out, and those that are over are reported."""
        self.now_s += seconds
        for uid in [uid for uid in self.live if reclaims.order(uid)]:
            del self.live[uid]
            self.ending[uid] = self.now_s + 35
        for uid in [uid for uid, end_s in self.ending.items() if end_s <= self.now_s]:
            del self.ending[uid]
            reclaims.released(self.now_s, uid, 8.0)
        if self.now_s % 10 == 0:
            self.read()
        pods = {*self.live, *self.ending, "regular"}
        reclaims.forget(self.now_s, self.quota, pods)

    def reclaim(self, reclaims):
        unordered = [uid for uid in self.ending if reclaims.order(uid) is None]
        open_ones = candidates(self.holdings(), lambda uid: self.priorities.get(uid, LOWEST))
        return reclaims.for_quota(self.now_s, self.quota, open_ones, releasing_cpu=8.0 * len(unordered))


def wait(reclaims, cloud, cpu=16.0, uid="regular"):
    reclaims.refused(cloud.now_s, Waiting(uid=uid, cpu=cpu, since_s=cloud.now_s))


def test_exactly_the_youngest_yields_and_nobody_else_until_the_regular_pod_runs():
    cloud, reclaims = Cloud(), Reclaims()
    wait(reclaims, cloud)
    assert [victim.uid for victim in cloud.reclaim(reclaims).victims] == ["p4"]
    order = reclaims.order("p4")
    assert "regular pods wait for 8 vCPU more than the quota of 64 has left" in order.message
    for _ in range(45):  # each second somebody asks again
        cloud.step(reclaims)
        assert cloud.reclaim(reclaims).victims == ()
    assert len(cloud.live) == 4
    assert cloud.quota.most_cpu - cloud.quota.used_cpu == 16
    reclaims.served("regular")
    cloud.regular += 16
    for _ in range(100):
        cloud.step(reclaims)
        assert cloud.reclaim(reclaims).victims == ()
    assert sorted(cloud.live) == ["p0", "p1", "p2", "p3"]


@pytest.mark.parametrize("restart_s", [1, 20, 34, 36, 39])
def test_a_restart_in_the_middle_makes_no_second_victim(restart_s):
    cloud, reclaims = Cloud(), Reclaims()
    wait(reclaims, cloud)
    cloud.reclaim(reclaims)
    for second in range(60):
        cloud.step(reclaims)
        if second == restart_s:
            reclaims = Reclaims()
            cloud.read()  # a provider that starts has read the quota first
            wait(reclaims, cloud)
        cloud.reclaim(reclaims)
    assert len(cloud.live) == 4


def test_protected_pods_stay_and_the_shortfall_is_named():
    cloud, reclaims = Cloud(), Reclaims()
    cloud.priorities = dict.fromkeys(cloud.live, 6)
    wait(reclaims, cloud)
    reclaim = cloud.reclaim(reclaims)
    assert reclaim.victims == ()
    assert "leave 8 vCPU too few" in waiting_message(reclaim, "regular")
    cloud.priorities = {"p0": 6, "p1": 6}
    assert "1 preemptible pods end for this one" in waiting_message(cloud.reclaim(reclaims), "regular")


def test_a_preemptible_pod_that_waits_ends_nobody_in_an_hour():
    cloud, reclaims = Cloud(preemptible=6), Reclaims()
    for _ in range(360):
        reclaims.refused(cloud.now_s, Waiting(uid="other", cpu=8.0, is_preemptible=True))
        assert cloud.reclaim(reclaims).victims == ()
        cloud.step(reclaims, 10)


def test_a_pod_that_gave_up_waiting_ends_nobody():
    cloud, reclaims = Cloud(), Reclaims()
    wait(reclaims, cloud)
    cloud.now_s += WAITING_S + 1
    reclaims.forget(cloud.now_s, cloud.quota, {*cloud.live, "regular"})
    assert cloud.reclaim(reclaims).victims == ()
    wait(reclaims, cloud)
    reclaims.forget(cloud.now_s, cloud.quota, set(cloud.live))
    assert cloud.reclaim(reclaims).victims == ()


def test_a_rule_reclaims_three_of_four_vcpu_for_a_gap_of_ten_and_no_more_while_they_end():
    holdings = [
        Holding(uid=f"p{number}", node="vk", hold=Hold.LIVE, cpu=4.0, requested=Amount(4, 0), bound_s=float(number))
        for number in range(10)
    ]
    reclaims, open_ones = Reclaims(), candidates(holdings, lambda _: LOWEST)
    counted = {each.uid for each in holdings}
    reclaim = reclaims.for_rule(0, "preemptible-default/over-allocated", 10.0, open_ones, counted=counted)
    assert [victim.uid for victim in reclaim.victims] == ["p9", "p8", "p7"]
    for now_s in (10, 20):
        assert reclaims.for_rule(now_s, "r", 10.0, open_ones, counted=counted).victims == ()
    for uid in ("p9", "p8", "p7"):
        reclaims.released(25, uid, 4.0)
    assert reclaims.for_rule(30, "r", 10.0, open_ones, counted=counted).victims == ()  # their pods still count
    assert reclaims.for_rule(40, "r", 0.0, open_ones[:7], counted=counted - {"p9", "p8", "p7"}).victims == ()


def test_stock_is_reclaimed_once_in_five_minutes():
    holdings = [
        Holding(uid=f"p{number}", node="vk", hold=Hold.LIVE, cpu=4.0, zone="a", size="4-8") for number in range(3)
    ]
    reclaims, open_ones = Reclaims(), candidates(holdings, lambda _: LOWEST)
    pod = Waiting(uid="regular", cpu=4.0)
    assert len(reclaims.for_stock(0, pod, open_ones, zone="a", size="4-8").victims) == 1
    assert reclaims.for_stock(299, pod, open_ones, zone="a", size="4-8").victims == ()
    assert len(reclaims.for_stock(300, pod, open_ones, zone="a", size="4-8").victims) == 1


def test_those_try_again_for_whom_there_is_room_and_a_large_one_keeps_what_it_waits_for():
    cloud, reclaims = Cloud(), Reclaims()
    for uid, cpu in (("small", 4.0), ("large", 16.0), ("late", 4.0)):
        wait(reclaims, cloud, cpu, uid)
        cloud.now_s += 1
    order = ["small", "large", "late"]
    assert reclaims.with_room(cloud.now_s, cloud.quota, order) == ["small"]  # 8 vCPU are free
    reclaims.released(cloud.now_s, "p4", 8.0)
    assert reclaims.with_room(cloud.now_s, cloud.quota, order) == ["small"]
    reclaims.released(cloud.now_s, "p3", 8.0)
    assert reclaims.with_room(cloud.now_s, cloud.quota, order) == order


def test_who_is_refused_although_there_is_room_tries_ever_more_seldom_and_stops_nobody():
    cloud, reclaims = Cloud(), Reclaims()
    tries = []
    for second in range(600):
        cloud.now_s = float(second)
        if second == 0 or "another quota" in reclaims.with_room(cloud.now_s, cloud.quota, ["another quota"]):
            tries.append(second)
            wait(reclaims, cloud, 4.0, "another quota")
    assert tries == [0, 1, 6, 16, 36, 76, 156, 276, 396, 516]
    wait(reclaims, cloud, 8.0, "behind")  # 8 vCPU are free
    assert reclaims.with_room(cloud.now_s, cloud.quota, ["another quota", "behind"]) == ["behind"]
    reclaims.served("another quota")
    wait(reclaims, cloud, 4.0, "another quota")
    assert reclaims.with_room(cloud.now_s, cloud.quota, ["another quota"]) == ["another quota"]


def test_what_is_waiting_is_bounded():
    reclaims = Reclaims()
    for number in range(5_000):
        reclaims.refused(0, Waiting(uid=str(number), cpu=1.0))
    assert len(reclaims._waiting) == 1_000


# --- holdings ---------------------------------------------------------------------------------------------------------


def test_claims_of_holdings():
    holdings = [
        Holding(uid="a", node="x", hold=Hold.BOUND, cpu=4.0, requested=Amount(3, GIB)),
        Holding(uid="b", node="y", hold=Hold.LIVE, cpu=8.0, requested=Amount(8, GIB)),
        Holding(uid="c", node="y", hold=Hold.RELEASING, cpu=2.0),
    ]
    assert claims(holdings) == Claims(held_cpu=14.0, uncreated_cpu=4.0)
    assert preemptible_cpu(holdings) == 10.0
    assert requested_by_node(holdings) == {"x": Amount(3, GIB), "y": Amount(8, GIB)}
    assert [each.uid for each in candidates(holdings, lambda _: 7)] == ["b"]
    assert claims([]) == Claims()


# --- spot stock -------------------------------------------------------------------------------------------------------


def test_stock_is_waited_for_ten_minutes_ever_more_seldom():
    waits, now_s, tries = StockWaits(), 0.0, []
    while not waits.is_given_up(now_s, "a"):
        tries.append(now_s)
        now_s += waits.refused(now_s, "a")
        assert waits.remaining_s(now_s - 0.5, "a") == 0.5
    assert tries == [0, 5, 15, 35, 75, 155, 315]
    assert now_s == PATIENCE_S
    assert waits.remaining_s(0, "b") == 0
    waits.forget("a")
    assert not waits.is_given_up(now_s, "a")


# --- the instance -----------------------------------------------------------------------------------------------------

SPOT = {"k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo", "k8s.aliyun.com/eci-spot-duration": "1"}


def preemptible(**spec):
    amounts = {"gocrane.io/cpu": "3", "gocrane.io/memory": "6Gi", "ephemeral-storage": "10Gi"}
    container = {"name": "main", "resources": {"limits": amounts, "requests": amounts, "claims": []}}
    return {
        "metadata": {"name": "pi", "annotations": {"k8s.aliyun.com/eci-spot-duration": "0"}},
        "spec": {"containers": [container, {"name": "side"}], **spec},
    }


def test_an_instance_is_sized_by_what_its_pod_requests_of_idle_capacity():
    pod = preemptible()
    seen = instance_request(pod, annotations=SPOT)
    resources = seen["spec"]["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {"cpu": "3", "memory": "6Gi", "ephemeral-storage": "10Gi"}
    assert seen["metadata"]["annotations"] == SPOT | {"k8s.aliyun.com/eci-spot-duration": "0"}
    assert pod == preemptible()
    assert instance_request(seen, annotations={}) == seen


def test_zeros_that_keep_defaults_away_give_way_to_the_real_size():
    pod = preemptible()
    pod["spec"]["containers"][0]["resources"]["limits"] |= {"cpu": "0", "memory": "0"}
    assert instance_request(pod, annotations={})["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "3"


@pytest.mark.parametrize(
    ("stated", "most", "expected"), [(None, 20, 20), (None, 60, 30), (10, 30, 10), (600, 30, 30), (600, None, 600)]
)
def test_the_grace_is_no_longer_than_the_actions(stated, most, expected):
    pod = preemptible() if stated is None else preemptible(terminationGracePeriodSeconds=stated)
    seen = instance_request(pod, annotations={}, most_grace_s=most)
    assert seen["spec"].get("terminationGracePeriodSeconds", 30) == expected


def test_any_other_pod_is_left_alone():
    pod = {"metadata": {}, "spec": {"containers": [{"name": "web", "resources": {"limits": {"cpu": "1"}}}]}}
    assert instance_request(pod, annotations=SPOT) is pod
