"""exec over SPDY at the door: a client of its own kind, real TLS, commands that really run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from vk_provider.errors import CloudUnavailable, InstanceGone
from vk_provider.kubelet.exec import FAILING
from vk_provider.kubelet.exec_session import MOST_ORPHANS
from vk_provider.kubelet.hijack import StreamTimeouts
from vk_provider.model.instance import ContainerState, StateKind

from .commands import Streaming
from .spdyclient import UpgradeRefused, upgraded
from .test_server import answer
from .world import DEADLINE_S, TERMINATED, SmallCloud, instance_of_pod, pod_named, until

SUCCESS = {"metadata": {}, "status": "Success"}


@pytest.fixture
def world(tmp_path: Path) -> Streaming:
    return Streaming(tmp_path)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_output_errors_and_exit_code_in_the_order_that_clients_wait_for(world: Streaming) -> None:
    async with world.serving(), world.exec("sh", "-c", "echo out; echo err >&2; exit 7") as it:
        await it.client.ended(it.stdout, it.stderr, it.error)
        assert (it.stdout.received, it.stderr.received) == (b"out\n", b"err\n")
        status = json.loads(it.error.received)
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
        assert it.client.headers["x-stream-protocol-version"] == "v4.channel.k8s.io"
        await until(lambda: it.client.goaway == 0)
        out, err, error = it.stdout.id, it.stderr.id, it.error.id
        kinds = [
            event for event in it.client.events if event[0] != "reply" and event not in {("data", out), ("data", err)}
        ]
        assert kinds[:2] == [("fin", out), ("fin", err)]
        assert kinds[2:] == [("data", error), ("fin", error), ("goaway", err)]
        async with asyncio.timeout(DEADLINE_S):
            await it.client.closed.wait()
    assert world.commands.asked == [("eci-api-0", "app", ["sh", "-c", "echo out; echo err >&2; exit 7"], False, False)]
    assert all(session.closed.is_set() for session in world.commands.sessions)


async def test_success(world: Streaming) -> None:
    async with world.serving(), world.exec("true") as it:
        await it.client.ended(it.stdout, it.stderr, it.error)
        assert json.loads(it.error.received) == SUCCESS


@pytest.mark.parametrize(
    ("protocol", "command", "told"),
    [
        ("v3.channel.k8s.io", "true", b""),
        ("v2.channel.k8s.io", "false", b"command terminated with non-zero exit code: exit status 1"),
        ("channel.k8s.io", "false", b"command terminated with non-zero exit code: exit status 1"),
    ],
)
async def test_older_protocols_tell_in_plain_text(world: Streaming, protocol: str, command: str, told: bytes) -> None:
    async with world.serving(), world.exec(command, streams="o", protocols=[protocol]) as it:
        await it.client.ended(it.stdout, it.error)
        assert it.error.received == told


async def test_an_unknown_exit_code_is_no_success(world: Streaming) -> None:
    world.commands.unknown_exit = True
    async with world.serving(), world.exec("true") as it:
        await it.client.ended(it.error)
        status = json.loads(it.error.received)
        assert (status["status"], status["reason"]) == ("Failure", "InternalError")
        assert status["message"] == f"{FAILING}: the cloud does not tell exit codes"


async def test_the_end_of_input_reaches_the_command(world: Streaming) -> None:
    async with world.serving(), world.exec("wc", "-c", streams="io") as it:
        await it.client.send(it.stdin, b"hello", fin=True)
        await it.client.ended(it.stdout, it.error)
        assert it.stdout.received.strip() == b"5"


async def test_a_terminal_and_its_size(world: Streaming) -> None:
    async with world.serving(), world.exec("sh", "-c", "read line; stty size; exit 3", streams="iot") as it:
        await it.client.send(it.resize, b'{"Width":80,"Height":24}{"Width":132,')
        await it.client.send(it.resize, b'"Height":43}')
        await until(lambda: bool(world.commands.sessions) and len(world.commands.sessions[0].sizes) == 2)
        await it.client.send(it.stdin, b"go\n")
        await it.client.ended(it.stdout, it.error)
        assert b"43 132" in it.stdout.received
        assert json.loads(it.error.received)["details"]["causes"][0]["message"] == "3"


async def test_a_terminal_with_stderr_is_not_refused(world: Streaming) -> None:
    async with world.serving(), world.exec("echo", "hi", streams="oet") as it:
        await it.client.ended(it.stdout, it.error)
        assert it.stdout.received == b"hi\r\n"


async def test_names_that_clients_of_our_own_use(world: Streaming) -> None:
    query = "stdout=true&command=echo&command=hi"
    async with world.serving(), upgraded(world.port, f"/exec/web/api-0/app?{query}", world.context) as client:
        await client.open(streamtype="error")
        stdout = await client.open(streamtype="stdout")
        await client.ended(stdout)
        assert stdout.received == b"hi\n"


async def test_a_path_with_a_uid(world: Streaming) -> None:
    async with world.serving():
        async with world.exec("true", tail="/web/api-0/uid-api-0/app", streams="o") as it:
            await it.client.ended(it.error)
        with pytest.raises(UpgradeRefused, match="404 pod does not exist"):
            async with world.exec("true", tail="/web/api-0/another/app", streams="o"):
                pass


async def test_get_will_do(world: Streaming) -> None:
    async with world.serving(), world.exec("true", streams="o", method="GET") as it:
        await it.client.ended(it.error)


async def test_pings_are_answered(world: Streaming) -> None:
    async with world.serving(), world.exec("cat", streams="io") as it:
        for number in (1, 2, 3):
            it.client.ping(number)
        await until(lambda: it.client.pongs == [1, 3])


async def test_100_megabytes_through_and_back(world: Streaming) -> None:
    chunk = random.Random(1).randbytes(1 << 20)
    there, back = hashlib.sha256(), hashlib.sha256()
    async with world.serving(), world.exec("cat", streams="io", read_buffer=2**20) as it:
        it.stdout.received = received = Counting(back)  # type: ignore[assignment]
        for _ in range(100):
            there.update(chunk)
            await it.client.send(it.stdin, chunk)
        await it.client.send(it.stdin, b"", fin=True)
        await it.client.ended(it.stdout, it.error)
    assert received.size == 100 << 20
    assert back.digest() == there.digest()
    assert json.loads(it.error.received) == SUCCESS


class Counting:
    """Takes what comes without keeping it."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self.size = 0
        self._digest = digest

    def __iadd__(self, data: bytes) -> Counting:
        self.size += len(data)
        self._digest.update(data)
        return self


