"""Asks a container what a probe wants to know: by a command in it, or at the pod's address.

An answer is yes, no, or nothing learnt. The last is for what says more of the way than of the container: a cloud that
does not open a session, a command whose exit code cannot be had.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vk_provider.cloud.base import Cloud, ExecSession, SupportsExec
from vk_provider.errors import CloudError
from vk_provider.model.probe import Exec, Grpc, HttpGet, Probe, TcpSocket
from vk_provider.wire.grpc_health import HealthCheck, NoHealth

OPEN_S = 10.0  # for the cloud to open a session, which is not the container's own time
CLOSE_S = 2.0
MOST_OUTPUT = 1024  # bytes of a command's output that are shown
MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Where a container is: its instance, its name, the pod's address."""

    instance_id: str
    container: str
    ip: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """ok None: nothing was learnt. unreached: no packet came back, from the pod or from anything else."""

    ok: bool | None
    message: str = ""
    unreached: bool = False


SUCCESS = ProbeResult(True)


class ProbeRunner:
    """Every question has its deadline and leaves nothing open behind. Raises nothing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, place: ProbeTarget, probe: Probe) -> ProbeResult:
        match probe.handler:
            case Exec(command):
                return await self._exec(place, command, probe.timeout_s)
            case HttpGet():
                return await self._timed(self._http(place, probe.handler), probe)
            case TcpSocket(port):
                return await self._timed(_tcp(place.ip, port), probe)
            case Grpc(port, service):
                return await self._timed(_grpc(place.ip, port, service), probe)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _timed(self, question: Awaitable[ProbeResult], probe: Probe) -> ProbeResult:
        try:
            async with asyncio.timeout(probe.timeout_s):
                return await question
        except TimeoutError:
            return ProbeResult(False, f"no answer within {probe.timeout_s}s", unreached=True)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return ProbeResult(False, str(error) or type(error).__name__, unreached=is_unreachable(error))

    # --- commands ---

    async def _exec(self, place: ProbeTarget, command: Sequence[str], timeout_s: float) -> ProbeResult:
        if not isinstance(self._cloud, SupportsExec):
            return ProbeResult(None, "the cloud runs no commands")
        try:
            async with asyncio.timeout(OPEN_S):
                session = await self._cloud.exec(place.instance_id, place.container, command, stdin=False, tty=False)
        except (CloudError, TimeoutError) as error:
            return ProbeResult(None, f"the cloud opened no session: {error}")
        try:
            async with asyncio.timeout(timeout_s):
                return await _run(session)
        except TimeoutError:
            return ProbeResult(False, f"command timed out after {timeout_s}s")
        except CloudError as error:
            return ProbeResult(None, str(error))
        finally:
            with suppress(TimeoutError, CloudError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()

    # --- HTTP ---

    async def _http(self, place: ProbeTarget, get: HttpGet) -> ProbeResult:
        url = URL(f"{get.scheme.lower()}://{_host(place.ip)}:{get.port}/{get.path.removeprefix('/')}", encoded=True)
        headers = _headers(get)
        for _ in range(MOST_REDIRECTS):
            async with self._http_session().get(url, headers=headers, allow_redirects=False) as response:
                location = response.headers.get("Location", "")
                if response.status not in _REDIRECTS or not location:
                    if 200 <= response.status < 400:
                        return SUCCESS
                    return ProbeResult(False, f"HTTP probe failed with statuscode: {response.status}")
            target = url.join(URL(location))
            if target.host != url.host:
                return SUCCESS  # as a kubelet: it answers, and whom it points to is not asked
            url = target
        return ProbeResult(False, f"stopped after {MOST_REDIRECTS} redirects")

    def _http_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Certificates of pods are not checked, as a kubelet's are not: the address is all there is to know them by.
            connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session


def _headers(get: HttpGet) -> CIMultiDict[str]:
    """The usual ones, unless the probe says otherwise; an empty Accept or User-Agent means: send none."""
    stated = {name.lower() for name, _ in get.headers}
    usual = {"User-Agent": "kube-probe/vk-provider", "Accept": "*/*"}
    headers = CIMultiDict({name: value for name, value in usual.items() if name.lower() not in stated})
    spelling: dict[str, str] = {}  # one for each name, or the client would keep the last value only
    for name, value in get.headers:
        if value or name.lower() not in ("accept", "user-agent"):
            headers.add(spelling.setdefault(name.lower(), name), value)
    return headers


async def _run(session: ExecSession) -> ProbeResult:
    output = b""
    async for _, data in session.output():
        output += data[: MOST_OUTPUT - len(output)]
    result = await session.result()
    if result.exit_code == 0:
        return SUCCESS
    if result.exit_code is None:
        return ProbeResult(None, result.message or "the cloud does not say how the command ended")
    return ProbeResult(False, output.decode(errors="replace").strip() or f"command exited with {result.exit_code}")


async def _tcp(ip: str, port: int) -> ProbeResult:
    _, writer = await asyncio.open_connection(ip, port)
    await _close(writer)
    return SUCCESS


async def _grpc(ip: str, port: int, service: str) -> ProbeResult:
    reader, writer = await asyncio.open_connection(ip, port)
    try:
        check = HealthCheck(f"{_host(ip)}:{port}", service)
        status = None
        while status is None:
            writer.write(check.data_to_send())
            await writer.drain()  # a server that asks for echoes and reads none must not fill our memory
            status = check.receive(await reader.read(65536))
    except NoHealth as error:
        return ProbeResult(False, str(error))
    finally:
        await _close(writer)
    return SUCCESS if status == "SERVING" else ProbeResult(False, f'service unhealthy (responded with "{status}")')


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _host(ip: str) -> str:
    return f"[{ip}]" if ipaddress.ip_address(ip).version == 6 else ip


def is_unreachable(error: BaseException) -> bool:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, OSError) and cause.errno in _NO_WAY
