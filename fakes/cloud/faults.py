"""What goes wrong on purpose: rules set through the admin API, used up by the calls they meet.

| kind                      | what happens                                                                     |
|---------------------------|----------------------------------------------------------------------------------|
| error                     | answered with code, message, http_status; nothing is done                        |
| throttle                  | answered with Throttling; nothing is done                                        |
| http-500, http-503, ...   | answered with that status; InternalError, or ServiceUnavailable for 503          |
| delay                     | done after `seconds`                                                             |
| lose-request              | the connection is cut; nothing is done                                           |
| lose-response-after-acting| done, then the connection is cut                                                 |
| empty-list                | a describing call answers with no items                                          |
| partial-list              | a describing call answers with every second item, TotalCount to match            |
| stale-answer              | answered as the same question was the last time it met no fault                  |
| malformed-answer          | done, then answered with 200 and values of other types than the API promises     |
| foreign-id                | a create is done, then answered with the id of the instance created before it    |

A rule has `action` (API name or `*`), `kind`, `count` (default 1; -1 for ever).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fakes.cloud.errors import ApiError
from fakes.cloud.limits import throttled
from fakes.cloud.parameters import Json

KINDS = ["error", "throttle", "delay", "lose-request", "lose-response-after-acting", "empty-list", "partial-list"]
KINDS += ["stale-answer", "malformed-answer", "foreign-id"]
MALFORMED: Mapping[str, Any] = {
    "ContainerGroups": {"a": 1},
    "Data": [None, 7, {"ContainerGroupId": []}],
    "ContainerGroupId": {},
    "TotalCount": "many",
    "NextToken": [],
    "RequestId": None,
}
LISTS = ("ContainerGroups", "Data", "MonitorDatas", "Records")


@dataclass(slots=True)
class Fault:
    kind: str
    action: str = "*"
    count: int = 1
    code: str = "InternalError"
    message: str = "A fault set through the admin API."
    http_status: int = 500
    seconds: float = 0.0

    @property
    def refusal(self) -> ApiError | None:
        """The error of the kinds that answer without acting."""
        if self.kind == "throttle":
            return throttled()
        if self.kind == "error":
            return ApiError(self.code, self.message, self.http_status)
        if self.kind.startswith("http-"):
            status = int(self.kind[5:])
            return ApiError("ServiceUnavailable" if status == 503 else "InternalError", self.message, status)
        return None


class Faults:
    """The rules in the order they were set; a call meets the first one that fits."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def add(self, table: Mapping[str, Any]) -> None:
        """Raises ValueError naming what is wrong with a rule."""
        kind = table.get("kind")
        if kind not in KINDS and not re.fullmatch(r"http-[45]\d\d", str(kind)):
            raise ValueError(f"kind {kind!r}: one of {', '.join(KINDS)}, http-4xx, http-5xx")
        try:
            self._rules.append(Fault(**table))
        except TypeError as error:
            raise ValueError(str(error)) from error

    def take(self, action: str) -> Fault | None:
        for fault in self._rules:
            if fault.action in ("*", action) and fault.count != 0:
                fault.count -= fault.count > 0
                if fault.count == 0:
                    self._rules.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self._rules.clear()

    def listed(self) -> list[Json]:
        return [{"action": item.action, "kind": item.kind, "count": item.count} for item in self._rules]


def thin_out(answer: Json, kind: str) -> Json:
    """An answer with its list emptied or halved, as a faulty or unpermitted describing call gives it."""
    for name in LISTS:
        if isinstance(answer.get(name), list):
            kept = [] if kind == "empty-list" else answer[name][::2]
            lost = len(answer[name]) - len(kept)
            answer = {**answer, name: kept}
            if "TotalCount" in answer:
                answer["TotalCount"] = 0 if kind == "empty-list" else answer["TotalCount"] - lost
            if kind == "empty-list":
                answer["NextToken"] = ""
    return answer
