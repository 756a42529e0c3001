"""What came out of Secrets, and how a person may see what holds it. Pure.

A text that a Secret's value has been put into says so itself (`SecretText`), from where it is put together to where it
is sent: what is hidden is known by its place, whatever the parameter is called. Looking for the values once more is a
second net, for what came out of a Secret by another way.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Self

HIDDEN = "(secret)"
TELLING_BYTES = 4  # a shorter value stands in many texts by chance, so it is looked for as a whole only

_WORDS = re.compile(r"\.(EnvironmentVar\.\d+\.Value|Command\.\d+|Arg\.\d+|Options)$|Exec\.\d+$|Header\.\d+\.Value$")
_FILE = re.compile(r"\.Content$")
_PASSWORD = re.compile(r"^ImageRegistryCredential\.\d+\.Password$")


class SecretText(str):
    """A text that is a Secret's value, or holds some. shown: how a person may see it. values: what is hidden in it.

    Only where it is put together anew, as by `join`, does it lose that; `joined` keeps it.
    """

    __slots__ = ("shown", "values")
    shown: str
    values: tuple[str, ...]

    def __new__(cls, text: str, *, shown: str = HIDDEN, values: tuple[str, ...] | None = None) -> Self:
        made = super().__new__(cls, text)
        made.shown = shown
        made.values = (str(text),) if values is None else values
        return made

    def __repr__(self) -> str:
        return repr(self.shown)


class SecretBytes(bytes):
    """A file's content that is a Secret's value, or a token."""

    def __repr__(self) -> str:
        return f"<{HIDDEN[1:-1]}, {len(self)} bytes>"


def shown(text: str) -> str:
    """The text as a person may see it."""
    return text.shown if isinstance(text, SecretText) else text


def joined(pieces: Iterable[str]) -> str:
    """The pieces as one text, a SecretText if one of them is."""
    pieces = list(pieces)
    secret = [piece for piece in pieces if isinstance(piece, SecretText)]
    if not secret:
        return "".join(pieces)
    values = tuple(dict.fromkeys(value for piece in secret for value in piece.values))
    return SecretText("".join(pieces), shown="".join(map(shown, pieces)), values=values)


def without(message: str, texts: Iterable[str]) -> str:
    """The message with what is hidden in the texts hidden in it too: a cloud may repeat what it was sent."""
    hidden: dict[str, str] = {}
    for text in texts:
        if isinstance(text, SecretText):
            hidden |= {**dict.fromkeys(text.values, HIDDEN), str(text): text.shown}
    for value in sorted(hidden, key=len, reverse=True):
        if len(value) >= TELLING_BYTES:
            message = message.replace(value, hidden[value])
    return message


def masked(request: Mapping[str, str], secrets: Collection[bytes]) -> dict[str, str]:
    """The request as a person may see it. request: wire name → text. secrets: values to look for besides."""
    return {name: _masked(name, text, secrets) for name, text in request.items()}


def _masked(name: str, text: str, secrets: Collection[bytes]) -> str:
    if isinstance(text, SecretText):
        text = text.shown
    elif _PASSWORD.search(name):
        return HIDDEN
    elif _FILE.search(name):
        content = _decoded(text)
        return f"{HIDDEN[:-1]}, {len(content)} bytes)" if _holds(content, secrets) else text
    if _WORDS.search(name):
        for secret in sorted(secrets, key=len, reverse=True):
            text = _without(text, secret.decode(errors="replace"))
    return text


def _without(text: str, secret: str) -> str:
    if len(secret.encode(errors="replace")) < TELLING_BYTES:
        return HIDDEN if text == secret and secret else text
    return text.replace(secret, HIDDEN).replace(json.dumps(secret)[1:-1], HIDDEN)


def _holds(content: bytes, secrets: Collection[bytes]) -> bool:
    return any(secret in content if len(secret) >= TELLING_BYTES else secret == content != b"" for secret in secrets)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode(errors="replace")