async def test_fifty_sessions_at_once(world: Streaming) -> None:
    async with world.serving():

        async def one(number: int) -> bytes:
            async with world.exec("cat", streams="io") as it:
                await it.client.send(it.stdin, b"%d" % number * 20_000, fin=True)
                await it.client.ended(it.stdout, it.error)
                return bytes(it.stdout.received)

        got = await asyncio.gather(*(one(number) for number in range(50)))
    assert got == [b"%d" % number * 20_000 for number in range(50)]


# --- back-pressure ---------------------------------------------------------------------------------------------------


async def test_input_that_the_command_does_not_take_holds_up_the_client(world: Streaming) -> None:
    async with world.serving(), world.exec("sleep", "60", streams="io") as it:
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await it.client.send(it.stdin, bytes(65536))
                sent += 65536

        task = asyncio.create_task(flood())
        await still(lambda: sent)
        assert 0 < sent < 32 << 20
        task.cancel()
        await asyncio.wait({task})


async def test_output_that_the_client_does_not_take_holds_up_the_command(world: Streaming) -> None:
    async with world.serving(), world.exec("yes", streams="o") as it:
        await until(lambda: len(it.stdout.received) > 1 << 20)
        it.client.may_read.clear()
        (session,) = world.commands.sessions
        figures = Path(f"/proc/{session.process.pid}/io")
        written = await still(lambda: int(figures.read_text().split()[3]))
        assert written - len(it.stdout.received) < 32 << 20
        session.process.kill()
        it.client.may_read.set()
        await it.client.ended(it.stdout, it.error)
        assert json.loads(it.error.received)["status"] == "Failure"


async def still(figure: Callable[[], int]) -> int:
    """Wait until a figure no longer grows; it."""
    last = -1
    async with asyncio.timeout(20):
        while (now := figure()) != last:
            last = now
            await asyncio.sleep(0.2)
    return now


# --- ends ------------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_ends_its_terminal(world: Streaming) -> None:
    async with world.serving():
        async with world.exec("sleep", "60", streams="iot"):
            (session,) = world.commands.sessions
        async with asyncio.timeout(DEADLINE_S):
            await session.closed.wait()


@pytest.mark.parametrize("streams", ["o", "io"])
async def test_without_a_terminal_the_command_goes_on(world: Streaming, tmp_path: Path, streams: str) -> None:
    """As a kubelet's does."""
    done = tmp_path / "done"
    async with world.serving():
        async with world.exec("sh", "-c", f"echo begun; sleep 1; echo more; touch {done}", streams=streams) as it:
            await until(lambda: it.stdout.received == b"begun\n")
            (session,) = world.commands.sessions
        await until(done.exists)
        async with asyncio.timeout(DEADLINE_S):
            await session.closed.wait()
        assert session.process.returncode == 0


