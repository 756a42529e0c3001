"""The service's state and the calls that change it: create, delete, restart, update, tag.

Calls take decoded parameters and return the body of the answer; `queries` has the calls that only look.
"""

import hashlib
import json
import random
import string
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from fakes.cloud import regions, shapes, validation
from fakes.cloud.billing import Ledger
from fakes.cloud.clock import Clock, Timers
from fakes.cloud.errors import ApiError, invalid, missing, not_found, too_long
from fakes.cloud.events import EventLog
from fakes.cloud.group import GONE, Container, Group, Spot
from fakes.cloud.journal import Journal
from fakes.cloud.lifecycle import Lifecycle, Settings
from fakes.cloud.market import NO_STOCK, Market, SpotChecks, is_spot, size_name
from fakes.cloud.parameters import Json, decode, require
from fakes.cloud.runtime import Runtime
from fakes.cloud.series import Constant, Series
from fakes.cloud.store import CIDR, Store

TOKEN_REMEMBERED_S = 24 * 3600.0
_COMMON = frozenset(
    [
        "Format",
        "Version",
        "Action",
        "AccessKeyId",
        "Timestamp",
        "SignatureMethod",
        "SignatureType",
        "SignatureVersion",
        "SignatureNonce",
        "SecurityToken",
        "Signature",
        "ClientToken",
    ]
)
_ID_LETTERS = string.ascii_lowercase + string.digits
_MERGED_BY_NAME = ("Container", "InitContainer", "Volume")


@dataclass(slots=True)
class Stock:
    """What is sold out. zones, sizes ("2-4"): those; all: everything."""

    all: bool = False
    zones: set[str] = field(default_factory=set)
    sizes: set[str] = field(default_factory=set)

    def lacks(self, cpu: float, memory_gib: float, zone: str) -> bool:
        return self.all or zone in self.zones or f"{cpu:g}-{memory_gib:g}" in self.sizes


