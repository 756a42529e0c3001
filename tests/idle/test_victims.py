"""Who ends so that regular pods run: in order, no more than it takes, and never for another preemptible pod."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.idle.victims import (
    NOBODY_FOUND_S,
    STOCK_RECLAIM_EVERY_S,
    Candidate,
    Reclaim,
    StockReclaims,
    Waiting,
    for_quota,
    for_rule,
    for_stock,
    order,
)


def pod(uid, cpu=8.0, **more):
    return Candidate(uid=uid, cpu=cpu, **more)


def waiting(cpu, uid="regular", **more):
    return Waiting(uid=uid, cpu=cpu, **more)


def uids(reclaim):
    return [victim.uid for victim in reclaim.victims]


FIVE = [pod(f"p{age}", bound_s=float(age)) for age in range(5)]


def test_one_of_five_yields_where_half_of_the_need_is_free():
    reclaim = for_quota([waiting(16)], FIVE, free_cpu=8, releasing_cpu=0)
    assert uids(reclaim) == ["p4"]
    assert (reclaim.gap_cpu, reclaim.missing_cpu, reclaim.served) == (8, 0, ("regular",))


@pytest.mark.parametrize(
    ("candidates", "gap", "expected"),
    [
        pytest.param(
            [pod("b", priority=5), pod("a", priority=-100, bound_s=0)], 8, ["a"], id="lower PriorityClass first"
        ),
        pytest.param([pod("a"), pod("b", is_running=False)], 8, ["b"], id="not yet running first"),
        pytest.param([pod("old", bound_s=1), pod("young", bound_s=9)], 8, ["young"], id="youngest first"),
        pytest.param([pod("a", 2), pod("b", 8), pod("c", 4)], 4, ["c"], id="of one second the smallest that closes it"),
        pytest.param(
            [pod("a", 2), pod("b", 8), pod("c", 4)], 9, ["b", "a"], id="else the largest, then what closes it"
        ),
        pytest.param([pod("y", 2, bound_s=9), pod("o", 8, bound_s=1)], 8, ["o"], id="who does not help is left alone"),
        pytest.param(
            [pod("x", 2, bound_s=9), pod("y", 2, bound_s=8), pod("z", 8, bound_s=1)],
            9,
            ["x", "z"],
            id="no one too many",
        ),
        pytest.param([pod("a", 0.25), pod("b", 0.25)], 0.25, ["a"], id="fractions"),
        pytest.param([pod("a")], 0, [], id="no gap"),
    ],
)
def test_order(candidates, gap, expected):
    assert uids(for_quota([waiting(gap)], candidates, free_cpu=0, releasing_cpu=0)) == expected


def test_only_the_lowest_cpu_priority_yields():
    protected = [pod(f"p{level}", cpu_priority=level, bound_s=9) for level in range(7)]
    assert uids(for_quota([waiting(8)], [*protected, pod("lowest")], free_cpu=0, releasing_cpu=0)) == ["lowest"]
    assert for_quota([waiting(8)], protected, free_cpu=1, releasing_cpu=2) == Reclaim((), 0.0, 5.0, (), ("regular",))
    assert order([*protected, pod("lowest")]) == {"lowest": 0}


def test_what_is_being_released_is_not_reclaimed_again():
    assert uids(for_quota([waiting(16)], FIVE, free_cpu=0, releasing_cpu=8)) == ["p4"]
    assert uids(for_quota([waiting(16)], FIVE, free_cpu=0, releasing_cpu=16)) == []
    assert uids(for_rule(16, FIVE, releasing_cpu=8)) == ["p4"]


def test_nobody_yields_to_a_preemptible_pod():
    preemptible = waiting(8, is_preemptible=True)
    assert for_quota([preemptible], FIVE, free_cpu=0, releasing_cpu=0) == Reclaim()
    assert for_stock(preemptible, [pod("a", zone="z", size="s")], zone="z", size="s", releasing_cpu=0).victims == ()


def test_nobody_ends_for_a_pod_that_cannot_be_served_even_so():
    reclaim = for_quota([waiting(64, "huge"), waiting(8, "small", since_s=1)], FIVE, free_cpu=0, releasing_cpu=0)
    assert (uids(reclaim), reclaim.served, reclaim.unserved) == (["p4"], ("small",), ("huge",))
    assert reclaim.missing_cpu == 24


def test_several_wait_by_priority_and_then_by_age():
    pods = [
        waiting(16, "late", since_s=2),
        waiting(16, "early", since_s=1),
        waiting(16, "first", priority=9, since_s=3),
    ]
    reclaim = for_quota(pods, FIVE, free_cpu=0, releasing_cpu=0)
    assert (reclaim.served, reclaim.unserved) == (("first", "early"), ("late",))
    assert len(reclaim.victims) == 4


def test_a_rule_takes_part_of_its_gap_where_there_is_no_more():
    ten = [pod(f"p{number:02}", 4, bound_s=number) for number in range(10)]
    assert uids(for_rule(10, ten, releasing_cpu=0)) == ["p09", "p08", "p07"]
    assert for_rule(100, ten, releasing_cpu=0).missing_cpu == 60
    assert len(for_rule(100, ten, releasing_cpu=0).victims) == 10


def test_only_the_same_size_in_the_same_zone_helps_against_a_lack_of_stock():
    alike = pod("alike", 4, zone="a", size="4-8")
    others = [pod("zone", 4, zone="b", size="4-8"), pod("size", 8, zone="a", size="8-16")]
    reclaim = for_stock(waiting(4), [*others, alike], zone="a", size="4-8", releasing_cpu=0)
    assert uids(reclaim) == ["alike"]
    assert for_stock(waiting(4), others, zone="a", size="4-8", releasing_cpu=0).unserved == ("regular",)


def test_a_size_of_a_zone_is_reclaimed_once_in_five_minutes():
    reclaims = StockReclaims()
    assert reclaims.may(0, "a", "4-8")
    reclaims.note(0, "a", "4-8", found=True)
    assert not reclaims.may(STOCK_RECLAIM_EVERY_S - 1, "a", "4-8")
    assert reclaims.may(10, "b", "4-8")
    assert reclaims.may(STOCK_RECLAIM_EVERY_S, "a", "4-8")
    reclaims.note(1000, "a", "4-8", found=False)
    assert not reclaims.may(1000, "a", "4-8")
    assert reclaims.may(1000 + NOBODY_FOUND_S, "a", "4-8")


SIZES = st.sampled_from([0.25, 0.5, 1, 2, 4, 8, 16, 32])
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        uid=st.uuids().map(str),
        cpu=SIZES,
        priority=st.integers(-2, 2),
        cpu_priority=st.sampled_from([7, 7, 7, 0, 6]),
        is_running=st.booleans(),
        bound_s=st.integers(0, 5).map(float),
    ),
    max_size=25,
    unique_by=lambda each: each.uid,
)


@given(
    st.lists(st.builds(Waiting, uid=st.uuids().map(str), cpu=SIZES, is_preemptible=st.booleans()), max_size=5),
    CANDIDATES,
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_the_gap_is_covered_by_nobody_who_could_be_spared(pods, candidates, free, releasing):
    reclaim = for_quota(pods, candidates, free_cpu=free, releasing_cpu=releasing)
    sizes = [victim.cpu for victim in reclaim.victims]
    need = sum(each.cpu for each in pods if each.uid in reclaim.served)
    assert all(victim.cpu_priority == 7 for victim in reclaim.victims)
    assert not {each.uid for each in pods if each.is_preemptible} & {*reclaim.served, *reclaim.unserved}
    assert free + releasing + sum(sizes) >= need - 1e-6  # whom it promises room has it
    assert all(sum(sizes) - size < reclaim.gap_cpu for size in sizes)  # and not one victim could be left out
    assert len(set(uids(reclaim))) == len(sizes)


@given(CANDIDATES, st.integers(0, 60))
def test_the_result_does_not_depend_on_the_order_of_a_listing(candidates, gap):
    forward = for_rule(gap, candidates, releasing_cpu=0)
    assert for_rule(gap, candidates[::-1], releasing_cpu=0) == forward


def test_three_thousand_candidates_are_no_work():
    crowd = [pod(f"p{number}", 2.0, bound_s=number % 7) for number in range(3_000)]
    began = time.process_time()
    assert len(for_rule(3_000, crowd, releasing_cpu=0).victims) == 1_500
    assert time.process_time() - began < 0.5
