"""The pure room on the fake cloud: a regular pod wins, the Job goes on; the market and missing readings are heeded."""

from itertools import pairwise

import pytest

from tests.idle.cloudscene import START, Scene


@pytest.fixture
def five():
    """64 vCPU, a flat load of 16, five preemptible pods of 8."""
    scene = Scene(quota=64.0, others=16.0)
    scene.run(31)
    for number in range(5):
        scene.add(f"p{number}", 8, is_preemptible=True)
        scene.run(5)
    scene.run(60)
    return scene


def test_the_pool_is_what_a_flat_week_leaves(five):
    assert five.published.cpu == 41
    assert set(five.phases(is_preemptible=True).values()) == {"Running"}
    assert five.cloud.service.used_cpu == 56


def test_a_regular_pod_of_16_ends_exactly_the_youngest_and_runs_within_70_seconds(five):
    group = five.pods["p4"].group
    regular = five.add("regular", 16, is_preemptible=False)
    five.run(75)
    assert regular.running_s is not None
    assert regular.running_s - regular.wanted_s <= 70
    phases = five.phases(is_preemptible=True)
    assert phases == {
        "p0": "Running",
        "p1": "Running",
        "p2": "Running",
        "p3": "Running",
        "p4": "Failed",
        "p4'": "Pending",
    }
    assert five.pods["p4"].reason == "Preempted"
    assert group.containers[0].last.exit.code in (137, 143)
    assert five.published.cpu == 25
    # The regular Job is done: what was reclaimed runs again.
    five.remove("regular")
    ended_s = five.now_s
    five.run(125)
    again = five.pods["p4'"]
    assert again.phase == "Running"
    assert again.running_s - ended_s <= 90 + 35  # 90 after the regular instance is gone, which takes 35


def test_a_second_regular_pod_takes_only_what_it_lacks(five):
    for number in range(3):
        five.add(f"r{number}", 8, is_preemptible=False)
    five.run(80)
    assert set(five.phases(is_preemptible=False).values()) == {"Running"}
    failed = [uid for uid, phase in five.phases(is_preemptible=True).items() if phase == "Failed"]
    assert sorted(failed) == ["p3", "p4"]  # 24 wanted, 8 left, so two of 8


def test_protected_by_the_quota_nobody_ends_for_what_can_never_fit(five):
    five.add("huge", 64, is_preemptible=False)
    five.run(120)
    assert set(five.phases(is_preemptible=True).values()) == {"Running"}


def test_a_stock_of_six_runs_one_of_three_and_the_others_give_up_after_ten_minutes():
    scene = Scene(quota=200.0, others=20.0, start_cpu=16.0)
    scene.run(31)
    offered = scene.published.cpu
    assert offered == 16
    scene.cloud.service.market.change({"stock": 6}, scene.now_s)
    for number in range(3):
        scene.add(f"p{number}", 4, is_preemptible=True)
    scene.run(45)
    assert sorted(scene.phases(is_preemptible=True).values()) == ["Pending", "Pending", "Running"]
    assert scene.published.cpu < offered
    scene.run(600)
    assert sorted(scene.phases(is_preemptible=True).values()) == ["Failed", "Failed", "Running"]
    assert scene.pods["p2"].reason == "NoStock"
    tries = [round(when_s) for when_s, uid in scene.attempts if uid == "p2"]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) <= 8
    assert gaps == sorted(gaps)


def test_a_price_over_the_limit_closes_the_offer_and_keeps_who_runs():
    scene = Scene(quota=200.0, others=60.0)
    scene.run(31)
    for number in range(10):
        scene.add(f"p{number}", 4, is_preemptible=True)
    scene.run(60)
    open_cpu = scene.published.cpu
    assert open_cpu > 100
    scene.cloud.service.market.change({"price": 1.2}, scene.now_s)
    scene.run(71)
    assert scene.published.cpu == 40
    assert set(scene.phases(is_preemptible=True).values()) == {"Running"}
    scene.cloud.service.market.change({"price": 0.3}, scene.now_s)
    scene.run(101)
    assert scene.published.cpu == open_cpu


def test_readings_that_stop_offer_nothing_more_after_three_minutes():
    scene = Scene(quota=200.0, others=60.0)
    scene.run(31)
    for number in range(5):
        scene.add(f"p{number}", 4, is_preemptible=True)
    scene.run(60)
    scene.reads = False
    scene.run(160)
    assert scene.published.cpu > 100
    scene.run(30)
    assert scene.published.cpu == 20
    assert set(scene.phases(is_preemptible=True).values()) == {"Running"}
    scene.reads = True
    scene.run(31)
    assert scene.published.cpu > 100


def test_a_full_pool_ends_nobody_for_another_preemptible_pod_in_an_hour(five):
    five.add("more", 8, is_preemptible=True)
    five.run(3_500)  # less than the hour of protection
    assert five.phases(is_preemptible=True)["more"] == "Pending"
    assert [uid for uid, phase in five.phases(is_preemptible=True).items() if phase == "Running"] == [
        f"p{n}" for n in range(5)
    ]
    assert five.now_s > START
