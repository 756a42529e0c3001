"""The API server in memory, with a memory of its own: every status that a pod ever had, and lists as they were once."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from tests.control.memory_kube import _POD, MemoryKube
from vk_provider.errors import KubeUnavailable

Json = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")


class WitnessedKube(MemoryKube):
    """statuses: by uid, oldest first. ended: uid → when the pod had ended, or its object was gone. stale: how many
    changes a list from the watch cache lags behind."""

    def __init__(self, *, clock: Callable[[], datetime], time_s: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.statuses: dict[str, list[Json]] = {}
        self.names: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.ended: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self.running_s: dict[str, float] = {}  # by uid, when it was first so
        self.stale = 0
        self._time_s = time_s
        self._version = 1_000_000  # so that no backup is older than the first version
        self._added: dict[str, int] = {}  # path of a pod → the version at which it came

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Json:
        if self.stale and path.endswith("/pods") and (params or {}).get("resourceVersion") == "0":
            self._enter("GET", path, None)
            return self._as_it_was(self.stale)
        return await super().get(path, params=params, timeout_s=timeout_s)

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        since = int((params or {}).get("resourceVersion", "0"))
        if since > self._version:
            raise KubeUnavailable("too large", status=504, reason="ResourceVersionTooLarge")
        async with super().stream(path, params=params, timeout_s=timeout_s) as lines:
            yield lines

    def restore(self, lost: Sequence[tuple[str, str]], *, back: int) -> None:
        """As from a backup of etcd: all is of one old version, and these pods, by namespace and name, are not there.

        They are what came after the backup, so its version is older than theirs: no version ever has two contents.
        """
        paths = [f"/api/v1/namespaces/{namespace}/pods/{name}" for namespace, name in lost]
        for path in paths:
            pod = self.objects.pop(path, None)
            if pod is not None:
                self._witness("DELETED", pod)
        came = [self._added.pop(path) for path in paths if path in self._added]
        self._version = min([self._version - back, *(each - 1 for each in came)])
        self._added = {path: min(came, self._version) for path, came in self._added.items()}
        for path, item in self.objects.items():
            self.objects[path] = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self._version)}}
        pods = [(path, item) for path, item in self.objects.items() if _POD.match(path)]
        self._log = [(self._version, path, "ADDED", item) for path, item in pods]
        self._forgotten = self._version

    def _as_it_was(self, changes: int) -> Json:
        """From a cache that has not seen the last so many changes yet."""
        entries = self._log[: max(0, len(self._log) - changes)]
        entries = [entry for entry in entries if entry[0] >= self._forgotten] or self._log
        pods: dict[str, Json] = {}
        for _, path, kind, item in entries:
            if _POD.match(path):
                pods.pop(path, None)
                if kind != "DELETED":
                    pods[path] = item
        version = str(entries[-1][0]) if entries else str(self._version)
        return {"metadata": {"resourceVersion": version}, "items": [copy.deepcopy(each) for each in pods.values()]}

    def _changed(self, path: str, kind: str) -> Json:
        item = super()._changed(path, kind)
        if _POD.match(path):
            self._witness(kind, item)
            if kind == "ADDED":
                self._added[path] = self._version
        return item

    def _witness(self, kind: str, pod: Json) -> None:
        meta, status = pod["metadata"], pod["status"]
        uid = meta["uid"]
        self.names[uid] = meta["name"]
        if meta.get("deletionTimestamp") or kind == "DELETED":
            self.deleted.add(uid)
        if kind == "DELETED":
            self.gone[uid] = self._time_s()
        if kind == "DELETED" or status.get("phase") in TERMINAL:
            self.ended.setdefault(uid, self._time_s())
        if status.get("phase") == "Running":
            self.running_s.setdefault(uid, self._time_s())
        history = self.statuses.setdefault(uid, [])
        if not history or history[-1] != status:
            history.append(copy.deepcopy(status))
