"""The calls that only look: lists by pages, status, events, logs, metrics, prices, usage, regions, stock, tags."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping

from fakes.cloud import billing, regions, shapes, sizes, validation, views
from fakes.cloud.clock import iso_time, parse_nanoseconds
from fakes.cloud.errors import ApiError, invalid, missing, not_found, out_of_range, too_long
from fakes.cloud.group import Group
from fakes.cloud.market import is_spot
from fakes.cloud.parameters import Json, decode, require
from fakes.cloud.runtime import LogQuery
from fakes.cloud.service import Service, id_list
from fakes.cloud.store import View

LOG_TAIL_MAX = 2000
LOG_BYTES_MAX = 1 << 20
RECORDS_MAX = 50
_REAL_TIME_S = 300.0


class Queries:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._chosen: tuple[object, list[Group]] = (None, [])

    def groups(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerGroups: 20 a page at most."""
        values = decode(shapes.DESCRIBE, flat)
        found, token, total = self._page(values, _between(values, "Limit", 1, 20, default=20))
        with_events = values.get("WithEvent", False)
        items = [views.listed_group(group, with_events=with_events) for group in found]
        return {"NextToken": token, "TotalCount": total, "ContainerGroups": items}

    def statuses(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerGroupStatus: 200 a page at most, 50 by default."""
        values = decode(shapes.STATUS, flat)
        found, token, total = self._page(values, _between(values, "Limit", 1, 200, default=50))
        return {"NextToken": token, "TotalCount": total, "Data": [_status(group) for group in found]}

    def events(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerGroupEvents."""
        values = decode(shapes.EVENTS, flat)
        source = values.get("EventSource", "")
        if source not in ("", "EciService", "K8sAgent"):
            raise invalid("EventSource", "EciService or K8sAgent")
        found, token, total = self._page(values, _between(values, "Limit", 1, 200, default=50))
        return {"NextToken": token, "TotalCount": total, "Data": [views.group_events(group, source) for group in found]}

    def log(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerLog: the newest lines up to Tail, and of them the first LimitBytes, as a kubelet has it."""
        values = decode(shapes.LOG, flat)
        require(values, "RegionId", "ContainerGroupId", "ContainerName")
        group = self._service.known(values)
        container = group.container(values["ContainerName"])
        if container is None:
            raise not_found("ContainerName", values["ContainerName"])
        now = self._service.clock.now()
        since_ns = _time_ns(values, "StartTime")
        if "SinceSeconds" in values:
            since_ns = max(since_ns, int((now - _between(values, "SinceSeconds", 1, 10**9, default=1)) * 1e9))
        query = LogQuery(
            tail=_between(values, "Tail", 1, LOG_TAIL_MAX, default=500),
            limit_bytes=_between(values, "LimitBytes", 1, LOG_BYTES_MAX, default=LOG_BYTES_MAX),
            since_ns=max(0, since_ns),
            timestamps=values.get("Timestamps", False),
            previous=values.get("LastTime", False),
        )
        content = self._service.runtime.logs(group, container, query, now)
        return {"ContainerName": container.name, "Content": content}

    def metric(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerGroupMetric: at most 50 records, of the last five minutes or of a period before."""
        values = decode(shapes.METRIC, flat)
        require(values, "RegionId", "ContainerGroupId")
        if values.get("Period", "60") not in ("15", "30", "60", "600"):
            raise invalid("Period", "15, 30, 60 or 600")
        group = self._service.known(values)
        now = self._service.clock.now()
        begin = _time_ns(values, "StartTime") / 1e9 or now - _REAL_TIME_S
        end = _time_ns(values, "EndTime") / 1e9 or now
        if end < begin:
            raise invalid("EndTime", "it is not before StartTime")
        if "StartTime" in values and (end - begin) / int(values.get("Period", "60")) > RECORDS_MAX:
            raise invalid("Period", f"at most {RECORDS_MAX} records are given")
        records = [item for item in self._service.runtime.samples(group, now) if begin <= item["at"] <= end]
        return {"ContainerGroupId": group.id, "Records": [_stamped(item, "+08:00") for item in records[-RECORDS_MAX:]]}

    def multi_metric(self, flat: Mapping[str, str]) -> Json:
        """DescribeMultiContainerGroupMetric: the newest record of each group that has one."""
        values = decode(shapes.MULTI_METRIC, flat)
        require(values, "RegionId", "ContainerGroupIds")
        if values.get("MetricType", "summary") != "summary":
            raise invalid("MetricType", "summary")
        now = self._service.clock.now()
        datas = []
        for group in self._by_ids(values):
            newest = self._service.runtime.samples(group, now)[-1:]
            datas.append({"ContainerGroupId": group.id, "Records": [_summary(item) for item in newest]})
        return {"MonitorDatas": datas}

    def price(self, flat: Mapping[str, str]) -> Json:
        """DescribeContainerGroupPrice: per second for vCPU and memory."""
        values = decode(shapes.PRICE, flat)
        require(values, "RegionId")
        validation.check_spot(values)
        spot = values.get("SpotStrategy", "NoSpot") != "NoSpot"
        if values.get("InstanceType"):
            cpu, memory = sizes.of_instance_types(values["InstanceType"].split(","))
        else:
            for name in ("Cpu", "Memory"):
                if name not in values:
                    raise missing(name)
            try:
                cpu, memory = sizes.exact(values["Cpu"], values["Memory"], region=values["RegionId"], spot=spot)
            except ApiError as error:
                if error.code == "InvalidSpotCpuMemorySpec":
                    raise
                raise ApiError("InvalidParam.CpuOrMemorySpec", error.message) from error
        amount = billing.price_per_second(cpu, memory)
        price = {"OriginalPrice": amount, "DiscountPrice": 0.0, "TradePrice": amount}
        detail = {"Resource": "instanceType", **price, "Rules": []}
        body = {"Currency": billing.CURRENCY, **price, "DetailInfos": {"DetailInfo": [detail]}}
        spot_prices = self._spot_prices(values, cpu, memory) if spot else []
        return {"PriceInfo": {"Price": body, "SpotPrices": {"SpotPrice": spot_prices}, "Rules": {"Rule": []}}}

    def _spot_prices(self, values: Json, cpu: float, memory: float) -> list[Json]:
        """One row a zone, per second as the price itself."""
        now, market = self._service.clock.now(), self._service.market
        known = regions.zones(values["RegionId"])
        if values.get("ZoneId") and values["ZoneId"] not in known:
            raise not_found("ZoneId", values["ZoneId"])
        return [
            {
                "ZoneId": zone,
                "InstanceType": values.get("InstanceType", ""),
                "OriginPrice": billing.price_per_second(cpu, memory),
                "SpotPrice": round(market.price_per_second(cpu, memory, zone, now), 12),
            }
            for zone in ([values["ZoneId"]] if values.get("ZoneId") else known)
        ]

    def usage(self, flat: Mapping[str, str]) -> Json:
        """ListUsage."""
        require(decode(shapes.REGION_ONLY, flat), "RegionId")
        none = dict.fromkeys(("UsedImageCacheCount", "UsedAutoImageCacheCount", "UsedDataCacheCount"), 0)
        limits = {"MaxImageCacheCount": 500, "MaxAutoImageCacheCount": 25, "MaxDataCacheCount": 100}
        used = round(self._service.used_cpu, 3)
        return {"Attributes": {"UsedCpu": used, "MaxCpu": self._service.quota_cpu, **none, **limits}}

    def regions(self, flat: Mapping[str, str]) -> Json:  # noqa: ARG002 - one signature for all calls
        """DescribeRegions."""
        return {
            "Regions": [
                {
                    "RegionId": region,
                    "RegionEndpoint": f"eci.{region}.aliyuncs.com",
                    "Zones": regions.zones(region),
                    "RecommendZones": regions.zones(region)[:1],
                }
                for region in regions.REGIONS
            ]
        }

    def stock(self, flat: Mapping[str, str]) -> Json:
        """DescribeAvailableResource: the ECS types of this stand-in's families, per zone, with or without stock."""
        values = decode(shapes.STOCK, flat)
        require(values, "RegionId")
        wanted = values.get("DestinationResource", {})
        if not wanted.get("Category"):
            raise missing("DestinationResource.Category")
        if wanted["Category"] not in ("InstanceTypeFamily", "InstanceType"):
            raise invalid("DestinationResource.Category", "InstanceTypeFamily or InstanceType")
        known = regions.zones(values["RegionId"])
        zones = [values["ZoneId"]] if values.get("ZoneId") else known
        if zones[0] not in known:
            raise not_found("ZoneId", zones[0])
        return {"AvailableZones": {"AvailableZone": [self._zone_stock(zone, values) for zone in zones]}}

    def tags(self, flat: Mapping[str, str]) -> Json:
        """ListTagResources: by ids, or by tags."""
        values = decode(shapes.TAGGING, flat)
        require(values, "RegionId")
        ids, wanted = values.get("ResourceId", []), values.get("Tag", [])
        if not ids and not wanted:
            raise missing("ResourceId.1")
        self._service.lifecycle.retire(self._service.clock.now())
        view = self._service.store.view(values["RegionId"], _tag_filter(wanted))
        matching = (group for group in self._service.store.created_after(view, _token(values, "d")))
        page: list[Group] = []
        for group in matching:
            if not ids or group.id in ids:
                page.append(group)
            if len(page) == 50:
                break
        token = _next_token("d", page[-1].seq) if len(page) == 50 else ""
        rows = [
            {"ResourceId": group.id, "ResourceType": "containergroup", "TagKey": key, "TagValue": value}
            for group in page
            for key, value in group.tags.items()
        ]
        return {"NextToken": token, "TagResources": rows}

    def _page(self, values: Json, limit: int) -> tuple[list[Group], str, int]:
        """One page of what the filters select, the token of the next, and how many there are in all."""
        require(values, "RegionId")
        now = self._service.clock.now()
        self._service.lifecycle.retire(now)
        if "SinceSecond" in values:
            since = now - _between(values, "SinceSecond", 60, 3600, default=60)
            return self._changed_page(values, since, limit)
        after = _token(values, "d")
        if "ContainerGroupIds" in values:
            chosen = [group for group in self._by_ids(values) if self._selects(values)(group)]
            chosen.sort(key=lambda group: group.seq)
            return _cut((group for group in chosen if group.seq > after), limit, "d", len(chosen))
        store = self._service.store
        view = store.view(values["RegionId"], _tag_filter(values.get("Tag", [])))
        extra = self._extra_filter(values)
        if extra is None:
            return _cut(store.created_after(view, after), limit, "d", len(view.seqs))
        chosen = self._filtered(values, view, extra)
        first = bisect_right(chosen, after, key=lambda group: group.seq)
        return _cut((chosen[place] for place in range(first, len(chosen))), limit, "d", len(chosen))

    def _filtered(self, values: Json, view: View, extra: Callable[[Group], bool]) -> list[Group]:
        """What a filter beside region and tags leaves of a view; kept until anything changes, for the pages to come."""
        wanted = [(name, values.get(name)) for name in _FILTERS]
        key = (view.region, view.tags, tuple(wanted), self._service.store.version)
        if self._chosen[0] != key:
            self._chosen = (key, [group for group in self._service.store.created_after(view, 0) if extra(group)])
        return self._chosen[1]

    def _changed_page(self, values: Json, since: float, limit: int) -> tuple[list[Group], str, int]:
        selects = self._selects(values)
        if "ContainerGroupIds" in values:
            ids = set(id_list(values["ContainerGroupIds"]))
            inner = selects
            selects = lambda group: group.id in ids and inner(group)  # noqa: E731 - a filter around a filter
        store, after = self._service.store, _token(values, "c")
        chosen = [group for group in store.changed_since(since, 0) if selects(group)]
        first = bisect_right(chosen, after, key=lambda group: group.change_seq)
        return _cut((chosen[place] for place in range(first, len(chosen))), limit, "c", len(chosen))

    def _selects(self, values: Json) -> Callable[[Group], bool]:
        """The whole filter of a call, region and tags included."""
        tags, extra = _tag_filter(values.get("Tag", [])), self._extra_filter(values)

        region = values["RegionId"]

        def selects(group: Group) -> bool:
            if group.region != region:
                return False
            for key, value in tags:  # a page of changes asks this of thousands
                if key not in group.tags or value not in (None, group.tags[key]):
                    return False
            return extra is None or extra(group)

        return selects

    def _extra_filter(self, values: Json) -> Callable[[Group], bool] | None:
        """The filter beside region and tags; None when there is none, since then a view answers alone."""
        wanted = {name: values[name] for name in _FILTERS if values.get(name)}
        if not wanted:
            return None
        return lambda group: all(_FILTERS[name](group, value) for name, value in wanted.items())

    def _by_ids(self, values: Json) -> list[Group]:
        groups = (self._service.store.get(each) for each in dict.fromkeys(id_list(values["ContainerGroupIds"])))
        return [group for group in groups if group is not None and group.region == values["RegionId"]]

    def _stock_word(self, cpu: float, memory_gib: float, zone: str, *, spot: bool) -> str:
        if self._service.stock.lacks(cpu, memory_gib, zone):
            return "WithoutStock"
        if not spot:
            return "WithStock"
        now = self._service.clock.now()
        return self._service.market.word(cpu, memory_gib, zone, self._service.store, now)

    def _zone_stock(self, zone: str, values: Json) -> Json:
        wanted = values["DestinationResource"]
        rows = []
        for family, ratio in (("ecs.c6", 2), ("ecs.g6", 4), ("ecs.r6", 8)):
            for number in (1, 2, 4, 8):
                cpu, name = 4 * number, f"{family}.{number if number > 1 else ''}xlarge"
                if wanted.get("Cores", cpu) != cpu or wanted.get("Memory", cpu * ratio) != cpu * ratio:
                    continue
                value = family if wanted["Category"] == "InstanceTypeFamily" else name
                if wanted.get("Value", value) != value:
                    continue
                status = self._stock_word(cpu, cpu * ratio, zone, spot=is_spot(values.get("SpotResource", {})))
                if {"Value": value, "StatusCategory": status} not in rows:
                    rows.append({"Value": value, "StatusCategory": status})
        resource = {"Type": wanted["Category"], "SupportedResources": {"SupportedResource": rows}}
        return {
            "RegionId": values["RegionId"],
            "ZoneId": zone,
            "AvailableResources": {"AvailableResource": [resource]},
        }


_FILTERS: dict[str, Callable[[Group, str], bool]] = {
    "ContainerGroupName": lambda group, value: group.name == value,
    "Status": lambda group, value: group.status == value,
    "ZoneId": lambda group, value: group.zone == value,
    "VSwitchId": lambda group, value: value in group.spec.get("VSwitchId", "vsw-default").split(","),
    "SecurityGroupId": lambda group, value: value in group.spec.get("SecurityGroupId", "sg-default").split(","),
    "ResourceGroupId": lambda group, value: group.spec.get("ResourceGroupId", "rg-default") == value,
    "ComputeCategory": lambda group, value: value in group.spec.get("ComputeCategory", ["general"]),
}


def _tag_filter(tags: list[Json]) -> frozenset[tuple[str, str | None]]:
    if len(tags) > 10:
        raise too_long("Tag", "10 tags")
    for number, tag in enumerate(tags, 1):
        if not tag.get("Key"):
            raise missing(f"Tag.{number}.Key")
    return frozenset((tag["Key"], tag.get("Value")) for tag in tags)


def _status(group: Group) -> Json:
    """Made once a change: while thousands come or go, each look shows all of them."""
    if group.shown is None:
        group.shown = views.group_status(group)
    return group.shown


def _cut(groups: Iterable[Group], limit: int, kind: str, total: int) -> tuple[list[Group], str, int]:
    page: list[Group] = []
    for group in groups:
        if len(page) == limit:  # one more is there, so this page is not the last
            last = page[-1]
            return page, _next_token(kind, last.seq if kind == "d" else last.change_seq), total
        page.append(group)
    return page, "", total


def _next_token(kind: str, number: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}{number}".encode()).decode()


def _token(values: Json, kind: str) -> int:
    """Where the page before ended; 0 for the first. Raises ApiError on a token of another listing."""
    if not values.get("NextToken"):
        return 0
    try:
        text = base64.urlsafe_b64decode(values["NextToken"]).decode()
    except (ValueError, binascii.Error):
        text = ""
    if text[:1] != kind or not text[1:].isdecimal():
        raise invalid("NextToken", "the token of an earlier page of the same call")
    return int(text[1:])


def _between(values: Json, name: str, low: int, high: int, *, default: int) -> int:
    value = int(values.get(name, default))
    if not low <= value <= high:
        raise out_of_range(name, f"{low} to {high}")
    return value


def _time_ns(values: Json, name: str) -> int:
    """Epoch nanoseconds of a time parameter; 0 when it is absent."""
    if not values.get(name):
        return 0
    when = parse_nanoseconds(values[name])
    if when is None:
        raise invalid(name, "RFC 3339, e.g. 2024-01-02T03:04:05Z")
    return when


def _stamped(item: Json, zone: str) -> Json:
    """A record with the timestamp of the API in place of our own."""
    hours = 8 if zone == "+08:00" else 0
    text = iso_time(item["at"] + hours * 3600)[:-1]
    return {"Timestamp": f"{text}.{int(item['at'] % 1 * 1000):03d}{zone}", **_without_at(item)}


def _summary(item: Json) -> Json:
    """The shape of the multi-group call: other casing of the disk counters, no category, UTC."""
    disk = [{**row, "ReadIo": row["ReadIO"], "WriteIo": row["WriteIO"]} for row in item["Disk"]]
    for row in disk:
        del row["ReadIO"], row["WriteIO"]
    files = [{key: value for key, value in row.items() if key != "Category"} for row in item["Filesystem"]]
    return {"Timestamp": iso_time(item["at"]), **_without_at(item), "Disk": disk, "Filesystem": files}


def _without_at(item: Json) -> Json:
    return {key: value for key, value in item.items() if key != "at"}
