"""Which version each object has that running pods show as files, or that others wait for.

Asked for by name only (R1). The first MOST_WATCHES of them have a watch each, so that a change is known at once; the
others are read in turns, each about once a minute, which is as fresh as a kubelet promises. Immutable objects are read
once. Only versions are kept, never contents.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from vk_provider.errors import KubeError, KubeUnavailable, NotFound
from vk_provider.kube import objects, paths
from vk_provider.kube.client import KubeClient
from vk_provider.kube.store import is_older
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop, told_elsewhere
from vk_provider.translate.digest import content_of
from vk_provider.translate.file_sources import Source, version_of
from vk_provider.translate.objects import Kind

Json = dict[str, Any]
log = logging.getLogger(__name__)

MOST_WATCHES = 200  # each holds a connection
TURN_S = 60.0  # between two looks at an object without a watch
AT_ONCE = 8  # first looks under way
RETRY = Backoff(first_s=1.0, most_s=60.0, spread=0.5)
_SLACK_S = 30.0
_HEALTHY_S = 30.0  # a watch that lasted so long was a good one


@dataclass(slots=True)
class _Entry:
    users: set[str] = field(default_factory=set)
    version: str = ""  # empty: not looked at yet
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
        client: KubeClient,
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
        self._turns: OrderedDict[Source, float] = OrderedDict()  # without a watch → loop time of their next look
        self._watches = 0
        self._may_watch = True
        self._news = asyncio.Event()
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
                self._turns.pop(source, None)
                if entry.watch is not None:
                    entry.watch.cancel()

    def __len__(self) -> int:
        return len(self._entries)

    def versions(self, sources: Iterable[Source]) -> Mapping[Source, str] | None:
        """None: not all of them have been looked at yet."""
        found = {source: self._entries[source].version for source in sources if source in self._entries}
        return found if all(found.values()) and all(source in found for source in sources) else None

    def contents(self, sources: Iterable[Source]) -> Mapping[Source, str] | None:
        """Digests of what they hold, as `digest.content_of`; None: not all of them have been looked at yet."""
        found = {source: self._entries[source].content for source in sources if source in self._entries}
        return found if all(found.values()) and all(source in found for source in sources) else None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for source, entry in self._entries.items():
                    self._follow(source, entry)
                await retry_loop(
                    self._take_turn,
                    name="objects without a watch",
                    backoff=RETRY,
                    jitter=self._jitter,
                    on_failure=told_elsewhere,
                )
            finally:
                self._tasks = None  # nothing new while all ends

    # --- one object

    def _follow(self, source: Source, entry: _Entry) -> None:
        """Begin to watch it, or give it its turn among those without a watch."""
        if self._tasks is None:
            return  # `run` begins with all that are wanted by then
        if self._may_watch and self._watches < self._most_watches:
            self._watches += 1
            entry.watch = self._tasks.create_task(self._watch(source, entry))
            return
        self._turns[source] = 0.0
        self._turns.move_to_end(source, last=False)
        self._news.set()

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
            self._watches -= 1
            self._promote()
        if not entry.immutable:
            self._follow(source, entry)

    def _promote(self) -> None:
        """A watch has become free: it goes to one that waits for its turns."""
        if self._turns and self._may_watch and self._tasks is not None:
            source, _ = self._turns.popitem(last=False)
            self._follow(source, self._entries[source])

    async def _watch_once(self, source: Source, entry: _Entry) -> None:
        """Listen until the server ends it. The look comes after the listening began, so that nothing falls between."""
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
                self._not_allowed(kind, error)
                return
            await self._look(source, entry)
            async for line in lines:
                if entry.immutable:
                    return
                match line.get("type"):
                    case "ADDED" | "MODIFIED":
                        self._note(source, entry, line.get("object"))
                    case "DELETED":
                        self._note(source, entry, None)
                    case _:
                        return  # what was missed, the next look shows

    async def _look(self, source: Source, entry: _Entry) -> None:
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
            return  # a line of the time before our look
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

    def _not_allowed(self, kind: Kind, error: KubeError) -> None:
        if self._may_watch:
            self._may_watch = False
            log.warning("may not watch %s, so files follow changes within a minute only: %s", _RESOURCES[kind], error)

    def _failed(self, source: Source, error: KubeError) -> None:
        kind, (namespace, name) = source
        log.info("%s %s/%s cannot be looked at now: %s", kind.noun, namespace, name, error)

    # --- those without a watch, in turns

    async def _take_turn(self) -> None:
        """The look that is due next, or the wait for it."""
        self._news.clear()
        if not self._turns:
            await self._news.wait()
            return
        source, due = next(iter(self._turns.items()))
        if due > _now():
            try:
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            except TimeoutError:
                return
            return
        entry = self._entries[source]
        try:
            await self._look(source, entry)
        except KubeError as error:
            self._failed(source, error)
            raise  # so that not all of them are asked for in vain
        finally:
            if source in self._turns and self._entries.get(source) is entry:
                del self._turns[source]
                if not entry.immutable:
                    self._turns[source] = _now() + TURN_S


_RESOURCES = {Kind.CONFIG_MAP: "configmaps", Kind.SECRET: "secrets", Kind.CLAIM: "persistentvolumeclaims"}


def _path(source: Source) -> str:
    kind, key = source
    return paths.core(_RESOURCES[kind], namespace=key[0], name=key[1])


def _now() -> float:
    return asyncio.get_running_loop().time()
