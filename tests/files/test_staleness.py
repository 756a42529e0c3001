"""When the files of an instance are renewed: a row for each case, and what is true of them all."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.files.staleness import (
    JITTER_S,
    MOST_SETTLE_S,
    SETTLE_S,
    FileManifest,
    FileState,
    RecheckAfter,
    UpdateNow,
    UpToDate,
    decide,
    read_content,
    renew_at,
    see,
)
from vk_provider.model.instance import Instance, InstanceStatus, Owner
from vk_provider.model.vocabulary import NEUTRAL
from vk_provider.pacing.clock import Now
from vk_provider.translate.file_sources import LiveSources, fingerprint
from vk_provider.translate.objects import Kind, TokenRequest

WALL = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
NOW = Now(wall=WALL, loop_s=1000.0)
RUNNING = Instance("eci-1", Owner(uid="u"), InstanceStatus.RUNNING)
UID = "u"


def known(
    has="old", wants="new", *, since=990.0, changed=990.0, retry=0.0, refused="", renew_in=None, instance="eci-1"
):
    when = None if renew_in is None else WALL + timedelta(seconds=renew_in)
    content = None if has is None else FileManifest(instance, has, when)
    return FileState(
        LiveSources(),
        has=content,
        wants=wants,
        stale_since_s=since,
        changed_s=changed,
        retry_at_s=retry,
        refused=refused,
    )


def status(word):
    return Instance("eci-1", Owner(uid="u"), InstanceStatus(word))


@pytest.mark.parametrize(
    ("instance", "facts", "decision"),
    [
        pytest.param(RUNNING, known("new", since=None), UpToDate(), id="the same"),
        pytest.param(RUNNING, known(), UpdateNow(), id="other versions"),
        pytest.param(RUNNING, known(None), UpdateNow(), id="nothing known of it"),
        pytest.param(RUNNING, known("new", instance="eci-0"), UpdateNow(), id="known of an earlier instance only"),
        pytest.param(RUNNING, known(None, "", since=None), UpToDate(), id="sources not looked at yet"),
        pytest.param(RUNNING, known(changed=999.0), RecheckAfter(SETTLE_S - 1), id="changed just now"),
        pytest.param(
            RUNNING, known(changed=999.9, since=1000 - MOST_SETTLE_S), UpdateNow(), id="changes again and again"
        ),
        pytest.param(RUNNING, known(retry=1060.0), RecheckAfter(60.0), id="failed a moment ago"),
        pytest.param(RUNNING, known(refused="new"), UpToDate(), id="refused"),
        pytest.param(RUNNING, known(refused="older"), UpdateNow(), id="changed since it was refused"),
        pytest.param(
            RUNNING, known(refused="new", renew_in=-JITTER_S), UpdateNow(), id="refused, but the token is old"
        ),
        pytest.param(RUNNING, known("new", since=None, renew_in=-JITTER_S), UpdateNow(), id="the token is old"),
        pytest.param(
            RUNNING,
            known("new", since=None, renew_in=-JITTER_S, retry=1007.0),
            RecheckAfter(7.0),
            id="its renewal failed",
        ),
        pytest.param(status("Pending"), known(), UpdateNow(), id="init containers run"),
        *(
            pytest.param(status(word), known(renew_in=-1000), UpToDate(), id=word)
            for word in ("Scheduling", "Updating", "Restarting", "Terminating", "Succeeded", "Failed", "Expired")
        ),
    ],
)
def test_decide(instance, facts, decision):
    assert decide(UID, instance, facts, NOW) == decision


@given(st.text(max_size=40), st.floats(-1e5, 1e5))
def test_a_token_is_renewed_at_its_time_or_at_most_the_jitter_later(uid, renew_in):
    facts = known("new", since=None, renew_in=renew_in)
    match decide(uid, RUNNING, facts, NOW):
        case UpdateNow():
            assert renew_in <= 0
        case RecheckAfter(seconds):
            assert renew_in <= seconds <= renew_in + JITTER_S
            again = Now(wall=WALL + timedelta(seconds=seconds + 0.001), loop_s=NOW.loop_s + seconds + 0.001)
            assert decide(uid, RUNNING, facts, again) == UpdateNow()


def request(life_s):
    return TokenRequest("v", f"t{life_s}", "default", "web", "", life_s)


@pytest.mark.parametrize(
    ("lives", "after_s"),
    [
        pytest.param([], None, id="none"),
        pytest.param([600], 480, id="ten minutes"),
        pytest.param([3607, 600], 480, id="the first of several"),
        pytest.param([7 * 86400], 86400, id="a week"),
    ],
)
def test_renew_at(lives, after_s):
    found = renew_at(WALL, {request(life_s): life_s for life_s in lives})
    assert found == (None if after_s is None else WALL + timedelta(seconds=after_s))


@given(st.text(max_size=30), st.text(max_size=16), st.none() | st.integers(0, 4_000_000_000))
def test_a_note_is_read_as_it_was_written(instance, sources, when):
    content = FileManifest(instance, sources, None if when is None else datetime.fromtimestamp(when, UTC))
    assert read_content(content.text()) == content


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", "{}", '{"instance":"a"}', '{"instance":"a","sources":"b","renewTokensAt":5}']
)
def test_a_note_of_somebody_else_is_none(text):
    assert read_content(text) is None


SOURCE = (Kind.CONFIG_MAP, ("web", "c"))


def pod(**labels):
    return {"metadata": {"namespace": "web", "name": "p", "labels": labels, "annotations": {"a": "b"}}}


@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from(["1", "2", "3", "absent"]), st.sampled_from("xy"), st.floats(0, 30)),
        max_size=20,
    ),
    st.integers(0, 100),
)
def test_whatever_changes_the_instance_gets_the_last_of_it_in_time(changes, own):
    """Played against a cloud that takes every update: in the end it has what the sources say, each pause apart."""
    facts = FileState(LiveSources(objects=(SOURCE,), fields=("metadata.labels",)))
    at, updates, states = 0.0, [], [*changes, (str(own), "x", 60.0)]
    for version, label, pause in states:
        until = at + pause
        found = None if version is None else {SOURCE: version}
        while True:
            see(pod(l=label), RUNNING, facts, found, at)
            match decide(UID, RUNNING, facts, Now(wall=WALL + timedelta(seconds=at), loop_s=at)):
                case UpdateNow():
                    facts.has, facts.stale_since_s = FileManifest("eci-1", facts.wants), None
                    updates.append(at)
                case RecheckAfter(seconds) if at + seconds <= until:
                    at += seconds
                case _:
                    break
        at = until
    assert facts.has == FileManifest("eci-1", fingerprint(pod(l="x"), facts.sources, {SOURCE: str(own)}, NEUTRAL))
    assert all(later - earlier >= SETTLE_S - 1e-6 for earlier, later in pairwise(updates))
