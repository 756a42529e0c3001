"""How log lines look. What may stand in them is each room's business: never a secret, a token or a request body.

Pods' and others' words are in them, so whatever a room logs passes here: a value and a line have a bounded length, one
record is one line for whoever reads it, and what is said again and again is said once in a while, with its count.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from vk_provider import bounds
from vk_provider.logtext import as_json, message_of, on_one_line, value_of
from vk_provider.pacing.callers import caller

_REPEATS_S = 300.0
_REQUEST = " (request "  # with which `describe_error` begins the id that differs each time
_MOST_REPEATS = 2_048  # of different warnings that are remembered
_MORE = " (and repeats=%d since it was last logged)"


class _Text(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO  control.reconciler created pod=web/api-0 …`"""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("vk_provider.")
        line = f"{_stamp(record)} {record.levelname:<7} {name} {on_one_line(message_of(record))}"
        if not record.exc_info:
            return line
        # Further in than any line of ours begins, so that no text in it passes for one.
        return "\n    ".join([line, *map(on_one_line, _trace(self, record).split("\n"))])


class _Json(logging.Formatter):
    """Beside the message, each `key=%s` of a log call's text is a member of its own, a number where it is one.

    The keys are those of the text in the code, never of what is put into it: nobody who names a pod can make one. Whose
    work it is goes with the task: `node`, and `pod_uid` of the pod in hand.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        for key, value in fields_of(record.msg, record.args).items():
            fields.setdefault(key if key not in _RESERVED else f"{key}_", value)
        for key, name in (("node", _node.get()), ("pod_uid", caller().pod)):
            if name:
                fields.setdefault(key, value_of(name))
        if record.exc_info:
            fields["exception"] = _trace(self, record)
        return as_json(fields)


_node: ContextVar[str] = ContextVar("node", default="")


@contextmanager
def working_for(node: str) -> Iterator[None]:
    """What is logged within, and by tasks that begin there, is of this node."""
    token = _node.set(node)
    try:
        yield
    finally:
        _node.reset(token)


_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})
_CONVERSION = re.compile(r"%[-#0 +]*(?:\d+)?(?:\.\d+)?([a-zA-Z%])")
_PAIR = re.compile(r"(?<![\w.])([a-z_][a-z0-9_]*)=(\S+)")


def fields_of(text: object, args: object) -> dict[str, object]:
    """The `key=value` pairs of a log call, values as they were given: text "created pod=%s took_s=%.2f" with its args.

    Empty where the two do not fit, or the text is no text or has nothing put into it: then it may be anybody's.
    """
    if not isinstance(text, str) or not isinstance(args, tuple) or not args:
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
                reported = value % tuple(value_of(position[each.start()]) for each in inside)
                found[pair[1]] = bounds.shortened(reported, bounds.MOST_LOG_VALUE)
    return found


def _plain(value: object) -> object:
    """As JSON has it; what JSON has not, as text."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int) or value is None else value_of(value)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Its end, which tells the error, is worth more than its beginning."""
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    return text if len(text) <= bounds.MOST_LOG_LINE else f"…{text[-bounds.MOST_LOG_LINE :]}"


@dataclass(slots=True)
class _Repeated:
    at: float
    left_out: int = 0


class Repeats(logging.Filter):
    """Lets a warning through once in five minutes; the next time it says how often it was held back.

    Warnings are the same if they say the same of the same things, whatever numbers are in them. Those of a
    `ThrottledLog` are counted already. clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._repeated: OrderedDict[Hashable, _Repeated] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or _MORE in str(record.msg):
            return True
        now, key = self._clock(), _key(record)
        reported = self._repeated.get(key)
        if reported is not None and now - reported.at < _REPEATS_S:
            reported.left_out += 1
            return False
        if reported is not None and reported.left_out and isinstance(record.args, tuple):
            text = str(record.msg) if record.args else str(record.msg).replace("%", "%%")
            record.msg, record.args = text + _MORE, (*record.args, reported.left_out)
        self._repeated[key] = _Repeated(now)
        self._repeated.move_to_end(key)
        while len(self._repeated) > _MOST_REPEATS:
            self._repeated.popitem(last=False)
        return True


def _key(record: logging.LogRecord) -> Hashable:
    """hash: of long words only this is kept."""
    args = record.args if isinstance(record.args, tuple) else (record.args,)
    words = tuple(str(each).partition(_REQUEST)[0] for each in args if not isinstance(each, int | float))
    return hash((record.name, record.levelno, str(record.msg), words))


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def set_up(level: str, shape: str) -> None:
    """level: debug, info, warning or error. shape: text or json. Everything goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if shape == "json" else _Text())
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's packages: only what goes wrong
    logging.getLogger("vk_provider").setLevel(level.upper())
    logging.getLogger("aliyunsdkcore").setLevel(logging.CRITICAL)  # it logs whole requests
