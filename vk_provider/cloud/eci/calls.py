"""Calls to ECI besides create and update: one function each, giving its exact parameters. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aliyunsdkeci.request.v20180808.DeleteContainerGroupRequest import DeleteContainerGroupRequest
from aliyunsdkeci.request.v20180808.DescribeAvailableResourceRequest import DescribeAvailableResourceRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupEventsRequest import DescribeContainerGroupEventsRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupPriceRequest import DescribeContainerGroupPriceRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupsRequest import DescribeContainerGroupsRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupStatusRequest import DescribeContainerGroupStatusRequest
from aliyunsdkeci.request.v20180808.DescribeContainerLogRequest import DescribeContainerLogRequest
from aliyunsdkeci.request.v20180808.DescribeMultiContainerGroupMetricRequest import (
    DescribeMultiContainerGroupMetricRequest,
)
from aliyunsdkeci.request.v20180808.ExecContainerCommandRequest import ExecContainerCommandRequest
from aliyunsdkeci.request.v20180808.ListUsageRequest import ListUsageRequest
from aliyunsdkeci.request.v20180808.RestartContainerGroupRequest import RestartContainerGroupRequest

from vk_provider.cloud.eci import create_parameters as options
from vk_provider.cloud.eci.create_refusals import MAX_COMMAND_ITEMS
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.sizes import Size
from vk_provider.cloud.eci.skus import Sku
from vk_provider.cloud.eci.wire_form import EciRequest, finished, given, set_tags
from vk_provider.errors import CloudRefused

GROUPS_PER_PAGE = 20
STATUSES_PER_PAGE = 200
IDS_PER_CALL = 20
MIN_SINCE_S, MAX_SINCE_S = 60, 3600
MAX_EXEC_WORD = 256  # characters
MAX_EXEC_BYTES = 2048  # of the whole command as JSON; not documented, seen by a public client (eci.md 2.8)


def delete(group_id: str, *, force: bool = False) -> EciRequest:
    request = DeleteContainerGroupRequest()
    request.set_method("POST")
    request.set_ContainerGroupId(group_id)
    if force:
        request.add_query_param("Force", "true")
    return finished(request)


def restart(group_id: str) -> EciRequest:
    request = RestartContainerGroupRequest()
    request.set_method("POST")
    request.set_ContainerGroupId(group_id)
    return finished(request)


def describe_groups(
    *,
    ids: Sequence[str] = (),
    tag_filter: Mapping[str, str] | None = None,
    next_token: str = "",
    limit: int = GROUPS_PER_PAGE,
    with_events: bool = True,
) -> EciRequest:
    """ids: at most IDS_PER_CALL. tag_filter: all of them must match."""
    request = DescribeContainerGroupsRequest()
    _set_selection(request, ids, tag_filter, next_token)
    request.set_Limit(limit)
    request.add_query_param("WithEvent", with_events)
    return finished(request)


def describe_statuses(
    *,
    ids: Sequence[str] = (),
    tag_filter: Mapping[str, str] | None = None,
    next_token: str = "",
    since_s: int | None = None,
) -> EciRequest:
    """since_s: only what changed in so many seconds, MIN_SINCE_S to MAX_SINCE_S; None = all."""
    request = DescribeContainerGroupStatusRequest()
    _set_selection(request, ids, tag_filter, next_token)
    request.set_Limit(STATUSES_PER_PAGE)
    if since_s is not None:
        request.set_SinceSecond(since_s)
    return finished(request)


def describe_events(*, tag_filter: Mapping[str, str], since_s: int, next_token: str = "") -> EciRequest:
    """since_s: as for describe_statuses."""
    request = DescribeContainerGroupEventsRequest()
    request.set_method("POST")  # the vendor's class says GET, the API's own description POST only
    _set_selection(request, (), tag_filter, next_token)
    request.set_SinceSecond(since_s)
    request.add_query_param("Limit", STATUSES_PER_PAGE)
    return finished(request)


def container_log(
    group_id: str, container: str, *, tail: int, start_time: str = "", previous: bool = False
) -> EciRequest:
    """The newest `tail` lines since start_time (RFC 3339 UTC), each with its time before it."""
    request = DescribeContainerLogRequest()
    request.set_ContainerGroupId(group_id)
    request.set_ContainerName(container)
    request.set_Tail(tail)
    request.set_Timestamps(True)
    if start_time:
        request.set_StartTime(start_time)
    if previous:
        request.set_LastTime(True)
    return finished(request)


def exec_command(group_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool) -> EciRequest:
    """A session in a terminal of the cloud. Raises CloudRefused for a command that is longer than ECI takes."""
    text = json.dumps(list(command), ensure_ascii=False, separators=(",", ":"))
    if too_long := _exec_excess(command, len(text.encode(errors="replace"))):
        raise CloudRefused(
            f"ExecContainerCommand: {too_long}. Put the script into a file of the container, or send it as input: "
            "kubectl exec -i POD -- sh < script"
        )
    request = ExecContainerCommandRequest()
    request.set_method("POST")
    request.set_ContainerGroupId(group_id)
    request.set_ContainerName(container)
    request.set_Command(text)
    request.set_Stdin(stdin)
    request.set_TTY(tty)
    request.set_Sync(False)
    return finished(request)


def _exec_excess(command: Sequence[str], size: int) -> str:
    """What of the command is too much, without repeating it; empty if nothing is."""
    if not command:
        return "there is no command"
    if len(command) > MAX_COMMAND_ITEMS:
        return f"the command has {len(command)} words, ECI takes at most {MAX_COMMAND_ITEMS}"
    for place, word in enumerate(command, start=1):
        if len(word) > MAX_EXEC_WORD:
            return f"word {place} of the command has {len(word)} characters, ECI takes at most {MAX_EXEC_WORD} a word"
    if size > MAX_EXEC_BYTES:
        return f"the command has {size} bytes, ECI takes at most {MAX_EXEC_BYTES} in all"
    return ""


def newest_metrics(ids: Sequence[str]) -> EciRequest:
    """ids: at most IDS_PER_CALL."""
    request = DescribeMultiContainerGroupMetricRequest()
    request.set_ContainerGroupIds(json.dumps(list(ids)))
    request.add_query_param("MetricType", "summary")
    return finished(request)


def describe_price(sku: Sku, settings: EciSettings) -> EciRequest:
    """What one instance costs."""
    request = DescribeContainerGroupPriceRequest()
    named: dict[str, Any] = {"ZoneId": settings.zone_id or None, "EphemeralStorage": sku.storage_gib or None}
    if sku.size is None:
        named["InstanceType"] = sku.type
    else:
        named |= {"Cpu": float(sku.size.cpu), "Memory": float(sku.size.memory_gib)}
    if sku.is_spot:
        named["SpotStrategy"] = "SpotAsPriceGo"
    for name, value in given(named.items()):
        request.add_query_param(name, value)
    return finished(request)


def describe_usage() -> EciRequest:
    return finished(ListUsageRequest())


def describe_spot_stock(size: Size, settings: EciSettings) -> EciRequest:
    """Which zones sell spot instances of the size."""
    request = DescribeAvailableResourceRequest()
    request.set_DestinationResource(
        {"Category": "InstanceType", "Cores": round(size.cpu), "Memory": float(size.memory_gib)}
    )
    request.set_SpotResource({"SpotStrategy": "SpotAsPriceGo"})
    if settings.zone_id:
        request.set_ZoneId(settings.zone_id)
    return finished(request)


def _set_selection(request: Any, ids: Sequence[str], tag_filter: Mapping[str, str] | None, next_token: str) -> None:
    if ids:
        request.set_ContainerGroupIds(json.dumps(list(ids)))
    if tag_filter:
        set_tags(request, tag_filter)
    if next_token:
        request.set_NextToken(next_token)


def dry_create(settings: EciSettings, switch: str, image: str) -> EciRequest:
    """A create that goes through all checks and is not carried out; its success comes as an answer that says so.

    switch: the vSwitch that is asked about; empty = the region's default.
    """
    parameters = {
        "RegionId": settings.region,
        "ContainerGroupName": "vk-provider-doctor",
        "Cpu": "2",
        "Memory": "4",
        "RestartPolicy": "Never",
        "Container.1.Name": "check",
        "Container.1.Image": image,
        "DryRun": "true",
        **options.place(replace(settings, vswitch_ids=[switch] if switch else [])),
    }
    return EciRequest(action="CreateContainerGroup", method="POST", query=parameters)


def list_usage(region: str) -> EciRequest:
    """Of the account's quota."""
    return EciRequest(action="ListUsage", query={"RegionId": region})


def available_resource(settings: EciSettings, cpu: int, memory_gib: int) -> EciRequest:
    """Which types of that size there are, and whether they are in stock."""
    parameters = {
        "RegionId": settings.region,
        "DestinationResource.Category": "InstanceType",
        "DestinationResource.Cores": str(cpu),
        "DestinationResource.Memory": str(memory_gib),
        **({"ZoneId": settings.zone_id} if settings.zone_id else {}),
    }
    return EciRequest(action="DescribeAvailableResource", query=parameters)
