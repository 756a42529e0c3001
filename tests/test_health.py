"""Honest health: what loops note of themselves, and the door at which probes read it."""

import asyncio
import functools
from contextlib import asynccontextmanager, suppress

import pytest

from tests.control.pure_time import play
from tests.kube.apiserver import running
from vk_provider import config
from vk_provider.errors import ConfigError
from vk_provider.health import PATIENCE_S, Fault, Health, LoopLag, Pulse
from vk_provider.health_server import DEADLINE_S, MOST_AT_ONCE, HealthServer


def in_no_time(story):
    return functools.wraps(story)(lambda *args, **more: play(story(*args, **more)))


@in_no_time
async def test_a_pulse_is_ill_once_nothing_went_well_for_a_while():
    pulse = Pulse()

    def fault():
        return pulse.fault("LeaseNotRenewed", "the lease is old", stale_s=40)

    await asyncio.sleep(1000)
    assert fault() is None, "it has not begun"
    pulse.well()
    await asyncio.sleep(39)
    pulse.failed("403: no", (403,))
    assert fault() is None
    await asyncio.sleep(2)
    assert fault().age_s == 41
    assert fault().message.startswith("the lease is old since 2")
    assert fault().message.endswith(": 403: no")
    said = fault().message
    await asyncio.sleep(60)
    pulse.failed("403: no, in other words", (403,))
    assert fault().message == said, "the Node is not written for the sake of words"
    pulse.well()
    assert fault() is None


@in_no_time
async def test_a_loop_that_never_succeeds_is_ill_from_its_first_failure_on():
    pulse = Pulse()
    pulse.failed("no answer")
    await asyncio.sleep(41)
    assert pulse.fault("X", "it", stale_s=40).age_s == 41


@in_no_time
async def test_a_loop_that_stands_still_is_told_from_one_that_fails():
    pulse = Pulse()
    for _ in range(10):
        pulse.failed("no")
        await asyncio.sleep(100)
    assert pulse.stillness("Still", "the loop", most_s=300) is None
    await asyncio.sleep(300)
    assert pulse.stillness("Still", "the loop", most_s=300).reason == "Still"


def test_the_node_shows_own_faults_that_last():
    health = Health()
    faults = {"watch": Fault("A", "the watch", PATIENCE_S), "young": Fault("B", "x", 1), "cloud": Fault("C", "y", 999)}
    for name, fault in faults.items():
        health.add(name, lambda fault=fault: fault, is_own=name != "cloud")
    assert health.for_node() == Fault("A", "the watch", PATIENCE_S)
    assert Health().for_node() is None


@in_no_time
async def test_a_blocked_loop_is_seen_for_a_minute():
    lag = LoopLag()
    loop = asyncio.get_running_loop()
    async with running(lag.run()):
        await asyncio.sleep(5)
        assert lag.worst_s == pytest.approx(0, abs=1e-3)
        loop._jumping.now_s += 8  # nothing ran meanwhile
        await asyncio.sleep(2)
        assert lag.worst_s == pytest.approx(8, abs=1)
        assert lag.fault().reason == "EventLoopBlocked"
        await asyncio.sleep(65)
        assert lag.fault() is None


@asynccontextmanager
async def door(*, faults=(), restart=()):
    health = Health()
    health.add("pod-watch", lambda: Fault("WatchFailing", "pods cannot be watched: 403", 9) if faults else None)
    health.add("lease-loop", lambda: Fault("Still", "it stands still", 9) if restart else None, restart_helps=True)
    server = HealthServer(health, "127.0.0.1:0")
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def ask(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        with suppress(ConnectionError):  # what it did not want to read, it resets
            return (await asyncio.wait_for(reader.read(), 20)).decode()
        return ""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_it_tells_probes_in_words_what_is_wrong():
    async with door() as port:
        for path in ("/livez", "/readyz", "/healthz", "/readyz/"):
            answer = await ask(port, get(path))
            assert answer.startswith("HTTP/1.1 200 OK\r\n")
            assert answer.endswith("\r\n\r\nok\n")
        assert (await ask(port, get("/livez?verbose"))).endswith("\r\n\r\n[+]lease-loop ok\nlivez check passed\n")
        assert (await ask(port, b"HEAD /livez HTTP/1.0\r\n\r\n")).endswith("Connection: close\r\n\r\n")
    async with door(faults=["x"]) as port:
        answer = await ask(port, get("/readyz"))
        assert answer.startswith("HTTP/1.1 500 ")
        assert "[-]pod-watch failed: pods cannot be watched: 403\n[+]lease-loop ok\nreadyz check failed\n" in answer
        assert (await ask(port, get("/livez"))).startswith("HTTP/1.1 200"), "a restart would not help"
    async with door(restart=["x"]) as port:
        assert (await ask(port, get("/livez"))).startswith("HTTP/1.1 500")


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(b"POST /livez HTTP/1.1\r\n\r\n", "HTTP/1.1 405", id="method"),
        pytest.param(get("/metrics"), "HTTP/1.1 404", id="path"),
        pytest.param(b"\x16\x03\x01\r\n\r\n", "HTTP/1.1 405", id="TLS"),
        pytest.param(b"\r\n\r\n", "HTTP/1.1 405", id="nothing"),
        pytest.param(b"GET /" + b"a" * 20_000, "", id="too long"),
    ],
)
async def test_what_is_no_probe_gets_little(request_, answer):
    async with door() as port:
        assert (await ask(port, request_)).startswith(answer)
        assert (await ask(port, get("/livez"))).startswith("HTTP/1.1 200")


async def test_who_says_nothing_is_shut_out_in_time_and_others_are_answered():
    async with door() as port:
        began = asyncio.get_running_loop().time()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_AT_ONCE)]
        assert await ask(port, get("/livez")) == ""
        for reader, _ in silent:
            assert await asyncio.wait_for(reader.read(), 20) == b""
        for _, writer in silent:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        assert asyncio.get_running_loop().time() - began < DEADLINE_S + 10
        assert (await ask(port, get("/livez"))).startswith("HTTP/1.1 200")


async def test_an_address_that_is_taken_is_a_wrong_setting():
    async with door() as port:
        with pytest.raises(ConfigError, match=f"--health-address: cannot listen at 127.0.0.1:{port}"):
            await HealthServer(Health(), f"127.0.0.1:{port}").start()


@pytest.mark.parametrize("raw", ["", ":8081", "127.0.0.1:8081", "[::1]:0"])
def test_addresses(raw):
    assert config.parse(flags={"health_address": raw, "eci_region": "cn-hangzhou"}, env={}).health_address == raw


@pytest.mark.parametrize("raw", ["8081", "localhost", "::1:80", ":99999", "host:80", ":http"])
def test_no_addresses(raw):
    with pytest.raises(ConfigError, match="--health-address"):
        config.parse(flags={"health_address": raw, "eci_region": "cn-hangzhou"}, env={})


def test_a_part_of_a_process_shows_its_own_checks_and_the_processs():
    whole = Health()
    whole.add("cluster", lambda: None)
    one, two = whole.part("a"), whole.part("b")
    one.add("lease", lambda: Fault("X", "one"))
    two.add("lease", lambda: None)
    assert {name: bool(fault) for name, fault in whole.faults().items()} == {
        "cluster": False,
        "a/lease": True,
        "b/lease": False,
    }
    assert list(two.faults()) == ["cluster", "lease"]
    one.clear()
    assert list(whole.faults()) == ["cluster", "b/lease"]
    only = Health()
    only.part().add("lease", lambda: None)
    assert list(only.faults()) == ["lease"]
