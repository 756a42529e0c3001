"""Bad neighbours on virtual time: a bug planted for a kind is found by that kind alone."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.chaos import hostile
from tests.chaos.test_planted import with_rule
from tests.chaos.virtual import faults, lateness, neighbours
from tests.chaos.virtual.run import play
from vk_provider.control import decide as deciding
from vk_provider.control.actions import DeleteOrphan, RequeueAfter
from vk_provider.control.observation import age_s
from vk_provider.control.ownership import creation_order
from vk_provider.control.perform.create import Creator
from vk_provider.control.rules import orphan, preliminary
from vk_provider.errors import CloudUnavailable, KubeError, VersionsWentBack
from vk_provider.instances.cache import InstanceCache
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import is_older
from vk_provider.model import pod as pods
from vk_provider.pacing.backoff import Backoff

MOST_SEEDS = 12
Plant = Callable[[pytest.MonkeyPatch], None]


def long_texts_hold_the_loop(patch):
    """As by a regular expression that is quadratic."""
    real, known = deciding.decide, set()

    def decide(seen, memory):
        pod = seen.pod
        uid = pod["metadata"]["uid"] if pod else ""
        if pod and uid not in known and len(json.dumps(pod["spec"])) > 1500:
            known.add(uid)
            until_s = time.thread_time() + 0.7
            while time.thread_time() < until_s:
                pass
        return real(seen, memory)

    patch.setattr("vk_provider.control.reconciler.decide", decide)


def what_was_not_foreseen_ends_the_process(patch):
    async def run(self):
        async with AsyncExitStack() as stream:
            while True:
                try:
                    self._state = await self._step(self._state, stream)
                except KubeError as error:
                    self._failed(error, 1.0)
                    await stream.aclose()
                    await asyncio.sleep(1.0)

    patch.setattr(Reflector, "_fault_of", lambda self, item: "")
    patch.setattr(Reflector, "run", run)


def what_is_behind_is_never_the_truth(patch):
    def refuse(self, version, versions):
        if is_older(version, self._newest):
            raise VersionsWentBack("the server lags behind, surely")

    patch.setattr(Reflector, "_refuse_what_is_behind", refuse)


def unproven(seen, memory):
    rules = deciding._BY_STATE[seen.state][seen.own_state]
    answers = (deciding.Decision(rule.answer(seen, memory), rule.reason) for rule in rules)
    return next(each for each in answers if each.action is not None)


def an_answered_id_is_believed(patch):
    """And whoever had it before has it no more."""
    put = InstanceCache.put

    def believing(self, instance):
        known = self._by_id.get(instance.id)
        if known is not None and known.owner.uid != instance.owner.uid and not instance.proven:
            self.remove(instance.id)
        put(self, replace(instance, proven=True))

    patch.setattr(Creator, "_check_whose", lambda self, made, key: None)
    patch.setattr(InstanceCache, "put", believing)
    patch.setattr("vk_provider.control.reconciler.decide", unproven)


def age_is_what_the_clouds_clock_says(patch):
    real = orphan.orphan

    def trusting(seen, memory):
        action = real(seen, memory)
        if isinstance(action, DeleteOrphan):
            young_s = seen.node.orphan_age_s - age_s(action.instance, seen.now)
            return RequeueAfter(young_s) if young_s > 0 else action
        return action

    with_rule(patch, "orphan", trusting)


def who_is_not_answered_asks_no_more(patch):
    """As one that waits for the answer without end."""
    real = Creator._postponed

    def forgetting(self, pod, memory, error, hold=None):
        outcome = real(self, pod, memory, error, hold)
        if not isinstance(error, CloudUnavailable):
            return outcome
        creating = replace(outcome.memory.creating, not_before_s=float("inf"))
        return replace(outcome, memory=replace(outcome.memory, creating=creating))

    patch.setattr(Creator, "_postponed", forgetting)


def what_others_made_is_one_too_many(patch):
    """The one in its place that a second provider made is known by nothing that this one remembers."""

    def is_surplus(pod, spare, kept, created):
        if kept is None or spare.id == pods.instance_id_of(pod):
            return False
        return creation_order(spare, created) < creation_order(kept, created)

    patch.setattr(preliminary, "is_surplus", is_surplus)


BUGS = [
    pytest.param(long_texts_hold_the_loop, neighbours.hostile_tenant, "the loop was held for", id="held loop"),
    pytest.param(
        what_was_not_foreseen_ends_the_process, neighbours.malformed_objects, "ended by itself", id="malformed"
    ),
    pytest.param(
        what_is_behind_is_never_the_truth, neighbours.versions_go_back, "is still there", id="versions go back"
    ),
    pytest.param(
        an_answered_id_is_believed, neighbours.create_lies, "says that it was disrupted, and was not", id="lying create"
    ),
    pytest.param(
        age_is_what_the_clouds_clock_says, neighbours.cloud_clock_hours_off, "is still there", id="clock hours off"
    ),
    pytest.param(who_is_not_answered_asks_no_more, neighbours.cloud_hangs, "is still Pending", id="cloud hangs"),
    pytest.param(
        what_others_made_is_one_too_many, neighbours.rival, "says that it was disrupted, and was not", id="rival"
    ),
]


def alone(patch, neighbour, *, times=3):
    """No fault but this one, a few times: what the auditor then finds is this one's doing."""

    def drawn(dice, *, lasts_s):
        return [(dice.uniform(0.0, lasts_s / 2), neighbour, dice.randrange(2**32)) for _ in range(times)]

    patch.setattr(faults, "drawn", lambda dice, *, lasts_s: [])
    patch.setattr(neighbours, "drawn", drawn)


