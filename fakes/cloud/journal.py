"""What happened, in order: every API call and every change of a group's status; never a parameter or a secret."""

import json
from collections import deque
from pathlib import Path
from typing import TextIO

from fakes.cloud.clock import Clock, iso_time
from fakes.cloud.parameters import Json

KEPT = 100_000


class Journal:
    """The newest 100,000 entries, numbered from 1; with a path, all of them in that file, a JSON object a line."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._entries: deque[Json] = deque(maxlen=KEPT)
        self._count = 0
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None

    def call(self, action: str, *, request_id: str, code: str, http_status: int, group_id: str) -> None:
        self._add(kind="call", action=action, request_id=request_id, code=code, http_status=http_status, id=group_id)

    def state(self, group_id: str, name: str, *, old: str, new: str, when: float) -> None:
        self._add(kind="state", id=group_id, name=name, old=old, new=new, when=round(when, 3))

    def since(self, number: int, limit: int = 10_000) -> list[Json]:
        """Entries after entry `number`, oldest first."""
        skip = max(0, number - (self._count - len(self._entries)))
        return [entry for place, entry in enumerate(self._entries) if skip <= place < skip + limit]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _add(self, **entry: object) -> None:
        self._count += 1
        now = self._clock.now()
        full = {"number": self._count, "at": iso_time(now), "when": round(now, 3), **entry}
        self._entries.append(full)
        if self._file is not None:
            self._file.write(json.dumps(full) + "\n")
            self._file.flush()
