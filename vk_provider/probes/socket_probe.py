"""Probes over a bare connection: TCP, and gRPC's health service. They raise OSError."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from vk_provider.probes.results import SUCCESS, ProbeResult, host_of
from vk_provider.wire.grpc_health import HealthCheck, NoHealth


async def tcp(ip: str, port: int) -> ProbeResult:
    _, writer = await asyncio.open_connection(ip, port)
    await _close(writer)
    return SUCCESS


async def grpc(ip: str, port: int, service: str) -> ProbeResult:
    reader, writer = await asyncio.open_connection(ip, port)
    try:
        check = HealthCheck(f"{host_of(ip)}:{port}", service)
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
