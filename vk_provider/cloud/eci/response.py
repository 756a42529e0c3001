"""What ECI answers, made into the words of `model.instance`.

Pure, and total: no JSON makes these functions raise, but `item`, which reads it. Two families of answers spell the
same members differently (PascalCase, lowerCamelCase, and `StartedAtstartedAt`, eci.md 2.5), so everything is read
through `fold`.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vk_provider import bounds, jsontext
from vk_provider.cloud.base import Price, QuotaUsage
from vk_provider.cloud.eci import skus, tags
from vk_provider.cloud.eci.annotations import PREFIX
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.cloud.eci.sizes import Size
from vk_provider.cloud.eci.values import (
    SHORT,
    boolean,
    first_instant,
    instant,
    mapping,
    mappings,
    number,
    shared,
    text_of,
    whole,
    words_of,
)
from vk_provider.errors import CloudUnavailable
from vk_provider.jsontext import Unread
from vk_provider.model.instance import (
    CloudCondition,
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    StateKind,
)
from vk_provider.model.workload import File, Flex, FromPodIP, Nfs, Volume

Json = dict[str, Any]
Item = Json | Unread  # of a page

# Words only older documentation uses beside those of today (eci.md 3.1).
_STATUSES: Mapping[str, InstanceStatus] = {
    **{status.value.lower(): status for status in InstanceStatus},
    "startingfailed": InstanceStatus.FAILED,
    "watingfordel": InstanceStatus.SCHEDULE_FAILED,
}

# Conditions that Kubernetes derives from the containers; ours to say, so the cloud's version is left out.
_DERIVED_CONDITIONS = frozenset(
    {"PodScheduled", "Initialized", "Ready", "ContainersReady", "PodReadyToStartContainers"}
)


_MOST_ZONES = 100  # of a region; none has a dozen


@dataclass(frozen=True, slots=True)
class Words:
    """What a container that is there was told: see `model.workload.Container`."""

    image: str
    command: Sequence[str]
    args: Sequence[str]
    env: Sequence[tuple[str, str | FromPodIP]]


class Folded(dict[str, Any]):
    """An object whose keys, at every depth, are folded already."""


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def fold(value: Any, depth: int = 0) -> Any:
    """The same JSON with every key in lower case; a doubled key (`startedAtstartedAt`) becomes the single one.

    Where two keys fall together, the first with something in it wins. What is nested deeper than any answer is None.
    """
    if depth > bounds.MOST_DEPTH:
        return None
    if isinstance(value, list):
        return [fold(item, depth + 1) for item in value]
    if not isinstance(value, dict) or isinstance(value, Folded):
        return value
    folded = Folded()
    for key, item in value.items():
        name = _folded_name(key)
        if folded.get(name) in _EMPTY:
            folded[name] = fold(item, depth + 1) if isinstance(item, dict | list) else item
    return folded


def _folded_name(key: str) -> str:
    return _folded_short(key) if len(key) <= SHORT else key


@lru_cache(maxsize=1024)  # ECI has a few hundred names, and a page has thousands of keys
def _folded_short(key: str) -> str:
    name = str(key).lower()
    half = len(name) // 2
    return name[:half] if half and name[:half] == name[half:] else name


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. total: how many items all pages together should give, None = not said."""

    items: Sequence[Item]
    next_token: str
    total: int | None


def page(answer: Any) -> Page:
    """A page of any of the three describing calls; each of its items, once it is read by `item`, is for `instance`,
    `report` or `events_report`."""
    members = {_folded_name(key): value for key, value in mapping(answer).items() if value not in _EMPTY}
    items = members.get("containergroups", members.get("data"))
    return Page(
        items=[each for each in items if isinstance(each, dict | Unread)] if isinstance(items, list) else (),
        next_token=text_of(members.get("nexttoken")),
        total=whole(members.get("totalcount")),
    )


