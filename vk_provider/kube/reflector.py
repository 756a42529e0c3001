"""One list and watch, kept going for ever: the API server's objects in a Store.

Three states, and every way from one to the next stands in `_step` and `after_failure`:

    Empty ──list──▶ Listed ──watch opens──▶ Watching ──line──▶ Watching
      ▲               ▲                        │
      └──── 410 ──────┴──── stream ends ───────┘

Everything that fails waits before it is tried again, longer each time.

Nothing that a server sends ends this. An item that is no proper object is left out, counted, and asked for again by a
later list; what is known of its pod stays. So is a line that is none, or one of a version long past, and the watch goes
on: while it does not, no new pod is known.

Where versions go back, the server was restored from a backup, or a member of it lags behind and answers from the past.
To begin with both look alike, so the list is asked for again: a member that lags catches up, and then nothing has
happened. A list that is still behind after BEHIND_S, at the BEHIND_TIMES-th time at least, is the truth, whole: objects
that it lacks are removed, others taken as they are there, whatever was known of newer versions. Should a member lag for
longer than that, its past is taken for the present until it catches up, for from there on the watch tells everything
that came after. Versions that are no numbers cannot be compared: there each list is the truth at once.

Source: kubelet.md W1-W6.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from vk_provider import bounds
from vk_provider.errors import (
    MALFORMED,
    AnswerTooLong,
    Gone,
    KubeError,
    KubeUnavailable,
    MalformedAnswer,
    VersionsWentBack,
)
from vk_provider.health import Fault, Pulse
from vk_provider.kube import objects
from vk_provider.kube.api import Json, KubeApi
from vk_provider.kube.api_errors import from_status
from vk_provider.kube.packing import Packed, Packer, unpack
from vk_provider.kube.store import Store, is_older
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

NEWEST = ""  # a list at the newest version, read from the database
PAGE = 500

_BACKOFF = Backoff(first_s=0.2, most_s=8.0, spread=0.2)  # one cheap call; while it waits, every pod waits
# A failure so long after the last one starts from the shortest delay again: a watch that is cut now and then, as by a
# load balancer, may not leave us blind for longer each time.
_HEALTHY_S = 4.0
_SLACK_S = 30.0  # how much later than its own time-out a watch may end before it counts as dead
_SHORT_S = 1.0  # a watch that ends sooner, with nothing in it, is a failure although nobody says so
_SOUND_S = 5.0
_DEAF_S = 180.0  # the client opens a watch anew that has been silent for 100 s
BEHIND_S, BEHIND_TIMES = 10.0, 3
FRUITLESS = 3  # watches in a row that the server refused or ended without a line: then a list tells what they do not
_RELIST = Backoff(first_s=10.0, most_s=300.0, spread=0.2)  # while there are items that cannot be read
_BEHIND_SOON_S = 1.0  # after a line of the past, unless such come all the time
_BEHIND_LINES = 3  # in a row: then the history that the watch tells is another one


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
    went_back = isinstance(error, VersionsWentBack)
    too_new = error.reason == "ResourceVersionTooLarge"
    match state:
        case Empty(page=page) if isinstance(error, AnswerTooLong):
            return Empty(
                NEWEST, page=max(1, (page or 4 * PAGE) // 4)
            )  # one tenant's large pods must not hide the others
        case Empty(list_from=since) if since == NEWEST and isinstance(error, Gone):
            return Empty(NEWEST, page=0)  # the pages expired on the way: all at once
        case Empty() if too_new or isinstance(error, Gone):
            return Empty(NEWEST)
        case Empty(page=page):
            return Empty(NEWEST, page) if went_back else state
        case Listed(resource_version=version) | Watching(resource_version=version):
            if too_new or went_back or error.reason == MALFORMED:
                return Empty(NEWEST)
            return Empty(version) if isinstance(error, Gone) else Listed(version)


@dataclass(slots=True)
class _Unread:
    """Items of a list that are no proper objects. uids, names: of those that say so much of themselves."""

    count: int = 0
    uids: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)  # namespace and name
    is_any: bool = False  # some of them say nothing: they may be any object that the list seems to lack

    def add(self, item: object) -> None:
        self.count += 1
        uid, name = objects.text_of(item, "uid"), objects.text_of(item, "name")
        if uid:
            self.uids.add(uid)
        if name:
            self.names.add((objects.text_of(item, "namespace"), name))
        self.is_any = self.is_any or not (uid or name)

    def may_be(self, key: str, item: Json) -> bool:
        name = (objects.text_of(item, "namespace"), objects.text_of(item, "name"))
        return self.is_any or key in self.uids or name in self.names


class Reflector:
    """Writes `store`, alone; `take` is how answers to our own writes get in between.

    path, params: the collection and its selectors, as {"fieldSelector": "spec.nodeName=vk"}.
    slim: drops what nobody reads, to save memory; may change the object it is given. managedFields go anyway.
    watch_s: how long the next watch is to last; random, so that not all watches of a node end together.
    jitter: in [0, 1).
    malformed: how many items and lines were no proper objects, for metrics. restarts: how often a watch was opened
    anew, by why: `ended` in order, `failed`, `relisted`.
    """

    def __init__(
        self,
        client: KubeApi,
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
        self.on_answer: Callable[[], object] = lambda: None  # the server answers again, after it did not
        self.malformed = 0
        self.restarts: Counter[str] = Counter()
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
        self._log = ThrottledLog(log)
        self._newest = ""  # the version of the newest list or line
        self._behind: list[float] = []  # loop times of the lists in a row that were behind it
        self._fruitless = 0
        self._unread_lists = 0  # in a row, with items that cannot be read
        self._relist_at = float("inf")
        self._bad_watches, self._bad_line_at = 0, float("-inf")  # in a row with such lines, and when the last came
        self._lines_behind = 0  # in a row
        self._pulse = Pulse()
        self._has_failed = False  # since a step went well
        self._heard_at = float("-inf")

    @property
    def state(self) -> State:
        return self._state

    def apply_response(self, item: Json) -> bool:
        """Put the server's answer to our own write into the store, unless the watch was faster (W8).

        Raises MalformedAnswer.
        """
        if fault := self._fault_of(item):
            raise MalformedAnswer(f"{self._path}: the API server answered with a malformed object: {fault}")
        return self.store.apply(self._slimmed(item))

    def fault(self) -> Fault | None:
        """What keeps us from knowing the objects as they are; None while a watch tells."""
        now = _now()
        if _is_sound(self._state):
            if now - self._heard_at < _DEAF_S:
                return None
            words = f"the watch of {self._path} has been silent for more than {_DEAF_S:.0f} s"
            return Fault("WatchSilent", words, now - self._heard_at)
        if self._pulse.failing_s is None:
            return None if self.store.ready.is_set() else Fault("NotListedYet", f"{self._path} is not listed yet")
        text = f"{self._path} cannot be watched since {self._pulse.failing_since}: {self._pulse.message}"
        return Fault("WatchFailing", text, now - self._pulse.failing_s)

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with AsyncExitStack() as stream:

            async def step() -> None:
                if self._pulse.failing_s is not None and _is_sound(self._state):
                    self._pulse.well()
                self._state = await self._step(self._state, stream)
                self._heard_at = _now()
                if self._has_failed:
                    self._has_failed = False
                    self.on_answer()

            async def pause(delay_s: float) -> None:
                await stream.aclose()
                await asyncio.sleep(delay_s)

            await retry_loop(
                step,
                name=f"watch of {self._path}",
                backoff=_BACKOFF,
                jitter=self._jitter,
                calm_s=_HEALTHY_S,
                pause=pause,
                on_failure=self._failed,
            )

    def _failed(self, error: Exception, delay_s: float) -> None:
        """Where to go on. What nobody foresaw came from what the server sent, so it is asked for all of it anew."""
        self._has_failed = True
        known = error if isinstance(error, KubeError) else MalformedAnswer(f"{self._path}: {error!r}")
        before, self._state = self._state, after_failure(self._state, known)
        if isinstance(before, Watching | Listed):
            self.restarts["relisted" if isinstance(self._state, Empty) else "failed"] += 1
        if isinstance(before, Listed) or (isinstance(before, Watching) and not before.count):
            self._fruitless += not known.unanswered
        if self._fruitless >= FRUITLESS and not isinstance(self._state, Empty):
            self._fruitless, self._state = 0, Empty(NEWEST)
        if _is_sound(before):
            self._pulse.well()  # until now
        self._pulse.failed(str(known), (type(known), known.status))
        key = (_name(before), type(known), known.status, known.reason)
        self._log.warning(key, "%s: %s, trying again in_s=%.1f: %s", self._path, _name(before), delay_s, known)

    async def _step(self, state: State, stream: AsyncExitStack) -> State:
        match state:
            case Empty():
                return Listed(await self._list(state))
            case Listed(resource_version=version):
                return Watching(version, await self._open(version, stream), _now())
            case Watching(resource_version=version):
                try:
                    async with asyncio.timeout_at(self._relist_at if self._relist_at != float("inf") else None):
                        line = await anext(state.lines, None)
                except TimeoutError:
                    await stream.aclose()
                    return Empty(NEWEST)
                if line is not None:
                    left_out = self.malformed
                    version = self._read(line, version)
                    if self.malformed > left_out:  # such a line is no sign of life: where no other comes, it is silence
                        return state
                    self._fruitless = 0
                    return replace(state, resource_version=version, count=state.count + 1)
                await stream.aclose()
                self.restarts["ended"] += 1
                if not state.count:
                    await self._check_silence(state)
                return Listed(version)

    async def _check_silence(self, state: Watching) -> None:
        """Not even a bookmark came: the server may have none, or it is behind what we ask it to go on from, and would
        then be silent until it is there. Raises VersionsWentBack in that case."""
        if _now() - state.opened_at < _SHORT_S:
            raise KubeUnavailable("the watch ended as soon as it began")
        params = {**self._params, "resourceVersion": NEWEST, "limit": "1"}
        answer = await self._client.get(self._path, params=params, timeout_s=self._list_timeout_s)
        objects.checked_items(answer, self._path)
        version = str(answer["metadata"].get("resourceVersion") or "")
        if is_older(version, state.resource_version):
            raise VersionsWentBack(f"the server is at version {version}, and was at {state.resource_version} before")

    async def _list(self, state: Empty) -> str:
        """Read all pages, then swap the store's content. Returns the list's version.

        A page waits packed: nobody works with it before the last one is there.
        """
        params = {**self._params, "resourceVersion": state.list_from}
        if state.list_from == NEWEST and state.page:
            params["limit"] = str(state.page)  # with another version a limit would mean exactly that version
        waiting: list[Packed | Json] = []
        versions: dict[str, str] = {}
        unread, packer = _Unread(), Packer()
        self.store.begin_list(is_newest=state.list_from == NEWEST)
        pages = 0
        while (pages := pages + 1) <= bounds.MOST_PAGES:
            answer = await self._client.get(self._path, params=params, timeout_s=self._list_timeout_s)
            for item in objects.checked_items(answer, self._path):
                if fault := self._fault_of(item):
                    self._leave_out(item, fault)
                    unread.add(item)
                    continue
                slimmed = self._slimmed(item)
                versions[self.store.key(slimmed)] = objects.text_of(slimmed, "resourceVersion")
                waiting.append(packer.pack(slimmed) or slimmed)
            meta = answer["metadata"]
            version = str(meta.get("resourceVersion") or "")
            if not meta.get("continue"):
                break
            params = {**self._params, "limit": str(state.page or PAGE), "continue": str(meta["continue"])}
        else:
            raise KubeUnavailable(f"{self._path}: the list has {bounds.MOST_PAGES:,} pages and no end")
        self._refuse_what_is_behind(version, versions)
        items = (unpack(each) if isinstance(each, Packed) else each for each in waiting)
        self.store.replace(items, resource_version=version, keep=self._kept(unread, versions))
        self._newest = version
        self._plan_relist(unread)
        log.info("%s: listed objects=%d version=%s", self._path, len(waiting), version)
        return version

    def _refuse_what_is_behind(self, version: str, versions: Mapping[str, str]) -> None:
        """Raises VersionsWentBack for a list from the past, until it is the truth (see above)."""
        if not is_older(version, self._newest) and not self.store.contradicts(versions, resource_version=version):
            self._behind = []
            return
        self._behind.append(_now())
        text = f"the list is of version {version or '?'}, and version {self._newest or '?'} was seen before"
        if len(self._behind) < BEHIND_TIMES or self._behind[-1] - self._behind[0] < BEHIND_S:
            raise VersionsWentBack(f"{text}; a server that lags behind catches up, one that was restored does not")
        self._behind = []
        log.warning("%s: %s: the server was restored, what it has now is taken whole", self._path, text)

    def _kept(self, unread: _Unread, listed: Mapping[str, str]) -> set[str]:
        """Keys of known objects that the list lacks only because it cannot be read where they stand."""
        if not unread.count:
            return set()
        missing = self.store.keys() - listed.keys()
        return {key for key in missing if (item := self.store.get(key)) is not None and unread.may_be(key, item)}

    def _plan_relist(self, unread: _Unread) -> None:
        self._unread_lists = self._unread_lists + 1 if unread.count else 0
        if unread.count:
            self._relist_later()
        else:
            self._relist_at = float("inf")

    def _relist_later(self) -> None:
        self._relist_at = _now() + _RELIST.delay(max(0, self._unread_lists - 1), jitter=self._jitter())

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

    def _read(self, line: Json, before: str) -> str:
        """Do what one line says, and return the version as of which the store is complete.

        Raises what an ERROR line means. One that means nothing, and what is no line, is left out: what it may have
        told, a list in a while tells.

        before: the version until now, which no line of a sound server goes back behind.
        """
        kind: Any = line.get("type")
        item: Any = line.get("object")
        if kind == "ERROR":
            error = from_status(item, call=f"watch {self._path}")
            if error.status:
                raise error
            self._leave_out_line(item, "it is an error without a code")
            return before
        version = objects.text_of(item, "resourceVersion")
        match kind:
            case "DELETED" if uid := self._key_of(item):
                self.store.remove(uid, resource_version=version)
            case "ADDED" | "MODIFIED" | "DELETED" if fault := self._fault_of(item):
                self._leave_out_line(item, fault)
            case "BOOKMARK" | "ADDED" | "MODIFIED" | "DELETED" if is_older(version, before):
                self._leave_out_of_the_past(item, version, before)
                return before
            case "BOOKMARK":
                self._lines_behind = 0
            case "ADDED" | "MODIFIED" | "DELETED":
                self._lines_behind = 0
                self.store.apply(self._slimmed(item))
            case _:
                self._leave_out_line(item, f"it is a line of unknown type {kind!s:.40}")
                return before
        self._newest = before if is_older(version, before) or not version else version
        return self._newest

    def _leave_out_of_the_past(self, item: Any, version: str, before: str) -> None:
        """A sound server's lines go one way. One that does not is either malformed, or the server was restored: that a
        list tells, and until then the watch goes on. Raises VersionsWentBack where nothing but such lines comes."""
        text = f"watch {self._path}: a line of version {version} after version {before}"
        self._lines_behind += 1
        if self._lines_behind >= _BEHIND_LINES:
            self._lines_behind = 0
            raise VersionsWentBack(text)
        is_first = _now() - self._bad_line_at > _RELIST.most_s * 2
        self._leave_out_line(item, text)
        if is_first:
            self._relist_at = min(self._relist_at, _now() + _BEHIND_SOON_S)

    def _key_of(self, item: Any) -> str:
        """The key of what may be malformed; empty where it cannot be told."""
        try:
            key = self.store.key(item)
        except (LookupError, TypeError, AttributeError):
            return ""
        return key if isinstance(key, str) else ""

    def _fault_of(self, item: Any) -> str:
        return objects.fault_of_object(item) or self.store.fault_of(item)

    def _leave_out(self, item: object, fault: str) -> None:
        self.malformed += 1
        name = "/".join(filter(None, (objects.text_of(item, "namespace"), objects.text_of(item, "name"))))
        words = "%s: left out object=%r, for %s; malformed=%d so far"
        self._log.warning("malformed", words, self._path, name[:200] or "?", fault, self.malformed)

    def _leave_out_line(self, item: object, fault: str) -> None:
        """The first of a while is made up for soon; where each watch meets some, seldom and more seldom."""
        self._leave_out(item, fault)
        now = _now()
        if self._relist_at <= now + _RELIST.first_s:
            return
        self._bad_watches = self._bad_watches + 1 if now - self._bad_line_at < _RELIST.most_s * 2 else 0
        self._bad_line_at = now
        self._relist_at = min(self._relist_at, now + _RELIST.delay(self._bad_watches, jitter=self._jitter()))

    def _slimmed(self, item: Json) -> Json:
        item["metadata"].pop("managedFields", None)
        return self._slim(objects.without_nulls(item))


def _is_sound(state: State) -> bool:
    """A watch that has told something, or has not been refused for a while."""
    return isinstance(state, Watching) and (state.count > 0 or _now() - state.opened_at > _SOUND_S)


def _name(state: State) -> str:
    return type(state).__name__.lower()


def _now() -> float:
    return asyncio.get_running_loop().time()
