"""`$(NAME)` in commands, arguments and values (contract S3): one pass, from left to right.

`$$` stands for one `$`, so that `$$(X)` is the text `$(X)`; a name nobody knows stays as it is written.
Source: kubernetes third_party/forked/golang/expansion/expand.go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

_TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with every known `$(NAME)` replaced. What a variable holds is not looked into again."""

    def replacement(token: re.Match[str]) -> str:
        if token[0] == "$$":
            return "$"
        return variables.get(token[1], token[0])

    return _TOKEN.sub(replacement, text)


def expand_partly(text: str, variables: Mapping[str, str], late: Collection[str]) -> str:
    """The text for somebody who expands it once more, when the variables of `late` are known to him: what it comes to
    is what `expand` would have given then."""
    pieces: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        kept = token[0] != "$$" and token[1] in late
        replaced = "$" if token[0] == "$$" else variables.get(token[1], token[0])
        pieces += [escaped(text[end : token.start()]), token[0] if kept else escaped(replaced)]
        end = token.end()
    return "".join([*pieces, escaped(text[end:])])


def escaped(text: str) -> str:
    """What expands to this text, whatever variables there are."""
    return text.replace("$", "$$")


def names_in(text: str) -> Iterator[str]:
    """The names the text refers to, escaped ones not among them."""
    return (token[1] for token in _TOKEN.finditer(text) if token[0] != "$$")
