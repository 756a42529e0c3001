"""Log records as text that somebody else may have written part of. Pure.

A line end, a terminal's escape or a character that turns the reading direction round makes one record look like two, or
like another one: in a line of text such characters are written out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from vk_provider.bounds import MOST_LOG_LINE, MOST_LOG_VALUE, shortened
from vk_provider.redaction import shown

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def message_of(record: logging.LogRecord) -> str:
    """The record's message; each value in it, and the whole, no longer than is worth reading."""
    args = record.args
    if isinstance(args, tuple):
        args = tuple(map(value_of, args))
    elif isinstance(args, Mapping):
        args = {name: value_of(value) for name, value in args.items()}
    try:
        text = str(record.msg) % args if args else str(record.msg)
    except (TypeError, ValueError, KeyError):
        text = f"{record.msg} {args}"  # a slip in a log call is no reason to lose what it says
    return shortened(text, MOST_LOG_LINE)


def on_one_line(text: str) -> str:
    """With everything written out that is not printable: control characters, separators of lines, what only turns the
    reading direction round or is not seen, halves of surrogate pairs."""
    return text if text.isprintable() else "".join(_written_out(char) for char in text)


def as_json(fields: Mapping[str, Any]) -> str:
    """One line; what is not printable has JSON's own escapes, so that whoever reads it has the text as it was."""
    text = json.dumps(fields, ensure_ascii=False, default=str)
    return (
        text if text.isprintable() else "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
    )


def value_of(value: object) -> object:
    """A value of a log call: a number as it is, anything else as a text that is not too long and tells no Secret."""
    if isinstance(value, int | float):
        return value
    return shortened(shown(value) if isinstance(value, str) else str(value), MOST_LOG_VALUE)


def _written_out(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return _SHORT.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
