"""One question to one container, over real sockets of this machine."""

import asyncio
import errno
from contextlib import asynccontextmanager

import pytest

from tests.kubelet.commands import LocalCloud
from vk_provider.errors import CloudUnavailable
from vk_provider.model.probe import Exec, Grpc, HttpGet, Probe, TcpSocket
from vk_provider.probes.probe_runner import MOST_READ, ProbeRunner, is_unreachable
from vk_provider.probes.results import SUCCESS, ProbeResult, ProbeTarget
from vk_provider.wire import grpc_health

HERE = ProbeTarget("eci-1", "main", "127.0.0.1")


@asynccontextmanager
async def listening(answer):
    """A server that gives each connection to `answer(reader, writer)`; its port."""

    async def serve(reader, writer):
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def http(*statuses, **headers):
    """Answers with these statuses in turn; `asked` holds the heads of the requests."""
    asked = []

    async def answer(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        status = statuses[min(len(asked), len(statuses)) - 1]
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()

    answer.asked = asked
    return answer


async def silent(reader, writer):
    await reader.read()


@pytest.fixture
async def asker():
    made = ProbeRunner(LocalCloud())
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (301, True), (399, True), (400, False), (500, False)]
)
async def test_http_statuses(asker, status, ok):
    async with listening(http(status)) as port:
        answer = await asker.probe(HERE, Probe(HttpGet(port)))
    assert answer == (SUCCESS if ok else ProbeResult(False, f"HTTP probe failed with statuscode: {status}"))


async def test_http_says_what_the_probe_says(asker):
    headers = (("Host", "shop.example"), ("X-A", "1"), ("x-a", "2"), ("Accept", ""))
    answers = http(200)
    async with listening(answers) as port:
        assert await asker.probe(HERE, Probe(HttpGet(port, path="/health?deep=%2F", headers=headers))) == SUCCESS
    (asked,) = answers.asked
    first, *lines = asked.strip().split("\r\n")
    assert first == "GET /health?deep=%2F HTTP/1.1"
    assert "Host: shop.example" in lines
    assert [line for line in lines if line.lower().startswith("x-a:")] == ["X-A: 1", "X-A: 2"]
    assert [line for line in lines if line.startswith("User-Agent: kube-probe/")]
    assert not [line for line in lines if line.startswith("Accept")]


async def test_a_redirect_is_followed_on_the_same_host_only(asker):
    answers = http(302, 503, Location="/deeper")
    async with listening(answers) as port:
        answer = await asker.probe(HERE, Probe(HttpGet(port, path="/here")))
    assert answer == ProbeResult(False, "HTTP probe failed with statuscode: 503")
    assert [asked.split()[1] for asked in answers.asked] == ["/here", "/deeper"]
    async with listening(http(302, Location="http://elsewhere.example/")) as port:
        assert await asker.probe(HERE, Probe(HttpGet(port))) == SUCCESS


@pytest.mark.parametrize("handler", [HttpGet, TcpSocket, Grpc])
async def test_a_closed_port_is_a_no_from_the_pod(asker, handler):
    async with listening(silent) as port:
        pass
    answer = await asker.probe(HERE, Probe(handler(port)))
    assert (answer.ok, answer.unreached) == (False, False)
    assert "refused" in answer.message or "Connect call failed" in answer.message


@pytest.mark.parametrize("handler", [HttpGet, Grpc])
async def test_silence_has_its_end(asker, handler):
    async with listening(silent) as port:
        answer = await asker.probe(HERE, Probe(handler(port), timeout_s=1))
    assert answer == ProbeResult(False, "no answer within 1s", unreached=True)


async def test_an_open_port_is_enough(asker):
    async with listening(silent) as port:
        assert await asker.probe(HERE, Probe(TcpSocket(port))) == SUCCESS


# --- gRPC ---


def health(status, *, chunk=1 << 16):
    """A health server as HTTP/2 has it: settings first, then headers, message and trailers."""

    async def answer(reader, writer):
        assert await reader.readexactly(len(grpc_health.PREFACE)) == grpc_health.PREFACE
        message = b"\0\0\0\0\x02\x08" + bytes((status,))
        frames = [
            grpc_health.frame(grpc_health.SETTINGS, 0, 0, b"\0\x03\0\0\0\x64"),
            grpc_health.frame(grpc_health.PING, 0, 0, b"12345678"),
            grpc_health.frame(grpc_health.HEADERS, grpc_health.END_HEADERS, 1, b"\x88"),
            grpc_health.frame(grpc_health.DATA, 0, 1, message),
            grpc_health.frame(grpc_health.HEADERS, grpc_health.END_HEADERS | grpc_health.END_STREAM, 1, b"\x88"),
        ]
        data = b"".join(frames)
        for first in range(0, len(data), chunk):
            writer.write(data[first : first + chunk])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    return answer


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (1, SUCCESS),
        (2, ProbeResult(False, 'service unhealthy (responded with "NOT_SERVING")')),
        (3, ProbeResult(False, 'service unhealthy (responded with "SERVICE_UNKNOWN")')),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 16])
async def test_grpc(asker, status, answer, chunk):
    async with listening(health(status, chunk=chunk)) as port:
        assert await asker.probe(HERE, Probe(Grpc(port, "shop"), timeout_s=5)) == answer


async def test_what_is_no_grpc(asker):
    async def http1(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(http1) as port:
        answer = await asker.probe(HERE, Probe(Grpc(port)))
    assert (answer.ok, answer.message) == (False, "the answer is not HTTP/2")


# --- commands ---


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("exit 0", SUCCESS),
        ("echo not yet; exit 3", ProbeResult(False, "not yet")),
        ("exit 3", ProbeResult(False, "command exited with 3")),
        ("exec sleep 60", ProbeResult(False, "command timed out after 1s")),
    ],
)
async def test_commands(asker, script, answer):
    assert await asker.probe(HERE, Probe(Exec(("sh", "-c", script)))) == answer


async def test_of_what_the_cloud_keeps_to_itself_nothing_is_learnt():
    cloud = LocalCloud()
    asker = ProbeRunner(cloud)
    cloud.unknown_exit = True
    assert (await asker.probe(HERE, Probe(Exec(("true",))))).ok is None
    cloud.failure = CloudUnavailable("no answer")
    assert (await asker.probe(HERE, Probe(Exec(("true",))))).ok is None


@pytest.mark.parametrize(
    ("code", "no_way"), [(errno.EHOSTUNREACH, True), (errno.ENETUNREACH, True), (errno.ECONNREFUSED, False)]
)
def test_a_way_that_is_none_is_no_word_of_the_pods(code, no_way):
    assert is_unreachable(OSError(code, "x")) == no_way


class Endless:
    """A session whose command writes for as long as anybody reads."""

    def __init__(self):
        self.read = 0
        self.closed = False

    async def output(self):
        while True:
            await asyncio.sleep(0)
            self.read += 65536
            yield 1, b"x" * 65536

    async def close(self):
        self.closed = True


class Talkative(LocalCloud):
    async def exec(self, instance_id, container, command, *, stdin, tty):
        self.session = Endless()
        return self.session


async def test_a_command_that_never_stops_writing_is_not_read_until_its_timeout():
    """It may be an hour, and a tenant may have many of them."""
    cloud = Talkative()
    answer = await asyncio.wait_for(ProbeRunner(cloud).probe(HERE, Probe(Exec(("yes",)), timeout_s=3600)), 20)
    assert answer.ok is False
    assert "wrote more than 1,048,576 bytes" in answer.message
    assert cloud.session.read <= MOST_READ + 65536
    assert cloud.session.closed
