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

    Holds what the last answer gave and nothing else.
    """

    def __init__(self, read: Callable[[dict[str, Any]], InstanceReport]) -> None:
        self._read = read
        self._known: dict[int, InstanceReport] = {}

    def read(self, items: Sequence[dict[str, Any]]) -> Sequence[InstanceReport]:
        """items: of all pages of one answer."""
        known, self._known = self._known, {}
        reports = []
        for item in items:
            digest = hash(marshal.dumps(item, 2))  # 2: the newest format that spells equal things equally
            report = known.get(digest) or self._read(item)
            self._known[digest] = report
            reports.append(report)
        return reports
