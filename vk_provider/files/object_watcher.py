"""Which version each object has that running pods show as files, or that others wait for.

Asked for by name only (R1). The first MOST_WATCHES of them have a watch each, so that a change is known at once; the
others are read in turns, each about once a minute, which is as fresh as a kubelet promises. No namespace has more than
half of the watches, and namespaces have turns by rotation, so that one that wants thousands of objects makes only its
own wait. Immutable objects are read once. Only versions are kept, never contents.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from vk_provider.errors import KubeError, KubeUnavailable, NotFound
from vk_provider.kube import objects, paths
from vk_provider.kube.api import KubeApi
from vk_provider.kube.store import is_older
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import reported_elsewhere, retry_loop
from vk_provider.translate.digest import content_of
from vk_provider.translate.file_sources import Source, version_of
from vk_provider.translate.objects import Kind

Json = dict[str, Any]
log = logging.getLogger(__name__)

MOST_WATCHES = 200  # each holds a connection
TURN_S = 60.0  # between two reads of an object without a watch
AT_ONCE = 8  # first reads under way
RETRY = Backoff(first_s=1.0, most_s=60.0, spread=0.5)
_SLACK_S = 30.0
_HEALTHY_S = 30.0  # a watch that lasted so long was a good one


@dataclass(slots=True)
class _Entry:
    users: set[str] = field(default_factory=set)
    version: str = ""  # empty: not read yet
    content: str = ""  # a digest of it, where that is wanted
    immutable: bool = False
    watch: asyncio.Task[None] | None = None


class ObjectWatcher:
    """Bounded: an entry for each object that is wanted.

    changed: called with a pod's uid after a version became known or changed. stale: called with the object's path
    before that, for whoever remembers contents. watch_s: how long the next watch is to last.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        changed: Callable[[str], None],
        stale: Callable[[str], None],
        jitter: Callable[[], float],
        watch_s: Callable[[], float] = lambda: random.uniform(300, 600),  # noqa: S311 (spreads load)
        most_watches: int = MOST_WATCHES,
        with_contents: bool = False,
    ) -> None:
        self._client = client
        self._changed = changed
        self._stale = stale
        self._jitter = jitter
        self._watch_s = watch_s
        self._most_watches = most_watches
        self._with_contents = with_contents
        self._entries: dict[Source, _Entry] = {}
        self._wanted: dict[str, tuple[Source, ...]] = {}  # by pod uid
        self._turns = _Rotation()  # of those without a watch
        self._watches: Counter[str] = Counter()  # by namespace
        self._may_watch = True
        self._added = asyncio.Event()
        self._few = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None

    # --- for those who want to know

    def acquire(self, uid: str, sources: Iterable[Source]) -> None:
        """Keep an eye on these for this pod, and on no others, until `drop`. Once is enough."""
        wanted = tuple(sources)
        before = self._wanted.get(uid)
        if before == wanted:
            return
        self._wanted[uid] = wanted
        for source in wanted:
            entry = self._entries.get(source)
            if entry is None:
                entry = self._entries[source] = _Entry()
                self._follow(source, entry)
            entry.users.add(uid)
        self._release(uid, [source for source in before or () if source not in wanted])

    def release(self, uid: str) -> None:
        self._release(uid, self._wanted.pop(uid, ()))

    def _release(self, uid: str, sources: Iterable[Source]) -> None:
        for source in sources:
            entry = self._entries[source]
            entry.users.discard(uid)
            if not entry.users:
                del self._entries[source]
                self._turns.remove(source)
                if entry.watch is not None:
                    entry.watch.cancel()

    def __len__(self) -> int:
        return len(self._entries)

    def versions(self, sources: Iterable[Source]) -> Mapping[Source, str] | None:
        """None: not all of them have been read yet."""
        found = {source: self._entries[source].version for source in sources if source in self._entries}
        return found if all(found.values()) and all(source in found for source in sources) else None

    def contents(self, sources: Iterable[Source]) -> Mapping[Source, str] | None:
        """Digests of what they hold, as `digest.content_of`; None: not all of them have been read yet."""
        found = {source: self._entries[source].content for source in sources if source in self._entries}
        return found if all(found.values()) and all(source in found for source in sources) else None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for source, entry in self._entries.items():
                    self._follow(source, entry)
                await retry_loop(
                    self._read_next,
                    name="objects without a watch",
                    backoff=RETRY,
                    jitter=self._jitter,
                    on_failure=reported_elsewhere,
                )
            finally:
                self._tasks = None  # nothing new while all ends

    # --- one object

    def _follow(self, source: Source, entry: _Entry) -> None:
        """Begin to watch it, or give it its turn among those without a watch."""
        if self._tasks is None:
            return  # `run` begins with all that are wanted by then
        if self._has_room(_namespace(source)):
            self._watches[_namespace(source)] += 1
            entry.watch = self._tasks.create_task(self._watch(source, entry))
            return
        self._turns.add_front(source)
        self._added.set()

    def _has_room(self, namespace: str) -> bool:
        of_one = max(1, self._most_watches // 2)
        return self._may_watch and self._watches.total() < self._most_watches and self._watches[namespace] < of_one

    async def _watch(self, source: Source, entry: _Entry) -> None:
        """Until it is immutable, or nobody wants it, or watching is not allowed."""

        async def watch() -> None:
            began = _now()
            await self._watch_once(source, entry)
            if self._may_watch and not entry.immutable and _now() - began <= _HEALTHY_S:
                raise KubeUnavailable("the watch ended early")

        def failed(error: Exception, _: float) -> None:
            if isinstance(error, KubeError):
                self._failed(source, error)

        try:
            await retry_loop(
                watch,
                name="watch of a single object",
                backoff=RETRY,
                jitter=self._jitter,
                calm_s=_HEALTHY_S,
                on_failure=failed,
                until=lambda: entry.immutable or not self._may_watch,
            )
        finally:
            entry.watch = None
            self._watches -= Counter([_namespace(source)])
            # A watch has become free: it goes to one that is read in turns.
            waiting = self._turns.pop(self._has_room) if self._may_watch and self._tasks is not None else None
            if waiting is not None:
                self._follow(waiting, self._entries[waiting])
        if not entry.immutable:
            self._follow(source, entry)

    async def _watch_once(self, source: Source, entry: _Entry) -> None:
        """Listen until the server ends it. The read comes after the watch began, so that nothing falls between."""
        kind, (namespace, name) = source
        watch_s = self._watch_s()
        # Without a version it begins with the present state; the object's own may be too old to be watched from.
        params = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(round(watch_s))}
        path = paths.core(_RESOURCES[kind], namespace=namespace)
        async with AsyncExitStack() as stack:
            try:
                stream = self._client.stream(path, params=params, timeout_s=watch_s + _SLACK_S)
                lines = await stack.enter_async_context(stream)
            except KubeError as error:
                if error.status != 403:
                    raise
                if self._may_watch:
                    self._may_watch = False
                    words = "may not watch %s, so files follow changes within a minute only: %s"
                    log.warning(words, _RESOURCES[kind], error)
                return
            await self._fetch(source, entry)
            async for line in lines:
                if entry.immutable:
                    return
                match line.get("type"):
                    case "ADDED" | "MODIFIED":
                        self._note(source, entry, line.get("object"))
                    case "DELETED":
                        self._note(source, entry, None)
                    case _:
                        return  # what was missed, the next read shows

    async def _fetch(self, source: Source, entry: _Entry) -> None:
        before = entry.version
        found: Json | None = None
        try:
            async with self._few:
                found = await self._client.get(_path(source))
        except NotFound:
            pass
        # Nothing came by the watch meanwhile, so this is newer than what is held, even if its version is lower: the
        # server was restored from a backup then.
        self._note(source, entry, found, is_newest=entry.version == before)

    def _note(self, source: Source, entry: _Entry, found: Any, *, is_newest: bool = False) -> None:
        """Raises MalformedAnswer; what is known of it stays."""
        if found is not None:
            found = objects.checked_object(found, _path(source), needs=())
        held = entry.version.rpartition("/")[2]
        if found is not None and not is_newest and is_older(objects.text_of(found, "resourceVersion"), held):
            return  # a line from before our read
        entry.immutable = bool(found and found.get("immutable"))
        version = version_of(found)
        if entry.version == version:
            return
        entry.version = version
        if self._with_contents:
            entry.content = content_of(found)
        self._stale(_path(source))
        for uid in entry.users:
            self._changed(uid)

    def _failed(self, source: Source, error: KubeError) -> None:
        kind, (namespace, name) = source
        log.info("%s %s/%s cannot be read now: %s", kind.noun, namespace, name, error)

    # --- those without a watch, in turns

    async def _read_next(self) -> None:
        """The read that is due next, or the wait for it."""
        self._added.clear()
        due_s = self._turns.due_s()
        if due_s > _now():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if due_s == float("inf") else due_s):
                    await self._added.wait()
            return
        source = self._turns.next(_now())
        entry = self._entries[source]
        try:
            await self._fetch(source, entry)
        except KubeError as error:
            self._failed(source, error)
            raise  # so that not all of them are asked for in vain
        finally:
            is_ours = self._entries.get(source) is entry  # and not one that has come anew meanwhile
            if is_ours and self._turns.remove(source) and not entry.immutable:
                self._turns.add(source, _now() + TURN_S)