@pytest.mark.parametrize(("plant", "neighbour", "complaint"), BUGS)
def test_a_planted_bug_is_found_by_its_neighbour_alone(plant, neighbour, complaint, monkeypatch):
    alone(monkeypatch, neighbour)
    with monkeypatch.context() as patch:
        plant(patch)
        found = next((seed for seed in range(MOST_SEEDS) if complains(play(seed, beside=True), complaint)), None)
    assert found is not None, f"{MOST_SEEDS} seeds met nothing: {neighbour.__name__} is too weak"
    assert play(found, beside=True).complaints == []


@pytest.mark.parametrize("neighbour", neighbours.NEIGHBOURS, ids=lambda each: each.__name__)
def test_each_neighbour_alone_does_no_harm(neighbour, monkeypatch):
    alone(monkeypatch, neighbour)
    outcome = play(1, beside=True)
    assert outcome.complaints == [], "\n".join(outcome.said)


@pytest.mark.parametrize("neighbour", lateness.AWAY_S, ids=lambda each: each.__name__)
def test_honest_pods_run_at_most_twice_as_late_beside_each_neighbour(neighbour):
    assert lateness.p99_s(4, neighbour) <= lateness.TIMES * lateness.p99_s(4)


def test_a_watch_that_is_slow_to_come_back_is_found_by_how_late_honest_pods_run(monkeypatch):
    monkeypatch.setattr("vk_provider.kube.reflector._BACKOFF", Backoff(first_s=8.0, most_s=30.0, spread=0.2))
    assert lateness.p99_s(4, neighbours.malformed_objects) > lateness.TIMES * lateness.p99_s(4)


@pytest.mark.parametrize("hurt", hostile.HURTS, ids=lambda each: each.__name__)
def test_hostile_pods_grow_with_the_sizes_and_are_the_same_by_the_same_dice(hurt):
    def written(sizes):
        spec = {"containers": [{"name": "hostile0", "image": "perl"}]}
        hurt(spec, random.Random(7), sizes)
        return json.dumps(spec)

    assert written(hostile.MODEST) == written(hostile.MODEST)
    assert len(written(hostile.FULL)) >= len(written(hostile.MODEST))


def complains(outcome, complaint):
    return any(complaint in line for line in outcome.complaints)
