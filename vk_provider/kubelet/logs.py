"""`kubectl logs`: what its query means, and the stream that answers it (kubelet.md d.2)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from aiohttp import web

from vk_provider.cloud.base import Cloud, LogOptions
from vk_provider.errors import InstanceGone, ProviderError
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.kubelet import kept_log, target
from vk_provider.kubelet.http_errors import HttpError, to_status_and_text
from vk_provider.kubelet.log_reads import LogReads
from vk_provider.kubelet.target import FindPod
from vk_provider.model.instance import Instance

log = logging.getLogger(__name__)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = 2**63
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_UNDECODABLE = '{"message": "Unable to decode query."}'
_INVALID = '{"message": "Invalid request."}'

# How long a follower's headers wait for the cloud's first word, so that a refusal still can be an error status.
FIRST_WORD_S = 0.25


def log_options(query: Mapping[str, str], *, now: datetime) -> LogOptions:
    """What a query asks for. Raises RequestRefused 400 when it cannot be read, 422 when it makes no sense.

    query: of a name given twice the first value counts. Unknown names are ignored, as by a kubelet. now: aware.
    """
    follow, previous, timestamps = (_boolean(query, name) for name in ("follow", "previous", "timestamps"))
    tail = _integer(query, "tailLines", instead=query.get("tail", ""))
    limit_bytes = _integer(query, "limitBytes")
    since_seconds = _integer(query, "sinceSeconds")
    since_time = _instant(query["sinceTime"]) if "sinceTime" in query else None
    stream = query.get("stream", "All")
    _validate(tail=tail, limit_bytes=limit_bytes, since_seconds=since_seconds, since_time=since_time, stream=stream)
    return LogOptions(
        follow=follow,
        previous=previous,
        timestamps=timestamps,
        since=since_time or ("" if since_seconds is None else _seconds_before(now, since_seconds)),
        tail=tail,
        limit_bytes=limit_bytes,
    )


def _validate(
    *, tail: int | None, limit_bytes: int | None, since_seconds: int | None, since_time: str | None, stream: str
) -> None:
    faults = (
        tail is not None and tail < 0,
        limit_bytes is not None and limit_bytes < 1,
        since_seconds is not None and since_seconds < 1,
        since_seconds is not None and since_time is not None,
        stream not in ("All", "Stdout", "Stderr"),
        stream != "All" and tail is not None,
    )
    if any(faults):
        raise HttpError(422, _INVALID)
    if stream != "All":
        raise HttpError(400, f"stream {stream} cannot be had alone: this node's cloud keeps one log for both")


def _boolean(query: Mapping[str, str], name: str) -> bool:
    return name in query and query[name].lower() not in ("0", "false")


def _integer(query: Mapping[str, str], name: str, *, instead: str = "") -> int | None:
    """instead: the value of an older name, which goes before; `all` stands for no limit."""
    if instead == "all" or (not instead and name not in query):
        return None
    text = instead or query[name]
    if not _INTEGER.fullmatch(text) or len(text) > 20 or not -_INT64 <= int(text) < _INT64:
        raise HttpError(400, _UNDECODABLE)
    return int(text)


def _instant(text: str) -> str:
    """The same instant in UTC with up to nine digits of fraction; empty stays empty."""
    if not text:
        return ""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise HttpError(400, _UNDECODABLE)
    date, hour, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone == "Z" else zone
    try:
        utc = datetime.fromisoformat(f"{date}T{hour}:{minute}:{second}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise HttpError(400, _UNDECODABLE) from error
    return f"{_whole_seconds(utc)}{'.' + fraction[:9] if fraction else ''}Z"


def _seconds_before(now: datetime, seconds: int) -> str:
    """Empty, for from the start, when that is before all calendars."""
    try:
        then = now.astimezone(UTC) - timedelta(seconds=seconds)
    except OverflowError:
        return ""
    return f"{_whole_seconds(then)}.{then.microsecond:06d}Z"


def _whole_seconds(moment: datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat()


class LogServer:
    """Answers `/containerLogs`. Holds no state of its own: a request is a stream and nothing outlives it."""

    def __init__(
        self,
        *,
        pods: FindPod,
        instance_of: Callable[[str], Instance | None],
        cloud: Cloud,
        reads: LogReads | None = None,
        ended_logs: EndedLogs | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """reads: is told of each log that was shown in whole. ended_logs: of instances that are gone."""
        self._ended_logs = ended_logs or EndedLogs()
        self._reads = reads or LogReads()
        self._pods = pods
        self._instance_of = instance_of
        self._cloud = cloud
        self._now = now

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Ends when the log does, or by cancellation as soon as the client has gone."""
        namespace, name, container = (request.match_info[key] for key in ("namespace", "pod", "container"))
        options = log_options(request.query, now=self._now())
        pod = target.find_pod(self._pods, namespace, name)
        target.require_container(pod, container)
        instance = self._instance_of(pod["metadata"]["uid"])
        target.require_run(pod, instance, container, previous=options.previous)
        if instance is None:
            instance = await self._look_up(pod["metadata"]["uid"])
        kept = None if options.previous else self._ended_logs.of(pod["metadata"]["uid"], container)
        if instance is None and kept is not None:
            return await _send_kept(request, kept, options)
        instance_id = target.instance_id(pod, instance, container)
        chunks = _closable(self._cloud.logs(instance_id, container, options))
        try:
            async with aclosing(chunks):
                response = await _send(request, chunks, patience_s=FIRST_WORD_S if options.follow else None)
        except InstanceGone:
            if kept is None:
                raise
            return await _send_kept(request, kept, options)
        if options == LogOptions():
            self._reads.note(instance_id, container, response["shown"])
        return response

    async def _look_up(self, uid: str) -> Instance | None:
        """The pod's newest instance by the cloud's tags, for one that is not known (yet)."""
        return max(await self._cloud.find(uid), key=lambda each: each.created_at, default=None)


