"""What is said to ECI: one function per call, each giving the exact parameters that go over the wire.

Pure. The vendor's request classes do the flattening (`Container.1.Port.2.Protocol`); what they get wrong or lack is
mended here (eci.md 2, table of gaps): the text `None` for unset members is dropped, file modes, environment
references and size limits are added by their wire names.
Words of a pod (environment, arguments, files) travel in the form body and never in the URL: URLs have an unknown
length limit and end up in proxies' logs.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aliyunsdkcore.request import RpcRequest
from aliyunsdkeci.request.v20180808.CreateContainerGroupRequest import CreateContainerGroupRequest
from aliyunsdkeci.request.v20180808.DeleteContainerGroupRequest import DeleteContainerGroupRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupEventsRequest import DescribeContainerGroupEventsRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupPriceRequest import DescribeContainerGroupPriceRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupsRequest import DescribeContainerGroupsRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupStatusRequest import DescribeContainerGroupStatusRequest
from aliyunsdkeci.request.v20180808.DescribeContainerLogRequest import DescribeContainerLogRequest
from aliyunsdkeci.request.v20180808.DescribeMultiContainerGroupMetricRequest import (
    DescribeMultiContainerGroupMetricRequest,
)
from aliyunsdkeci.request.v20180808.ExecContainerCommandRequest import ExecContainerCommandRequest
from aliyunsdkeci.request.v20180808.RestartContainerGroupRequest import RestartContainerGroupRequest

from vk_provider.cloud.base import Change, RequestPreview
from vk_provider.cloud.eci import client_token, probe_parameters, security, sizes, tags
from vk_provider.cloud.eci import create_parameters as options
from vk_provider.cloud.eci.candidates import Candidate, candidates_of, examined, selected
from vk_provider.cloud.eci.fitting import (
    MAX_ENV,
    MAX_FILE_BYTES,
    MAX_VOLUMES,
    fitted,
    fitted_volumes,
    variables,
)
from vk_provider.cloud.eci.response import Words
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.skus import Sku, list_price
from vk_provider.errors import CloudRefused, Refusal, UnsupportedPod
from vk_provider.model.workload import Container, File, FromPodIP, RegistryCredential, Volume, Workload, with_paths
from vk_provider.redaction import HIDDEN, SecretBytes, SecretText, shown, without
from vk_provider.translate.environment import VARIABLE_NAME

Json = dict[str, Any]

GROUPS_PER_PAGE = 20
STATUSES_PER_PAGE = 200
IDS_PER_CALL = 20
MIN_SINCE_S, MAX_SINCE_S = 60, 3600

MAX_CONTAINERS = 20
MAX_FILES = 90
MAX_COMMAND_ITEMS = 20
MAX_EXEC_WORD = 256  # characters
MAX_EXEC_BYTES = 2048  # of the whole command as JSON; not documented, seen by a public client (eci.md 2.8)
MAX_CREDENTIALS = 10
MAX_IMAGE = 255

# The provider ends an overdue pod by itself and with the right reason; should it be down, the cloud ends it this much
# later, so that nobody pays for ever.
DEADLINE_BACKSTOP_S = 60

_NO_FILES = File(".empty", b"no files\n")

_IN_BODY = re.compile(r"(Container|InitContainer|Volume|ImageRegistryCredential|HostAliase)\.|Command$")


_LISTINGS = {"DescribeContainerGroups", "DescribeContainerGroupStatus", "DescribeContainerGroupEvents"}


@dataclass(frozen=True, slots=True)
class EciRequest:
    """One call, not yet signed. query and body: wire name → text; the signature covers both."""

    action: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict, repr=False)  # holds secrets

    @property
    def is_listing(self) -> bool:
        """Whether a page of many items answers it."""
        return self.action in _LISTINGS

    def without_secrets(self, message: str) -> str:
        """The cloud's words about it, in which it may have repeated any of ours."""
        return without(message, (*self.query.values(), *self.body.values()))


# --- create -----------------------------------------------------------------------------------------------------------