async def test_a_client_that_closes_its_streams_has_left(world: Streaming, tmp_path: Path) -> None:
    done = tmp_path / "done"
    async with world.serving(), world.exec("sh", "-c", f"cat; touch {done}", streams="io") as it:
        it.client.rst(it.error)
        await until(done.exists)


async def test_input_that_nothing_takes_keeps_no_session_for_ever(world: Streaming) -> None:
    async with world.serving():
        async with world.exec("sleep", "3", streams="io") as it:
            (session,) = world.commands.sessions
            await it.client.send(it.stdin, bytes(150_000))
            await until(lambda: session.taken > 0)
        async with asyncio.timeout(DEADLINE_S):
            await session.closed.wait()


async def test_commands_without_clients_are_not_many(world: Streaming) -> None:
    async with world.serving():
        for _ in range(MOST_ORPHANS + 2):
            async with world.exec("sleep", "60", streams="o"):
                pass
        await until(lambda: sum(session.closed.is_set() for session in world.commands.sessions) == 2)
        assert [session.closed.is_set() for session in world.commands.sessions[:3]] == [True, True, False]


@pytest.mark.parametrize("how", ["input ends", "connection ends"])
@pytest.mark.parametrize("size", [1, 200_000, 450_000])
async def test_what_came_before_the_end_is_delivered_before_the_end(
    world: Streaming, tmp_path: Path, size: int, how: str
) -> None:
    """Also to a command that takes its time."""
    kept = tmp_path / "kept"
    async with world.serving():
        async with world.exec("sh", "-c", f"sleep 0.5; cat > {kept}.part; mv {kept}.part {kept}", streams="io") as it:
            await it.client.send(it.stdin, b"x" * size, fin=how == "input ends")
        await until(kept.exists)
    assert kept.stat().st_size == size


async def test_streams_that_are_not_opened_in_time(tmp_path: Path) -> None:
    world = Streaming(tmp_path, StreamTimeouts(creation_s=0.1, linger_s=0.1))
    path = "/exec/web/api-0/app?input=1&output=1&command=cat"
    async with world.serving(), upgraded(world.port, path, world.context) as client:
        await client.open(streamtype="error")
        async with asyncio.timeout(DEADLINE_S):
            await client.closed.wait()
        assert world.commands.sessions[0].closed.is_set()


async def test_an_idle_session_ends_and_pings_keep_one_up(tmp_path: Path) -> None:
    world = Streaming(tmp_path, StreamTimeouts(idle_s=2.0, linger_s=0.1))
    async with world.serving(), world.exec("sleep", "60", streams="o") as idle, world.exec("cat", streams="io") as busy:

        async def ping() -> None:
            while not idle.client.closed.is_set():
                busy.client.ping(1)
                await asyncio.sleep(0.05)

        async with asyncio.timeout(DEADLINE_S):
            await ping()
        assert not busy.client.closed.is_set()


async def test_a_stopping_server_ends_every_session(world: Streaming) -> None:
    async with world.serving():
        async with asyncio.timeout(DEADLINE_S):
            it = await world.exec("sleep", "60", streams="o").__aenter__()
    async with asyncio.timeout(DEADLINE_S):
        await world.commands.sessions[0].closed.wait()
        await it.client.closed.wait()
    it.client.writer.close()


@pytest.mark.parametrize("seed", range(8))
async def test_noise_ends_its_own_session_and_no_other(world: Streaming, seed: int) -> None:
    dice = random.Random(seed)
    async with world.serving(), world.exec("cat", streams="io") as good:
        for _ in range(5):
            async with world.exec("cat", streams="io") as bad:
                bad.client.writer.write(dice.choice([b"\x80\x03\x00\x01", b"\x80\x02", b""]) + dice.randbytes(300))
                bad.client.writer.write(b"\x80\x01" + bytes(6) + bytes(1 << 20))
                await bad.client.writer.drain()
        await good.client.send(good.stdin, b"still here")
        await until(lambda: good.stdout.received == b"still here")
        await until(lambda: sum(not session.closed.is_set() for session in world.commands.sessions) == 1)


async def test_noise_that_is_understood_as_such_is_answered_by_a_goodbye(world: Streaming) -> None:
    async with world.serving(), world.exec("cat", streams="io") as it:
        it.client.writer.write(b"\x80\x09\x00\x01\x00\x00\x00\x00")
        async with asyncio.timeout(DEADLINE_S):
            await it.client.closed.wait()
        assert it.client.goaway == 1


