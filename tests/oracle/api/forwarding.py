"""What is done through a forwarded port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.oracle.api.plain import summed

MIB = bytes(range(256)) * 4096
_ASK = b"GET / HTTP/1.0\r\n\r\n"
_SHORT = 400  # bytes that are shown as they are


def talk(port: int, words: str, *, half_close: bool, delete: Callable[[], None]) -> Any:
    """What comes back. words: what is sent, or one of the dialogues below."""
    match words:
        case "page":
            head = send(port, _ASK, half_close=False).split("\r\n")[0]
            return f"{head} {send(port, _ASK, half_close=True)[-5:]}"
        case "two at once":
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(lambda byte: send(port, byte * 300_000, half_close=True), (b"A", b"B")))
        case "x twice":
            return [send(port, b"x", half_close=False) for _ in range(2)]
        case "until deleted":
            return _until_deleted(port, delete)
        case "MIB":
            return send(port, MIB, half_close=half_close)
    count, _, what = words.partition(" ")
    return send(port, what.encode() * int(count) if what else words.encode(), half_close=half_close)


def send(port: int, data: bytes, *, half_close: bool, seconds: float = 10) -> str:
    """The answer: all of it after a half close, else as much as was sent. Raises OSError if there is no connection."""
    with socket.create_connection(("127.0.0.1", port), seconds) as link:
        link.settimeout(seconds)

        def give() -> None:
            try:
                link.sendall(data)
                if half_close:
                    link.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # what came back until then tells it

        threading.Thread(target=give, daemon=True).start()
        got = bytearray()
        try:
            while (half_close or len(got) < len(data)) and (piece := link.recv(65536)):
                got += piece
        except TimeoutError:
            got += b" TIMEOUT"
        except ConnectionError as error:
            got += f" {type(error).__name__}".encode()
    return got.decode(errors="replace") if len(got) < _SHORT else summed(bytes(got))


def _until_deleted(port: int, delete: Callable[[], None]) -> list[str]:
    with socket.create_connection(("127.0.0.1", port), 5) as link:
        link.settimeout(20)
        link.sendall(b"z")
        first = link.recv(1).decode()
        delete()
        try:
            return [first, link.recv(1).decode()]
        except OSError as error:
            return [first, type(error).__name__]
