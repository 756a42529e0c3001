"""One list and watch, kept going for ever: the API server's objects in a Store.

Three states, and every way from one to the next stands in `_step` and `after_failure`:

    Empty ──list──▶ Listed ──watch opens──▶ Watching ──line──▶ Watching
      ▲               ▲                        │
      └──── 410 ──────┴──── stream ends ───────┘

Everything that fails waits before it is tried again, longer each time. Source: kubelet.md W1-W6.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from vk_provider.backoff import Backoff
from vk_provider.errors import Gone, KubeError, KubeUnavailable
from vk_provider.kube.answers import from_status
from vk_provider.kube.client import Json, KubeClient
from vk_provider.kube.packing import Packed, Packer, unpack
from vk_provider.kube.store import Store

log = logging.getLogger(__name__)

NEWEST = ""  # a list at the newest version, read from the database
PAGE = 500

_BACKOFF = Backoff(first_s=0.8, most_s=8.0, spread=0.2)  # one cheap call; while it waits, every pod waits
_HEALTHY_S = 120.0  # a failure this long after the last one starts from the shortest delay again
_SLACK_S = 30.0  # how much later than its own time-out a watch may end before it counts as dead
_SHORT_S = 1.0  # a watch that ends sooner, with nothing in it, is a failure although nobody says so
_MOST_WAIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing is known to be complete. list_from: how new the list must be at least: NEWEST or a version."""

    list_from: str
    page: int = PAGE


@dataclass(frozen=True, slots=True)
class Listed:
    """The store is complete as of this version; nothing tells us what happens next."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Watching:
    """The store is complete as of this version, and the lines bring what happens next."""

    resource_version: str
    lines: AsyncIterator[Json]
    opened_at: float
    count: int = 0


State = Empty | Listed | Watching


def after_failure(state: State, error: KubeError) -> State:
    """Where to go on: what can be resumed is resumed, what the server has forgotten is listed."""
    too_new = error.reason == "ResourceVersionTooLarge"
    match state:
        case Empty(list_from=since) if since == NEWEST and isinstance(error, Gone):
            return Empty(NEWEST, page=0)  # the pages expired on the way: all at once
        case Empty() if too_new or isinstance(error, Gone):
            return Empty(NEWEST)
        case Empty():
            return state
        case Listed(resource_version=version) | Watching(resource_version=version):
            if too_new:
                return Empty(NEWEST)
            return Empty(version) if isinstance(error, Gone) else Listed(version)


class Reflector:
    """Writes `store`, alone; `take` is how answers to our own writes get in between.

    path, params: the collection and its selectors, as {"fieldSelector": "spec.nodeName=vk"}.
    slim: drops what nobody reads, to save memory; may change the object it is given. managedFields go anyway.
    watch_s: how long the next watch is to last; random, so that not all watches of a node end together.
    jitter: in [0, 1).
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        store: Store[Json],
        *,
        params: Mapping[str, str] | None = None,
        slim: Callable[[Json], Json] = lambda item: item,
        watch_s: Callable[[], float] = lambda: random.uniform(300, 600),  # noqa: S311 (spreads load)
        jitter: Callable[[], float] = random.random,
        list_timeout_s: float = 60.0,
    ) -> None:
        self.store = store
        self._client = client
        self._path = path
        self._params = dict(params or {})
        self._slim = slim
        self._watch_s = watch_s
        self._jitter = jitter
        self._list_timeout_s = list_timeout_s
        # Not what the server has at hand: that may lag behind what an earlier life of ours wrote, and who works from it
        # writes over ends that are final.
        self._state: State = Empty(NEWEST)
        self._failures = 0
        self._failed_at = float("-inf")

    @property
    def state(self) -> State:
        return self._state

    def take(self, item: Json) -> bool:
        """Put the server's answer to our own write into the store, unless the watch was faster (W8)."""
        return self.store.apply(self._slimmed(item))

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with AsyncExitStack() as stream:
            while True:
                try:
                    self._state = await self._step(self._state, stream)
                except KubeError as error:
                    await stream.aclose()
                    self._state, before = after_failure(self._state, error), self._state
                    delay_s = self._delay(error)
                    log.warning("%s: %s, trying again in_s=%.1f: %s", self._path, _name(before), delay_s, error)
                    await asyncio.sleep(delay_s)

    async def _step(self, state: State, stream: AsyncExitStack) -> State:
        match state:
            case Empty():
                return Listed(await self._list(state))
            case Listed(resource_version=version):
                return Watching(version, await self._open(version, stream), _now())
            case Watching(resource_version=version):
                line = await anext(state.lines, None)
                if line is not None:
                    return replace(state, resource_version=self._read(line) or version, count=state.count + 1)
                await stream.aclose()
                if not state.count and _now() - state.opened_at < _SHORT_S:
                    raise KubeUnavailable("the watch ended as soon as it began")
                return Listed(version)

    async def _list(self, state: Empty) -> str:
        """Read all pages, then swap the store's content. Returns the list's version.

        A page waits packed: nobody works with it before the last one is there.
        """
        params = {**self._params, "resourceVersion": state.list_from}
        if state.list_from == NEWEST and state.page:
            params["limit"] = str(state.page)  # with another version a limit would mean exactly that version
        waiting: list[Packed | Json] = []
        packer = Packer()
        while True:
            answer = await self._client.get(self._path, params=params, timeout_s=self._list_timeout_s)
            waiting += [packer.pack(item) or item for item in map(self._slimmed, answer.get("items") or ())]
            meta = answer.get("metadata") or {}
            version = str(meta.get("resourceVersion") or "")
            if not meta.get("continue"):
                break
            params = {**self._params, "limit": str(state.page or PAGE), "continue": str(meta["continue"])}
        items = (unpack(each) if isinstance(each, Packed) else each for each in waiting)
        self.store.replace(items, resource_version=version)
        log.info("%s: listed objects=%d version=%s", self._path, len(waiting), version)
        return version

    async def _open(self, version: str, stream: AsyncExitStack) -> AsyncIterator[Json]:
        watch_s = self._watch_s()
        params = {
            **self._params,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(watch_s)),
        }
        return await stream.enter_async_context(
            self._client.stream(self._path, params=params, timeout_s=watch_s + _SLACK_S)
        )

    def _read(self, line: Json) -> str:
        """Do what one line says. Returns its version; raises what an ERROR line means."""
        kind, item = line.get("type"), line.get("object")
        if kind == "ERROR" or not isinstance(item, dict) or "metadata" not in item:
            raise from_status(item, call=f"watch {self._path}")
        version = str(item["metadata"].get("resourceVersion") or "")
        match kind:
            case "ADDED" | "MODIFIED":
                self.store.apply(self._slimmed(item))
            case "DELETED":
                self.store.remove(self.store.key(item), resource_version=version)
            case "BOOKMARK":
                pass
            case _:
                raise KubeUnavailable(f"watch {self._path}: a line of unknown type {kind!r}")
        return version

    def _slimmed(self, item: Json) -> Json:
        item["metadata"].pop("managedFields", None)
        return self._slim(item)

    def _delay(self, error: KubeError) -> float:
        now = _now()
        if now - self._failed_at > _HEALTHY_S:
            self._failures = 0
        delay_s = max(_BACKOFF.delay(self._failures, jitter=self._jitter()), error.retry_after_s or 0.0)
        delay_s = min(delay_s, _MOST_WAIT_S)
        self._failures += 1
        self._failed_at = now + delay_s
        return delay_s


def _name(state: State) -> str:
    return type(state).__name__.lower()


def _now() -> float:
    return asyncio.get_running_loop().time()