def create(workload: Workload, settings: EciSettings) -> tuple[EciRequest, Candidate]:
    """CreateContainerGroup for a workload, and what it will run on.

    The same workload gives the same request, so that a repeated call is answered with the first one's instance.
    Raises UnsupportedPod naming everything in the pod that ECI cannot hold.
    """
    workload, _ = fitted(workload)
    if found := refusals(workload, settings):
        raise UnsupportedPod(found)
    if not workload.containers and not workload.init_containers:
        raise UnsupportedPod([Refusal("spec.containers", "there is no container to run")])
    choice = selected(workload, settings)
    request = CreateContainerGroupRequest()
    request.set_method("POST")
    _set_identity(request, workload, settings)
    _set_life(request, workload)
    request.set_Containers(
        [{**_container(item), **_console(item), **probe_parameters.of(item)} for item in workload.containers]
    )
    request.set_InitContainers([_container(item) for item in workload.init_containers])
    _add_environment_references(request, "Container", workload.containers)
    _add_environment_references(request, "InitContainer", workload.init_containers)
    _set_volumes(request, workload.volumes)
    _set_credentials(request, workload.registry_credentials)
    for name, value in security.parameters(workload):
        request.add_query_param(name, value)
    given = {**options.place(settings), **options.hardware(workload, choice, settings), **_texts(request)}
    return _split(request, options.with_annotations(given, workload)), choice


def draft(workload: Workload, settings: EciSettings) -> RequestPreview:
    """The request a create would send, all parameters together, and what it costs. Raises UnsupportedPod."""
    request, choice = create(workload, settings)
    size = choice.size or sizes.Size(0, 0)
    return RequestPreview(
        request=dict(sorted({"Action": request.action, **request.query, **request.body}.items())),
        cpu=size.cpu,
        memory_gib=size.memory_gib,
        price=list_price(choice.sku, settings.region),
        choices=tuple(one.sku for one in candidates_of(workload, settings)),
        notices=fitted(workload)[1],
    )


def _set_identity(request: Any, workload: Workload, settings: EciSettings) -> None:
    owner = workload.owner
    request.set_ContainerGroupName(client_token.group_name(owner.namespace, owner.name))
    request.set_ClientToken(client_token.client_token(owner, workload.replaces, attempt=workload.attempt))
    _set_tags(request, _tags(workload, settings))


def _tags(workload: Workload, settings: EciSettings) -> Mapping[str, str]:
    return {
        **tags.of_owner(workload.owner),
        **tags.of_cluster_name(settings.cluster_name),
        **tags.of_attempt(workload.attempt),
        **tags.of_make(workload.made_of),
    }


def _set_life(request: Any, workload: Workload) -> None:
    request.set_RestartPolicy(workload.restart_policy)
    request.set_TerminationGracePeriodSeconds(workload.termination_grace_s)  # delete has no such parameter
    if workload.active_deadline_s is not None:
        request.set_ActiveDeadlineSeconds(workload.active_deadline_s + DEADLINE_BACKSTOP_S)
    if workload.hostname:
        request.set_HostName(workload.hostname)
    if workload.dns is not None:
        request.set_DnsPolicy("None")
        request.set_DnsConfigNameServers(list(workload.dns.nameservers))
        request.set_DnsConfigSearchs(list(workload.dns.searches))
        request.set_DnsConfigOptions([{"Name": name, "Value": value or None} for name, value in workload.dns.options])


def _container(container: Container) -> Json:
    """A container as the vendor's class takes it; None members are left out of the request."""
    return {
        "Name": container.name,
        "Image": container.image,
        "Cpu": container.cpu,
        "Memory": container.memory_gib,
        "Gpu": container.gpus or None,
        "Commands": list(container.command),
        "Args": list(container.args),
        "WorkingDir": container.working_dir or None,
        "ImagePullPolicy": container.image_pull_policy or None,
        "EnvironmentVars": [
            {"Key": key, "Value": None if isinstance(value, FromPodIP) else value}
            for key, value in variables(container)
        ],
        "Ports": [{"Protocol": port.protocol, "Port": port.number} for port in container.ports],
        "VolumeMounts": [
            {
                "Name": mount.volume,
                "MountPath": mount.path,
                "SubPath": mount.sub_path or None,
                "ReadOnly": mount.read_only,
            }
            for mount in container.mounts
        ],
    }


def _console(container: Container) -> Json:
    return {
        "Stdin": container.stdin or None,
        "StdinOnce": container.stdin_once or None,
        "Tty": container.tty or None,
    }


