"""A log that was kept, shown as a query asks for it (kubelet.md d.2): what a cloud does with its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from vk_provider.cloud.base import LogOptions


async def pieces(kept: bytes, options: LogOptions) -> AsyncIterator[bytes]:
    """kept: lines that begin with their time. A kept log has ended, so following it shows what there is."""
    yield shown(kept, options)


def shown(kept: bytes, options: LogOptions) -> bytes:
    """The filters in their order: tail, since, timestamps, limit_bytes (H13)."""
    lines = kept.splitlines(keepends=True)
    if options.tail is not None:
        lines = lines[len(lines) - min(options.tail, len(lines)) :]
    since = options.since.removesuffix("Z").encode()
    lines = [line for line in lines if not since or line.partition(b" ")[0].removesuffix(b"Z") >= since]
    if not options.timestamps:
        lines = [line.partition(b" ")[2] for line in lines]
    whole = b"".join(lines)
    return whole if options.limit_bytes is None else whole[: options.limit_bytes]
