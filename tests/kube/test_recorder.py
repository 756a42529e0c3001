"""Events: counted, gathered, damped, bounded, and never posted twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.kube.apiserver import refuse, running, serving
from tests.kube.virtual import virtual_time
from vk_provider.kube.event_correlator import COMBINED, EventCorrelator
from vk_provider.kube.recorder import Recorder

EVENTS = "/api/v1/namespaces/web/events"
START = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def event(name="p.1", message="hello", *, kind="Normal", reason="Pulled", count=1, uid="u1", at="12:00:00", **more):
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "web", "name": name},
        "involvedObject": {"kind": "Pod", "namespace": "web", "name": "p", "uid": uid, "apiVersion": "v1"},
        "source": {"component": "kubelet", "host": "eci"},
        "type": kind,
        "reason": reason,
        "message": message,
        "count": count,
        "firstTimestamp": "2026-01-02T12:00:00Z",
        "lastTimestamp": f"2026-01-02T{at}Z",
        **more,
    }


def new_recorder(client, **options):
    return Recorder(client, clock=lambda: START, jitter=lambda: 0.0, **options)


@virtual_time
async def test_an_event_is_posted_as_it_was_given():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event())
            assert await recorder.flush(10)
        assert [seen.body for seen in server.of("POST")] == [event()]


@virtual_time
async def test_the_same_again_raises_the_count_of_the_first():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        server.on("PATCH", f"{EVENTS}/p.1", lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event("p.1"))
            await recorder.flush(10)
            recorder.put(event("p.2", at="12:00:09"))
            await recorder.flush(10)
        patch = server.of("PATCH")[0]
        assert patch.body == {"count": 2, "lastTimestamp": "2026-01-02T12:00:09Z", "message": "hello"}
        assert patch.headers["Content-Type"] == "application/strategic-merge-patch+json"
        assert len(server.of("POST")) == 1


@virtual_time
async def test_what_repeats_before_it_is_sent_is_sent_once_with_its_count():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client)
        for _ in range(5):
            recorder.put(event())
        async with running(recorder.run()):
            await recorder.flush(10)
        assert [seen.body["count"] for seen in server.seen] == [5]


@virtual_time
async def test_a_repeat_while_the_first_is_on_its_way_follows_it():
    async with serving() as (server, client):
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow(seen):
            arrived.set()
            await go_on.wait()
            return seen.body

        server.on("POST", EVENTS, slow)
        server.on("PATCH", f"{EVENTS}/p.1", lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event())
            await arrived.wait()
            recorder.put(event())
            go_on.set()
            assert await recorder.flush(10)
        assert [(seen.method, seen.body["count"]) for seen in server.seen] == [("POST", 1), ("PATCH", 2)]


@virtual_time
async def test_an_event_the_server_forgot_is_made_anew():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event())
            await recorder.flush(10)
            recorder.put(event())
            await recorder.flush(10)
        assert [seen.method for seen in server.seen] == ["POST", "PATCH", "POST"]
        assert server.seen[-1].body["count"] == 2


def test_more_than_ten_that_differ_in_their_message_become_one():
    correlator = EventCorrelator()
    series = [correlator.observe(event(f"p.{index}", f"try {index}"), now=float(index)) for index in range(14)]
    assert [one.event["metadata"]["name"] for one in series[:10]] == [f"p.{index}" for index in range(10)]
    assert {one.event["metadata"]["name"] for one in series[10:]} == {"p.10"}
    assert series[-1].event["message"] == f"{COMBINED}try 13"
    assert series[-1].count == 4


def test_ten_quiet_minutes_end_the_gathering():
    correlator = EventCorrelator()
    for index in range(12):
        correlator.observe(event(f"p.{index}", f"try {index}"), now=0.0)
    later = correlator.observe(event("p.later", "another"), now=601.0)
    assert later.event["message"] == "another"


def test_one_object_may_be_spoken_of_25_times_and_then_once_in_five_minutes():
    correlator = EventCorrelator()
    heard = [correlator.observe(event(), now=0.0) for _ in range(30)]
    assert [one is not None for one in heard] == [True] * 25 + [False] * 5
    assert correlator.observe(event(), now=299.0) is None
    allowed = correlator.observe(event(), now=301.0)
    assert allowed.count == 32, "what was damped is counted"
    assert correlator.observe(event(uid="another pod"), now=0.0) is not None


def test_memory_is_bounded():
    correlator = EventCorrelator(memory=10)
    for index in range(1000):
        correlator.observe(event(uid=f"u{index}"), now=0.0)
    assert max(len(correlator._series), len(correlator._similar), len(correlator._buckets)) == 10


@virtual_time
async def test_a_full_line_drops_what_is_worth_least_and_counts_it():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client, most=10)
        for index in range(20):
            recorder.put(event(f"n.{index}", uid=f"n{index}"))
        assert (len(recorder), recorder.dropped["full"]) == (10, 10)
        for index in range(8):
            recorder.put(event(f"w.{index}", uid=f"w{index}", kind="Warning"))
        assert (len(recorder), recorder.dropped["full"]) == (10, 18)
        async with running(recorder.run()):
            await recorder.flush(10)
        sent = [seen.body["metadata"]["name"] for seen in server.seen]
        assert sorted(sent) == ["n.0", "n.1", *(f"w.{index}" for index in range(8))]
        assert sent[0].startswith("w."), "warnings go first"


@virtual_time
async def test_a_mirrored_event_is_posted_once_however_often_it_is_put():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        server.on("PATCH", f"{EVENTS}/m.1", lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            for _ in range(50):
                recorder.put(event("m.1"), "m.1")
                await recorder.flush(10)
            recorder.put(event("m.1", count=3, at="12:05:00"), "m.1")
            await recorder.flush(10)
        assert [(seen.method, seen.body["count"]) for seen in server.seen] == [("POST", 1), ("PATCH", 3)]


@pytest.mark.parametrize(
    ("count", "patched"),
    [pytest.param(1, [], id="told once: it says so already"), pytest.param(5, [5], id="told again: maybe it does not")],
)
def test_a_mirrored_event_that_exists_is_success(count, patched):
    """Nothing is read first, for which a right would be needed: a cloud's count never falls."""

    @virtual_time
    async def run():
        async with serving() as (server, client):
            server.on("POST", EVENTS, refuse(409, reason="AlreadyExists"))
            server.on("PATCH", f"{EVENTS}/m.1", lambda seen: seen.body)
            recorder = new_recorder(client)
            async with running(recorder.run()):
                recorder.put(event("m.1", count=count), "m.1")
                assert await recorder.flush(10)
                recorder.put(event("m.1", count=count), "m.1")
                assert await recorder.flush(10)
            assert [seen.body["count"] for seen in server.of("PATCH")] == patched
            assert len(server.of("POST")) == 1
            assert server.of("GET") == []
            assert not recorder.dropped

    run()


