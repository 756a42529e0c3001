"""The door for probes: /livez, /readyz and /healthz over plain HTTP, which anybody may ask and which tells no secret.

Fails closed: so many connections at once, so long and so much for a request, and the connection ends with its answer.
`/livez` fails only where a new process would have a chance to do better; `/readyz` where anything is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from vk_provider.errors import ConfigError
from vk_provider.health import Fault, Health

log = logging.getLogger(__name__)

MOST_AT_ONCE = 32
DEADLINE_S = 5.0
MOST_HEAD = 8 * 1024  # bytes
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


class HealthServer:
    """address: `host:port` or `:port`; port 0 takes a free one. metrics: what /metrics serves; None = there is none."""

    def __init__(self, health: Health, address: str, *, metrics: Callable[[], str] | None = None) -> None:
        self._health = health
        self._metrics = metrics
        self._address = address
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """Raises RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("the health endpoint is not serving yet")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had."""
        host, _, port = self._address.rpartition(":")
        try:
            self._server = await asyncio.start_server(self._serve, host.strip("[]") or None, int(port), limit=MOST_HEAD)
        except OSError as error:
            advice = f"--health-address: cannot listen at {self._address}: {error.strerror or error}; choose another"
            raise ConfigError([advice]) from error
        log.info("health endpoint serves at port %d", self.port)

    async def stop(self) -> None:
        """Ends at once; a probe that is being answered is answered."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_AT_ONCE:
                async with asyncio.timeout(DEADLINE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head))
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            pass  # who asks for nothing gets nothing
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        kind = "text/plain; charset=utf-8"
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        if method not in ("GET", "HEAD"):
            status, text = 405, "only GET and HEAD"
        elif (name := path.strip("/")) in ("livez", "readyz", "healthz"):
            faults = self._health.faults(restart_helps=True if name == "livez" else None)
            status, text = result_of(name, faults, verbose="verbose" in query.split("&"))
        elif name == "metrics" and self._metrics is not None:
            status, text, kind = 200, self._metrics().removesuffix("\n"), "text/plain; version=0.0.4; charset=utf-8"
        else:
            status, text = 404, "there are /livez, /readyz and /healthz"
        body = f"{text}\n".encode()
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {kind}",
            "X-Content-Type-Options: nosniff",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "\r\n",
        )
        return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)


def result_of(name: str, faults: Mapping[str, Fault | None], *, verbose: bool = False) -> tuple[int, str]:
    """Status and text as an API server words them."""
    is_well = not any(faults.values())
    if is_well and not verbose:
        return 200, "ok"
    lines = [f"[-]{key} failed: {fault.message}" if fault else f"[+]{key} ok" for key, fault in faults.items()]
    return 200 if is_well else 500, "\n".join([*lines, f"{name} check {'passed' if is_well else 'failed'}"])
