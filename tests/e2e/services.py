"""Service addresses without a kube-proxy: each is ours in the run's network, and what comes to it is passed on."""

import socket
import threading
from contextlib import suppress

from tests.e2e import network


class ServiceAddress:
    """Passes on every connection to `address:port` to a port at another address of ours."""

    def __init__(self, address: str, port: int, *, to: tuple[str, int], label: str) -> None:
        self._to = to
        network.add(address, f"lo:{label}")
        self._door = socket.create_server((address, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._door.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
                called = socket.create_connection(self._to, timeout=10)
            except OSError:
                if self._door.fileno() < 0:
                    return
                with suppress(OSError, UnboundLocalError):
                    caller.close()  # nobody listens there (yet)
                continue
            called.settimeout(None)
            threading.Thread(target=_carry, args=(caller, called), daemon=True).start()


def _carry(caller: socket.socket, called: socket.socket) -> None:
    """Both ways, until both have ended."""
    with caller, called:
        back = threading.Thread(target=_pump, args=(called, caller), daemon=True)
        back.start()
        _pump(caller, called)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
