"""JSON both ways, fast. What orjson is too strict for (NaN, half a surrogate pair) is the standard library's: nothing
that a server sends is lost for that, and what was read can be written. Whole numbers are exact up to 64 bits, as both
APIs have them.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(text: bytes | str) -> Any:
    """Raises ValueError for what is no JSON, or nested deeper than anybody nests."""
    try:
        return orjson.loads(text)
    except ValueError:
        try:
            return json.loads(text)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error


def dumps(value: Any) -> bytes:
    """UTF-8, without spaces; infinity, which has no word, as null. Raises TypeError for what JSON cannot say."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
