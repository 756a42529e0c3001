"""What a node publishes: less at once, more slowly, nothing more while its use is not known; just two keys of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from vk_provider.idle.forecast import Forecaster, Percentile
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.idle.resources import NOTHING, Amount
from vk_provider.model.quantity import GIB
from vk_provider.qos_agent.publication import (
    NodeFacts,
    Publication,
    PublicationSettings,
    node_facts,
    status_patch,
)
from vk_provider.qos_agent.usage import PodUsage, Usage

NOW = 10 * DAY_S
NODE = NodeFacts(cpu=8.0, memory=16.0 * GIB, all_cpu=8.0, all_memory=16.0 * GIB)
JOB = ("default", "pi-x")


def forecaster(load, most, *, days=7):
    history = History()
    for when_s in range(NOW - days * DAY_S, NOW, MINUTE_S):
        history.record(when_s, load)
    return Forecaster(history, Percentile(), all_there_is=most, fits_itself=False)


class Node:
    """Eight cores and 16 GiB, of which a quarter was used all week."""

    def __init__(self, *, published=NOTHING, days=7, **terms):
        cpu, memory = forecaster(2.0, 8.0, days=days), forecaster(4.0 * GIB, 16.0 * GIB, days=days)
        self.publication = Publication(cpu, memory, published=published, settings=PublicationSettings(**terms))
        self.now_s, self.cpu, self.memory, self.facts = float(NOW), 2.0, 4.0 * GIB, NODE
        self.jobs = {}
        self.requested = Amount()
        self.reads = True
        self.usage = None

    def round(self, *, suspended=False):
        self.now_s += 5
        if self.reads:
            mine = sum(each.cpu for each in self.jobs.values())
            self.usage = Usage(self.now_s, self.cpu + mine, self.memory, self.jobs)
            self.publication.record(self.usage, self.facts, list(self.jobs))
        return self.publication.evaluate(
            self.now_s,
            usage=self.usage,
            node=self.facts,
            preemptible=list(self.jobs),
            requested=self.requested,
            suspended=suspended,
        )

    def rounds(self, count, **terms):
        return [self.round(**terms).published for _ in range(count)]


def test_a_node_at_a_quarter_of_its_use_publishes_what_is_left():
    published = Node().rounds(3)
    assert [each.cpu for each in published] == [0, 0, 5]  # 8 x 0.9 - 2, in whole cores
    assert 10.3 * GIB < published[-1].memory < 10.5 * GIB


def test_use_that_rises_is_published_at_once_and_what_falls_slowly():
    node = Node(published=Amount(5, 10 * GIB))
    assert node.round().published.cpu == 5
    node.cpu = 5.6
    assert node.round().published.cpu == 1
    node.cpu = 2.0
    later = [each.cpu for each in node.rounds(4)]
    assert later[0] == 1
    assert later[-1] <= 5


def test_what_the_pools_own_pods_use_is_not_counted_twice():
    node = Node(published=Amount(5, 10 * GIB))
    node.jobs, node.requested = {JOB: PodUsage(4.0, 0.0)}, Amount(4, 8 * GIB)
    assert [each.cpu for each in node.rounds(3)] == [5, 5, 5]


def test_readings_that_stop_leave_what_is_held_and_nothing_more():
    node = Node(published=Amount(5, 10 * GIB))
    node.requested = Amount(2, 4 * GIB)
    node.round()
    node.reads = False
    assert node.rounds(6)[-1] == Amount(2, 4 * GIB)
    node.requested = Amount()
    assert node.round().published == Amount()
    node.reads = True
    assert [each.cpu for each in node.rounds(3)] == [0, 0, 5]


def test_one_reading_alone_makes_no_history():
    node = Node(published=Amount(5, 10 * GIB))
    node.rounds(3)
    node.cpu = 6.0
    assert node.round().published.cpu == 1
    node.cpu = 2.0
    node.rounds(30)
    assert node.publication.cpu.history.highest() == 2.0
    node.cpu = 6.0
    node.rounds(2)
    assert node.publication.cpu.history.highest() == 6.0


def test_without_a_history_half_is_taken_for_used():
    node = Node(days=0)
    assert node.rounds(3)[-1].cpu == 3  # 7.2 - 4


def test_a_restart_takes_nothing_away_and_a_suspension_gives_nothing_more():
    assert Node(published=Amount(4, GIB)).round().published == Amount(4, GIB)
    assert Node(published=Amount(4, GIB)).rounds(4, suspended=True)[-1] == Amount()


def test_the_reserve_of_an_annotation_goes_before_the_settings():
    node = Node(published=Amount(5, 10 * GIB))
    node.facts = NodeFacts(cpu=8.0, memory=16.0 * GIB, all_cpu=8.0, all_memory=16.0 * GIB, reserve_cpu=0.5)
    assert node.round().published.cpu == 1  # 4 and a little less than 2


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 12), st.floats(0, 30), st.booleans(), st.integers(0, 8), st.booleans()),
        min_size=1,
        max_size=25,
    )
)
def test_never_more_than_is_left_nor_than_what_is_known(rounds):
    node = Node(published=Amount(3, 3 * GIB), days=0)
    before = Amount(3, 3 * GIB)
    for cpu, memory_gib, reads, requested, suspended in rounds:
        node.cpu, node.memory, node.reads = cpu, memory_gib * GIB, reads
        node.requested = Amount(requested, requested * GIB)
        published = node.round(suspended=suspended).published
        known = node.usage is not None and node.usage.is_fresh(node.now_s)
        assert published.cpu >= 0
        assert published.memory >= 0
        if known:
            assert published.cpu <= max(0.0, 7.2 - node.usage.cpu) + 1e-6
            assert published.memory <= max(0.0, 16 * 0.9 * GIB - node.usage.memory) + 1
        if not known or suspended:
            assert published.cpu <= max(before.cpu, requested)
        before = published


# --- the Node ---------------------------------------------------------------------------------------------------------


def node_object(*, annotations=None, **more):
    sides = {"cpu": "8", "memory": "16Gi", **more}
    metadata = {"name": "n", **({"annotations": annotations} if annotations else {})}
    return {"metadata": metadata, "status": {"capacity": dict(sides), "allocatable": {**sides, "cpu": "7900m"}}}


@pytest.mark.parametrize(
    ("annotation", "share"),
    [("20%", 0.2), ("0.2", 0.2), ("0", 0.0), ("", None), ("much", None), ("-1", None), ("2", None)],
)
def test_reserves(annotation, share):
    facts = node_facts(node_object(annotations={"reserve.node.gocrane.io/cpu": annotation}))
    assert facts is not None
    assert (facts.reserve_cpu, facts.reserve_memory) == (share, None)


def test_what_a_node_says():
    facts = node_facts(node_object(**{"gocrane.io/cpu": "3", "gocrane.io/memory": "2Gi"}))
    assert facts == NodeFacts(
        cpu=7.9, memory=16.0 * GIB, all_cpu=8.0, all_memory=16.0 * GIB, published=Amount(3, 2 * GIB)
    )
    assert node_facts({"metadata": {"name": "n"}, "status": {}}) is None


def test_the_patch_has_just_our_keys_and_there_is_none_when_they_are_right():
    node = node_object(**{"gocrane.io/cpu": "3", "gocrane.io/memory": str(2 * GIB)})
    assert status_patch(node, Amount(3, 2 * GIB)) is None
    wanted = {"gocrane.io/cpu": "2", "gocrane.io/memory": "2Gi"}
    assert status_patch(node, Amount(2, 2 * GIB)) == {"status": {"capacity": wanted, "allocatable": wanted}}
    node["status"]["allocatable"]["gocrane.io/cpu"] = "0"  # a kubelet that was restarted
    assert status_patch(node, Amount(3, 2 * GIB)) is not None
