"""What came out of Secrets, and how a person may see what holds it. Pure.

A text that a Secret's value has been put into says so itself (`SecretText`), from where it is put together to where it
is sent: what is hidden is known by its place, whatever the parameter is called. Looking for the values once more is a
second net, for what came out of a Secret by another way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from vk_provider import bounds

HIDDEN = "(secret)"
TELLING_BYTES = 4  # a shorter value stands in many texts by chance, so it is looked for as a whole only


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


class Sieve:
    """Knows again what was hidden in some texts, without keeping it: by length and hash, which is of this process."""

    __slots__ = ("_hashes", "_known")

    def __init__(self, texts: Iterable[str]) -> None:
        self._hashes: dict[int, set[int]] = {}  # by length
        self._known: dict[str, str] = {}  # messages that came before: a cloud tells the same ones again and again
        values = {value for text in texts if isinstance(text, SecretText) for value in text.values}
        telling = sorted(each for each in values if TELLING_BYTES <= len(each) <= bounds.MOST_SIEVED)
        for value in telling[: bounds.MOST_SIEVED_VALUES]:
            self._hashes.setdefault(len(value), set()).add(hash(value))

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def without(self, message: str) -> str:
        """The message with what is hidden in the texts hidden in it too; a long one loses its end after the search, and
        with it whatever may be a value's beginning."""
        longest = max(self._hashes, default=0)
        window = message[: bounds.MOST_MESSAGE + longest]
        if window not in self._known:
            if len(self._known) >= bounds.MOST_SIEVED_MESSAGES:
                self._known.clear()
            self._known[window] = self._searched(window)
        found = self._known[window]
        if len(window) < len(message):
            found = found[: max(0, len(found) - longest)] + "…"
        return bounds.shortened(found, bounds.MOST_MESSAGE)

    def _searched(self, message: str) -> str:
        for length in sorted(self._hashes, reverse=True):
            hashes, kept, at = self._hashes[length], "", 0
            while at <= len(message) - length:
                if hash(message[at : at + length]) in hashes:
                    kept, message, at = kept + message[:at] + HIDDEN, message[at + length :], 0
                else:
                    at += 1
            message = kept + message
        return message
