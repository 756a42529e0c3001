"""An API server in memory, with the methods of KubeClient: pods, nodes, events, tokens, and watches of pods and of
single ConfigMaps, Secrets and claims.

It merges pods/status its own way (`status_world.Server`) and refuses what the real one refuses. What no client may ever
do, as taking a terminal phase back, stands in `wrongs` afterwards.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.translate.status_world import Rejected, Server, _merge_field
from vk_provider.errors import Conflict, Gone, KubeError, NotFound

Json = dict[str, Any]
STAMP = "%Y-%m-%dT%H:%M:%SZ"
_POD = re.compile(r"^/api/v1/namespaces/[^/]+/pods/[^/]+$")
_SOURCE = re.compile(r"^/api/v1/namespaces/[^/]+/(configmaps|secrets|persistentvolumeclaims)/[^/]+$")
_KINDS = re.compile(r"/(pods|events|nodes|services|configmaps|secrets|persistentvolume\w*|serviceaccounts)(/|$)")


class MemoryKube:
    """`trouble(method, path, body)`: called first, may raise what the server is to answer; `seen`: every call in order.

    watch_lag_s: how late a watch line comes. server: which fields it knows.
    """

    def __init__(self, *, clock: Callable[[], datetime], server: Server | None = None) -> None:
        self.objects: dict[str, Json] = {}
        self.seen: list[tuple[str, str, Any]] = []
        self.wrongs: list[str] = []
        self.removed: dict[str, Json] = {}  # uid → the pod as it was last
        self.trouble: Callable[[str, str, Any], None] = lambda method, path, body: None
        self.mutate: Callable[[Json], None] = lambda pod: None  # a webhook over pods/status
        self.watch_lag_s = 0.0
        self._server = server or Server()
        self._clock = clock
        self._version = 1
        self._uids = 0
        self._log: list[tuple[int, str, str, Json]] = []  # version, path, kind, object
        self._news: asyncio.Event = asyncio.Event()
        self._forgotten = 0  # versions up to this one cannot be watched from any more

    # --- what a test does as somebody else

    def add(self, path: str, item: Json) -> Json:
        self._uids += 1
        meta = item.setdefault("metadata", {})
        meta.setdefault("uid", f"uid-{self._uids}")
        meta.setdefault("creationTimestamp", self._now())
        self.objects[path] = item
        return self._changed(path, "ADDED")

    def add_pod(self, name: str, *, namespace: str = "web", policy: str = "Never", **more: Any) -> str:
        """Bound to our node just now. Returns its uid."""
        spec = {
            "nodeName": "vk",
            "restartPolicy": policy,
            "containers": [{"name": "main", "image": "perl"}],
            **more.pop("spec", {}),
        }
        meta = {
            "namespace": namespace,
            "name": name,
            "generation": 1,
            "annotations": more.pop("annotations", {}),
            **more,
        }
        bound = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": self._now()}
        pod = self.add(
            f"/api/v1/namespaces/{namespace}/pods/{name}",
            {"metadata": meta, "spec": spec, "status": {"phase": "Pending", "conditions": [bound]}},
        )
        return str(pod["metadata"]["uid"])

    def pod(self, name: str, namespace: str = "web") -> Json | None:
        return self.objects.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def pods(self) -> list[Json]:
        return [item for path, item in self.objects.items() if _POD.match(path)]

    def delete_pod(self, name: str, *, grace_s: int = 30, namespace: str = "web") -> None:
        """As a user: graceful, unless it has ended already or grace_s is 0."""
        self._delete(f"/api/v1/namespaces/{namespace}/pods/{name}", grace_s)

    def edit(self, path: str, change: Callable[[Json], object]) -> None:
        item = copy.deepcopy(self.objects[path])
        change(item)
        self.objects[path] = item
        self._changed(path, "MODIFIED")

    def remove(self, path: str) -> None:
        self._remove(path)

    def compact(self) -> None:
        """Whoever watches from an older version has to list again."""
        self._forgotten = self._version

    def events(self, reason: str = "") -> list[Json]:
        found = [item for path, item in self.objects.items() if "/events/" in path]
        return [item for item in found if reason in ("", item["reason"])]

    def counts(self) -> Counter[str]:
        """Requests by `METHOD kind`."""
        return Counter(f"{method} {_KINDS.search(path).group(1)}" for method, path, _ in self.seen)  # type: ignore[union-attr]

    def bodies(self, method: str, part: str) -> list[Any]:
        return [body for seen, path, body in self.seen if seen == method and part in path]

    # --- KubeClient

    server = "memory"

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Json:
        self._enter("GET", path, None)
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        kind = path.rpartition("/")[2]
        if kind not in ("pods", "events", "services"):
            raise NotFound(f"{path} not found", status=404)
        namespace = path.split("/namespaces/")[1].split("/")[0] if "/namespaces/" in path else ""
        middle = f"/namespaces/{namespace}/" if namespace else ""
        items = [copy.deepcopy(v) for p, v in self.objects.items() if f"/{kind}/" in p and middle in p]
        if kind == "pods":
            items = [item for item in items if item["spec"].get("nodeName") == "vk"]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def post(
        self, path: str, body: Json, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> Json:
        self._enter("POST", path, body)
        if path.endswith("/token"):
            return self._token(body)
        full = f"{path}/{body['metadata']['name']}"
        if full in self.objects:
            raise Conflict(f"{full} exists", status=409, reason="AlreadyExists")
        return copy.deepcopy(self.add(full, copy.deepcopy(body)))

    async def patch(
        self,
        path: str,
        body: Any,
        *,
        content_type: str = "",
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Json:
        self._enter("PATCH", path, body)
        target = path.removesuffix("/status")
        if target not in self.objects:
            raise NotFound(f"{target} not found", status=404)
        before = self.objects[target]
        after = self._patched(before, copy.deepcopy(body), is_pod=_POD.match(target) is not None)
        if after != before:
            self._no_way_back(before, after)
            self.objects[target] = after
            self._changed(target, "MODIFIED")
        return copy.deepcopy(self.objects[target])

    async def delete(
        self,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Json:
        self._enter("DELETE", path, body)
        if path not in self.objects:
            raise NotFound(f"{path} not found", status=404)
        options = body or {}
        wanted = options.get("preconditions", {}).get("uid")
        if wanted is None:
            self.wrongs.append(f"DELETE {path} without a uid as precondition")
        elif wanted != self.objects[path]["metadata"]["uid"]:
            raise Conflict(f"{path}: another uid", status=409)
        return self._delete(path, options.get("gracePeriodSeconds", 30))

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        params = params or {}
        self._enter("WATCH", path, None)
        name = params.get("fieldSelector", "").removeprefix("metadata.name=")
        if "resourceVersion" not in params:
            yield self._of_one(f"{path}/{name}")
        else:
            yield self._lines(int(params["resourceVersion"]), lambda each: _POD.match(each) is not None)

    # --- inside

    async def _of_one(self, path: str) -> AsyncIterator[Json]:
        """As it is, then its changes."""
        since = self._version
        if path in self.objects:
            yield {"type": "ADDED", "object": copy.deepcopy(self.objects[path])}
        async for line in self._lines(since, lambda each: each == path):
            yield line

    def _token(self, body: Json) -> Json:
        """Only for a pod that is there. Its text says when it ends, so that whoever uses it can tell."""
        bound, life_s = body["spec"]["boundObjectRef"], body["spec"]["expirationSeconds"]
        uids = {pod["metadata"]["uid"] for pod in self.pods()}
        if bound["uid"] not in uids:
            raise NotFound(f"pods {bound['name']} not found", status=404)
        ends = self._clock() + timedelta(seconds=life_s)
        return {"spec": {"expirationSeconds": life_s}, "status": {"token": ends.strftime(STAMP)}}

    async def _lines(self, since: int, wanted: Callable[[str], bool]) -> AsyncIterator[Json]:
        position = next((i for i, entry in enumerate(self._log) if entry[0] > since), len(self._log))
        while True:
            if self._forgotten > since:
                raise Gone("too old", status=410)
            while position < len(self._log):
                version, path, kind, item = self._log[position]
                position, since = position + 1, version
                if not wanted(path):
                    continue
                if self.watch_lag_s:
                    await asyncio.sleep(self.watch_lag_s)
                yield {"type": kind, "object": copy.deepcopy(item)}
            news = self._news
            await news.wait()

    def _enter(self, method: str, path: str, body: Any) -> None:
        self.seen.append((method, path, copy.deepcopy(body)))
        self.trouble(method, path, body)

    def _patched(self, before: Json, body: Json, *, is_pod: bool) -> Json:
        if is_pod:
            try:
                after = self._server.patch(before, body)
            except Rejected as refusal:
                code = int(str(refusal)[:3])
                if code == 409:
                    raise Conflict(str(refusal), status=409) from None
                self.wrongs.append(f"refused: {refusal}")
                raise KubeError(str(refusal), status=code, reason="Invalid") from None
            self.mutate(after)
            return after
        after = copy.deepcopy(before)
        for name, value in body.get("metadata", {}).items():
            after["metadata"].setdefault(name, {}).update(value)
        for name, value in body.get("status", {}).items():
            _merge_node_field(after.setdefault("status", {}), name, value)
        for name in ("count", "lastTimestamp", "message"):
            if name in body:
                after[name] = body[name]
        return after

    def _no_way_back(self, before: Json, after: Json) -> None:
        phase = before.get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed") and before["status"] != after["status"]:
            self.wrongs.append(f"{before['metadata']['name']} was {phase} and was changed")

    def _delete(self, path: str, grace_s: int) -> Json:
        item = copy.deepcopy(self.objects[path])
        meta = item["metadata"]
        ended = item.get("status", {}).get("phase") in ("Succeeded", "Failed")
        at_once = grace_s == 0 or ended or not _POD.match(path)
        if at_once and not meta.get("finalizers"):
            if meta.get("deletionGracePeriodSeconds"):  # a real server notes the shorter grace before it removes
                meta["deletionGracePeriodSeconds"] = 0
                self.objects[path] = item
                item = self._changed(path, "MODIFIED")
            self._remove(path)
            return item
        grace_s = 0 if at_once else min(grace_s, meta.get("deletionGracePeriodSeconds", grace_s))
        if "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = (self._clock() + timedelta(seconds=grace_s)).strftime(STAMP)
            meta["generation"] = meta.get("generation", 0) + 1
        elif meta["deletionGracePeriodSeconds"] == grace_s:
            return item
        meta["deletionGracePeriodSeconds"] = grace_s
        self.objects[path] = item
        return self._changed(path, "MODIFIED")

    def _remove(self, path: str) -> None:
        item = self._changed(path, "DELETED")
        del self.objects[path]
        self.removed[item["metadata"]["uid"]] = item

    def _changed(self, path: str, kind: str) -> Json:
        self._version += 1
        item = self.objects[path] = copy.deepcopy(self.objects[path])
        item["metadata"]["resourceVersion"] = str(self._version)
        if _POD.match(path) or _SOURCE.match(path):
            self._log.append((self._version, path, kind, item))
            self._news.set()
            self._news = asyncio.Event()
        return item

    def _now(self) -> str:
        return self._clock().strftime(STAMP)


def _merge_node_field(status: Json, name: str, value: Any) -> None:
    if name in ("capacity", "allocatable"):
        merged = {**status.get(name, {}), **value}
        status[name] = {key: each for key, each in merged.items() if each is not None}
    elif name == "addresses":
        status[name] = [each for each in value if "$patch" not in each]
    else:
        _merge_field(status, name, value)
