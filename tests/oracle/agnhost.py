"""Stands for Kubernetes' test image agnhost, as far as the cases use it; runs alone, as a container's program.

agnhost.py liveness               GET /healthz on 8080: 200 for ten seconds, then 500
agnhost.py grpc-health-checking   grpc.health.v1.Health on 5000: SERVING, whatever is asked
"""

import os
import signal
import socket
import socketserver
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WELL_FOR_S = 10
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6  # RFC 9113, 6
ACK, END_STREAM, END_HEADERS = 1, 1, 4
SERVING = b"\0" + struct.pack(">I", 2) + b"\x08\x01"  # a message of gRPC: not compressed, its length, status = 1


class Liveness(BaseHTTPRequestHandler):
    began = time.monotonic()

    def do_GET(self) -> None:
        since = time.monotonic() - self.began
        good = since <= WELL_FOR_S
        body = b"ok" if good else f"error: {since:f}".encode()
        self.send_response(200 if good else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Health(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.read(24)  # the preface
        self._send(SETTINGS, 0, 0)
        while head := self.rfile.read(9):
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            body = self.rfile.read(length)
            if kind == SETTINGS and not flags & ACK:
                self._send(SETTINGS, ACK, 0)
            elif kind == PING and not flags & ACK:
                self._send(PING, ACK, 0, body)
            elif kind in (HEADERS, DATA) and flags & END_STREAM:
                self._answer(stream)

    def _answer(self, stream: int) -> None:
        self._send(HEADERS, END_HEADERS, stream, b"\x88" + _literal(b"content-type", b"application/grpc"))  # 0x88: 200
        self._send(DATA, 0, stream, SERVING)
        self._send(HEADERS, END_HEADERS | END_STREAM, stream, _literal(b"grpc-status", b"0"))

    def _send(self, kind: int, flags: int, stream: int, body: bytes = b"") -> None:
        self.wfile.write(len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body)


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing (RFC 7541, 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(2))  # as a Go program that is a container's first process
    if sys.argv[1:2] == ["liveness"]:
        ThreadingHTTPServer(("", 8080), Liveness).serve_forever()
    elif sys.argv[1:2] == ["grpc-health-checking"]:
        Server(("", 5000), Health).serve_forever()
    else:
        time.sleep(1 << 30)