def item(unread: Item) -> Json:
    """One of a page; empty when it is no object.

    Raises CloudUnavailable when it cannot be read, as a number of thousands of digits: then nobody knows whose it is,
    and left out it would look gone.
    """
    try:
        return mapping(jsontext.loads(unread)) if isinstance(unread, Unread) else unread
    except ValueError as error:
        raise CloudUnavailable("an item of the cloud's answer cannot be read") from error


# --- groups -----------------------------------------------------------------------------------------------------------


def instance(group: Any) -> Instance:
    """One item of DescribeContainerGroups; `id` is empty when the item is none."""
    item = _fold_map(group)
    written = tags_of(item)
    return Instance(
        id=text_of(item.get("containergroupid")),
        owner=tags.to_owner(written),
        status=status(item.get("status")) or InstanceStatus.UNKNOWN,
        ip=text_of(item.get("intranetip")),
        zone=shared(item.get("zoneid")),
        cpu=number(item.get("cpu")),
        memory_gib=number(item.get("memory")),
        created_at=instant(item.get("creationtime")),
        ended_at=first_instant(item, "succeededtime", "failedtime", "expiredtime"),
        containers=tuple(_described(one) for one in mappings(item.get("containers"))[: bounds.MOST_REPORTS]),
        init_containers=tuple(_described(one) for one in mappings(item.get("initcontainers"))[: bounds.MOST_REPORTS]),
        conditions=_conditions(item.get("conditions")),
        events=_events(item.get("events")),
        sku=_sku(item),
        attempt=tags.attempt_of(written),
        owner_annotations=facts(item),
        made_of=tags.make_of(written),
        words=WORDS,
    )


def _sku(item: Json) -> str:
    spec = text_of(item.get("instancetype"))
    if not spec:
        cpu, memory_gib = number(item.get("cpu")), number(item.get("memory"))
        if not cpu or not memory_gib:
            return ""
        spec = skus.spec_of(Size(cpu, memory_gib))
    return skus.text(
        spec, spot=text_of(item.get("spotstrategy")), storage_gib=max(0, whole(item.get("ephemeralstorage")) or 0)
    )


def facts(group: Any) -> Mapping[str, str]:
    """What one item of DescribeContainerGroups tells a pod's owner, by the vendor's own annotations (eci.md 6).

    Empty until the instance has a place: what is said before is what was asked for.
    """
    item = _fold_map(group)
    if not text_of(item.get("intranetip")):
        return {}
    found = {key: shared(item.get(name)) for key, name in _FACTS.items()}
    for key, name in _SIZE_FACTS.items():
        found[key] = shared(str(number(item.get(name)) or ""))
    return {key: value for key, value in found.items() if value}


_SIZE_FACTS: Mapping[str, str] = {f"{PREFIX}eci-instance-cpu": "cpu", f"{PREFIX}eci-instance-mem": "memory"}
_FACTS: Mapping[str, str] = {
    f"{PREFIX}eci-instance-zone": "zoneid",
    f"{PREFIX}eci-vpc": "vpcid",
    f"{PREFIX}eci-vswitch": "vswitchid",
    f"{PREFIX}eci-security-group": "securitygroupid",
    f"{PREFIX}eci-instance-compute-category": "computecategory",
    f"{PREFIX}eci-matched-image-cache": "imagesnapshotid",
    f"{PREFIX}eni-instance-id": "eniinstanceid",
    f"{PREFIX}allocated-eipAddress": "internetip",
    f"{PREFIX}allocated-eipInstanceId": "eipinstanceid",
    f"{PREFIX}allocated-ipv6Address": "ipv6address",
}


def volumes(group: Any) -> Mapping[str, Volume]:
    """A group's config files and storage, by name; the modes of files are not told. Without what is unreadable."""
    found: dict[str, Volume] = {}
    for item in mappings(_fold_map(group).get("volumes")):
        name = text_of(item.get("name"))
        try:
            volume = _volume(name, item)
        except (ValueError, RecursionError):
            continue
        if name and volume is not None:
            found[name] = volume
    return found