@virtual_time
async def test_a_conflict_that_does_not_say_that_it_exists_is_tried_again():
    async with serving() as (server, client):
        server.on("POST", EVENTS, refuse(409, reason="Conflict"), lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event())
            assert await recorder.flush(10)
        assert len(server.of("POST")) == 2
        assert not recorder.dropped


@virtual_time
async def test_a_higher_count_that_met_another_writer_is_tried_again():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        server.on("PATCH", f"{EVENTS}/m.1", refuse(409, reason="Conflict"), lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            for count in (1, 2):
                recorder.put(event("m.1", count=count), "m.1")
                assert await recorder.flush(10)
        assert [seen.body["count"] for seen in server.of("PATCH")] == [2, 2]
        assert not recorder.dropped


@virtual_time
async def test_after_a_restart_what_is_mirrored_already_is_not_posted_again():
    async with serving() as (server, client):
        other = event("other", source={"component": "kubelet", "host": "worker-1"})
        first = {"metadata": {"continue": "more"}, "items": [event("m.1", count=2), other]}
        server.on("GET", "/api/v1/events", first, {"metadata": {}, "items": [event("m.2")]})
        server.on("POST", EVENTS, lambda seen: seen.body)
        server.on("PATCH", f"{EVENTS}/m.1", lambda seen: seen.body)
        recorder = new_recorder(client)
        assert await recorder.known_names("eci") == {"m.1", "m.2"}
        assert [seen.query for seen in server.seen] == [
            {"fieldSelector": "source=kubelet", "limit": "500"},
            {"fieldSelector": "source=kubelet", "limit": "500", "continue": "more"},
        ]
        async with running(recorder.run()):
            for name, count in (("m.1", 2), ("m.2", 1), ("m.3", 1), ("m.1", 4)):
                recorder.put(event(name, count=count), name)
            assert await recorder.flush(10)
        writes = [(seen.method, seen.path.rsplit("/", 1)[-1]) for seen in server.seen[2:]]
        assert sorted(writes) == [("PATCH", "m.1"), ("POST", "events")]


@virtual_time
async def test_what_a_predecessor_told_and_the_server_forgot_stays_untold():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event("old", at="10:59:59"), "old")
            recorder.put(event("recent", at="11:00:01"), "recent")
            recorder.put(event("odd", at="nonsense"), "odd")
            await recorder.flush(10)
        assert sorted(seen.body["metadata"]["name"] for seen in server.seen) == ["odd", "recent"]


