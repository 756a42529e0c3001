"""Spans on the wire: what a collector gets, and that nobody waits for one that is away."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from vk_provider.errors import ConfigError
from vk_provider.tracing import otlp

AT = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


async def test_a_collector_gets_what_has_ended_when_the_process_ends() -> None:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        kept = await asyncio.to_thread(otlp.connect, f"http://127.0.0.1:{port}/")
        whole = otlp.tracer(kept).trace("pod start", AT, {"k8s.pod.name": "api-0"})
        whole.child("create", AT, {}).end(AT + timedelta(seconds=1), error="NoStock")
        whole.end(AT + timedelta(seconds=2))
        await otlp.close(kept)
    finally:
        await runner.cleanup()
    [resource] = [each for body in bodies for each in ExportTraceServiceRequest.FromString(body).resource_spans]
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "vk-provider"
    spans = {each.name: each for each in resource.scope_spans[0].spans}
    assert spans["create"].parent_span_id == spans["pod start"].span_id
    assert spans["create"].status.message == "NoStock"
    assert spans["pod start"].end_time_unix_nano - spans["pod start"].start_time_unix_nano == 2_000_000_000


async def test_a_collector_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "EXPORT_S", 0.2)
    kept = await asyncio.to_thread(otlp.connect, "http://127.0.0.1:9")
    otlp.tracer(kept).trace("pod start", AT, {}).end(AT)
    async with asyncio.timeout(otlp.CLOSE_S + 5):
        await otlp.close(kept)


def test_without_the_extra_the_setting_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'vk-provider\[otel\]'"):
        otlp.connect("http://127.0.0.1:4318")