def _add_environment_references(request: Any, kind: str, containers: Sequence[Container]) -> None:
    for number, container in enumerate(containers, 1):
        for position, (_, value) in enumerate(variables(container), 1):
            if isinstance(value, FromPodIP):
                name = f"{kind}.{number}.EnvironmentVar.{position}.FieldRef.FieldPath"
                request.add_query_param(name, "status.podIP")


def _set_volumes(request: Any, volumes: Sequence[Volume]) -> None:
    request.set_Volumes([_volume(volume) for volume in volumes])
    for number, volume in enumerate(volumes, 1):
        if volume.empty_dir is not None and volume.empty_dir.size_mib is not None:
            # With its unit: a bare number would be read as GiB by one reading of the docs and as bytes by the other.
            request.add_query_param(f"Volume.{number}.EmptyDirVolume.SizeLimit", f"{volume.empty_dir.size_mib}Mi")
        for position, file in enumerate(_shown(volume), 1):
            prefix = f"Volume.{number}.ConfigFileVolume.ConfigFileToPath.{position}"
            request.add_query_param(f"{prefix}.Mode", f"{file.mode:04o}")


def _password(text: str) -> str:
    return text if isinstance(text, SecretText) else SecretText(text)


def _set_credentials(request: Any, credentials: Sequence[RegistryCredential]) -> None:
    request.set_ImageRegistryCredentials(
        [{"Server": each.server, "UserName": each.user, "Password": _password(each.password)} for each in credentials]
    )


def _shown(volume: Volume) -> Sequence[File]:
    """The volume's files; one that says nothing where there is none (yet). Files may come later by an update, and no
    update is known to make them of another kind of volume, nor is an empty list known to be taken."""
    return (_NO_FILES,) if volume.files is not None and not volume.files else volume.files or ()


def _volume(volume: Volume) -> Json:
    if volume.files is not None:
        return {
            "Name": volume.name,
            "Type": "ConfigFileVolume",
            "ConfigFileVolume.ConfigFileToPaths": [
                {"Path": file.path, "Content": _encoded(file.content)} for file in _shown(volume)
            ],
        }
    if volume.nfs is not None:
        return {
            "Name": volume.name,
            "Type": "NFSVolume",
            "NFSVolume.Server": volume.nfs.server,
            "NFSVolume.Path": volume.nfs.path,
            "NFSVolume.ReadOnly": volume.nfs.read_only,
        }
    if volume.flex is not None:
        return {
            "Name": volume.name,
            "Type": "FlexVolume",
            "FlexVolume.Driver": volume.flex.driver,
            "FlexVolume.FsType": volume.flex.fs_type or None,
            "FlexVolume.Options": _options(volume.flex.options),
        }
    memory = volume.empty_dir is not None and volume.empty_dir.medium.lower() == "memory"
    return {"Name": volume.name, "Type": "EmptyDirVolume", "EmptyDirVolume.Medium": "memory" if memory else None}


def _encoded(content: bytes) -> str:
    text = base64.b64encode(content).decode()
    if not isinstance(content, SecretBytes):
        return text
    return SecretText(text, shown=f"{HIDDEN[:-1]}, {len(content)} bytes)", values=(content.decode(errors="replace"),))


def _options(options: Mapping[str, str]) -> str:
    text = json.dumps(dict(options), ensure_ascii=False, separators=(",", ":"))
    secret = [value for value in options.values() if isinstance(value, SecretText)]
    if not secret:
        return text
    seen = json.dumps(
        {name: shown(value) for name, value in options.items()}, ensure_ascii=False, separators=(",", ":")
    )
    return SecretText(text, shown=seen, values=tuple(each for value in secret for each in value.values))


# --- what ECI cannot hold ---------------------------------------------------------------------------------------------


def refusals(workload: Workload, settings: EciSettings) -> Sequence[Refusal]:
    """All that ECI cannot hold of a workload, be it whole or as far as it could be put together."""
    workload, _ = fitted(workload)
    _, found = examined(workload, settings)
    return [*found, *_limits(workload), *options.refusals(workload, tags=len(_tags(workload, settings)))]