def _volume(name: str, item: Json) -> Volume | None:
    """Raises ValueError for content or options that cannot be read, as where a secret's place is taken by stars."""
    if items := mappings(item.get("configfilevolumeconfigfiletopaths")):
        held = {text_of(each.get("path")): b64decode(text_of(each.get("content")), validate=True) for each in items}
        return Volume(name, files=tuple(File(path, held[path]) for path in held)) if all(held) else None
    if server := text_of(item.get("nfsvolumeserver")):
        path, read_only = text_of(item.get("nfsvolumepath")) or "/", boolean(item.get("nfsvolumereadonly"))
        return Volume(name, nfs=Nfs(server, path, read_only))
    options = json.loads(text_of(item.get("flexvolumeoptions"))) if text_of(item.get("flexvolumedriver")) else None
    if not isinstance(options, dict):
        return None
    options = {key: str(text) for key, text in options.items()}
    return Volume(
        name, flex=Flex(text_of(item["flexvolumedriver"]), text_of(item.get("flexvolumefstype")), options=options)
    )


def words(group: Any) -> Mapping[str, Words]:
    """What each container of a group was told, by name. A container's `Commands` is an init container's `Command`."""
    item = _fold_map(group)
    return {
        text_of(each.get("name")): Words(
            image=text_of(each.get("image")),
            command=_texts(each.get("commands") or each.get("command")),
            args=_texts(each.get("args")),
            env=tuple((text_of(one.get("key")), _env_value(one)) for one in mappings(each.get("environmentvars"))),
        )
        for each in (*mappings(item.get("initcontainers")), *mappings(item.get("containers")))
    }


def _env_value(variable: Json) -> str | FromPodIP:
    reference = mapping(mapping(variable.get("valuefrom")).get("fieldref"))
    return FromPodIP() if text_of(reference.get("fieldpath")) else text_of(variable.get("value"))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(text_of, value)) if isinstance(value, list) else ()


def tags_of(group: Any) -> dict[str, str]:
    """The tags as written, for comparing with `tags.value_of`."""
    pairs = mappings(fold(mapping(group).get("tags", mapping(group).get("Tags"))))
    return {text_of(pair.get("key")): text_of(pair.get("value")) for pair in pairs}


def status(word: Any) -> InstanceStatus | None:
    """None: nothing is said. A word not known (yet) is UNKNOWN."""
    text = text_of(word)
    return _STATUSES.get(text.lower(), InstanceStatus.UNKNOWN) if text else None


def _described(container: Json) -> ContainerReport:
    previous = mapping(container.get("previousstate"))
    return ContainerReport(
        name=shared(container.get("name")),
        image=shared(container.get("image")),
        ready=boolean(container.get("ready")),
        restart_count=whole(container.get("restartcount")) or 0,
        state=_described_state(mapping(container.get("currentstate"))),
        last_state=_described_state(previous) if text_of(previous.get("state")) else None,
    )


def _described_state(state: Json) -> ContainerState:
    """CurrentState or PreviousState. A state not known counts as waiting: it claims least."""
    word = text_of(state.get("state")).lower()
    reason = text_of(state.get("reason")) or text_of(state.get("detailstatus"))
    message = words_of(state.get("message"))
    if word == "running":
        return _running(instant(state.get("starttime")))
    if word == "terminated":
        return ContainerState(
            StateKind.TERMINATED,
            reason=reason,
            message=message,
            exit_code=whole(state.get("exitcode")),
            signal=whole(state.get("signal")) or 0,
            started_at=instant(state.get("starttime")),
            finished_at=instant(state.get("finishtime")),
        )
    return ContainerState(StateKind.WAITING, reason=reason, message=message)


# --- statuses and events ----------------------------------------------------------------------------------------------


