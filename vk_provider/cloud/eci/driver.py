"""Alibaba ECI as a `Cloud`: one container group is one instance.

Every group carries this cluster's and this node's tags, every listing asks for them and looks at them again; nothing
without them is ever shown, let alone deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence, Set
from typing import Any, TypeVar

from vk_provider import bounds
from vk_provider.cloud.base import Change, ExecSession, Finding, LogOptions, Price, QuotaUsage, SpotMarket
from vk_provider.cloud.eci import calls, error_codes, request, response, tags, update, usage
from vk_provider.cloud.eci.annotations import PREFIX
from vk_provider.cloud.eci.candidates import Candidate, candidates_of
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.describe_batcher import DescribeBatcher
from vk_provider.cloud.eci.diagnosis import Diagnosis
from vk_provider.cloud.eci.exec import Terminals
from vk_provider.cloud.eci.fenced_calls import Calls
from vk_provider.cloud.eci.fitting import fitted
from vk_provider.cloud.eci.logs import LogReader
from vk_provider.cloud.eci.prices import PriceBook
from vk_provider.cloud.eci.report_cache import ReportCache
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.sizes import Size
from vk_provider.cloud.eci.skus import Sku
from vk_provider.cloud.eci.sold_out_cache import Place, SoldOutCache
from vk_provider.cloud.eci.status_supplement import StatusSupplement
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudAnswerTooLong, CloudRefused, CloudUnavailable, InstanceGone, OutOfCapacity
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus
from vk_provider.model.usage import InstanceUsage
from vk_provider.model.workload import Volume, Workload

T = TypeVar("T")
Read = Callable[[response.Item], T]

# A listing during which groups come and go may come out short; a lost page always does.
_LISTING_TRIES = 3
_AT_ONCE = 8  # describing calls of one question
# Live groups with init containers that are remembered; beyond it the full listing still sees them.
_MOST_STARTING = 5000
# A new group may be missing from the first listings after its creation; after so many it is taken for deleted.
_MOST_MISSES = 5
_USUAL_SPOT = Size(4, 16)  # by which the market is judged; any zone that sells this sells what most pods need


class EciCloud:
    """See `vk_provider.cloud.base.Cloud` for what each method promises."""

    def __init__(self, settings: EciSettings, client: Calls) -> None:
        self._settings = settings
        self._client = client
        self._ours = {tags.CLUSTER: tags.value_of(settings.cluster), tags.NODE: tags.value_of(settings.node)}
        self._logs = LogReader(client.call, DescribeBatcher(self.describe).get)
        self._terminals = Terminals(client.call)
        # Groups whose init containers are at work, the incremental call being silent about those (eci.md 2.5), and how
        # often in a row each was not to be found.
        self._starting: dict[str, int] = {}
        self._details = StatusSupplement()
        self._stock = SoldOutCache(lambda: asyncio.get_running_loop().time())
        self._prices = PriceBook(settings, client.call)
        self._unseen: dict[str, None] = {}  # new groups whose place and addresses are still to be looked up, once
        self._changed, self._happened = ReportCache(response.report), ReportCache(response.events_report)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def create(self, workload: Workload) -> Instance:
        asked, choice = request.create(workload, self._settings)
        try:
            answer = await self._in_stock(asked, workload)
        except CloudRefused as error:
            if not error.code.startswith(error_codes.IDEMPOTENT_MISMATCH):
                raise
            return await self._adopt(workload.owner.uid, error)
        instance_id = response.group_id(answer)
        if not instance_id:
            raise CloudUnavailable("CreateContainerGroup: the answer names no instance; it will be looked for")
        if workload.init_containers:
            self._remember(instance_id)
        self._unseen[instance_id] = None
        while len(self._unseen) > _MOST_STARTING:
            self._unseen.pop(next(iter(self._unseen)))
        size = choice.size or Size(0, 0)
        request_id = response.request_id(answer)
        return Instance(
            id=instance_id,
            owner=workload.owner,
            status=InstanceStatus.SCHEDULING,
            cpu=size.cpu,
            memory_gib=size.memory_gib,
            sku=choice.sku,
            attempt=workload.attempt,
            made_of=workload.made_of,
            owner_annotations={f"{PREFIX}eci-request-id": request_id} if request_id else {},
            proven=False,
            notices=fitted(workload)[1],
            words=WORDS,
        )

    async def _in_stock(self, asked: EciRequest, workload: Workload) -> Any:
        """Ask, unless it was sold out a moment ago. Raises OutOfCapacity, which says how to go on."""
        ways = candidates_of(workload, self._settings)
        current = workload.attempt % len(ways)
        places = [(way.sku, *way.types[1:], *_where(asked)) for way in ways]
        place = places[current]
        known = self._stock.last_error(place)
        if known is not None and self._stock.wait_s(place) > 0 and not workload.in_doubt:
            raise self._out_of_stock(known, ways, places, current, is_known=True)
        asked_s = self._stock.check(place)
        try:
            answer = await self._client.call(asked)
        except OutOfCapacity as error:
            if not error_codes.is_about_stock(error.code):
                raise
            self._stock.sold_out(place, error, asked_s=asked_s)
            raise self._out_of_stock(error, ways, places, current) from error
        self._stock.sold(place)
        return answer

    def _out_of_stock(
        self,
        error: OutOfCapacity,
        ways: Sequence[Candidate],
        places: Sequence[Place],
        current: int,
        *,
        is_known: bool = False,
    ) -> OutOfCapacity:
        """The error, with the first way in turn that was not sold out lately; or with how long there is none."""
        waits = {number: self._stock.wait_s(place) for number, place in enumerate(places)}
        turn = [(current + step) % len(ways) for step in range(1, len(ways))]
        found = next((number for number in turn if waits[number] <= 0), None)
        message = f"{error}: {ways[current].sku}"
        return OutOfCapacity(
            message if found is None else f"{message}; next is {ways[found].sku}",
            code=error.code,
            request_id=error.request_id,
            next_attempt=found,
            retry_after_s=0.0 if found is not None else min(waits.values()),
            is_known=is_known,
        )

    async def _adopt(self, pod_uid: str, error: CloudRefused) -> Instance:
        """Our token is in use: an earlier life of this process made the instance, from a request that differed, as
        in a service account token that has been renewed since."""
        found = [one for one in await self.find(pod_uid) if one.status is not InstanceStatus.TERMINATING]
        if found:
            return max(found, key=lambda one: (not one.status.is_ended, one.created_at))
        raise CloudUnavailable(
            f"{error}; yet no instance of this pod is to be seen: it will be looked for again",
            code=error.code,
            request_id=error.request_id,
        ) from error

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        self._starting.pop(instance_id, None)
        self._unseen.pop(instance_id, None)
        try:
            await self._client.call(calls.delete(instance_id, force=force))
        except InstanceGone:
            return False
        return True

    async def update_files(self, instance_id: str, volumes: Sequence[Volume]) -> None:
        try:
            await self._client.call(update.update_volumes(instance_id, volumes))
        except CloudRefused as error:
            if error.code != error_codes.NO_NEED:
                raise

    async def update(self, instance_id: str, workload: Workload, change: Change) -> None:
        page = response.page(await self._client.call(calls.describe_groups(ids=[instance_id], with_events=False)))
        uid = tags.value_of(workload.owner.uid)
        ours = (each for each in map(response.item, page.items) if self._instances([each]))
        found = next((each for each in ours if response.tags_of(each).get(tags.UID) == uid), None)
        if found is None:
            raise InstanceGone(f"UpdateContainerGroup: there is no instance {instance_id} of ours")
        asked = update.update(
            instance_id,
            workload,
            change,
            settings=self._settings,
            there=response.words(found),
            tag_values={**response.tags_of(found), **tags.of_make(workload.made_of)},
        )
        try:
            await self._client.call(asked)
        except CloudRefused as error:
            if error.code != error_codes.NO_NEED:
                raise

    async def restart(self, instance_id: str) -> None:
        await self._client.call(calls.restart(instance_id))

    async def volumes_of(self, instance_id: str) -> Mapping[str, Volume]:
        page = response.page(await self._client.call(calls.describe_groups(ids=[instance_id], with_events=False)))
        shown = [each for each in map(response.item, page.items) if response.group_id(each) == instance_id]
        found = map(response.volumes, filter(self._is_ours, shown))
        return {name: volume for volumes in found for name, volume in volumes.items()}

    async def is_gone(self, instance_id: str, container: str) -> bool:
        """Asks for a line of log: of the calls that change nothing, the one that answers about an id and never with an
        empty list."""
        try:
            await self._client.call(calls.container_log(instance_id, container, tail=1))
        except InstanceGone:
            return True
        except CloudRefused:  # it is there, and has no log to show in its present state
            return False
        return False

    # --- listings -----------------------------------------------------------------------------------------------------

    async def list(self) -> Sequence[Instance]:
        """Counted in pages of 200 and described in parallel: pages of 20 one after the other take ten times as long."""
        counted = await self.statuses()
        found, shown = await self._described([*counted])
        if hidden := counted.keys() - shown:
            hidden &= (await self.statuses()).keys()  # the others went in between
        if hidden:
            raise CloudUnavailable(
                f"listing incomplete: the cloud counts {len(hidden)} instances and shows none of them"
            )
        return tuple(found.values())

    async def describe(self, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
        return (await self._described(instance_ids))[0]

    async def foreign(self, instance_ids: Sequence[str]) -> Set[str]:
        found, shown = await self._described(instance_ids)
        return shown - found.keys()

    async def _described(self, instance_ids: Sequence[str]) -> tuple[dict[str, Instance], set[str]]:
        """Those that are ours, in the order asked for, and the ids of all that exist."""
        found: dict[str, Instance] = {}
        shown: set[str] = set()
        wanted = list(dict.fromkeys(instance_ids))
        starts = iter(range(0, len(wanted), calls.IDS_PER_CALL))

        async def query() -> None:
            for start in starts:
                ids = wanted[start : start + calls.IDS_PER_CALL]
                async for item in self._groups(ids):
                    found.update(self._instances([item]))
                    shown.add(response.group_id(item))

        await _all_of(query() for _ in range(min(_AT_ONCE, -(-len(wanted) // calls.IDS_PER_CALL))))
        return {id_: found[id_] for id_ in wanted if id_ in found}, shown

    async def _groups(self, ids: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        """In as many answers as it takes: a few groups with very long words must not hide the others."""
        try:
            page = response.page(await self._client.call(calls.describe_groups(ids=ids)))
        except CloudAnswerTooLong:
            if len(ids) == 1:
                raise
            for part in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                async for item in self._groups(part):
                    yield item
            return
        for each in page.items:
            yield response.item(each)

    async def find(self, pod_uid: str) -> Sequence[Instance]:
        uid = tags.value_of(pod_uid)
        wanted = {**self._ours, tags.UID: uid}
        items = await self._whole(
            lambda token: calls.describe_groups(tag_filter=wanted, next_token=token), response.item
        )
        of_pod = [item for item in items if response.tags_of(item).get(tags.UID) == uid]
        return tuple(self._instances(of_pod).values())

    async def statuses(self, *, rest_s: float = 0.0) -> Mapping[str, InstanceStatus]:
        def page_of(token: str) -> EciRequest:
            return calls.describe_statuses(tag_filter=self._ours, next_token=token)

        try:
            reports = await self._whole(page_of, self._noted, rest_s=rest_s)
        except CloudRefused:
            if not rest_s:
                raise
            reports = await self._whole(page_of, self._noted)  # how long a page's token is good for is not documented
        counted = {id_: status or InstanceStatus.UNKNOWN for id_, status in reports if id_}
        self._details.counted(counted.keys())
        return counted

    async def check(self) -> None:
        """Proves address, credentials and signature. It cannot prove the right to list: without it ECI answers with an
        empty list (eci.md 2.4), which is why nobody may take an empty list for "all gone"."""
        await self._client.call(calls.describe_groups(limit=1, with_events=False))

    # --- what changed -------------------------------------------------------------------------------------------------

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        since_s = _within(window_s)
        self._changed.begin()
        changed, _ = await self._pages(
            lambda token: calls.describe_statuses(tag_filter=self._ours, next_token=token, since_s=since_s),
            self._changed.read,
        )
        reports = [*changed]
        for report in reports:
            if report.id:
                self._details.note(report)
        placed = await self._describe_placed({report.id for report in reports if report.ip})
        reports += [
            InstanceReport(each.id, owner=each.owner, owner_annotations=each.owner_annotations, sku=each.sku)
            for each in placed
        ]
        reports += [_as_report(instance) for instance in await self._describe_starting()]
        return tuple(report for report in reports if report.id)

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        since_s = _within(window_s)
        self._happened.begin()
        happened, _ = await self._pages(
            lambda token: calls.describe_events(tag_filter=self._ours, next_token=token, since_s=since_s),
            self._happened.read,
        )
        return tuple(report for report in happened if report.id)

    async def _describe_placed(self, placed: Set[str]) -> Sequence[Instance]:
        """Each new group once, when it has an address, as those of these ids have: the other calls do not tell where it
        is and what it has."""
        wanted = [id_ for id_ in self._unseen if id_ in placed]
        if not wanted:
            return ()
        found = await self.describe(wanted)
        for instance_id in wanted:
            self._unseen.pop(instance_id, None)
        return tuple(found.values())

    async def _describe_starting(self) -> Sequence[Instance]:
        """Each once more when it has begun to run or has ended, so that its init containers' last states are seen."""
        wanted = list(self._starting)
        found = await self.describe(wanted)
        for instance_id in wanted:
            instance = found.get(instance_id)
            if instance is None:
                self._starting[instance_id] = self._starting.get(instance_id, 0) + 1
            if not _is_under_way(instance) or self._starting.get(instance_id, 0) >= _MOST_MISSES:
                self._starting.pop(instance_id, None)
        return tuple(found.values())

    def _remember(self, instance_id: str) -> None:
        self._starting[instance_id] = 0
        while len(self._starting) > _MOST_STARTING:
            self._starting.pop(next(iter(self._starting)))

    # --- logs, commands, figures --------------------------------------------------------------------------------------

    def logs(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        return self._logs.read(instance_id, container, options)

    async def exec(
        self, instance_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        return await self._terminals.open(instance_id, container, command, stdin=stdin, tty=tty)

    async def usage(self, instance_ids: Sequence[str]) -> Mapping[str, InstanceUsage]:
        found: dict[str, InstanceUsage] = {}
        wanted = list(dict.fromkeys(instance_ids))
        for start in range(0, len(wanted), calls.IDS_PER_CALL):
            found |= await self._usage(wanted[start : start + calls.IDS_PER_CALL])
        return {id_: found[id_] for id_ in wanted if id_ in found}

    async def _usage(self, ids: Sequence[str]) -> Mapping[str, InstanceUsage]:
        """Of one call's worth. Whether ECI leaves an unknown id out or refuses the whole call is not documented; one
        that is gone must not take the figures of the others along."""
        try:
            return usage.usages(await self._client.call(calls.newest_metrics(ids)))
        except CloudRefused as error:
            if not error.code.endswith(error_codes.NOT_FOUND):
                raise
        half = len(ids) // 2
        return {**await self._usage(ids[:half]), **await self._usage(ids[half:])} if half else {}

    async def quota_usage(self) -> QuotaUsage:
        found = response.quota_usage(await self._client.call(calls.describe_usage()))
        if found is None:
            raise CloudUnavailable("ListUsage: the answer names no quota of vCPU")
        return found

    async def spot_market(self) -> SpotMarket:
        stock = await self._client.call(calls.describe_spot_stock(_USUAL_SPOT, self._settings))
        prices = await self._client.call(calls.describe_price(Sku(_USUAL_SPOT, is_spot=True), self._settings))
        return SpotMarket(has_stock=response.spot_stock(stock), prices=response.spot_prices(prices))

    def price(self, sku: str) -> Price | None:
        return self._prices.price(sku)

    async def keep_prices(self) -> None:
        await self._prices.run()

    async def diagnose(self) -> Sequence[Finding]:
        if not isinstance(self._client, EciClient):
            return ()  # it is people who ask, by a client of their own
        return await Diagnosis(self._settings, self._client.once, self._client.credentials).run()

    async def close(self) -> None:
        await self._terminals.close()
        await self._client.close()

    # --- pages --------------------------------------------------------------------------------------------------------

    async def _whole(self, page_of: Callable[[str], EciRequest], read: Read[T], *, rest_s: float = 0.0) -> Sequence[T]:
        """Every item of every page. Raises CloudUnavailable when the pages hold fewer than the cloud counts: nobody may
        take a part for the whole.

        rest_s: between two pages of the first try.
        """
        got = total = 0
        for tried in range(_LISTING_TRIES):
            items, total = await self._pages(page_of, read, rest_s=0.0 if tried else rest_s)
            got = len(items)
            if got >= total:
                return items
        raise CloudUnavailable(f"listing incomplete: the cloud counts {total} instances and shows {got}")

    async def _pages(
        self, page_of: Callable[[str], EciRequest], read: Read[T], *, rest_s: float = 0.0
    ) -> tuple[Sequence[T], int]:
        """What was read of the items, and the smallest number that a page said there were in all (0 if none said).

        read: is given each item as soon as it is there, and unread as it came: all of them, even of a page, would take
        more memory read than everything else that is held of the instances.
        """
        items: list[T] = []
        totals: list[int] = []
        token = ""
        seen = {""}
        while True:
            page = response.page(await self._client.call(page_of(token)))
            items += map(read, page.items)
            if page.total is not None:
                totals.append(page.total)
            token = page.next_token
            if not token:
                return items, min(totals, default=0)
            if token in seen:
                raise CloudUnavailable("listing incomplete: the cloud sends the same page again and again")
            seen.add(token)
            if len(seen) > (most := bounds.MOST_CLOUD_PAGES):
                raise CloudUnavailable(f"listing incomplete: the cloud has sent {most:,} pages and no end")
            if rest_s:
                await asyncio.sleep(rest_s)

    def _instances(self, items: Iterable[dict[str, Any]]) -> dict[str, Instance]:
        """Those that are ours, by id; notes on the way which have init containers at work."""
        found: dict[str, Instance] = {}
        for item in items:
            if not self._is_ours(item):
                continue
            instance = response.instance(item)
            if instance.id:
                found[instance.id] = self._details.added_to(instance)
                self._note_starting(instance)
        return found

    def _is_ours(self, item: dict[str, Any]) -> bool:
        written = response.tags_of(item)
        return all(written.get(key) == value for key, value in self._ours.items())

    def _noted(self, item: response.Item) -> tuple[str, InstanceStatus | None]:
        report = response.report(response.item(item))
        if report.id:
            self._details.note(report)
        return report.id, report.status

    def _note_starting(self, instance: Instance) -> None:
        """Whoever looked. Only `_look_at_starting`, whose findings are passed on, ends its being looked at."""
        if instance.init_containers and _is_under_way(instance):
            self._remember(instance.id)


def _is_under_way(instance: Instance | None) -> bool:
    """Its init containers may still be at work; so may those of one that is not to be seen."""
    return instance is None or (instance.status is not InstanceStatus.RUNNING and not instance.status.is_ended)


async def _all_of(asking: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Until all are done; the first failure ends the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in asking:
                tasks.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _within(window_s: int) -> int:
    """What the incremental calls take (eci.md 2.5)."""
    return min(calls.MAX_SINCE_S, max(calls.MIN_SINCE_S, window_s))


def _where(asked: EciRequest) -> tuple[str, str]:
    """Where the cloud may look for stock; among several vSwitches it tries the zones by itself."""
    return asked.query.get("ZoneId", ""), asked.query.get("VSwitchId", "")


def _as_report(instance: Instance) -> InstanceReport:
    return InstanceReport(
        id=instance.id,
        status=instance.status,
        ip=instance.ip or None,
        containers=instance.containers or None,
        init_containers=instance.init_containers or None,
        conditions=instance.conditions or None,
        events=instance.events or None,
        sku=instance.sku or None,
        ended_at=instance.ended_at or None,
        owner_annotations=instance.owner_annotations or None,
        owner=instance.owner,
    )
