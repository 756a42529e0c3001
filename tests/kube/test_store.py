"""The store: one version per key, the newest, and no return of the dead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.kube.store import Store, is_older


def thing(uid, version, name="a"):
    return {"uid": uid, "version": str(version), "name": name}


@pytest.fixture
def store():
    return Store(key=lambda item: item["uid"], version=lambda item: item["version"], index=lambda item: item["name"])


@pytest.fixture
def told(store):
    keys = []
    store.subscribe(keys.append)
    return keys


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        pytest.param("9", "10", True, id="numbers, not text"),
        pytest.param("10", "9", False, id="and the other way"),
        pytest.param("10", "10", False, id="the same"),
        pytest.param("18446744073709551616", "18446744073709551617", True, id="beyond 64 bits"),
        pytest.param("abc", "10", False, id="an unknown form is never older"),
        pytest.param("", "10", False, id="nor is none"),
        pytest.param("5", "", False, id="nor than none"),
    ],
)
def test_is_older(version, than, expected):
    assert is_older(version, than) is expected


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_versions_compare_as_integers(one, other):
    assert is_older(str(one), str(other)) is (one < other)


def test_an_older_object_does_not_replace_a_newer(store, told):
    assert store.apply(thing("u", 10))
    assert not store.apply(thing("u", 9))
    assert store.get("u")["version"] == "10"
    assert told == ["u"]


def test_the_same_version_is_no_news(store, told):
    store.apply(thing("u", 10))
    assert not store.apply(thing("u", 10))
    assert told == ["u"]


def test_a_removed_key_does_not_come_back_by_a_late_answer(store):
    store.apply(thing("u", 10))
    store.remove("u", resource_version="12")
    assert not store.apply(thing("u", 11))
    assert "u" not in store


def test_a_key_missing_from_a_list_does_not_come_back_by_a_late_answer(store):
    store.apply(thing("u", 10))
    store.replace([], resource_version="20")
    assert not store.apply(thing("u", 15))
    assert store.apply(thing("u", 21)), "but what the server says later is true"


def test_a_removed_key_that_was_never_there_is_remembered_too(store, told):
    assert not store.remove("u", resource_version="12")
    assert not store.apply(thing("u", 11))
    assert told == []


def test_replace_tells_of_changes_and_removals_only(store, told):
    store.replace([thing("a", 1), thing("b", 2), thing("c", 3)], resource_version="3")
    told.clear()
    store.replace([thing("a", 1), thing("b", 5), thing("d", 6)], resource_version="6")
    assert sorted(told) == ["b", "c", "d"]
    assert sorted(store.keys()) == ["a", "b", "d"]


def test_replace_keeps_what_we_know_newer(store):
    store.apply(thing("a", 10))
    store.replace([thing("a", 7)], resource_version="8")
    assert store.get("a")["version"] == "10"


def test_listeners_see_the_whole_new_content(store):
    sizes = []
    store.subscribe(lambda key: sizes.append(len(store)))
    store.replace([thing("a", 1), thing("b", 2)])
    assert sizes == [2, 2]


def test_ready_only_after_a_complete_list(store):
    store.apply(thing("a", 1))
    assert not store.ready.is_set()
    store.replace([])
    assert store.ready.is_set()


def test_the_index_follows_changes(store):
    store.apply(thing("one", 1, name="x"))
    store.apply(thing("two", 2, name="x"))
    store.apply(thing("one", 3, name="y"))
    assert [item["uid"] for item in store.find("x")] == ["two"]
    assert [item["uid"] for item in store.find("y")] == ["one"]
    store.remove("two")
    assert store.find("x") == []


def test_things_without_versions_are_news_when_unequal():
    store = Store(key=lambda item: item["uid"])
    told = []
    store.subscribe(told.append)
    store.apply({"uid": "u", "state": 1})
    store.apply({"uid": "u", "state": 1})
    store.apply({"uid": "u", "state": 2})
    store.remove("u")
    store.apply({"uid": "u", "state": 2})
    assert told == ["u"] * 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), st.randoms())
def test_any_order_of_delivery_ends_at_the_newest(history, random):
    """Events in order, with answers of some of the same versions mixed in late, end where the history ends."""
    numbered = [(uid, index + 1, gone) for index, (uid, gone) in enumerate(history)]
    truth = {}
    dead = set()
    lived = []
    for uid, version, gone in numbered:
        if uid in dead:
            continue
        lived.append((uid, version, gone))
        if gone:
            dead.add(uid)
            truth.pop(uid, None)
        else:
            truth[uid] = version
    store = Store(key=lambda item: item["uid"], version=lambda item: item["version"])
    seen = []
    for uid, version, gone in lived:
        if gone:
            store.remove(uid, resource_version=str(version))
        else:
            seen.append((uid, version))
            store.apply(thing(uid, version))
        if seen and random.random() < 0.5:
            store.apply(thing(*random.choice(seen)))
    assert {uid: int(store.get(uid)["version"]) for uid in store.keys()} == truth  # noqa: SIM118


def test_an_object_at_rest_is_the_same_to_everybody_and_wakes_with_its_next_version():
    store = Store(key=lambda item: item["uid"], version=lambda item: item["version"], index=lambda item: item["name"])
    told = []
    store.subscribe(told.append)
    item = {"uid": "u", "version": "7", "name": "a", "spec": {"list": [1, None, True, "ü"], "deep": {"x": {}}}}
    store.apply(dict(item))
    store.compact("u")
    store.compact("nobody")
    assert store.get("u") == item
    assert store.find("a") == [item]
    assert [*store.values()] == [item]
    assert not store.apply({**item, "version": "6"}), "older"
    assert not store.apply(dict(item)), "the same"
    assert store.apply({**item, "version": "8", "name": "b"})
    assert (store.find("a"), store.get("u")["version"]) == ([], "8")
    store.compact("u")
    assert store.remove("u")
    assert (store.get("u"), store.find("b"), told) == (None, [], ["u", "u", "u"])
