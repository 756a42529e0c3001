"""A command in a terminal of so many columns, as somebody sees it who types it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress

ROWS = 24
_STYLE = re.compile(r"\x1b\[[\d;]*m")


def shown(words: Sequence[str], *, env: Mapping[str, str], columns: int = 80, within_s: float = 120) -> tuple[int, str]:
    """The exit code, and what the terminal was sent; line ends as in a file."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    # COLUMNS would be believed rather than the terminal.
    clean = {key: value for key, value in env.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    try:
        process = subprocess.Popen(
            list(words), env={**clean, "TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    try:
        received = bytearray()
        with suppress(OSError):  # as Linux says that the other side is closed
            while part := os.read(ours, 65_536):
                received += part
        code = process.wait(within_s)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return code, received.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """Without colours; nothing else that steers a terminal is taken out."""
    return _STYLE.sub("", text)


def widest(text: str) -> int:
    """Columns of its longest line."""
    return max(map(len, plain(text).splitlines()), default=0)
