"""Reading answers that say the same again and again.

The incremental calls look back a minute at least (eci.md 2.5), so that each change is told thirty times over at a look
every two seconds; taking it in costs much more than seeing that it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vk_provider import jsontext
from vk_provider.cloud.eci import response
from vk_provider.jsontext import Unread
from vk_provider.model.instance import InstanceReport


class ReportCache:
    """An item that is written as it was in the last answer gives the very object that it gave then, and is not read.

    Holds what the last two answers gave and nothing else.
    """

    def __init__(self, report: Callable[[dict[str, Any]], InstanceReport]) -> None:
        self._report = report
        self._before: dict[int, InstanceReport] = {}
        self._known: dict[int, InstanceReport] = {}

    def begin(self) -> None:
        """A new answer, whose items are read one by one."""
        self._before, self._known = self._known, {}

    def read(self, item: response.Item) -> InstanceReport:
        """One of a page's items."""
        digest = hash(bytes(item) if isinstance(item, Unread) else jsontext.dumps(item))
        report = self._before.get(digest) or self._report(response.item(item))
        self._known[digest] = report
        return report