async def test_a_cloud_that_breaks_off_is_told_on_the_error_stream(world: Streaming) -> None:
    async with world.serving(), world.exec("cat", streams="io") as it:
        (session,) = world.commands.sessions

        async def fail() -> None:
            raise CloudUnavailable("the line went dead")

        session.write = lambda data: fail()  # type: ignore[method-assign]
        await it.client.send(it.stdin, b"x")
        await it.client.ended(it.stdout, it.error)
        status = json.loads(it.error.received)
        assert status["message"] == f"{FAILING}: the cloud did not answer as it should: the line went dead"


# --- before the 101 --------------------------------------------------------------------------------------------------


async def refused(world: Streaming, *command: str, **options: object) -> tuple[int, str]:
    with pytest.raises(UpgradeRefused) as caught:
        async with world.exec(*command, **options):  # type: ignore[arg-type]
            pass
    return caught.value.status, caught.value.body


async def test_what_is_refused_before_the_101(world: Streaming) -> None:
    waiting = pod_named("waiting")
    world.add(waiting, instance_of_pod(waiting, ContainerState(StateKind.WAITING, reason="ImagePullBackOff")))
    done = pod_named("done")
    world.add(done, instance_of_pod(done, TERMINATED))
    world.add(pod_named("nowhere"))
    async with world.serving():
        assert await refused(world, "true", tail="/web/nope/app") == (404, "pod does not exist")
        assert await refused(world, "true", tail="/web/api-0/nope") == (500, 'container not found ("nope")')
        for name in ("waiting", "done", "nowhere"):
            assert await refused(world, "true", tail=f"/web/{name}/app") == (500, 'container not found ("app")')
        assert await refused(world, "true", streams="") == (400, "you must specify at least 1 of stdin, stdout, stderr")
        assert await refused(world) == (400, "you must specify at least one command for the container")
        assert (await refused(world, "true", protocols=[]))[0] == 400
        status, text = await refused(world, "true", protocols=["v9.channel.k8s.io"])
        assert (status, "v4.channel.k8s.io" in text) == (403, True)
        assert (await refused(world, "no-such-program"))[0] == 400
        world.commands.failure = InstanceGone("gone")
        assert await refused(world, "true") == (400, "the cloud no longer has the instance of this pod: gone")
        world.commands.failure = CloudUnavailable("down")
        assert (await refused(world, "true"))[0] == 500
    assert world.commands.sessions == []


async def test_a_cloud_without_exec(tmp_path: Path) -> None:
    world = Streaming(tmp_path)
    world.cloud = SmallCloud()
    async with world.serving():
        assert await refused(world, "true") == (501, "this node's cloud cannot run commands in containers")
        async with world.api_server() as session:
            assert (await answer(session, "/run/web/api-0/app?cmd=true", "POST"))[0] == 501


async def test_a_stranger_runs_nothing(world: Streaming) -> None:
    async with world.serving():
        world.pair = world.client_ca.issue("eve")
        assert (await refused(world, "true"))[0] == 403
        world.review.allowed.add(("eve", "get", "proxy"))
        assert (await refused(world, "true", method="GET"))[0] == 403
    assert world.commands.asked == []


# --- run -------------------------------------------------------------------------------------------------------------


async def test_run(world: Streaming) -> None:
    async with world.serving(), world.api_server() as session:
        assert await answer(session, "/run/web/api-0/app?cmd=echo+hello+you", "POST") == (200, "hello you\n")
        assert await answer(session, "/run/web/api-0/uid-api-0/app?cmd=true", "POST") == (200, "")
        assert await answer(session, "/run/web/api-0/app?cmd=false", "POST") == (
            500,
            "command 'false' exited with 1: ",
        )
        status, text = await answer(session, "/run/web/api-0/app?cmd=ls+/no/such", "POST")
        assert (
            status,
            "'ls /no/such' exited with 2: " in text,
            "/no/such: No such" in text or "/no/such'" in text,
        ) == (500, True, True)
        assert (await answer(session, "/run/web/api-0/app", "POST"))[0] == 400
        assert (await answer(session, "/run/web/nope/app?cmd=true", "POST"))[0] == 404
        assert (await answer(session, "/run/web/api-0/app?cmd=true", "GET"))[0] == 405
        world.commands.unknown_exit = True
        status, text = await answer(session, "/run/web/api-0/app?cmd=true", "POST")
        assert (status, text) == (500, "the exit code of the command is not known: the cloud does not tell exit codes")
    assert all(ran.closed.is_set() for ran in world.commands.sessions)


async def test_a_plain_request_is_no_stream(world: Streaming) -> None:
    async with world.serving(), world.api_server() as session:
        status, text = await answer(session, "/exec/web/api-0/app?output=1&command=true", "POST")
        assert (status, text) == (500, "Upgrade request required\n")
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
        async with session.post("/exec/web/api-0/app?output=1&command=true", headers=headers, data=b"body") as response:
            assert response.status == 400
    assert world.commands.sessions == []