def _limits(workload: Workload) -> Iterator[Refusal]:
    """Hard limits only: where the docs leave open whether a limit is enforced, the cloud decides (eci.md 9)."""
    for containers, path in (
        (workload.containers, "spec.containers"),
        (workload.init_containers, "spec.initContainers"),
    ):
        if len(containers) > MAX_CONTAINERS:
            yield Refusal(path, f"{len(containers)} containers; an instance holds at most {MAX_CONTAINERS}")
    for place, container in with_paths(workload):
        yield from _container_refusals(container, place)
    if len(workload.volumes) > MAX_VOLUMES:
        yield Refusal("spec.volumes", f"{len(workload.volumes)} volumes; an instance holds at most {MAX_VOLUMES}")
    if len(workload.registry_credentials) > MAX_CREDENTIALS:
        hosts = len(workload.registry_credentials)
        reason = f"images of {hosts} registries with logins; an instance takes at most {MAX_CREDENTIALS}"
        yield Refusal("spec.imagePullSecrets", reason)
    for volume in workload.volumes:
        yield from _volume_refusals(volume, f"spec.volumes[{volume.index}]")
    yield from security.refusals(workload)


def _container_refusals(container: Container, path: str) -> Iterator[Refusal]:
    if not 1 <= len(container.image) <= MAX_IMAGE:
        yield Refusal(f"{path}.image", f"{len(container.image)} characters; ECI takes 1 to {MAX_IMAGE}")
    if len(container.command) > MAX_COMMAND_ITEMS:
        yield Refusal(
            f"{path}.command",
            f"{len(container.command)} items; ECI takes at most {MAX_COMMAND_ITEMS}: put them into one `sh -c` text",
        )
    count = len(variables(container))
    if count > MAX_ENV:
        yield Refusal(f"{path}.env", f"{count} variables; ECI takes at most {MAX_ENV}")
    yield from probe_parameters.refusals(container, path)
    for key, _ in container.env:
        if not VARIABLE_NAME.fullmatch(key):
            yield Refusal(
                f"{path}.env",
                f"variable {key!r}: ECI takes 1 to 128 of A-Z a-z 0-9 _ - . and none of 0-9 - . first: rename it",
            )
    for port in container.ports:
        if port.protocol not in ("TCP", "UDP"):
            yield Refusal(f"{path}.ports", f"protocol {port.protocol} of port {port.number}; ECI takes TCP and UDP")


def _volume_refusals(volume: Volume, path: str) -> Iterator[Refusal]:
    """Refused, although whoever made the ConfigMap could make it smaller: a Job that ends with this reason is sooner
    mended than one that waits for what nobody knows of, and controllers try again with new pods anyway. The sum of a
    group's files is left to the cloud: a limit of about 60 KB stands in others' notes only (eci.md 2.1)."""
    files = volume.files or ()
    if len(files) > MAX_FILES:
        yield Refusal(path, f"volume {volume.name!r} has {len(files)} files; ECI takes at most {MAX_FILES}")
    for file in files:
        if len(file.content) > MAX_FILE_BYTES:
            yield Refusal(path, _too_big(volume, file))


def _too_big(volume: Volume, file: File) -> str:
    return (
        f"file {file.path!r} of volume {volume.name!r} has {len(file.content)} bytes; "
        f"ECI takes at most {MAX_FILE_BYTES} a file: put it into the image or on a file system"
    )


# --- update -----------------------------------------------------------------------------------------------------------


def update_volumes(group_id: str, volumes: Sequence[Volume]) -> EciRequest:
    """UpdateContainerGroup that gives a group's files new contents and touches nothing else.

    IncrementalUpdate leaves alone what is not given; whether a list that is given stands for the whole one or is
    merged by name is not documented, so all volumes are sent. Raises UnsupportedPod naming what ECI cannot hold.
    """
    volumes = fitted_volumes(volumes)
    found = [
        refusal
        for index, volume in enumerate(volumes)
        for refusal in _volume_refusals(volume, f"spec.volumes[{index}]")
    ]
    if found:
        raise UnsupportedPod(found)
    # A create's volumes are spelt the same, and the vendor's class for updates lacks some of their kinds.
    spelling = CreateContainerGroupRequest()
    _set_volumes(spelling, volumes)
    return EciRequest(
        action="UpdateContainerGroup",
        method="POST",
        query={"ContainerGroupId": group_id, "UpdateType": "IncrementalUpdate"},
        body=_finished(spelling).body,
    )


