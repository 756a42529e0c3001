"""Who may go, and in which order."""

from __future__ import annotations

from vk_provider.pacing.fair_limiter import FairLimiter


class Office:
    """Calls people in; whoever is called takes the turn at once and leaves it when told to."""

    def __init__(self, most: int = 1) -> None:
        self.called: list[str] = []
        self.turns = FairLimiter(most, self.called.append)

    def come(self, key: str, *, namespace: str = "web", priority: int = 0) -> bool:
        return self.turns.try_acquire(key, namespace=namespace, priority=priority)

    def order(self) -> list[str]:
        """All who wait, as they are called in, one after the other."""
        self.turns.release("first")
        for number in range(100):
            if number == len(self.called):
                return self.called
            self.turns.release(self.called[number])
        raise AssertionError("it never ends")


def test_as_many_as_allowed_go_at_once_and_the_next_is_called_when_one_leaves():
    office = Office(most=2)
    assert [office.come(key) for key in "abc"] == [True, True, False]
    office.turns.release("a")
    assert office.called == ["c"]
    assert office.come("c"), "it was called: its turn is kept for it"
    assert not office.come("d")


def test_who_asks_again_while_waiting_keeps_its_one_place():
    office = Office()
    office.come("first")
    for key in ("a", "b", "a", "a"):
        assert not office.come(key)
    assert office.order() == ["a", "b"]


def test_namespaces_take_turns_however_many_one_of_them_brings():
    office = Office()
    office.come("first")
    for number in range(4):
        office.come(f"big-{number}", namespace="big")
    office.come("small-0", namespace="small")
    office.come("tiny-0", namespace="tiny")
    assert office.order() == ["big-0", "small-0", "tiny-0", "big-1", "big-2", "big-3"]


def test_who_has_had_least_goes_first_whoever_waits_in_rotation():
    """What a namespace had before others came counts, so that it does not get every second turn after that too."""
    office = Office()
    office.come("first", namespace="big")
    for number in range(3):
        office.come(f"big-{number}", namespace="big")
    for each in ("first", "big-0"):
        office.turns.release(each)
    for number in range(4):
        office.come(f"late-{number}", namespace="late")
    office.turns.release("big-1")
    office.turns.release("late-0")
    office.turns.release("late-1")
    office.turns.release("big-2")
    assert office.called == ["big-0", "big-1", "late-0", "late-1", "big-2", "late-2"], "then they have had as much"


def test_no_namespace_has_all_turns():
    """Whoever comes later would wait for the end of one of them."""
    office = Office(most=8)
    assert [office.come(f"big-{number}", namespace="big") for number in range(8)] == [True] * 6 + [False] * 2
    assert office.come("late-0", namespace="late")
    assert office.come("late-1", namespace="late")
    assert not office.come("late-2", namespace="late")
    office.turns.release("late-0")
    assert office.called == ["late-2"]
    for key in ("late-1", "late-2"):
        office.turns.release(key)
    assert office.called == ["late-2"], "those of the big one still wait, for it has as many as one may have"
    office.turns.release("big-0")
    assert office.called == ["late-2", "big-6"]


def test_one_that_has_as_many_as_it_may_does_not_keep_lower_priorities_waiting():
    office = Office(most=4)
    assert [office.come(f"big-{number}", namespace="big", priority=9) for number in range(4)] == [True] * 3 + [False]
    assert office.come("low-0", namespace="low")
    assert not office.come("low-1", namespace="low")
    office.turns.release("low-0")
    assert office.called == ["low-1"]


def test_the_highest_priority_goes_first_whoever_came_first():
    office = Office()
    office.come("first")
    for key, priority in (("low", -10), ("usual", 0), ("high", 1000), ("highest", 2_000_000_000), ("high too", 1000)):
        office.come(key, priority=priority)
    assert office.order() == ["highest", "high", "high too", "usual", "low"]


def test_leaving_without_a_turn_changes_nothing():
    office = Office()
    office.come("first")
    office.come("a")
    office.turns.release("stranger")
    office.turns.release("a")
    assert office.called == []
    assert len(office.turns) == 1


def test_nothing_is_kept_of_those_who_have_gone():
    office = Office()
    office.come("first")
    for number in range(50):
        office.come(f"k{number}", namespace=f"n{number % 7}", priority=number % 3)
    assert len(office.order()) == 50
    office.turns.release(office.called[-1])
    assert (office.turns._lines, office.turns._held, len(office.turns)) == ({}, {}, 0)
