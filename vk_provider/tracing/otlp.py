"""Spans kept by OpenTelemetry and sent over OTLP/HTTP, by a thread of its SDK, in batches of a bounded queue.

Everything that OpenTelemetry's own variables set (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` …) holds.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vk_provider import __version__
from vk_provider.errors import ConfigError
from vk_provider.tracing.spans import Attributes, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_S, CLOSE_S = 5.0, 8.0  # for one batch, and for the last ones at the end
_MISSING = "--otlp-endpoint: traces need OpenTelemetry's SDK: pip install 'vk-provider[otel]'"


def connect(endpoint: str, *, service: str = "vk-provider") -> TracerProvider:
    """Sends to the collector at this URL, without `/v1/traces`. Raises ConfigError where the extra is missing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError([_MISSING]) from error
    resource = Resource.create({"service.name": service, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


async def close(provider: TracerProvider) -> None:
    """Send what there is, as far as that is possible soon."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.to_thread(provider.shutdown)
    except TimeoutError:
        pass  # the collector is away; nobody waits for it


def tracer(provider: TracerProvider) -> Tracer:
    return _Tracer(provider.get_tracer("vk_provider", __version__))


class _Tracer:
    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def trace(self, name: str, began: datetime, attributes: Attributes) -> Span:
        return _Span(self._tracer, self._tracer.start_span(name, start_time=_ns(began), attributes=attributes))


class _Span:
    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer = tracer
        self._span = span

    def child(self, name: str, began: datetime, attributes: Attributes) -> Span:
        from opentelemetry.trace import set_span_in_context

        around = set_span_in_context(self._span)
        span = self._tracer.start_span(name, context=around, start_time=_ns(began), attributes=attributes)
        return _Span(self._tracer, span)

    def end(self, at: datetime, *, error: str = "") -> None:
        from opentelemetry.trace import StatusCode

        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(_ns(at))


def _ns(at: datetime) -> int:
    """Unix time in nanoseconds."""
    return int(at.timestamp() * 1_000_000) * 1_000