def report(item: Any) -> InstanceReport:
    """One item of DescribeContainerGroupStatus; `id` is empty when the item is none.

    init_containers: None unless the answer has them, which no documentation promises.
    """
    folded = _fold_map(item)
    pod = mapping(folded.get("podstatus"))
    statuses = pod.get("containerstatuses")
    init_statuses = pod.get("initcontainerstatuses")
    return InstanceReport(
        id=text_of(folded.get("containergroupid")),
        status=status(folded.get("status")),
        ip=text_of(pod.get("podip")) or None,
        containers=_reported_all(statuses),
        init_containers=_reported_all(init_statuses),
        conditions=_conditions(pod["conditions"]) if isinstance(pod.get("conditions"), list) else None,
        placed_at=instant(pod.get("starttime")) or None,
    )


def events_report(item: Any) -> InstanceReport:
    """One item of DescribeContainerGroupEvents: a report that says nothing but events."""
    folded = _fold_map(item)
    return InstanceReport(id=text_of(folded.get("containergroupid")), events=_events(folded.get("events")))


def _reported_all(statuses: Any) -> Sequence[ContainerReport] | None:
    """An empty list tells nothing: a pod has at least one container."""
    return tuple(_reported(one) for one in mappings(statuses)[: bounds.MOST_REPORTS]) or None


def _reported(container: Json) -> ContainerReport:
    state = mapping(container.get("state"))
    last = mapping(container.get("laststate"))
    ended = mapping(state.get("terminated"))
    return ContainerReport(
        name=shared(container.get("name")),
        image=shared(container.get("image")),
        image_id=shared(container.get("imageid")),
        container_id=text_of(container.get("containerid")) or text_of(ended.get("containerid")),
        ready=boolean(container.get("ready")),
        restart_count=whole(container.get("restartcount")) or 0,
        state=_reported_state(state),
        last_state=_reported_state(last) if _kind(last) else None,
    )


def _kind(state: Json) -> StateKind | None:
    """Which of the three it is. Answers that spell out every member give the others as null or with nothing in them."""
    present = [kind for kind in _BY_CLAIM if isinstance(state.get(kind.value), dict)]
    if len(present) == 1:
        return present[0]
    return next((kind for kind in present if any(value not in _NOTHING for value in state[kind.value].values())), None)


_BY_CLAIM = (StateKind.TERMINATED, StateKind.RUNNING, StateKind.WAITING)
_NOTHING = (None, "", 0)


def _reported_state(state: Json) -> ContainerState:
    """State or LastState. One that is not known counts as waiting: it claims least."""
    kind = _kind(state) or StateKind.WAITING
    said = mapping(state.get(kind.value))
    if kind is StateKind.RUNNING:
        return _running(instant(said.get("startedat")))
    reason, message = text_of(said.get("reason")), words_of(said.get("message"))
    if kind is StateKind.WAITING:
        return ContainerState(kind, reason=reason, message=message)
    return ContainerState(
        kind,
        reason=reason,
        message=message,
        exit_code=whole(said.get("exitcode")),
        signal=whole(said.get("signal")) or 0,
        started_at=instant(said.get("startedat")),
        finished_at=instant(said.get("finishedat")),
    )


def _conditions(conditions: Any) -> Sequence[CloudCondition]:
    return tuple(
        _condition(*(words_of(one.get(name)) for name in ("type", "status", "reason", "message")))
        for one in mappings(conditions)[: bounds.MOST_REPORTS]
        if text_of(one.get("type")) not in _DERIVED_CONDITIONS
    )


# What begins together and what is well looks the same: thousands of instances hold one such object. The caches only
# have to outlast one answer.
_running = lru_cache(maxsize=1024)(lambda started_at: ContainerState(StateKind.RUNNING, started_at=started_at))
_condition = lru_cache(maxsize=1024)(CloudCondition)

_EVENT_SUFFIX = re.compile(r"\.([0-9a-f]{8,32})$")


def _events(events: Any) -> tuple[CloudEvent, ...]:
    return tuple(event(one) for one in mappings(events)[-bounds.MOST_CLOUD_EVENTS :])


