"""The bodies of others' answers, read within a bound: what is longer is an error, and never memory.

A compressed body is bounded by what it becomes: a thousandth of it may be all that comes over the wire. So sessions
whose answers are read here leave bodies as they come (`auto_decompress=False`) and ask for gzip alone.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import aiohttp

ACCEPTED = "gzip"  # the header Accept-Encoding
_PIECE = 2**18  # bytes that are decompressed in one go
_PLAIN = ("", "identity")
_GZIP = 16 + zlib.MAX_WBITS


class Overlong(Exception):
    """The body has more than so many bytes."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the answer is longer than {most:,} bytes")


class Unreadable(Exception):
    """The body is not what its headers say."""


async def read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body. Raises Overlong, Unreadable, and what aiohttp raises; the connection is closed then."""
    try:
        return await _read(response, most)
    except BaseException:
        response.close()  # the rest of it is not waited for
        raise


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    length = response.content_length
    if length is not None and length > most:
        raise Overlong(most)
    if length is not None and _encoding(response) in _PLAIN:
        return await response.read()  # no more comes than was announced
    content = bytearray()
    async for piece in pieces(response):
        content += piece
        if len(content) > most:
            raise Overlong(most)
    return bytes(content)


async def pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes, in pieces of bounded size, decompressed. Raises Unreadable."""
    encoding = _encoding(response)
    if encoding in _PLAIN:
        async for piece in response.content.iter_any():
            yield piece
        return
    if encoding not in ("gzip", "x-gzip"):
        raise Unreadable(f"it is compressed by {encoding[:20]!r}, which was not asked for")
    async for piece in _inflated(response):
        yield piece


def _encoding(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Encoding", "").strip().lower()


async def _inflated(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(_GZIP)
    try:
        async for read in response.content.iter_any():
            packed = read
            while packed:
                if piece := inflate.decompress(packed, _PIECE):
                    yield piece
                packed = inflate.unconsumed_tail
                if inflate.eof:  # another member may follow, as another file in a .gz
                    packed, inflate = inflate.unused_data, zlib.decompressobj(_GZIP)
        while piece := inflate.decompress(inflate.unconsumed_tail, _PIECE):
            yield piece
    except zlib.error as error:
        raise Unreadable("it is no gzip, as it says that it is") from error