async def _closable(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same chunks; closing this closes those, if they can be."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def _send_kept(request: web.Request, kept: bytes, options: LogOptions) -> web.StreamResponse:
    return await _send(request, _closable(kept_log.pieces(kept, options)), patience_s=None)


async def _send(
    request: web.Request, chunks: AsyncGenerator[bytes, None], *, patience_s: float | None
) -> web.StreamResponse:
    """Each chunk goes out before the next is asked for, and waits while the client reads slowly.

    patience_s: after this the headers go out even though no chunk has come; None = the first chunk or the end decides.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response["shown"] = 0
    first = asyncio.ensure_future(anext(chunks, b""))
    try:
        await asyncio.wait({first}, timeout=patience_s)
        if first.done():
            first.result()
        await response.prepare(request)
        try:
            await _write(response, await first)
            async for chunk in chunks:
                await _write(response, chunk)
            await response.write_eof()
        except ConnectionError:
            log.debug("the client of %s left", request.rel_url.raw_path)
        except Exception as error:
            await _break_off(request, response, error)
    finally:
        if not first.done():
            first.cancel()
            await asyncio.wait({first})  # a generator that still runs cannot be closed
    return response


async def _break_off(request: web.Request, response: web.StreamResponse, error: Exception) -> None:
    """Say the error as a last line, as a kubelet does, and cut the connection: nobody shall take the log for whole."""
    expected = isinstance(error, (ProviderError, TimeoutError))
    log.warning("broke off %s: %s", request.rel_url.raw_path, error, exc_info=None if expected else error)
    await response.write(f"\n{to_status_and_text(error)[1]}\n".encode())
    if request.transport is not None:
        request.transport.close()


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    if chunk:  # an empty chunk would end the chunked body
        await response.write(chunk)
        response["shown"] += len(chunk)
