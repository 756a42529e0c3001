"""Bodies of the API server's answers: within a bound, errors raised, JSON read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp

from vk_provider import bodies, jsontext
from vk_provider.errors import MALFORMED, AnswerTooLong, KubeUnavailable
from vk_provider.kube.api import Json
from vk_provider.kube.api_errors import error_from_response


async def checked(response: aiohttp.ClientResponse, call: str, most: int) -> bytes:
    """The body. Raises what an answer of 300 and above means, and AnswerTooLong."""
    try:
        body = await bodies.read(response, most)
    except bodies.Overlong as error:
        raise AnswerTooLong(f"{call}: {error}") from error
    if response.status >= 300:
        raise error_from_response(response.status, body, retry_after=response.headers.get("Retry-After", ""), call=call)
    return body


def decoded(body: bytes, call: str, read: Callable[[bytes], Any] = jsontext.loads) -> Json:
    if not body:
        return {}
    try:
        value = read(body)
    except ValueError as error:
        raise KubeUnavailable(f"{call}: the answer is not JSON", reason=MALFORMED) from error
    if not isinstance(value, dict):
        raise KubeUnavailable(f"{call}: the answer is no object", reason=MALFORMED)
    return value