class _Rotation:
    """Sources and the loop times of their next reads: of each namespace in order, the namespaces in rotation."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[Source, float]] = OrderedDict()

    def add(self, source: Source, due_s: float) -> None:
        """Behind all of its namespace, whose reads are due sooner."""
        self._lines.setdefault(_namespace(source), OrderedDict())[source] = due_s

    def add_front(self, source: Source) -> None:
        line = self._lines.setdefault(_namespace(source), OrderedDict())
        line[source] = 0.0
        line.move_to_end(source, last=False)

    def remove(self, source: Source) -> bool:
        """Whether it was there."""
        line = self._lines.get(_namespace(source), OrderedDict())
        if line.pop(source, None) is None:
            return False
        if not line:
            del self._lines[_namespace(source)]
        return True

    def due_s(self) -> float:
        """When the next is due, ∞ without any."""
        return min((next(iter(line.values())) for line in self._lines.values()), default=float("inf"))

    def next(self, now_s: float) -> Source:
        """One that is due, of the namespace that has not had a turn for longest; there must be one. It stays."""
        for namespace, line in self._lines.items():
            source, due_s = next(iter(line.items()))
            if due_s <= now_s:
                self._lines.move_to_end(namespace)
                return source
        raise LookupError("none is due")

    def pop(self, may: Callable[[str], bool]) -> Source | None:
        """The first of a namespace that may have a watch."""
        source = next((next(iter(line)) for namespace, line in self._lines.items() if may(namespace)), None)
        if source is not None:
            self.remove(source)
        return source


_RESOURCES = {Kind.CONFIG_MAP: "configmaps", Kind.SECRET: "secrets", Kind.CLAIM: "persistentvolumeclaims"}


def _namespace(source: Source) -> str:
    return source[1][0]


def _path(source: Source) -> str:
    kind, key = source
    return paths.core(_RESOURCES[kind], namespace=key[0], name=key[1])


def _now() -> float:
    return asyncio.get_running_loop().time()
