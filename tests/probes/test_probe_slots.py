"""What begins when: shares of slots and of starts, by namespace and pod."""

from collections import Counter

from vk_provider.probes.probe_slots import (
    OF_A_POD,
    STARTS_OF_A_NAMESPACE,
    STARTS_OF_A_TICK,
    ProbeSlots,
)


class Probes:
    """Answered at once, and due again at once."""

    def __init__(self):
        self.begun = Counter()
        self._under_way = []
        self.slots = ProbeSlots(begin=self._begin, give_up=lambda key: None)

    def _begin(self, key):
        self.begun[key.split("/")[0]] += 1
        self._under_way.append(key)

    def due(self, namespace, count):
        for number in range(count):
            self._due(f"{namespace}/{number}")

    def _due(self, key):
        self.slots.due(key, namespace=key.split("/")[0], pod=key)

    def answer_all(self):
        while self._under_way:
            key = self._under_way.pop()
            self.slots.leave(key)
            self._due(key)


def test_a_namespace_begins_no_more_in_a_tick_than_its_share_and_others_begin_at_once():
    probes = Probes()
    probes.due("hostile", 300)
    probes.answer_all()
    assert probes.begun == {"hostile": STARTS_OF_A_NAMESPACE}
    probes.due("honest", 10)
    assert probes.begun["honest"] == 10


def test_all_together_begin_no_more_than_so_many_and_each_tick_brings_more():
    probes = Probes()
    for number in range(5):
        probes.due(f"n{number}", 100)
    for tick in range(1, 4):
        probes.answer_all()
        assert probes.begun.total() == tick * STARTS_OF_A_TICK
        assert probes.slots.tick()
    assert max(probes.begun.values()) - min(probes.begun.values()) <= STARTS_OF_A_NAMESPACE


def test_a_tick_in_which_nothing_begins_needs_no_other():
    probes = Probes()
    probes.due("web", 1)
    assert not probes.slots.tick()


def test_a_pod_has_few_under_way_and_the_others_follow():
    begun = []
    slots = ProbeSlots(begin=begun.append, give_up=lambda key: None)
    for number in range(20):
        slots.due(str(number), namespace="web", pod="one")
    assert len(begun) == OF_A_POD
    slots.leave(begun[0])
    assert len(begun) == OF_A_POD + 1
