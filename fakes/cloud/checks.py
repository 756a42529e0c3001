"""One question to a running container: a command's exit code, an open port, an HTTP status."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from yarl import URL

from fakes.cloud.errors import ApiError
from fakes.cloud.parameters import Json
from fakes.cloud.runtime import ExecResult

MOST_REDIRECTS = 10
Run = Callable[[Sequence[str]], Awaitable[ExecResult]]


async def failure(probe: Json, run: Run, host: str, timeout_s: float) -> str:
    """Why the check failed, as a kubelet words it; empty when it passed. host: where the container's ports are."""
    try:
        async with asyncio.timeout(timeout_s):
            if "Exec" in probe:
                result = await run(probe["Exec"].get("Command", []))
                return "" if result.code == 0 else result.output.decode(errors="replace") or f"exit code {result.code}"
            if "TcpSocket" in probe:
                socket = probe["TcpSocket"]
                _, writer = await asyncio.open_connection(socket.get("Host") or host, socket.get("Port", 0))
                await _close(writer)
                return ""
            status = await _http_status(probe["HttpGet"], host)
            return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"
    except TimeoutError:
        return "context deadline exceeded"
    except (OSError, ApiError, ValueError) as error:
        return str(error)


async def _http_status(get: Json, host: str) -> int:
    """The status of a GET, redirects to the same host followed. Raises ValueError when an answer is none.

    A redirect to another host is an answer too, and a good one.
    """
    host = get.get("Host") or host
    url = URL.build(scheme=get.get("Scheme", "HTTP").lower(), host=host, port=get.get("Port", 80))
    url = url.join(URL(get.get("Path") or "/", encoded=True))
    for _ in range(MOST_REDIRECTS):
        status, location = await _get(url, get.get("HttpHeader", []))
        target = url.join(URL(location)) if location and status in (301, 302, 303, 307, 308) else None
        if target is None or target.host != url.host:
            return status
        url = target
    raise ValueError(f"stopped after {MOST_REDIRECTS} redirects")


async def _get(url: URL, more: Sequence[Json]) -> tuple[int, str]:
    """Status and Location of one answer; nobody's certificate is checked."""
    headers = {"Host": f"{url.host}:{url.port}", "User-Agent": "kube-probe/1"}
    headers |= {each["Name"]: each.get("Value", "") for each in more}
    reader, writer = await asyncio.open_connection(
        url.host, url.port, ssl=_unverified() if url.scheme == "https" else None
    )
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {url.raw_path_qs} HTTP/1.0\r\n{lines}\r\n".encode())
        words = (await reader.readline()).split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise ValueError("the answer is not HTTP")
        location = ""
        while (line := (await reader.readline()).decode("latin-1").strip()) and not location:
            name, _, value = line.partition(":")
            location = value.strip() if name.lower() == "location" else ""
        return int(words[1]), location
    finally:
        await _close(writer)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
