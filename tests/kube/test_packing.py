"""What is packed comes back as it was, whatever was packed before; and what is alike takes next to nothing."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.kube import packing
from vk_provider.kube.packing import Packer, unpack

WORDS = st.text(max_size=40) | st.sampled_from(["name", "metadata", "x" * 5000])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


def pod(number: int, image: str = "busybox", size: int = 100):
    words = [hashlib.sha256(f"{image} {each}".encode()).hexdigest()[:16] for each in range(size)]
    return {"metadata": {"name": f"p-{number}", "uid": f"{number:032}"}, "spec": {"image": image, "command": words}}


@given(st.lists(st.tuples(JSON, st.integers(0, 3)), max_size=40))
def test_all_comes_back_whatever_was_packed_before(items):
    packer = Packer()
    packed = [packer.pack(item, family) for item, family in items]
    assert [unpack(each) for each in packed if each is not None] == [item for item, _ in items]


def test_a_number_type_stays_what_it_was():
    packed = Packer().pack([1, 1.0, True, None])
    assert packed is not None
    assert [type(each) for each in unpack(packed)] == [int, float, bool, type(None)]


@pytest.mark.parametrize("item", [{"n": 2**64}, {"n": -(2**63) - 1}, {"half": "\ud800"}])
def test_what_has_no_packed_form_is_not_packed(item):
    assert Packer().pack(item) is None


def test_of_pods_that_are_alike_only_the_difference_is_kept():
    packer = Packer()
    packed = [packer.pack(pod(number), "job") for number in range(100)]
    assert max(len(each.content) for each in packed[1:]) < 100
    assert len({id(each.example) for each in packed}) == 2, "the first one has no example, all others have it for one"
    assert len(packed[0].content) > 200


def test_families_that_come_by_turns_do_not_take_each_others_example():
    packer = Packer()
    packed = [packer.pack(pod(number, f"image-{number % 20}"), number % 20) for number in range(400)]
    assert max(len(each.content) for each in packed[40:]) < 100
    assert len({id(each.example) for each in packed[40:]}) == 20


def test_a_family_that_has_changed_gets_a_new_example():
    packer = Packer()
    for number in range(50):
        packer.pack(pod(number), "job")
    changed = [packer.pack(pod(number, "nginx"), "job") for number in range(50)]
    assert len(changed[0].content) > 200
    assert len(changed[1].content) < 100


def test_examples_are_few_even_where_nothing_is_alike():
    """Each is held as long as one is that was packed with it."""
    packer = Packer()
    packed = [
        packer.pack({"words": [f"{number * 7919 % 10007}-{each * 104729}" for each in range(200)]})
        for number in range(320)
    ]
    assert len({id(each.example) for each in packed}) <= 320 / packing._LEAST_USED + 2


def test_a_thousand_jobs_of_one_pod_each_share_an_example_where_they_are_alike():
    """Else each would hold the text of the one before it: nothing would be gained."""
    packer = Packer()
    packed = [packer.pack(pod(number), f"job-{number}") for number in range(1000)]
    assert max(len(each.content) for each in packed[1:]) < 100
    assert len({id(each.example) for each in packed}) == 2


def test_a_pod_that_changes_as_its_fellows_do_holds_no_example_of_its_own():
    """Each is packed again with every change, and all Jobs have one pod."""
    packer = Packer()
    begun = [packer.pack({**pod(number), "status": {}}, f"job-{number}") for number in range(200)]
    status = pod(0, "status", size=60)
    run = [packer.pack({**pod(number), "status": status}, f"job-{number}") for number in range(200)]
    assert max(len(each.content) for each in (*begun[1:], *run[packing._LEAST_USED :])) < 120
    assert len({id(each.example) for each in run}) <= packing._LEAST_USED + 2


def test_families_are_remembered_up_to_a_number():
    packer = Packer()
    for number in range(10 * packing._MOST_FAMILIES):
        packer.pack(pod(number, f"image-{number}"), number)
    assert len(packer._families) == packing._MOST_FAMILIES


@pytest.mark.parametrize("size", [1, 10, 100, 600])
def test_however_long_a_pod_is_its_like_takes_little(size):
    packer = Packer()
    first, second = packer.pack(pod(1, size=size)), packer.pack(pod(2, size=size))
    assert unpack(second) == pod(2, size=size)
    assert len(second.content) < len(first.content)
    assert len(second.content) < 300


def test_what_is_longer_than_deflate_can_look_back_comes_back_all_the_same():
    packer = Packer()
    assert [unpack(packer.pack(pod(number, size=10_000))) for number in (1, 2)] == [
        pod(1, size=10_000),
        pod(2, size=10_000),
    ]
