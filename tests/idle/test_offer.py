"""Everything together, as the provider evaluates it each ten seconds."""

import pytest

from vk_provider.idle.forecast import Forecaster, Percentile
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.idle.holdings import Hold, Holding, candidates
from vk_provider.idle.market import Depth, Poll, SpotPrice, Stock
from vk_provider.idle.offer import NodeFacts, Offer, OfferSettings, without_leader
from vk_provider.idle.pool import Quota
from vk_provider.idle.qos import AvoidanceAction, NodeQos, Rule
from vk_provider.idle.reclaims import Reclaims
from vk_provider.idle.resources import Amount
from vk_provider.idle.rules import Load, gap_cpu
from vk_provider.idle.victims import LOWEST
from vk_provider.model.quantity import GIB

BEGIN_S = 100 * DAY_S
OVER = Rule(
    name="over", metric="ext_cpu_total_distribute", value=110, action="reclaim", avoid_rounds=2, restore_rounds=2
)
ACTIONS = {"reclaim": AvoidanceAction(name="reclaim", evicts=True, grace_s=30)}


class Scene:
    """A quota of 200 vCPU, seven days of a regular load, one node; each tick takes ten seconds."""

    def __init__(self, *, peak=99.95, regular=60.0, qos=(), jobs=0):
        history = History()
        for when_s in range(BEGIN_S - 7 * DAY_S, BEGIN_S, MINUTE_S):
            history.record(when_s, peak if when_s // 3600 % 24 == 12 else regular)
        self.forecaster = Forecaster(history, Percentile(), all_there_is=200)
        self.offer = Offer(self.forecaster, Depth(start_cpu=1e4), OfferSettings())
        self.now_s, self.regular, self.qos = float(BEGIN_S), regular, list(qos)
        self.published, self.reads, self.quota = Amount(), True, None
        self.jobs = {f"job-{number}": float(number) for number in range(jobs)}
        self.last = None

    def holdings(self):
        return [
            Holding(
                uid=uid,
                node="vk",
                hold=Hold.LIVE,
                cpu=4.0,
                requested=Amount(4, 16 * GIB),
                is_running=True,
                bound_s=bound_s,
            )
            for uid, bound_s in self.jobs.items()
        ]

    def nodes(self):
        return {"vk": NodeFacts(published=self.published)}

    def tick(self, times=1):
        for _ in range(times):
            self.now_s += 10
            if self.reads:
                held = 4.0 * len(self.jobs)
                self.quota = Quota(at_s=self.now_s, most_cpu=200, used_cpu=self.regular + held, preemptible_cpu=held)
                self.offer.record(self.quota)
            self.offer.depth.poll(Poll(self.now_s, {"z": Stock.WITH}, {"z": SpotPrice(0.3, 1.0)}))
            self.last = self.offer.evaluate(
                self.now_s,
                quota=self.quota,
                holdings=self.holdings(),
                nodes=self.nodes(),
                qos=self.qos,
                actions=ACTIONS,
            )
            self.published = self.last.shares["vk"]
        return self.published.cpu


def test_the_predicted_peak_is_kept_free_and_the_rest_is_offered():
    scene = Scene()
    assert [scene.tick() for _ in range(3)] == [0, 0, 80]
    assert scene.last.prediction.method == "percentile"
    assert scene.published.quantities() == {"gocrane.io/cpu": "80", "gocrane.io/memory": "320Gi"}
    assert scene.last.why_closed == ""
    scene.jobs = {f"job-{number}": 0.0 for number in range(10)}
    assert scene.tick(3) == 80


def test_a_load_above_the_forecast_shrinks_it_within_ten_seconds_and_ends_nobody():
    scene = Scene(jobs=10)
    scene.tick(3)
    scene.regular = 130.0
    assert scene.tick() == 50
    scene.regular = 150.0
    assert scene.tick() == 30
    assert scene.last.load.metrics()["ext_cpu_total_distribute"] == pytest.approx(133, abs=1)
    assert scene.last.verdict.reclaiming == ()


def test_a_rule_reclaims_on_its_second_round_and_its_condition_clears_after_the_cool_down():
    scene = Scene(jobs=10, qos=[NodeQos(name="d", rules=(OVER,))])
    scene.tick(3)
    scene.regular = 150.0
    scene.tick()
    assert not scene.last.verdict.suspended
    scene.tick()
    [(rule, action)] = scene.last.verdict.reclaiming
    gap = gap_cpu(rule, scene.last.load)
    open_ones = candidates(scene.holdings(), lambda _: LOWEST)
    reclaim = Reclaims().for_rule(
        scene.now_s, rule.name, gap, open_ones, counted=set(scene.jobs), grace_s=action.grace_s
    )
    assert [victim.uid for victim in reclaim.victims] == ["job-9", "job-8", "job-7"]
    for victim in reclaim.victims:
        del scene.jobs[victim.uid]
    recovered_s = None
    while scene.tick() <= 200:
        assert scene.published.cpu <= 30
        if recovered_s is None and scene.last.verdict.changes:
            recovered_s = scene.now_s
        if recovered_s is not None and not scene.last.verdict.suspended:
            break
    assert abs(scene.now_s - recovered_s - 300) <= 10


def test_a_node_that_was_made_anew_and_says_nothing_is_no_reason_to_end_anybody():
    scene = Scene(jobs=10, qos=[NodeQos(name="d", rules=(OVER,))])
    assert [scene.tick() for _ in range(3)] == [40, 40, 80]
    assert scene.last.verdict.reclaiming == ()


def test_a_preview_changes_nothing():
    preview = Rule(name="p", metric="ext_cpu_total_distribute", value=1, action="reclaim", is_preview=True)
    scene = Scene(jobs=10, qos=[NodeQos(name="d", rules=(preview,))])
    assert scene.tick(3) == 80
    assert scene.last.verdict.reclaiming == ()


def test_readings_that_stop_and_a_provider_that_starts_without_any():
    scene = Scene(jobs=10)
    scene.tick(3)
    scene.reads = False
    assert scene.tick(17) == 80
    assert scene.tick() == 40
    scene.reads = True
    assert scene.tick(3) == 80
    fresh = Scene()
    fresh.reads = False
    assert fresh.tick(30) == 0


def test_a_cap_of_a_node_qos():
    scene = Scene(qos=[NodeQos(name="a", most_share=0.7), NodeQos(name="b", most_share=0.6)])
    assert scene.tick(3) == 20


def test_a_new_leader_takes_nothing_away():
    scene = Scene(jobs=10)
    scene.tick(3)
    scene.offer = Offer.resumed(
        scene.forecaster, Depth(start_cpu=1e4), OfferSettings(), holdings=scene.holdings(), nodes=scene.nodes()
    )
    assert [scene.tick() for _ in range(4)] == [80] * 4


def test_what_a_node_publishes_without_a_leader():
    assert without_leader(Amount(80, 320), Amount(40, 160)) == Amount(40, 160)
    assert without_leader(Amount(30, 120), Amount(40, 160)) == Amount(30, 120)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("cpu_total_usage", 100_000, 20.0),
        ("cpu_total_utilization", 50, 20.0),
        ("memory_total_usage", 40 * GIB, 10.0),
        ("memory_total_utilization", 50, 7.5),
        ("ext_cpu_total_distribute", 110, 10.0),
        ("cpu_total_utilization", 90, 0.0),
    ],
)
def test_the_gap_of_a_rule(metric, value, expected):
    load = Load(cpu=120, all_cpu=200, memory=80 * GIB, all_memory=100 * GIB, requested_cpu=40, published_cpu=30)
    assert gap_cpu(Rule(name="r", metric=metric, value=value, action="a"), load) == pytest.approx(expected)
