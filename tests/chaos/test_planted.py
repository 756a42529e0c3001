"""Bugs planted in the real code, one of each kind, and a few seeds: the auditor finds them, and without them nothing.

A bug that no seed finds would mean that the story or its faults are too weak.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.virtual.run import play
from vk_provider.control import decide as deciding
from vk_provider.control.actions import DeleteInstance, DeleteOrphan, Done, RequeueAfter
from vk_provider.control.observation import age_s
from vk_provider.control.perform.create import Creator
from vk_provider.control.perform.status import PodWriter
from vk_provider.control.reconciler import PodController
from vk_provider.control.rules import orphan
from vk_provider.kube.recorder import Recorder
from vk_provider.translate import container_report, container_status, events, status, status_patch, terminal_repair

MOST_SEEDS = 100
Plant = Callable[[pytest.MonkeyPatch], None]


def with_rule(patch, name, answer):
    """This rule answers otherwise."""
    for rules_by_own in deciding._BY_STATE.values():
        table: Any = rules_by_own
        for own, rules in [*table.items()]:
            changed = tuple(replace(rule, answer=answer) if rule.name == name else rule for rule in rules)
            patch.setitem(table, own, changed)


def orphans_stay(patch):
    with_rule(patch, "orphan", lambda *_: Done())


def orphans_stay_long(patch):
    """As by an age that is meant in seconds and read in tens."""
    real = orphan.orphan

    def patient(seen, memory):
        action = real(seen, memory)
        if isinstance(action, DeleteOrphan):
            old_s = age_s(action.instance, seen.now)
            return RequeueAfter(400.0 - old_s) if old_s < 400.0 else action
        return action

    with_rule(patch, "orphan", patient)


def each_create_has_a_token_of_its_own(patch):
    """As by a token that is drawn rather than worked out."""
    real = Creator.create
    drawn = iter(range(10**6))

    async def create(self, seen, action, memory):
        token = f"{action.replaces}-{next(drawn)}"
        return await real(self, seen, replace(action, replaces=token), memory)

    patch.setattr(Creator, "create", create)


def the_start_is_forgotten(patch):
    """The status of each look is worked out and written without what was known before, of the pod and of ourselves."""
    real, write = status.from_instance, PodWriter.patch

    def mirrored(pod, instance, **more):
        return real(pod, instance, **more) | {"startTime": more["now"]}

    async def forgetful(self, seen, action, memory):
        return await write(self, seen, action, replace(memory, started=""))

    patch.setattr(status, "from_instance", mirrored)
    patch.setattr(PodWriter, "patch", forgetful)


def what_has_ended_gets_a_last_word(patch):
    """As by somebody who puts right more than others wrote over."""

    def reasserted(pod, instance, *, now):
        if "message" in pod["status"]:
            return None
        return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"message": f"ended by {now}"}}

    patch.setattr(terminal_repair, "reasserted", reasserted)


def events_are_dropped_when_refused(patch):
    """The first failure is the last."""
    real = Recorder._failed

    def failed(self, series, error):
        real(self, series, error)
        self._drop(series, "failed")
        return False

    patch.setattr(Recorder, "_failed", failed)


def mirrored_events_have_names_of_their_own(patch):
    drawn = iter(range(10**6))
    patch.setattr(events, "_mirrored_name", lambda reference, _: f"{reference['name']}.{next(drawn)}")


def who_fails_is_not_looked_at_again(patch):
    def failed(self, uid, error):
        memory = self._memories[uid]
        self._memories[uid] = replace(memory, failures=memory.failures + 1)

    patch.setattr(PodController, "_failed", failed)


def deletions_are_asked_for_once_and_failures_forgotten(patch):
    """The record notes a deletion before the cloud has accepted it, and for good."""
    real = deciding.decide

    def decide(seen, memory):
        action, reason = real(seen, memory)
        wanted = isinstance(action, DeleteInstance) and action.why == "the pod is being deleted"
        return deciding.Decision(Done() if wanted else action, reason)

    patch.setattr("vk_provider.control.reconciler.decide", decide)


def an_end_without_a_word_is_well(patch):
    real = container_report._how_it_ended

    def how(state, instance_status):
        code, reason = real(state, instance_status)
        return (1, reason) if code not in (0, 143) else (code, reason)

    patch.setattr(container_report, "_how_it_ended", how)


def ended_before_the_codes_are_in(patch):
    """The end of an instance is believed at first sight."""
    real = status.from_instance
    patch.setattr(
        status, "from_instance", lambda pod, instance, **more: real(pod, instance, **{**more, "settled": True})
    )


def who_waits_has_never_run(patch):
    """The count of restarts is read from containers that run."""
    real = container_status.valid_transition

    def lawful(entry, previous, **more):
        entry = real(entry, previous, **more)
        return entry | {"restartCount": 0} if "waiting" in entry["state"] else entry

    patch.setattr(container_status, "valid_transition", lawful)
    patch.setattr(status_patch, "valid_transition", lawful)


BUGS = [
    pytest.param(orphans_stay, "has no pod and is still there", id="orphan"),
    pytest.param(orphans_stay_long, "after the end of its pod", id="billed after the end"),
    pytest.param(each_create_has_a_token_of_its_own, "instances were asked for", id="double create"),
    pytest.param(the_start_is_forgotten, "startTime changed", id="regressed status"),
    pytest.param(who_waits_has_never_run, "counts fewer restarts", id="regressed restarts"),
    pytest.param(what_has_ended_gets_a_last_word, "changed after it had ended", id="terminal overwritten"),
    pytest.param(events_are_dropped_when_refused, "was never told", id="lost event"),
    pytest.param(mirrored_events_have_names_of_their_own, "was told 2 times", id="doubled event"),
    pytest.param(who_fails_is_not_looked_at_again, "is still Pending", id="stuck pod"),
    pytest.param(deletions_are_asked_for_once_and_failures_forgotten, "is still being deleted", id="stuck deletion"),
    pytest.param(an_end_without_a_word_is_well, "its program with 42", id="wrong exit code"),
    pytest.param(ended_before_the_codes_are_in, "says that it was disrupted, and was not", id="guessed exit code"),
]


@pytest.mark.parametrize(("plant", "complaint"), BUGS)
def test_a_planted_bug_is_found(plant: Plant, complaint: str, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        plant(patch)
        found = next((seed for seed in range(MOST_SEEDS) if complains(play(seed), complaint)), None)
    assert found is not None, f"{MOST_SEEDS} seeds met nothing: the story is too weak"
    assert play(found).complaints == []


def complains(outcome, complaint):
    return any(complaint in line for line in outcome.complaints)
