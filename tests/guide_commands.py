"""The commands that README.md and deploy/README.md tell their readers to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = (ROOT / "README.md", ROOT / "deploy" / "README.md")
_FENCE = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?: {4,}\S.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_PROGRAMS = ("kubectl", "helm", "docker", "make", "vk-provider", "python3.11", "ctr", ".")


def in_guides() -> dict[str, Path]:
    """Command → the guide that has it; also those within a sentence, as far as they are whole."""
    return {command: guide for guide in GUIDES for command in _of(guide.read_text())}


def _of(text: str) -> Iterator[str]:
    blocks = [*(match[1] for match in _FENCE.finditer(text)), *(match[0] for match in _INDENTED.finditer(text))]
    for line in "".join(blocks).splitlines():
        command = line.strip().partition("  # ")[0].strip()
        if _is_one(command):
            yield command
    yield from (span for span in _SPAN.findall(text) if _is_one(span))


def _is_one(text: str) -> bool:
    """A program with words: its name alone is spoken of, not typed."""
    program, _, words = text.partition(" ")
    return program in _PROGRAMS and bool(words.strip())