def event(item: Any) -> CloudEvent:
    """One event of either family of answers. item: with its keys folded."""
    folded = mapping(item)
    reason, message = text_of(folded.get("reason")), words_of(folded.get("message"))
    first = instant(folded.get("firsttimestamp")) or instant(folded.get("lasttimestamp"))
    name = text_of(folded.get("name")) or text_of(mapping(folded.get("metadata")).get("name"))
    return CloudEvent(
        id=_event_id(name, reason, message, first),
        type=shared(folded.get("type")) or "Normal",
        reason=shared(reason),
        message=shared(message),
        count=whole(folded.get("count")) or 1,
        first_at=first,
        last_at=instant(folded.get("lasttimestamp")) or first,
    )


def _event_id(name: str, *facts: str) -> str:
    suffix = _EVENT_SUFFIX.search(name)
    if suffix:
        return suffix.group(1)
    return hashlib.sha256("\n".join(facts).encode("utf-8", "replace")).hexdigest()[:16]


# --- other answers ----------------------------------------------------------------------------------------------------


def group_id(answer: Any) -> str:
    """The new instance's id in the answer of CreateContainerGroup; empty when it is missing."""
    members = mapping(answer)  # whose insides are not folded for one text at the top
    return next(
        (id_ for key in members if _folded_name(key) == "containergroupid" and (id_ := text_of(members[key]))), ""
    )


def request_id(answer: Any) -> str:
    return text_of(_fold_map(answer).get("requestid"))


def price(answer: Any) -> Price | None:
    """The price per second in the answer of DescribeContainerGroupPrice; None when there is none over 0."""
    found = mapping(mapping(_fold_map(answer).get("priceinfo")).get("price"))
    amount = number(found.get("tradeprice")) or number(found.get("originalprice"))
    return Price(amount, text_of(found.get("currency")) or "CNY") if amount > 0 else None


def quota_usage(answer: Any) -> QuotaUsage | None:
    """In the answer of ListUsage; None when it names no quota."""
    found = mapping(_fold_map(answer).get("attributes"))
    most_cpu = number(found.get("maxcpu"))
    return QuotaUsage(most_cpu, max(0.0, number(found.get("usedcpu")))) if most_cpu > 0 else None


def spot_stock(answer: Any) -> dict[str, bool]:
    """Zone → whether one of the types in the answer of DescribeAvailableResource is sold there.

    Closed for new customers means that nobody is served for sure.
    """
    zones = mappings(mapping(_fold_map(answer).get("availablezones")).get("availablezone"))[:_MOST_ZONES]
    return {zone: _sells(each) for each in zones if (zone := text_of(each.get("zoneid")))}


def _sells(zone: Json) -> bool:
    resources = mappings(mapping(zone.get("availableresources")).get("availableresource"))
    supported = [
        one
        for each in resources[:_MOST_ZONES]
        for one in mappings(mapping(each.get("supportedresources")).get("supportedresource"))
    ]
    return any(one.get("statuscategory") == "WithStock" for one in supported)


def spot_prices(answer: Any) -> dict[str, tuple[float, float]]:
    """Zone → price per second as spot and on demand, in the answer of DescribeContainerGroupPrice."""
    info = mapping(_fold_map(answer).get("priceinfo"))
    rows = mappings(mapping(info.get("spotprices")).get("spotprice"))[:_MOST_ZONES]
    return {
        zone: (spot, on_demand)
        for each in rows
        if (zone := text_of(each.get("zoneid")))
        and (spot := number(each.get("spotprice"))) > 0
        and (on_demand := number(each.get("originprice"))) > 0
    }


def terminal_address(answer: Any) -> str:
    """Where the session of ExecContainerCommand is, `ws://…` or `wss://…`; empty when it is missing. A secret."""
    address = text_of(_fold_map(answer).get("websocketuri"))
    return address if address.startswith(("wss://", "ws://")) else ""


def log_content(answer: Any) -> str:
    return text_of(_fold_map(answer).get("content"))


def _fold_map(value: Any) -> Json:
    folded = fold(value)
    return folded if isinstance(folded, dict) else {}