def update(
    group_id: str,
    workload: Workload,
    change: Change,
    *,
    settings: EciSettings,
    there: Mapping[str, Words],
    tag_values: Mapping[str, str],
) -> EciRequest:
    """UpdateContainerGroup that gives some of a group's containers what the workload says, and leaves the others as
    they are.

    As with files, whole lists are sent, spelt as a create spells them, for a list may stand for the whole or be merged
    by name. there: what the containers have now, by name: of those that are not to change it is said again, since the
    cloud begins anew what differs (eci.md 2.11). tag_values: all of the group's, for an update takes them for the
    whole. Raises UnsupportedPod.
    """

    def settled(container: Container) -> Container:
        words = there.get(container.name)
        if words is None or container.name in change.containers:
            return container
        return replace(container, image=words.image, env=words.env, command=words.command, args=words.args)

    kept = replace(
        workload,
        containers=tuple(map(settled, workload.containers)),
        init_containers=tuple(map(settled, workload.init_containers)),
    )
    lists = [
        *(["Container"] if any(each.name in change.containers for each in workload.containers) else ()),
        *(["InitContainer"] if any(each.name in change.containers for each in workload.init_containers) else ()),
        *(["Volume"] if change.files else ()),
        *(["ImageRegistryCredential"] if change.logins and workload.registry_credentials else ()),
    ]
    tagged = CreateContainerGroupRequest()
    _set_tags(tagged, tag_values)
    return EciRequest(
        action="UpdateContainerGroup",
        method="POST",
        query={"ContainerGroupId": group_id, "UpdateType": "IncrementalUpdate", **_finished(tagged).query},
        body={name: text for name, text in create(kept, settings)[0].body.items() if name.partition(".")[0] in lists},
    )


# --- the other calls --------------------------------------------------------------------------------------------------


def delete(group_id: str, *, force: bool = False) -> EciRequest:
    request = DeleteContainerGroupRequest()
    request.set_method("POST")
    request.set_ContainerGroupId(group_id)
    if force:
        request.add_query_param("Force", "true")
    return _finished(request)


def restart(group_id: str) -> EciRequest:
    request = RestartContainerGroupRequest()
    request.set_method("POST")
    request.set_ContainerGroupId(group_id)
    return _finished(request)


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
    return _finished(request)


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
    return _finished(request)


def describe_events(*, tag_filter: Mapping[str, str], since_s: int, next_token: str = "") -> EciRequest:
    """since_s: as for describe_statuses."""
    request = DescribeContainerGroupEventsRequest()
    request.set_method("POST")  # the vendor's class says GET, the API's own description POST only
    _set_selection(request, (), tag_filter, next_token)
    request.set_SinceSecond(since_s)
    request.add_query_param("Limit", STATUSES_PER_PAGE)
    return _finished(request)


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
    return _finished(request)


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
    return _finished(request)


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
    return _finished(request)


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
    for name, value in _given(named.items()):
        request.add_query_param(name, value)
    return _finished(request)


def _set_selection(request: Any, ids: Sequence[str], tag_filter: Mapping[str, str] | None, next_token: str) -> None:
    if ids:
        request.set_ContainerGroupIds(json.dumps(list(ids)))
    if tag_filter:
        _set_tags(request, tag_filter)
    if next_token:
        request.set_NextToken(next_token)


def _set_tags(request: Any, values: Mapping[str, str]) -> None:
    request.set_Tags([{"Key": key, "Value": value} for key, value in values.items()])


# --- wire form --------------------------------------------------------------------------------------------------------


def _finished(request: RpcRequest) -> EciRequest:
    return _split(request, _texts(request))


def _texts(request: RpcRequest) -> dict[str, str]:
    """The parameters the vendor's class has gathered, as texts, without those it set to None."""
    return {name: _text(value) for name, value in _given(request.get_query_params().items())}


def _split(request: RpcRequest, texts: Mapping[str, str]) -> EciRequest:
    return EciRequest(
        action=request.get_action_name(),
        method=request.get_method(),
        query={name: text for name, text in texts.items() if not _IN_BODY.match(name)},
        body={name: text for name, text in texts.items() if _IN_BODY.match(name)},
    )


def _given(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in items if value is not None)


def _text(value: str | bool | int | float) -> str:
    if isinstance(value, str):
        return value  # as it is: a SecretText has to stay one
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal(value)
    return str(value)


def decimal(value: float) -> str:
    """At most six decimals, rounded down: containers' shares rounded up could add up to more than the instance has."""
    return f"{math.floor(round(value * 10**6, 3)) / 10**6:.6f}".rstrip("0").rstrip(".")
