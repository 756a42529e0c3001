"""A kubelet for tests: says back what it was asked, over TLS, and streams when told to follow."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Kubelet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Nothing: the tests assert on what comes back."""

    def do_GET(self) -> None:
        if "/exec/" in self.path or "/attach/" in self.path:
            return self._echo()
        if "/missing" in self.path:
            return self._text(404, 'pod "missing" does not exist\n')
        if "/waiting" in self.path:
            return self._text(400, 'container "c" in pod "waiting" is waiting to start: ContainerCreating')
        if "follow=true" in self.path:
            return self._follow()
        return self._text(200, f"asked {self.path}\n")

    def do_POST(self) -> None:
        self.do_GET()

    def _text(self, status: int, text: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _follow(self) -> None:
        """One line at once, the second only after the test says so."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"6\r\nfirst\n\r\n")
        self.wfile.flush()
        GO_ON.wait(20)
        self.wfile.write(b"7\r\nsecond\n\r\n0\r\n\r\n")

    def _echo(self) -> None:
        """Agree to an upgrade, then say back every byte until the client has had enough."""
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        self.wfile.write(self.path.encode() + b"\n")
        while line := self.rfile.readline():
            self.wfile.write(line)
        self.close_connection = True


GO_ON = threading.Event()


@contextmanager
def kubelet(folder: Path, address: str) -> Iterator[int]:
    """A running kubelet's port at this address."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubelet"]
    command += ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "crt", folder / "key")
    server = ThreadingHTTPServer((address, 0), _Kubelet)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        GO_ON.set()
        server.shutdown()
        thread.join()
        server.server_close()
        GO_ON.clear()