@pytest.mark.parametrize(("first_h", "then_h"), [(2, 0), (0, 2), (-2, 0), (0, -2)])
@virtual_time
async def test_a_clock_that_is_hours_off_for_a_while_makes_no_news_old(first_h, then_h):
    """At the start, until it is set right, or later on (chaos seed 9019: no event of what ran then was ever told)."""
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        off = timedelta(hours=first_h)
        recorder = Recorder(client, clock=lambda: START + off, jitter=lambda: 0.0)
        off = timedelta(hours=then_h)
        async with running(recorder.run()):
            recorder.put(event("news", at="12:00:05"), "news")
            await recorder.flush(10)
        assert [seen.body["metadata"]["name"] for seen in server.seen] == ["news"]


@virtual_time
async def test_an_outage_loses_nothing():
    async with serving() as (server, client):
        outage = [refuse(503)] * 6 + [refuse(429, retry_after="40")]
        server.on("POST", EVENTS, *outage, lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            for index in range(3):
                recorder.put(event(f"p.{index}", uid=f"u{index}"))
            assert await recorder.flush(600)
        assert {seen.body["metadata"]["name"] for seen in server.seen[7:]} == {"p.0", "p.1", "p.2"}
        assert not recorder.dropped


@virtual_time
async def test_a_server_that_always_fails_on_one_event_is_left_alone_in_the_end():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: refuse(500) if seen.body["metadata"]["name"] == "bad" else seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event("bad", uid="bad"))
            recorder.put(event("good", uid="good"))
            assert await recorder.flush(3600)
        assert recorder.dropped == {"failed": 1}
        assert recorder.sent["created"] == 1
        assert len(server.seen) == 13


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refuse(403, reason="Forbidden", message="namespace is being terminated"), id="terminating"),
        pytest.param(refuse(404, reason="NotFound"), id="namespace gone"),
        pytest.param(refuse(422, reason="Invalid"), id="invalid"),
    ],
)
def test_a_refused_event_is_dropped_and_the_next_one_sent(answer):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            server.on("POST", EVENTS, answer, lambda seen: seen.body)
            recorder = new_recorder(client)
            async with running(recorder.run()):
                recorder.put(event("m.1"), "m.1")
                assert await recorder.flush(10)
                recorder.put(event("m.2"), "m.2")
                assert await recorder.flush(10)
            assert recorder.dropped == {"refused": 1}
            assert recorder.sent == {"created": 1}

    run()


@virtual_time
async def test_a_flood_keeps_to_its_rate_and_its_workers():
    async with serving() as (server, client):
        at_once = most_at_once = 0

        async def slow(seen):
            nonlocal at_once, most_at_once
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            return seen.body

        server.on("POST", EVENTS, slow)
        recorder = new_recorder(client, per_s=50, burst=100)
        for index in range(300):
            recorder.put(event(f"p.{index}", uid=f"u{index}"))
        async with running(recorder.run()):
            assert await recorder.flush(60)
        assert most_at_once <= 4
        assert server.seen[-1].at == pytest.approx(4.0, abs=0.2)


@virtual_time
async def test_flush_gives_up_at_its_deadline():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: asyncio.Event().wait())
        recorder = new_recorder(client)
        async with running(recorder.run()):
            recorder.put(event())
            assert not await recorder.flush(5)
            assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)
            assert len(recorder) == 1


@virtual_time
async def test_one_mirrored_event_is_never_in_two_workers_hands():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        for name in ("m.1",):
            server.on("PATCH", f"{EVENTS}/{name}", lambda seen: seen.body)
        recorder = new_recorder(client)
        async with running(recorder.run()):
            for count in range(1, 60):
                recorder.put(event("m.1", count=count), "m.1")
                await asyncio.sleep(0.001)
            await recorder.flush(10)
        counts = [seen.body["count"] for seen in server.seen]
        assert counts == sorted(set(counts))
        assert counts[-1] == 59


@virtual_time
async def test_in_a_burst_events_take_ten_times_as_long_but_warnings_do_not_and_no_burst_lasts_for_ever():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: seen.body)
        recorder = new_recorder(client, per_s=50, burst=1, workers=1, yields_to=lambda: True)
        for index in range(600):
            recorder.put(event(f"n.{index}", uid=f"n{index}"))
        recorder.put(event("w", uid="w", kind="Warning"))
        async with running(recorder.run()):
            await asyncio.sleep(25)
            assert 100 <= len(server.seen) <= 130, "five a second"
            assert server.seen[0].body["metadata"]["name"] == "w"
            assert server.seen[0].at < 0.1
            assert await recorder.flush(20), "fifty a second again"


@virtual_time
async def test_who_can_come_again_is_told_when_there_is_no_room():
    async with serving() as (_, client):
        recorder = new_recorder(client, most=10)
        for index in range(10):
            assert recorder.has_room == (index < 8)
            recorder.put(event(f"n.{index}", uid=f"n{index}"))
        assert recorder.dropped["full"] == 0