class Service:
    """Everything the fake is, but for HTTP. quota_cpu: vCPU of all live groups together."""

    def __init__(
        self,
        timers: Timers,
        runtime: Runtime,
        *,
        settings: Settings | None = None,
        region: str = "cn-hangzhou",
        quota_cpu: float = 100_000.0,
        cidr: str = CIDR,
        journal: Journal | None = None,
        market: Market | None = None,
    ) -> None:
        self.timers = timers
        self.clock: Clock = timers.clock
        self.runtime = runtime
        self.region = region
        self.quota_cpu = quota_cpu
        self.store = Store(cidr)
        self.stock = Stock()
        self.market = market or Market()
        self.others: Series = Constant(0.0)  # vCPU that others of the account hold of its quota
        self.ledger = Ledger()
        self.journal = journal or Journal(self.clock)
        self.lifecycle = Lifecycle(
            timers, runtime, self.store, settings or Settings(), watch=self._watch, no_stock=self._no_stock
        )
        self._spot_checks = SpotChecks(self.market, at=timers.at, groups=lambda: self.store, release=self._release_spot)
        self._tokens: OrderedDict[tuple[str, str], tuple[float, str, str]] = OrderedDict()
        self._count = 0
        self._random = random.Random()

    def create(self, flat: Mapping[str, str]) -> Json:
        """CreateContainerGroup."""
        now = self.clock.now()
        self.lifecycle.retire(now)
        known = self._remembered("CreateContainerGroup", flat, now)
        if known:
            return {"ContainerGroupId": known}
        spec = decode(shapes.GROUP, flat)
        require(spec, "RegionId")
        self._check_region(spec["RegionId"])
        validation.check_group(spec)
        cpu, memory = validation.group_size(spec)
        zone = self._zone(spec, cpu, memory)
        spot = self.market.terms(spec, cpu, memory, zone, now) if is_spot(spec) else None
        self._check_quota(self.used_cpu + cpu)
        if spec.get("DryRun"):
            raise ApiError("DryRunOperation", "Request validation has been passed with DryRun flag set.")
        group = self._new_group(spec, cpu, memory, zone, now)
        group.spot = spot
        self.lifecycle.admit(group, now)
        self._spot_checks.begin(group, now)
        self._remember("CreateContainerGroup", flat, now, group.id)
        return {"ContainerGroupId": group.id}

    def twin(self, group: Group) -> Group:
        """Another one of the same spec and tags, as a retry makes it whose token the cloud has forgotten."""
        now = self.clock.now()
        made = self._new_group(group.spec, group.cpu, group.memory_gib, group.zone, now)
        if group.spot is not None:
            made.spot = Spot(group.spot.most_share, group.spot.protection_s, [(now, group.spot.shares[-1][1])])
        self.lifecycle.admit(made, now)
        self._spot_checks.begin(made, now)
        return made

    def delete(self, flat: Mapping[str, str]) -> Json:
        """DeleteContainerGroup."""
        values = decode(shapes.ONE_GROUP, flat)
        require(values, "RegionId", "ContainerGroupId")
        now = self.clock.now()
        if self._remembered("DeleteContainerGroup", flat, now):
            return {}
        self.lifecycle.delete(self.known(values), now, force=values.get("Force", False))
        self._remember("DeleteContainerGroup", flat, now, values["ContainerGroupId"])
        return {}

    def delete_many(self, flat: Mapping[str, str]) -> Json:
        """DeleteContainerGroups: one result per id; a code only where that id failed."""
        values = decode(shapes.MULTI_METRIC, flat)
        require(values, "RegionId", "ContainerGroupIds")
        results = []
        for group_id in id_list(values["ContainerGroupIds"]):
            result = {"ContainerGroupId": group_id, "Code": "", "Message": ""}
            try:
                group = self.known({"RegionId": values["RegionId"], "ContainerGroupId": group_id})
                self.lifecycle.delete(group, self.clock.now())
            except ApiError as error:
                result |= {"Code": error.code, "Message": error.message}
            results.append(result)
        return {"InstanceResponseSet": results}

    def restart(self, flat: Mapping[str, str]) -> Json:
        """RestartContainerGroup."""
        values = decode(shapes.ONE_GROUP, flat)
        require(values, "RegionId", "ContainerGroupId")
        now = self.clock.now()
        if not self._remembered("RestartContainerGroup", flat, now):
            self.lifecycle.restart(self.known(values), now)
            self._remember("RestartContainerGroup", flat, now, values["ContainerGroupId"])
        return {}

    def update(self, flat: Mapping[str, str]) -> Json:
        """UpdateContainerGroup: RenewUpdate replaces what is given as a whole, IncrementalUpdate merges it by name."""
        values = decode(shapes.UPDATE, flat)
        require(values, "RegionId", "ContainerGroupId")
        now = self.clock.now()
        if self._remembered("UpdateContainerGroup", flat, now):
            return {}
        kind = values.pop("UpdateType", "RenewUpdate")
        if kind not in ("RenewUpdate", "IncrementalUpdate"):
            raise invalid("UpdateType", "RenewUpdate or IncrementalUpdate")
        group = self.known(values)
        del values["ContainerGroupId"]
        spec = _merged(group.spec, values, incremental=kind == "IncrementalUpdate")
        if spec == group.spec:
            raise ApiError("NoNeedUpdate", "The container group needs no update.")
        _check_names_stay(group.spec, spec)
        if len(spec.get("Tag", [])) < len(group.spec.get("Tag", [])):
            raise invalid("Tag", "an update takes no tag away")
        validation.check_group(spec)
        self.lifecycle.must_be_up(group)
        cpu, memory = validation.group_size(spec)
        self._check_quota(self.used_cpu - group.cpu + cpu)
        replaced = _replaced(group, spec, resized=(cpu, memory) != (group.cpu, group.memory_gib))
        files_changed = spec.get("Volume") != group.spec.get("Volume")
        self.lifecycle.update(group, spec, replaced, now, files_changed=files_changed)
        self.store.resize(group, cpu, memory)
        self.store.retag(group, _tags(spec))
        self._remember("UpdateContainerGroup", flat, now, group.id)
        return {}

    def tag(self, flat: Mapping[str, str]) -> Json:
        """TagResources: adds tags, or gives those there new values."""
        values = decode(shapes.TAGGING, flat)
        require(values, "RegionId")
        if not values.get("Tag"):
            raise missing("Tag.1.Key")
        validation.check_tags(values["Tag"])
        groups = self._tagged_resources(values)
        for group in groups:
            merged = {**group.tags, **_tags(values)}
            if len(merged) > 20:
                raise ApiError("NumberExceed.Tags", "The maximum number of tags is exceeded; at most 20 are allowed.")
        for group in groups:
            self._retag(group, {**group.tags, **_tags(values)})
        return {}

    def untag(self, flat: Mapping[str, str]) -> Json:
        """UntagResources: by key, or all."""
        values = decode(shapes.TAGGING, flat)
        require(values, "RegionId")
        for group in self._tagged_resources(values):
            gone = set(group.tags) if values.get("All") and not values.get("TagKey") else set(values.get("TagKey", ()))
            self._retag(group, {key: value for key, value in group.tags.items() if key not in gone})
        return {}

    def known(self, values: Mapping[str, str]) -> Group:
        """The group a call names. Raises ApiError 404."""
        group = self.store.get(values["ContainerGroupId"])
        if group is None or group.region != values["RegionId"]:
            raise not_found("ContainerGroupId", values["ContainerGroupId"])
        return group

    def _tagged_resources(self, values: Json) -> list[Group]:
        if values.get("ResourceType", "containergroup").lower() != "containergroup":
            raise invalid("ResourceType", "containergroup")
        ids = values.get("ResourceId", [])
        if not ids:
            raise missing("ResourceId.1")
        if len(ids) > 50:
            raise too_long("ResourceId", "50 ids")
        return [self.known({"RegionId": values["RegionId"], "ContainerGroupId": each}) for each in ids]

    def _retag(self, group: Group, tags: dict[str, str]) -> None:
        group.spec = {**group.spec, "Tag": [{"Key": key, "Value": value} for key, value in tags.items()]}
        self.store.retag(group, tags)

    def _new_group(self, spec: Json, cpu: float, memory: float, zone: str, now: float) -> Group:
        self._count += 1
        return Group(
            id="eci-" + "".join(self._random.choices(_ID_LETTERS, k=20)),
            seq=self._count,
            spec=spec,
            tags=_tags(spec),
            cpu=cpu,
            memory_gib=memory,
            created_at=now,
            events=EventLog(spec["ContainerGroupName"]),
            containers=[Container(item, init=False) for item in spec["Container"]],
            init_containers=[Container(item, init=True) for item in spec.get("InitContainer", [])],
            zone=zone,
        )

    def _zone(self, spec: Json, cpu: float, memory: float) -> str:
        """The zone asked for, or the first of the region that has stock. Raises ApiError `OperationDenied.NoStock`."""
        known = regions.zones(spec["RegionId"])
        wanted = [spec["ZoneId"]] if spec.get("ZoneId") else known
        if wanted[0] not in known:
            raise not_found("ZoneId", wanted[0])
        for zone in wanted:
            if not self._is_sold_out(spec, cpu, memory, zone):
                return str(zone)
        raise ApiError("OperationDenied.NoStock", NO_STOCK, 403)

    @property
    def used_cpu(self) -> float:
        """Of the quota: by all live groups, and by others."""
        return self.store.used_cpu + max(0.0, self.others.at(self.clock.now()))

    def _check_quota(self, cpu: float) -> None:
        if cpu > self.quota_cpu:
            raise ApiError("QuotaExceeded", f"vCPU quota exceeded: {self.quota_cpu:g} in this region.", 403)

    def _is_sold_out(self, spec: Json, cpu: float, memory: float, zone: str) -> bool:
        if self.stock.lacks(cpu, memory, zone):
            return True
        return is_spot(spec) and not self.market.sells(cpu, memory, zone, self.store, self.clock.now())

    def _release_spot(self, group: Group, now: float) -> None:
        announces = self.market.announces
        self.lifecycle.reclaim(group, now, notice_s=self.market.notice_s, announced=announces)

    def _no_stock(self, group: Group) -> str:
        if self.stock.lacks(group.cpu, group.memory_gib, group.zone):
            return NO_STOCK
        # Its own vCPU are counted as sold since the call was answered.
        if (
            group.spot
            and self.market.left(group.zone, size_name(group.cpu, group.memory_gib), self.store, self.clock.now()) < 0
        ):
            return NO_STOCK
        return ""

    def _check_region(self, region: str) -> None:
        if region not in regions.REGIONS and region != self.region:
            raise not_found("RegionId", region)

    def _watch(self, group: Group, old: str, when: float) -> None:
        self.journal.state(group.id, group.name, old=old, new=group.status, when=when)
        if group.status == GONE:
            self.ledger.close(group, when)

    def _remembered(self, action: str, flat: Mapping[str, str], now: float) -> str | None:
        """The result an earlier call with this ClientToken had. Raises ApiError when that call was a different one."""
        token = flat.get("ClientToken", "")
        if len(token) > 64 or not token.isascii():
            raise invalid("ClientToken", "at most 64 ASCII characters")
        while self._tokens and next(iter(self._tokens.values()))[0] < now - TOKEN_REMEMBERED_S:
            self._tokens.popitem(last=False)
        if not token or (action, token) not in self._tokens:
            return None
        _, fingerprint, result = self._tokens[action, token]
        if fingerprint != _fingerprint(flat):
            message = "The request uses the same client token as a previous, but non-identical request."
            raise ApiError("IdempotentParameterMismatch", message)
        return result

    def _remember(self, action: str, flat: Mapping[str, str], now: float, result: str) -> None:
        if flat.get("ClientToken"):
            self._tokens[action, flat["ClientToken"]] = (now, _fingerprint(flat), result)


