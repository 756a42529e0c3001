"""The load that was seen, one value a minute, for as long as forecasts read back; survives restarts as one text."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Iterator

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
_FORMAT = "v1"
_NONE = math.nan


class History:
    """Values on a grid of `step_s` seconds, the newest `length_s` seconds of them. A slot holds the highest value that
    was recorded in it: six readings a minute must not hide the one that counts.

    Bounded: 15 days of minutes are 21,600 slots, 169 KiB.
    """

    def __init__(self, *, step_s: int = MINUTE_S, length_s: int = 15 * DAY_S) -> None:
        if step_s <= 0 or length_s < step_s:
            raise ValueError("a history needs at least one slot")
        self.step_s = step_s
        self._most = length_s // step_s
        self._first = 0  # slot number of the first value
        self._values = array("d")
        self._recorded = 0

    def __len__(self) -> int:
        """How many slots hold a value."""
        return self._recorded

    @property
    def newest_s(self) -> float:
        """When the last slot that holds a value began; -inf when none does."""
        return float((self._first + len(self._values) - 1) * self.step_s) if self._values else -math.inf

    def record(self, at_s: float, value: float) -> None:
        """One reading. Raises ValueError unless it is a finite number that is not negative.

        Readings come in order: one from before all others means that the clock was wrong until now, and the history
        begins anew, as it does after a gap as long as itself.
        """
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{value} is no load")
        slot = int(at_s // self.step_s)
        if not 0 <= slot - self._first < len(self._values) + self._most:
            self._values, self._first, self._recorded = array("d"), slot, 0
        place = slot - self._first
        while place >= len(self._values):
            self._values.append(_NONE)
        before = self._values[place]
        self._recorded += math.isnan(before)
        self._values[place] = value if math.isnan(before) else max(before, value)
        if len(self._values) > self._most + self._most // 8:  # seldom, for it moves all of them
            self._trim(len(self._values) - self._most)

    def since(self, start_s: float) -> Iterator[tuple[float, float]]:
        """When each slot began, and its value; oldest first, slots without a value left out."""
        first = max(0, math.ceil(start_s / self.step_s) - self._first, len(self._values) - self._most)
        for place in range(first, len(self._values)):
            value = self._values[place]
            if not math.isnan(value):
                yield float((self._first + place) * self.step_s), value

    def highest(self) -> float:
        """0 when nothing was recorded."""
        return max((value for value in self._values if not math.isnan(value)), default=0.0)

    def encode(self) -> str:
        """For a ConfigMap: at most 113 KiB for 15 days of minutes. Values keep seven digits."""
        kept = array("f", self._values[-self._most :])
        if sys.byteorder == "big":
            kept.byteswap()
        first = self._first + len(self._values) - len(kept)
        return f"{_FORMAT} {self.step_s} {first} {base64.b64encode(kept.tobytes()).decode()}"

    @classmethod
    def decode(cls, text: str, *, step_s: int = MINUTE_S, length_s: int = 15 * DAY_S) -> History:
        """What `encode` made. Raises ValueError on anything else, and on what is larger than `length_s` allows."""
        history = cls(step_s=step_s, length_s=length_s)
        if len(text) > 100 + history._most * 6:
            raise ValueError("the checkpoint is longer than the history it is to be")
        words = text.split(" ")
        if (
            len(words) != 4
            or words[0] != _FORMAT
            or not all(word.isascii() and word.isdecimal() for word in words[1:3])
        ):
            raise ValueError("not a checkpoint of ours")
        if int(words[1]) != step_s:
            raise ValueError(f"the checkpoint has a step of {words[1]} s, not of {step_s} s")
        values = array("f")
        try:
            values.frombytes(base64.b64decode(words[3], validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError("the checkpoint's values are damaged") from error
        if sys.byteorder == "big":
            values.byteswap()
        if len(values) > history._most:
            raise ValueError("the checkpoint is longer than the history it is to be")
        history._first = int(words[2])
        history._values = array("d", (value if value >= 0 and math.isfinite(value) else _NONE for value in values))
        history._recorded = sum(not math.isnan(value) for value in history._values)
        return history

    def _trim(self, surplus: int) -> None:
        self._recorded -= sum(not math.isnan(value) for value in self._values[:surplus])
        del self._values[:surplus]
        self._first += surplus
