"""How log lines look. What may stand in them is each room's business: never a secret, a token or a request body."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from contextlib import suppress


class _Text(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO  control.pods created pod=web/api-0 …`"""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("vk_provider.")
        line = f"{_stamp(record)} {record.levelname:<7} {name} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    """Beside the message, each `key=%s` of a log call's text is a member of its own, a number where it is one.

    The keys are those of the text in the code, never of what is put into it: nobody who names a pod can make one.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in fields_of(record.msg, record.args).items():
            fields.setdefault(key if key not in _RESERVED else f"{key}_", value)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})
_CONVERSION = re.compile(r"%[-#0 +]*(?:\d+)?(?:\.\d+)?([a-zA-Z%])")
_PAIR = re.compile(r"(?<![\w.])([a-z_][a-z0-9_]*)=(\S+)")


def fields_of(text: object, args: object) -> dict[str, object]:
    """The `key=value` pairs of a log call, values as they were given: text "created pod=%s took_s=%.2f" with its args.

    Empty where the two do not fit, or the text is no text.
    """
    if not isinstance(text, str) or not isinstance(args, tuple):
        return {}
    found: dict[str, object] = {}
    conversions = [each for each in _CONVERSION.finditer(text) if each[1] != "%"]
    if len(conversions) != len(args):
        return {}
    position = {each.start(): args[index] for index, each in enumerate(conversions)}
    for pair in _PAIR.finditer(text):
        start, value = pair.start(2), pair[2].rstrip(",;:.)")
        inside = [each for each in conversions if start <= each.start() < start + len(value)]
        if len(inside) == 1 and inside[0][0] == value:
            found[pair[1]] = _plain(position[inside[0].start()])
        else:
            with suppress(TypeError, ValueError):
                found[pair[1]] = value % tuple(position[each.start()] for each in inside)
    return found


def _plain(value: object) -> object:
    """As JSON has it; what JSON has not, as text."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str) or value is None else str(value)


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def set_up(level: str, shape: str) -> None:
    """level: debug, info, warning or error. shape: text or json. Everything goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if shape == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's packages: only what goes wrong
    logging.getLogger("vk_provider").setLevel(level.upper())
    logging.getLogger("aliyunsdkcore").setLevel(logging.CRITICAL)  # it logs whole requests
