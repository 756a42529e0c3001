"""Reading answers that say the same again and again.

The incremental calls look back a minute at least (eci.md 2.5), so that each change is told thirty times over at a look
every two seconds; taking it in costs much more than seeing that it is the same.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from typing import Any

from vk_provider.model.instance import InstanceReport


class Rereader:
    """An item that has not changed since the last answer gives the very object that it gave then.

    Holds what the last two answers gave and nothing else.
    """

    def __init__(self, read: Callable[[dict[str, Any]], InstanceReport]) -> None:
        self._read = read
        self._before: dict[int, InstanceReport] = {}
        self._known: dict[int, InstanceReport] = {}

    def begin(self) -> None:
        """A new answer, whose pages are read one by one."""
        self._before, self._known = self._known, {}

    def read(self, items: Sequence[dict[str, Any]]) -> Sequence[InstanceReport]:
        """items: of one page."""
        reports = []
        for item in items:
            digest = hash(marshal.dumps(item, 2))  # 2: the newest format that spells equal things equally
            report = self._before.get(digest) or self._read(item)
            self._known[digest] = report
            reports.append(report)
        return reports
