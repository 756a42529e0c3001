"""The bytes of one health check, against those of other implementations of HTTP/2 and HPACK."""

import pytest

from vk_provider.wire.grpc_health import HealthCheck, NoHealth

SETTINGS = bytes.fromhex("000000040000000000")
ANSWER = bytes.fromhex("00000700000000000100000000020801")
TRAILERS = bytes.fromhex("00000101050000000188")


def frames(data):
    found = []
    while data:
        length = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def fields(block):
    """Plain literals: a zero, a name and a value, each with its length before it."""
    found = {}
    while block:
        texts, block = [], block[1:]
        for _ in range(2):
            size, block = block[0], block[1:]
            texts.append(block[:size].decode())
            block = block[size:]
        found[texts[0]] = texts[1]
    return found


def test_the_request():
    sent = HealthCheck("10.0.0.1:9000", "shop").data_to_send()
    assert sent.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    settings, headers, data = frames(sent[24:])
    assert settings == (4, 0, 0, b"")
    assert headers[:3] == (1, 4, 1)
    assert fields(headers[3]) == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": "10.0.0.1:9000",
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "kube-probe",
    }
    assert data == (0, 1, 1, b"\0\0\0\0\x06\x0a\x04shop")
    assert frames(HealthCheck("a:1", "").data_to_send()[24:])[2][3] == bytes(5)


def test_a_long_service_name():
    data = frames(HealthCheck("a:1", "x" * 300).data_to_send()[24:])[2][3]
    assert data == b"\0\0\0\x01\x2f\x0a\xac\x02" + b"x" * 300


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_answer_in_pieces_of_any_size(size):
    check = HealthCheck("a:1", "")
    check.data_to_send()
    data = SETTINGS + ANSWER + TRAILERS
    answers = []
    for first in range(0, len(data), size):
        answers.append(check.receive(data[first : first + size]))
        if answers[-1]:
            break
    assert answers[-1] == "SERVING"
    assert check.data_to_send() == bytes.fromhex("000000040100000000"), "settings are acknowledged"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "ended", id="closed"),
        pytest.param(TRAILERS, "no health status", id="trailers only: unimplemented"),
        pytest.param(bytes.fromhex("00000403000000000100000007"), "broke", id="reset"),
        pytest.param(bytes.fromhex("0000080700000000000000000000000000"), "broke", id="goaway"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not HTTP/2", id="http 1"),
        pytest.param(bytes.fromhex("00000700000000000101000000020801"), "cannot be read", id="compressed"),
    ],
)
def test_no_answer(data, words):
    with pytest.raises(NoHealth, match=words):
        HealthCheck("a:1", "").receive(data)


@pytest.mark.parametrize(("body", "status"), [("", "UNKNOWN"), ("0802", "NOT_SERVING"), ("0803", "SERVICE_UNKNOWN")])
def test_statuses(body, status):
    message = bytes((0, 0, 0, 0, len(body) // 2)) + bytes.fromhex(body)
    data = len(message).to_bytes(3, "big") + bytes.fromhex("000000000001") + message
    assert HealthCheck("a:1", "").receive(data) == status


def test_padding_is_no_part_of_the_message():
    message = b"\x03" + bytes.fromhex("00000000020801") + bytes(3)
    data = len(message).to_bytes(3, "big") + bytes.fromhex("000800000001") + message
    assert HealthCheck("a:1", "").receive(data) == "SERVING"


def test_a_ping_is_answered():
    check = HealthCheck("a:1", "")
    check.data_to_send()
    assert check.receive(bytes.fromhex("000008060000000000") + b"12345678") is None
    assert check.data_to_send() == bytes.fromhex("000008060100000000") + b"12345678"
