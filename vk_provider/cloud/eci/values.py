"""Plain values out of the cloud's answers, whatever stands there. Pure; nothing here raises."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from vk_provider import bounds

Json = dict[str, Any]

_LONGEST_TIME = 40
SHORT = 256  # characters: so that the cache of texts stays small whatever the cloud says


def instant(value: Any) -> str:
    """RFC 3339 UTC with seconds; empty for anything that is no time, the zero time of the year 1 included."""
    text = text_of(value)
    return _instant(text) if len(text) <= _LONGEST_TIME else ""


@lru_cache(maxsize=4096)  # what begins together has the same times, and each time is told many times over
def _instant(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year > 1 else ""


def first_instant(item: Json, *names: str) -> str:
    return next((text for name in names if (text := instant(item.get(name)))), "")


def mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def words_of(value: Any) -> str:
    """A text for people, of which nobody reads pages."""
    return bounds.shortened(text_of(value), bounds.MOST_MESSAGE)


def shared(value: Any) -> str:
    """A text that many instances have, which then is one object in memory."""
    text = text_of(value)
    return _same(text) if len(text) <= SHORT else text


@lru_cache(maxsize=4096)  # not `sys.intern`: what is interned may never be freed
def _same(text: str) -> str:
    return text


def boolean(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def number(value: Any) -> float:
    if isinstance(value, bool):
        return 0.0
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if found == found and abs(found) != float("inf") else 0.0