def id_list(text: str) -> list[str]:
    """The ids of a JSON array text, at most 20. Raises ApiError."""
    try:
        ids = json.loads(text)
    except ValueError as error:
        raise invalid("ContainerGroupIds", "a JSON array of at most 20 ids") from error
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise invalid("ContainerGroupIds", "a JSON array of at most 20 ids")
    if len(ids) > 20:
        raise too_long("ContainerGroupIds", "20 ids")
    return ids


def _tags(spec: Json) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in spec.get("Tag", [])}


def _fingerprint(flat: Mapping[str, str]) -> str:
    """The business parameters, as a digest: a remembered token must not hold a config file for a day."""
    pairs = sorted((name, value) for name, value in flat.items() if name not in _COMMON)
    return hashlib.sha256(repr(pairs).encode()).hexdigest()


def _merged(old: Json, new: Json, *, incremental: bool) -> Json:
    spec = {**old, **new}
    if incremental:
        for name in _MERGED_BY_NAME:
            if name in new and name in old:
                given = {item.get("Name"): item for item in new[name]}
                spec[name] = [{**item, **given.pop(item["Name"], {})} for item in old[name]] + list(given.values())
    return spec


def _check_names_stay(old: Json, new: Json) -> None:
    # The containers and volumes of a running instance are what it was made of; only their contents are updated here.
    for name in _MERGED_BY_NAME:
        if [item["Name"] for item in old.get(name, [])] != [item.get("Name") for item in new.get(name, [])]:
            raise invalid(name, "an update keeps the names and their order in this stand-in")
    for number, (was, is_) in enumerate(zip(old.get("Volume", []), new.get("Volume", []), strict=True), 1):
        if was["Type"] != is_.get("Type"):
            raise invalid(f"Volume.{number}.Type", "a volume stays of its type")


def _replaced(group: Group, spec: Json, *, resized: bool) -> list[Container]:
    """Give containers their new specs; returns those that must start anew for it."""
    specs = {item["Name"]: item for item in [*spec["Container"], *spec.get("InitContainer", [])]}
    out = []
    for container in group.everyone:
        changed = container.spec != specs[container.name]
        container.spec = specs[container.name]
        if not container.init and (changed or resized):
            out.append(container)
    return out
