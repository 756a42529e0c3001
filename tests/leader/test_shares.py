"""Several nodes are shared evenly, with few moves, whatever the replicas begin with."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.leader.shares import Share, Standing, share_of

NODES = [f"n{number}" for number in range(10)]


def standing(own: str, holders: dict[str, str], replicas: set[str], nodes: list[str] = NODES) -> Standing:
    return Standing(nodes=nodes, holders=holders, replicas=replicas, own=own)


@pytest.mark.parametrize(
    ("own", "held", "replicas", "take", "release"),
    [
        ("a", {}, "a", set(NODES), set()),
        ("a", {"a": NODES}, "a", set(), set()),
        ("a", {"a": NODES}, "ab", set(), set(NODES[5:])),
        ("b", {"a": NODES}, "ab", set(), set()),
        ("a", {"a": NODES[:5], "b": NODES[5:]}, "abc", set(), {"n4"}),
        ("b", {"a": NODES[:5], "b": NODES[5:]}, "abc", set(), {"n9"}),
        ("c", {"a": NODES[:4], "b": NODES[4:8]}, "abc", {"n8", "n9"}, set()),
        ("a", {"a": NODES[:4], "b": NODES[4:8], "c": NODES[8:]}, "abc", set(), {"n3"}),
        ("b", {"a": NODES[:4], "b": NODES[4:8], "c": NODES[8:]}, "abc", set(), set()),
        ("b", {"a": NODES[:4], "b": NODES[4:7]}, "ab", {"n7", "n9"}, set()),
    ],
)
def test_what_each_is_to_do(own: str, held: dict[str, list[str]], replicas: str, take: set, release: set) -> None:
    holders = {node: replica for replica, nodes in held.items() for node in nodes}
    assert share_of(standing(own, holders, set(replicas))) == Share(frozenset(take), frozenset(release))


def test_one_node_stays_where_it_is() -> None:
    for own in "ab":
        assert share_of(standing(own, {"n0": "b"}, {"a", "b"}, ["n0"])) == Share()


def test_a_node_that_nobody_takes_is_taken_by_whoever_can() -> None:
    idle = Standing(nodes=["n0", "n1"], holders={"n0": "b"}, replicas={"a", "b"}, own="b", overdue=["n1", "n0"])
    assert share_of(idle).take == {"n1"}


@given(
    nodes=st.integers(1, 30),
    replicas=st.integers(1, 7),
    dice=st.randoms(use_true_random=False),
)
def test_they_come_to_an_even_share_and_rest_there(nodes: int, replicas: int, dice) -> None:
    """Rounds as replicas see them: each in turn acts on the holders of that moment, and some are slow."""
    names = [f"n{number:02}" for number in range(nodes)]
    living = {f"r{number}" for number in range(replicas)}
    holders = {name: dice.choice([*sorted(living), None]) for name in names}
    moves, rounds = Counter(), 0
    while rounds < 200:
        rounds += 1
        acted = False
        for replica in dice.sample(sorted(living), len(living)):
            held = {name: holder for name, holder in holders.items() if holder is not None}
            share = share_of(standing(replica, held, living, names))
            acted = acted or bool(share.take or share.release)
            assert all(holders[name] is None for name in share.take)
            assert all(holders[name] == replica for name in share.release)
            holders |= dict.fromkeys(share.take, replica) | dict.fromkeys(share.release)
            moves.update([replica] * len(share.release))
        if not acted:
            break
    counts = Counter(holders.values())
    assert None not in counts
    assert max(counts.values()) - min(counts.get(replica, 0) for replica in living) <= 1
    assert rounds < 20


@given(nodes=st.integers(1, 30), replicas=st.integers(1, 6))
def test_who_comes_takes_no_more_moves_than_its_share(nodes: int, replicas: int) -> None:
    names = [f"n{number:02}" for number in range(nodes)]
    old = [f"r{number}" for number in range(replicas)]
    holders: dict[str, str | None] = {name: old[place % replicas] for place, name in enumerate(names)}
    living, moved = {*old, "new"}, 0
    for _ in range(20):
        for replica in sorted(living):
            held = {name: holder for name, holder in holders.items() if holder is not None}
            share = share_of(standing(replica, held, living, names))
            holders |= dict.fromkeys(share.take, replica) | dict.fromkeys(share.release)
            moved += len(share.release)
    assert moved <= -(-nodes // len(living))
