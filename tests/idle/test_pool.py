"""What is offered: never more than is idle, less at once, more only when it lasts; and its shares."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider.idle.market import Depth, Poll, SpotPrice, Stock
from vk_provider.idle.pool import STALE_S, Claims, Node, PoolSize, Quota, Terms, share
from vk_provider.idle.resources import Amount
from vk_provider.model.quantity import GIB

TICK_S = 10
NO_LIMIT = 1e9


class Scene:
    """One virtual node; what a tick publishes. Times go on by themselves."""

    def __init__(self, most_cpu=200.0, regular_cpu=60.0, predicted_cpu=100.0, terms=None, held=0.0, requested=0):
        self.now_s = 0.0
        self.most_cpu, self.regular_cpu, self.predicted_cpu = most_cpu, regular_cpu, predicted_cpu
        self.held, self.requested, self.uncreated, self.depth = held, requested, 0.0, NO_LIMIT
        self.terms = terms or Terms()
        self.reads = True
        self.quota = None
        self.pool = PoolSize()
        self.published = Amount()

    def tick(self, times=1):
        for _ in range(times):
            self.now_s += TICK_S
            if self.reads:
                live = self.held - self.uncreated
                self.quota = Quota(
                    at_s=self.now_s,
                    most_cpu=self.most_cpu,
                    used_cpu=self.regular_cpu + live,
                    preemptible_cpu=live,
                )
            claims = Claims(held_cpu=self.held, uncreated_cpu=self.uncreated)
            size = self.pool.evaluate(
                self.now_s,
                quota=self.quota,
                predicted_cpu=self.predicted_cpu,
                depth_cpu=self.depth,
                claims=claims,
                terms=self.terms,
            )
            node = Node(name="vk", requested=Amount(self.requested, self.requested * 4 * GIB), published=self.published)
            self.published = share(size, claims, [node])["vk"]
        return self.published.cpu


def test_the_first_acceptance_figure():
    scene = Scene()
    assert [scene.tick() for _ in range(3)] == [0, 0, 80]
    assert scene.published.quantities() == {"gocrane.io/cpu": "80", "gocrane.io/memory": "320Gi"}


def test_pods_on_it_leave_it_as_it_is():
    scene = Scene()
    scene.tick(3)
    scene.held, scene.requested, scene.uncreated = 40.0, 40, 40.0  # bound, nothing created yet
    assert scene.tick() == 80
    scene.uncreated = 0.0
    assert scene.tick(5) == 80


def test_rounding_up_of_sizes_is_not_the_schedulers_business():
    scene = Scene(held=8.0, requested=6)  # two pods of 3 vCPU are 4 each
    assert scene.tick(3) == 6 + 72


@pytest.mark.parametrize(("predicted_cpu", "expected"), [(130.0, 50), (150.0, 30), (200.0, 0), (1e6, 0)])
def test_a_higher_forecast_shrinks_it_at_once_under_what_is_allocated_too(predicted_cpu, expected):
    scene = Scene()
    scene.tick(3)
    scene.held, scene.requested = 40.0, 40
    scene.tick()
    scene.predicted_cpu = predicted_cpu
    assert scene.tick() == expected


def test_the_load_now_counts_where_it_is_above_the_forecast():
    scene = Scene(regular_cpu=150.0)
    assert scene.tick(3) == 30


def test_the_regular_figure_of_five_preemptible_pods():
    scene = Scene(most_cpu=64.0, regular_cpu=16.0, predicted_cpu=16.1)
    assert scene.tick(3) == 41
    scene.held, scene.requested = 40.0, 40
    assert scene.tick(3) == 41


def test_growth_begins_at_what_is_held():
    assert [Scene(held=40.0, requested=40).tick(times) for times in (1, 2, 3)] == [40, 40, 80]
    assert Scene(held=40.0, requested=40, predicted_cpu=150.0).tick() == 30


def test_a_saw_of_three_per_cent_never_raises_it():
    scene = Scene()
    scene.tick(3)
    seen = []
    for step in range(360):
        scene.predicted_cpu = 97.0 + step * 0.7 % 6
        seen.append(scene.tick())
    scene.predicted_cpu = 103.0
    assert scene.tick() == 77
    assert seen == sorted(seen, reverse=True)
    scene.predicted_cpu = 104.0
    assert scene.tick() == 76


def test_growth_needs_three_evaluations_that_agree_and_takes_the_least_of_them():
    scene = Scene()
    scene.tick(3)
    scene.predicted_cpu = 50.0
    assert scene.tick(2) == 80
    scene.predicted_cpu = 95.0
    assert scene.tick() == 80
    wanted = [30.0, 60.0, 40.0]
    for scene.predicted_cpu in wanted:
        last = scene.tick()
    assert last == 120


def test_readings_that_stop_offer_nothing_more_and_take_nothing_back():
    scene = Scene()
    scene.tick(3)
    scene.held, scene.requested = 40.0, 40
    scene.reads = False
    offered = [scene.tick() for _ in range(30)]
    gone = next(place for place, cpu in enumerate(offered) if cpu == 40)
    assert abs((gone + 1) * TICK_S - STALE_S) <= 10
    assert set(offered[gone:]) == {40}
    scene.reads = True
    assert scene.tick(3) == 80


def test_a_price_over_the_limit_closes_the_offer_and_one_that_is_back_opens_it():
    """Polled each minute: nothing more is offered within 70 s, and grows again within 100 s."""
    scene, depth, price = Scene(), Depth(start_cpu=500.0), 0.3

    def tick():
        if scene.now_s % 60 == 0:
            depth.poll(Poll(scene.now_s, {"z": Stock.WITH}, {"z": SpotPrice(price, 1.0)}))
        scene.depth = depth.cpu(scene.now_s)
        return scene.tick()

    for _ in range(7):
        tick()
    scene.held, scene.requested = 40.0, 40
    assert tick() == 80
    price, since_s = 1.5, scene.now_s
    while tick() > 40:
        assert scene.now_s - since_s <= 70
    price, since_s = 0.3, scene.now_s
    while tick() == 40:
        assert scene.now_s - since_s <= 100
    assert tick() == 80


@pytest.mark.parametrize(
    "change",
    [
        {"predicted_cpu": None},
        {"terms": Terms(suspended=True)},
        {"depth": 0.0},
    ],
)
def test_what_is_not_known_or_forbidden_is_not_offered(change):
    scene = Scene()
    scene.tick(3)
    scene.held, scene.requested = 40.0, 40
    for name, value in change.items():
        setattr(scene, name, value)
    assert scene.tick() == 40


def test_the_market_bounds_it_and_pods_without_an_instance_count_against_it():
    scene = Scene()
    scene.depth = 16.0
    assert scene.tick(3) == 16
    scene.held, scene.requested, scene.uncreated = 12.0, 12, 12.0
    assert scene.tick() == 16
    scene.uncreated, scene.depth = 0.0, 4.0
    assert scene.tick() == 16
    scene.depth = 2.0
    assert scene.tick() == 14


def test_a_cap_on_regular_and_preemptible_together():
    assert Scene(terms=Terms(most_share=0.6)).tick(3) == 20
    assert Scene(terms=Terms(reserve=0.5)).tick(3) == 0


def test_a_restart_goes_on_with_what_the_nodes_say():
    claims = Claims()
    quota = Quota(at_s=0, most_cpu=200, used_cpu=60, preemptible_cpu=0)
    pool = PoolSize(77.0)
    assert pool.evaluate(0, quota=quota, predicted_cpu=100, depth_cpu=NO_LIMIT, claims=claims, terms=Terms()) == 77
    pool = PoolSize(90.0)
    assert pool.evaluate(0, quota=quota, predicted_cpu=100, depth_cpu=NO_LIMIT, claims=claims, terms=Terms()) == 80


def test_a_pod_that_ends_leaves_the_pool_as_it_is():
    scene = Scene()
    scene.held, scene.requested = 40.0, 40
    scene.tick(3)
    scene.requested = 36  # its instance is being released
    assert scene.tick() == 76
    scene.held = 36.0
    assert scene.tick() == 80


def test_a_worker_node_offers_what_its_regular_pods_do_not_use():
    """8 vCPU at 25 %, then at 70 %; pods on its idle capacity use 3 of them, which are not counted twice."""
    pool, claims, terms = PoolSize(), Claims(held_cpu=4.0), Terms(reserve=0.0, stale_s=20.0)

    def size(now_s, regular, read_s=None):
        at_s = now_s if read_s is None else read_s
        quota = Quota(at_s=at_s, most_cpu=8.0, used_cpu=regular + 3.0, preemptible_cpu=3.0)
        return pool.evaluate(now_s, quota=quota, predicted_cpu=regular, depth_cpu=NO_LIMIT, claims=claims, terms=terms)

    assert [size(now_s, 2.0) for now_s in (0, 10, 20)] == [4.0, 4.0, 6.0]
    assert size(30, 5.6) == pytest.approx(2.4)
    assert [size(now_s, 2.0) for now_s in (40, 50, 60)] == [pytest.approx(2.4), pytest.approx(2.4), 6.0]
    assert size(79, 2.0, read_s=60) == 6.0
    assert size(80, 2.0, read_s=60) == 4.0


# --- shares -----------------------------------------------------------------------------------------------------------


def node(name, requested=0, published=0, **more):
    return Node(name=name, requested=Amount(requested, requested * 4 * GIB), published=Amount(published), **more)


def cpus(shares):
    return {name: amount.cpu for name, amount in shares.items()}


@pytest.mark.parametrize(
    ("cpu", "held", "nodes", "expected"),
    [
        (80, 0, [node("a"), node("b")], {"a": 40, "b": 40}),
        (81, 0, [node("a"), node("b")], {"a": 41, "b": 40}),
        (80, 0, [node("a", weight=3), node("b")], {"a": 60, "b": 20}),
        (80, 40, [node("a", 40, 40), node("b")], {"a": 60, "b": 20}),
        (30, 40, [node("a", 30, 50), node("b", 10, 30)], {"a": 23, "b": 7}),
        (0, 40, [node("a", 30, 50), node("b", 10, 30)], {"a": 0, "b": 0}),
        (80, 0, [node("a", published=80), node("b")], {"a": 40, "b": 0}),  # b waits until a has given it up
        (80, 0, [node("a", published=40), node("b")], {"a": 40, "b": 40}),
        (80, 0, [node("a", weight=0)], {"a": 0}),
        (80, 0, [], {}),
    ],
)
def test_shares(cpu, held, nodes, expected):
    assert cpus(share(cpu, Claims(held_cpu=held), nodes)) == expected


def test_memory_follows_the_free_vcpu_and_the_nodes_own_budget():
    shares = share(80, Claims(), [node("a", memory_left=100 * GIB + 5), node("b", memory_left=-1)])
    assert shares["a"].quantities()["gocrane.io/memory"] == "100Gi"
    assert shares["b"].quantities() == {"gocrane.io/cpu": "40", "gocrane.io/memory": "0"}


NODES = st.integers(1, 5)


@settings(max_examples=60)
@given(st.data())
def test_no_moment_has_more_than_the_pool_whoever_dies_when(data):
    """Random pods, loads, lost leaders, and nodes that apply their share late or never. What all nodes publish together
    is never over the pool of the moment, once those that had to shrink have done it."""
    count = data.draw(NODES)
    published = [0] * count
    pool = PoolSize()
    highest = 0.0
    for tick in range(data.draw(st.integers(3, 20))):
        requested = [data.draw(st.integers(0, published[place])) for place in range(count)]
        held = float(sum(requested) + data.draw(st.integers(0, 5)))
        claims = Claims(held_cpu=held)
        if data.draw(st.integers(0, 9)) == 0:  # another leader, who reads the nodes
            pool = PoolSize(sum(published) + held - sum(requested))
        regular = data.draw(st.integers(0, 120))
        quota = Quota(at_s=tick * 10, most_cpu=100, used_cpu=regular + held, preemptible_cpu=held)
        size = pool.evaluate(
            tick * 10,
            quota=quota,
            predicted_cpu=data.draw(st.integers(0, 120)),
            depth_cpu=data.draw(st.integers(0, 200)),
            claims=claims,
            terms=Terms(),
        )
        assert size <= max(0.0, 90 - regular)
        nodes = [node(f"n{place}", requested[place], published[place]) for place in range(count)]
        shares = cpus(share(size, claims, nodes))
        room = max(0, size - held + sum(requested))
        assert sum(min(published[place], shares[f"n{place}"]) for place in range(count)) <= room + 1e-6
        before = sum(published)
        for place in range(count):
            if data.draw(st.booleans()):  # else it is slow, and still says what it said
                published[place] = shares[f"n{place}"]
        highest = max(highest, room)
        assert sum(published) <= max(before, room) + 1e-6
        for place in range(count):
            published[place] = min(published[place], shares[f"n{place}"])
        assert sum(published) <= room + 1e-6
