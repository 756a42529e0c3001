"""A wall clock that somebody else sets: eight bytes in a file, the seconds by which it is wrong.

The loop's own clock is not touched; what jumps in life, by NTP or by hand, is the wall's.
"""

from __future__ import annotations

import datetime
import mmap
import struct
import sys
import time
from pathlib import Path

OFFSET = struct.Struct("d")


class SetClock:
    """The end of it that sets; the file is there from the start, and right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0.0)

    def jump(self, seconds: float) -> None:
        """From now on it is wrong by so many seconds."""
        data = OFFSET.pack(seconds)
        if not self._file.exists():
            self._file.write_bytes(data)
            return
        with self._file.open("r+b") as file:
            file.write(data)


class Wall:
    """The end of it that is read: `time.time` and `datetime.now` of this process, as far as `vk_provider` sees them."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as held:
            self._bytes = mmap.mmap(held.fileno(), OFFSET.size, prot=mmap.PROT_READ)
        self._time = time.time

    def time(self) -> float:
        return self._time() + float(OFFSET.unpack_from(self._bytes)[0])

    def hang(self) -> None:
        """To be called once all modules of the provider are there, and before any of it runs."""
        wall, real = self, datetime.datetime

        class Kind(type):
            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, real)

        class Hung(real, metaclass=Kind):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return real.fromtimestamp(wall.time(), tz)

        time.time = self.time
        for name, module in list(sys.modules.items()):
            if name.startswith("vk_provider") and getattr(module, "datetime", None) is real:
                module.datetime = Hung  # type: ignore[attr-defined]  # each has its own name for it
