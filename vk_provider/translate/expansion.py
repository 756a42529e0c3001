"""`$(NAME)` in commands, arguments and values (contract S3): one pass, from left to right.

`$$` stands for one `$`, so that `$$(X)` is the text `$(X)`; a name nobody knows stays as it is written.
Source: kubernetes third_party/forked/golang/expansion/expand.go.

A text of ten references to a text of ten references is soon larger than any memory, so how long a text becomes is
counted before it is put together, and what all of them take together, by `Allowance`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from vk_provider import bounds
from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.redaction import SecretText, joined

_TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)")  # linear only where a `)` comes: see `_parted`


class TooLong(ValueError):
    """The text would be longer than it may be. length: of what it would have been, in characters at least."""

    def __init__(self, length: int) -> None:
        self.length = length
        super().__init__(f"{length} characters")


def expand(text: str, variables: Mapping[str, str], *, most: int | None = None) -> str:
    """The text with every known `$(NAME)` replaced. What a variable holds is not looked into again.

    Raises TooLong before anything longer than `most` characters is put together.
    """
    if "$" not in text:
        if most is not None and len(text) > most:
            raise TooLong(len(text))
        return text
    head, tail = _parted(text)
    pieces = _TOKEN.split(head)  # what stands between the references, and their names, in turns
    pieces[1::2] = ["$" if name is None else variables.get(name, f"$({name})") for name in pieces[1::2]]
    pieces.append(tail.replace("$$", "$"))
    if most is not None and (length := sum(map(len, pieces))) > most:
        raise TooLong(length)
    return joined(pieces)


def expand_partly(text: str, variables: Mapping[str, str], late: Collection[str], *, most: int | None = None) -> str:
    """The text for somebody who expands it once more, when the variables of `late` are known to him: what it comes to
    is what `expand` would have given then. Raises TooLong as `expand` does."""
    head, tail = _parted(text)
    pieces = _TOKEN.split(head)
    known: dict[str | None, str] = {None: "$$"}
    for name in pieces[1::2]:  # each once, however often it is named
        if name not in known:
            known[name] = f"$({name})" if name in late else escaped(variables.get(name, f"$({name})"))
    length = sum(map(len, pieces[::2])) + sum(len(known[name]) for name in pieces[1::2]) + len(tail)
    if most is not None and length > most:
        raise TooLong(length)
    pieces = [known[piece] if at % 2 else escaped(piece) for at, piece in enumerate(pieces)]
    return joined([*pieces, escaped(tail.replace("$$", "$"))])


def escaped(text: str) -> str:
    """What expands to this text, whatever variables there are."""
    if "$" not in text:
        return text
    if isinstance(text, SecretText):
        values = (*text.values, *(each.replace("$", "$$") for each in text.values))
        return SecretText(text.replace("$", "$$"), shown=text.shown.replace("$", "$$"), values=values)
    return text.replace("$", "$$")


def names_in(text: str) -> Iterator[str]:
    """The names the text refers to, escaped ones not among them."""
    return (token[1] for token in _TOKEN.finditer(_parted(text)[0]) if token[0] != "$$")


def _parted(text: str) -> tuple[str, str]:
    """The part in which every `$(` is closed, so that no look for its end is in vain, and the rest without any."""
    end = text.rfind(")") + 1
    return text[:end], text[end:]


@dataclass(slots=True)
class Allowance:
    """What the words and files of one pod may still take. left: bytes of them. keys: of the objects they come from, for
    many small ones cost as much. `field` names what asks for more."""

    left: int = bounds.MOST_CONTENT
    keys: int = bounds.MOST_KEYS

    def expanded(
        self,
        text: str,
        variables: Mapping[str, str],
        field: str,
        *,
        late: Collection[str] | None = None,
        most: int = bounds.MOST_WORD,
    ) -> str:
        """As `expand`, or with `late` as `expand_partly`.

        Raises UnsupportedPod for a text that grows to more than `most` bytes, or than is left for all of them.
        """
        most = max(most, _bytes(text))
        try:
            if late is None:
                found = expand(text, variables, most=most)
            else:
                found = expand_partly(text, variables, late, most=most)
        except TooLong as error:
            raise _overlong(field, error.length, most) from None
        self.take(found, field, most=most)
        return found

    def take(self, word: str, field: str, *, most: int = bounds.MOST_WORD) -> None:
        """Count a word that is to be sent. Raises UnsupportedPod as `expanded` does."""
        size = _bytes(word)
        if size > most:
            raise _overlong(field, size, most)
        self.take_bytes(size, field)

    def take_bytes(self, size: int, field: str) -> None:
        self.left -= size
        if self.left < 0:
            reason = (
                f"with it the pod's words and files take more than {bounds.MOST_CONTENT:,} bytes in all: put some of"
                " them into the image or on a file system"
            )
            raise UnsupportedPod([Refusal(field, reason)])

    def take_keys(self, count: int, field: str) -> None:
        """Count keys of an object that are gone through for this field. Raises UnsupportedPod."""
        self.keys -= count
        if self.keys < 0:
            reason = f"with it the pod is given more than {bounds.MOST_KEYS:,} keys of ConfigMaps and Secrets"
            raise UnsupportedPod([Refusal(field, f"{reason}: name those that it needs")])


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _overlong(field: str, length: int, most: int) -> UnsupportedPod:
    reason = f"{length:,} bytes, once its references are replaced; it may have at most {most:,}"
    return UnsupportedPod([Refusal(field, f"{reason}: put it into a file")])
