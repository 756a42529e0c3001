"""Turns of objects without a watch: namespaces in rotation, whatever one of them wants."""

import pytest

from vk_provider.files.object_watcher import _Rotation
from vk_provider.translate.objects import Kind


def source(namespace, number=0):
    return Kind.CONFIG_MAP, (namespace, f"c{number}")


def test_namespaces_have_turns_by_rotation():
    turns = _Rotation()
    for number in range(1000):
        turns.add(source("crowd", number), 1.0)
    turns.add(source("honest"), 1.0)
    served = []
    for _ in range(4):
        served.append(turns.next(2.0))
        turns.remove(served[-1])
        turns.add(served[-1], 60.0)
    assert served == [source("crowd", 0), source("honest"), source("crowd", 1), source("crowd", 2)]


def test_what_is_new_comes_first_and_nothing_before_it_is_due():
    turns = _Rotation()
    assert turns.due_s() == float("inf")
    turns.add(source("a", 1), 5.0)
    turns.add_front(source("a", 2))
    assert turns.next(0.0) == source("a", 2)
    assert turns.remove(source("a", 2))
    assert not turns.remove(source("a", 2))
    assert turns.due_s() == 5.0
    with pytest.raises(LookupError):
        turns.next(4.0)


def test_a_free_watch_goes_to_a_namespace_that_may_have_one():
    turns = _Rotation()
    turns.add(source("full"), 1.0)
    turns.add(source("honest"), 2.0)
    assert turns.pop(lambda namespace: namespace != "full") == source("honest")
    assert turns.pop(lambda namespace: namespace != "full") is None
