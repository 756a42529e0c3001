"""ExecContainerCommand: at once, and over the WebSocket in its three manners of speaking."""

import asyncio
import json

import aiohttp
import pytest
from aliyunsdkcore.acs_exception.exceptions import ServerException

from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_process import IMAGES, create, needs_sandbox, shell

pytestmark = needs_sandbox


@pytest.fixture
async def running(start, tmp_path):
    """A client and the id of a group whose container sleeps in a directory of its own."""
    cloud = await start(runtime="process", images=IMAGES.format(root=tmp_path), state_dir=tmp_path / "state")
    acs = Acs(cloud.endpoint)
    variables = {"Container__1__EnvironmentVar__1__Key": "A", "Container__1__EnvironmentVar__1__Value": "b c"}
    group_id = await create(
        acs, **shell("echo mine > /tmp/x; echo up; exec sleep 1000"), **variables, Container__1__WorkingDir="/usr"
    )
    await acs.until_log(group_id, "up")
    return acs, group_id


async def command(running, words, **more):
    acs, group_id = running
    return await acs.action(
        "ExecContainerCommand", ContainerGroupId=group_id, ContainerName="main", Command=json.dumps(words), **more
    )


@pytest.mark.parametrize("user", [None, "1000"])
async def test_sync(start, tmp_path, user):
    cloud = await start(runtime="process", images=IMAGES.format(root=tmp_path), state_dir=tmp_path / "state")
    acs = Acs(cloud.endpoint)
    more = {"Container__1__SecurityContext__RunAsUser": user} if user else {}
    variables = {"Container__1__EnvironmentVar__1__Key": "A", "Container__1__EnvironmentVar__1__Value": "b c"}
    group_id = await create(
        acs,
        **shell("echo mine > /tmp/x; echo up; exec sleep 1000"),
        **variables,
        **more,
        Container__1__WorkingDir="/usr",
    )
    await acs.until_log(group_id, "up")
    script = "pwd; cat /tmp/x; echo $A; id -u; echo oops >&2; tr '\\0' ' ' < /proc/1/cmdline"
    answer = await command((acs, group_id), ["sh", "-c", script], Sync=True, Stdin=False)
    assert answer["SyncResponse"] == f"/usr\nmine\nb c\n{user or 0}\noops\nsleep 1000 "


class Socket:
    """Reads a session to its end: text by channel."""

    def __init__(self, socket):
        self.socket = socket
        self.text = {1: b"", 2: b"", 3: b""}

    async def send(self, channel, data):
        await self.socket.send_bytes(bytes([channel]) + data)

    async def until(self, channel, text):
        async with asyncio.timeout(60):
            while text not in self.text[channel]:
                assert await self.step(), self.text

    async def step(self):
        message = await self.socket.receive(timeout=60)
        if message.type != aiohttp.WSMsgType.BINARY:
            return False
        self.text[message.data[0]] += message.data[1:]
        return True

    async def end(self):
        while await self.step():
            continue
        return self.text


@pytest.fixture
async def connect(running):
    async with aiohttp.ClientSession() as session:

        async def begin(words, protocols=("v4.channel.k8s.io",), **more):
            answer = await command(running, words, **more)
            return Socket(await session.ws_connect(answer["WebSocketUri"], protocols=protocols))

        yield begin


async def test_channels_and_exit_code(connect):
    socket = await connect(["sh", "-c", "echo out; echo err >&2; exit 7"])
    text = await socket.end()
    assert (text[1], text[2]) == (b"out\n", b"err\n")
    status = json.loads(text[3])
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_success_is_told(connect):
    assert json.loads((await (await connect(["true"])).end())[3])["status"] == "Success"


async def test_without_a_sub_protocol_nothing_but_output(connect):
    socket = await connect(["sh", "-c", "echo out; exit 7"], protocols=())
    assert await socket.end() == {1: b"out\n", 2: b"", 3: b""}


async def test_the_older_sub_protocol_tells_in_words(connect):
    socket = await connect(["sh", "-c", "exit 7"], protocols=("channel.k8s.io",))
    assert b"exit status 7" in (await socket.end())[3]


async def test_stdin(connect):
    socket = await connect(["head", "-n", "1"])
    await socket.send(0, b"typed\n")
    assert (await socket.end())[1] == b"typed\n"


async def test_terminal(connect):
    socket = await connect(["sh"], TTY=True)
    await socket.send(4, json.dumps({"Width": 90, "Height": 33}).encode())
    await socket.send(0, b"stty size; tty; exit 3\n")
    text = await socket.end()
    assert b"33 90" in text[1]
    assert json.loads(text[3])["details"]["causes"][0]["message"] == "3"


async def test_a_client_that_leaves_ends_the_command(connect, running):
    socket = await connect(["sh", "-c", "echo $$; exec sleep 77731"])
    await socket.until(1, b"\n")
    await socket.socket.close()

    async def gone():
        answer = await command(running, ["sh", "-c", "cat /proc/[0-9]*/cmdline"], Sync=True)
        return "77731" not in answer["SyncResponse"]

    await eventually(gone)


async def test_a_session_is_good_for_one_connection(running):
    answer = await command(running, ["true"])
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(answer["WebSocketUri"])
        await socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(answer["WebSocketUri"])


@pytest.mark.parametrize(
    ("words", "more", "code"),
    [
        pytest.param(["x"] * 21, {}, "InvalidParameter.ValueExceeded", id="too many words"),
        pytest.param(["x" * 257], {}, "InvalidParameter.ValueExceeded", id="word too long"),
        pytest.param("ls", {}, "InvalidParameter", id="no list"),
        pytest.param(["ls"], {"Sync": True, "TTY": True}, "InvalidParameter", id="sync with a terminal"),
    ],
)
async def test_refusals(running, words, more, code):
    with pytest.raises(ServerException) as caught:
        await command(running, words, **more)
    assert caught.value.get_error_code() == code


async def test_only_in_a_running_container(running):
    acs, group_id = running
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id, Force=True)
    await acs.until_container(group_id, State="Terminated")
    with pytest.raises(ServerException) as caught:
        await command(running, ["true"], Sync=True)
    assert caught.value.get_error_code() == "IncorrectStatus"
