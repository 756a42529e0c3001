"""`$(NAME)` in commands, arguments and values (contract S3): one pass, from left to right.

`$$` stands for one `$`, so that `$$(X)` is the text `$(X)`; a name nobody knows stays as it is written.
Source: kubernetes third_party/forked/golang/expansion/expand.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with every known `$(NAME)` replaced. What a variable holds is not looked into again."""

    def replacement(token: re.Match[str]) -> str:
        if token[0] == "$$":
            return "$"
        return variables.get(token[1], token[0])

    return _TOKEN.sub(replacement, text)


def names_in(text: str) -> Iterator[str]:
    """The names the text refers to, escaped ones not among them."""
    return (token[1] for token in _TOKEN.finditer(text) if token[0] != "$$")
