"""Commands over the cloud's terminal: what is asked, what comes back, and how each server tells the end."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
import pytest
from aiohttp import web

from tests.cloud.terminalserver import TOKEN, V4, V5, TerminalServer, echoes, failure, silently_ends, status
from vk_provider.cloud.base import Channel, SupportsExec
from vk_provider.cloud.eci.exec import Terminals, WebSocketSession
from vk_provider.errors import CloudRefused, CloudUnavailable, InstanceGone

DEADLINE_S = 60.0
OUT, ERR = Channel.STDOUT, Channel.STDERR


@pytest.fixture
async def terminal(eci):
    server = TerminalServer(eci)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def opened(make_client, terminal):
    """Opens sessions, and closes them and their pool at the end."""
    terminals, sessions = [], []

    async def open_(command=("sh",), *, stdin=True, tty=False, **pace):
        terminals.append(Terminals(make_client().call, **pace))
        sessions.append(await terminals[-1].open("eci-1", "app", command, stdin=stdin, tty=tty))
        return sessions[-1]

    yield open_
    for session in sessions:
        await session.close()
    for each in terminals:
        await each.close()


async def everything(session):
    """All output by channel, and the result."""
    said = {OUT: bytearray(), ERR: bytearray()}
    async with asyncio.timeout(DEADLINE_S):
        async for channel, data in session.output():
            said[channel] += data
        return bytes(said[OUT]), bytes(said[ERR]), await session.result()


# --- what is asked ----------------------------------------------------------------------------------------------------


async def test_the_driver_runs_commands(cloud, terminal):
    assert isinstance(cloud, SupportsExec)
    session = await cloud.exec("eci-1", "app", ["sh", "-c", "echo ü"], stdin=False, tty=False)
    out, err, result = await everything(session)
    assert (out, err, result.exit_code) == (b"out", b"err", 0)
    (asked,) = terminal.asked
    assert json.loads(asked["Command"]) == ["sh", "-c", "echo ü"]
    wanted = {"ContainerGroupId": "eci-1", "ContainerName": "app", "Stdin": "false", "TTY": "false", "Sync": "false"}
    assert wanted.items() <= asked.items()
    assert terminal.offered == ["v5.channel.k8s.io,v4.channel.k8s.io,channel.k8s.io"]
    assert terminal.paths == [f"/exec/?s={TOKEN}"]
    await session.close()
    await cloud.close()


async def test_the_command_is_no_part_of_the_url(eci, opened, terminal):
    from vk_provider.cloud.eci import calls

    asked = calls.exec_command("eci-1", "app", ["echo", "password"], stdin=True, tty=False)
    assert (asked.method, list(asked.body)) == ("POST", ["Command"])
    assert "password" not in repr(asked)


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        pytest.param([], "no command", id="nothing"),
        pytest.param(["x"] * 21, "at most 20", id="words"),
        pytest.param(["sh", "-c", "x" * 257], "word 3 of the command has 257 characters", id="one word"),
        pytest.param(["é" * 120] * 9, "at most 2048", id="bytes of all"),
    ],
)
async def test_a_command_too_long_is_refused_before_anything_is_asked(cloud, eci, terminal, command, limit):
    with pytest.raises(CloudRefused, match=limit):
        await cloud.exec("eci-1", "app", command, stdin=True, tty=False)
    assert eci.count("ExecContainerCommand") == 0


async def test_the_longest_command_passes(opened, terminal):
    command = ["sh", "-c", "x" * 256, *["y" * 100] * 16, "z"]
    await everything(await opened(command))
    assert json.loads(terminal.asked[0]["Command"]) == command


@pytest.mark.parametrize(
    ("status_code", "code", "kind"),
    [(404, "InvalidParameter.NotFound", InstanceGone), (400, "IncorrectStatus", CloudRefused)],
)
async def test_the_clouds_refusals(cloud, eci, terminal, status_code, code, kind):
    eci.fail("ExecContainerCommand", status_code, code)
    with pytest.raises(kind):
        await cloud.exec("eci-1", "app", ["ls"], stdin=False, tty=False)


@pytest.mark.parametrize(
    "address", ["", "https://example.invalid/", "ws://127.0.0.1:1/exec/?s=token-to-hide", "ws://["]
)
async def test_an_address_that_leads_nowhere(cloud, terminal, address):
    terminal.address = address
    with pytest.raises(CloudUnavailable) as caught:
        await cloud.exec("eci-1", "app", ["ls"], stdin=False, tty=False)
    assert "token-to-hide" not in str(caught.value)
    await cloud.close()


async def test_the_token_is_said_nowhere(cloud, terminal, caplog):
    caplog.set_level(logging.DEBUG)
    terminal.refusal = 403
    with pytest.raises(CloudUnavailable, match="HTTP 403") as caught:
        await cloud.exec("eci-1", "app", ["ls"], stdin=False, tty=False)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    terminal.refusal = None
    session = await cloud.exec("eci-1", "app", ["ls"], stdin=False, tty=False)
    await everything(session)
    await session.close()
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("vk_provider"))
    assert "command started" in ours
    assert "s3cr" not in ours
    await cloud.close()


# --- how it ended -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocols", "words", "exit_code", "message"),
    [
        pytest.param((V4,), {"status": "Success"}, 0, "", id="success"),
        pytest.param((V4,), failure("7"), 7, "it failed", id="exit code"),
        pytest.param((V4,), failure(None, "no such file"), None, "no such file", id="failed to start"),
        pytest.param((V4,), failure("x"), None, "it failed", id="exit code is no number"),
        pytest.param((V4,), {"status": "Failure", "details": [1]}, None, "command failed", id="strange details"),
        pytest.param((), failure("7"), 7, "it failed", id="status though no protocol was picked"),
        pytest.param(("channel.k8s.io",), "terminated: exit status 9", 9, "exit status 9", id="exit code in words"),
        pytest.param(("channel.k8s.io",), "could not 9", None, "could not 9", id="words without"),
        pytest.param((V4,), "[1]", None, "[1]", id="no object"),
    ],
)
async def test_channel_3_tells_how_it_ended(opened, terminal, protocols, words, exit_code, message):
    terminal.protocols = protocols
    terminal.talk = lambda socket: status(socket, words)
    _, _, result = await everything(await opened())
    assert result.exit_code == exit_code
    assert message in result.message


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",), (V4,)])
async def test_silence_is_never_taken_for_success(opened, terminal, protocols):
    terminal.protocols, terminal.talk = protocols, silently_ends
    out, _, result = await everything(await opened())
    assert (out, result.exit_code) == (b"out", None)
    assert "does not say" in result.message


async def test_a_broken_connection_is_told_from_an_end(opened, terminal):
    async def breaks(socket):
        await socket.send_bytes(b"\x01half")
        socket._req.transport.abort()

    terminal.talk = breaks
    out, _, result = await everything(await opened())
    assert out in (b"half", b"")
    assert result.exit_code is None
    assert "broke" in result.message


async def test_a_server_that_does_not_hang_up_after_the_status(opened, terminal):
    left = asyncio.Event()

    async def stays(socket):
        await status(socket, failure("3"))
        await left.wait()

    terminal.talk = stays
    _, _, result = await everything(await opened())
    left.set()
    assert result.exit_code == 3


async def test_noise_is_passed_over(opened, terminal):
    async def noise(socket):
        await socket.send_bytes(b"")
        await socket.send_bytes(b"\x09what")
        await socket.send_bytes(b"\xff\x01")
        await socket.send_str("\x01text frame")
        await status(socket, failure("1"))

    terminal.talk = noise
    out, err, result = await everything(await opened())
    assert (out, err, result.exit_code) == (b"text frame", b"", 1)


# --- input ------------------------------------------------------------------------------------------------------------


async def test_end_of_input_where_the_server_knows_it(opened, terminal):
    terminal.talk = echoes
    session = await opened()
    await session.write(b"x")
    await session.close_stdin()
    out, _, result = await everything(session)
    assert (out, result.exit_code) == (b"x", 0)


async def test_end_of_input_where_the_server_does_not_know_it(opened, terminal):
    terminal.protocols, terminal.talk = (V4,), echoes
    session = await opened(quiet_s=0.2)
    await session.write(b"x")
    await session.close_stdin()
    out, _, result = await everything(session)
    assert (out, result.exit_code) == (b"x", None)
    assert "given up after 0.2 s" in result.message
    assert "end of its input" in result.message


async def test_an_exit_code_needs_no_end_of_input(opened, terminal):
    terminal.protocols = (V4,)
    session = await opened()
    await session.close_stdin()
    assert (await everything(session))[2].exit_code == 0


@pytest.mark.parametrize("given", ["no end of input", "terminal", "working"])
async def test_who_is_not_stuck_is_not_given_up(opened, terminal, given):
    done = asyncio.Event()

    async def waits(socket):
        if given == "working":
            for _ in range(8):
                await asyncio.sleep(0.05)
                await socket.send_bytes(b"\x01.")
        else:
            await asyncio.wait_for(done.wait(), DEADLINE_S)
        await status(socket, {"status": "Success"})

    terminal.protocols, terminal.talk = (V4,), waits
    session = await opened(tty=given == "terminal", quiet_s=0.2)
    if given != "no end of input":
        await session.close_stdin()
    asyncio.get_running_loop().call_later(0.5, done.set)
    assert (await everything(session))[2].exit_code == 0


async def test_fifty_megabytes_there_and_back(opened, terminal):
    terminal.talk = echoes
    session = await opened()
    piece, count, got = bytes(range(256)) * 4096, 50, 0

    async def feed():
        for _ in range(count):
            await session.write(piece)
        await session.close_stdin()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(feed())
        async for _, data in session.output():
            assert data == piece[got % len(piece) :][: len(data)]
            got += len(data)
    assert got == count * len(piece)
    assert (await session.result()).exit_code == 0


async def test_who_does_not_read_stops_the_server(opened, terminal):
    sent = 0

    async def floods(socket):
        nonlocal sent
        for _ in range(2000):
            await socket.send_bytes(b"\x01" + bytes(32 * 1024))
            sent += 1
        await status(socket, {"status": "Success"})

    terminal.talk = floods
    session = await opened()
    before = -1
    async with asyncio.timeout(DEADLINE_S):
        while sent == 0 or sent != before:
            before = sent
            await asyncio.sleep(0.2)
    assert sent < 1000  # what sockets and buffers hold
    out, _, result = await everything(session)
    assert (len(out), result.exit_code) == (2000 * 32 * 1024, 0)


async def test_who_is_not_read_from_waits(opened, terminal):
    may_end = asyncio.Event()
    terminal.talk = lambda socket: asyncio.wait_for(may_end.wait(), DEADLINE_S)
    session = await opened()
    writing = asyncio.create_task(session.write(bytes(64 * 1024 * 1024)))
    done, _ = await asyncio.wait([writing], timeout=0.5)
    assert not done
    async with asyncio.timeout(DEADLINE_S):
        await session.close()  # also with all that input on its way
        await writing
    may_end.set()


async def test_input_after_the_end_is_dropped(opened, terminal):
    session = await opened()
    await everything(session)
    await session.write(b"late")
    await session.resize(width=1, height=1)
    await session.close_stdin()
    assert (await session.result()).exit_code == 0


# --- terminal and end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tty", "expected"), [(True, [b'\x04{"Width": 90, "Height": 33}', b"\x00."]), (False, [b"\x00."])]
)
async def test_resize(opened, terminal, tty, expected):
    got = []

    async def listens(socket):
        while not got or got[-1] != b"\x00.":
            got.append((await socket.receive()).data)
        await status(socket, {"status": "Success"})

    terminal.talk = listens
    session = await opened(tty=tty)
    await session.resize(width=90, height=33)
    await session.write(b".")
    await everything(session)
    assert got == expected
    assert terminal.asked[0]["TTY"] == ("true" if tty else "false")


async def test_a_silent_session_is_kept_known(opened, terminal):
    pinged = asyncio.Event()

    async def listens(socket):
        async with asyncio.timeout(DEADLINE_S):
            while (await socket.receive()).type.name != "PING":
                continue
        pinged.set()
        await status(socket, {"status": "Success"})

    async def connect_without_pong(socket):
        socket._autoping = False
        await listens(socket)

    terminal.talk = connect_without_pong
    assert (await everything(await opened(ping_s=0.05)))[2].exit_code == 0
    assert pinged.is_set()


async def test_close_ends_whoever_reads(opened, terminal):
    terminal.talk = echoes
    session = await opened()
    reading = asyncio.create_task(everything(session))
    await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        await session.close()
        _, _, result = await reading
        await session.close()
    assert result.exit_code is None


def test_the_order_of_the_offer():
    from vk_provider.cloud.eci.exec import PROTOCOLS

    assert PROTOCOLS[:2] == (V5, V4)


def test_a_session_is_closed_on_the_loop_that_we_run_on() -> None:
    """uvloop's sockets can do less than asyncio's."""
    uvloop = pytest.importorskip("uvloop")
    ended = asyncio.Event()

    async def listens(http: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(V5,))
        await socket.prepare(http)
        async for _ in socket:
            pass
        ended.set()
        return socket

    async def play() -> None:
        app = web.Application()
        app.router.add_get("/", listens)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as client:
                connection = await client.ws_connect(f"http://127.0.0.1:{runner.addresses[0][1]}/", protocols=(V5,))
                await WebSocketSession(connection, tty=False).close()
                await ended.wait()
        finally:
            await runner.cleanup()

    uvloop.run(play())
