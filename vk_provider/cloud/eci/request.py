"""A workload → CreateContainerGroup with the exact parameters that go over the wire.

Pure. The vendor's request classes do the flattening (`Container.1.Port.2.Protocol`); what they get wrong or lack is
mended here (eci.md 2, table of gaps): the text `None` for unset members is dropped, file modes, environment
references and size limits are added by their wire names.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aliyunsdkeci.request.v20180808.CreateContainerGroupRequest import CreateContainerGroupRequest

from vk_provider.cloud.base import RequestPreview
from vk_provider.cloud.eci import client_token, probe_parameters, security, sizes
from vk_provider.cloud.eci import create_parameters as options
from vk_provider.cloud.eci.candidates import Candidate, candidates_of, selected
from vk_provider.cloud.eci.create_refusals import refusals, tags_of
from vk_provider.cloud.eci.fitting import (
    fitted,
    variables,
)
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.skus import list_price
from vk_provider.cloud.eci.wire_form import EciRequest, set_tags, split, texts_of
from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.model.workload import Container, File, FromPodIP, RegistryCredential, Volume, Workload
from vk_provider.redaction import HIDDEN, SecretBytes, SecretText, shown

Json = dict[str, Any]


# The provider ends an overdue pod by itself and with the right reason; should it be down, the cloud ends it this much
# later, so that nobody pays for ever.
DEADLINE_BACKSTOP_S = 60

_NO_FILES = File(".empty", b"no files\n")


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
    set_volumes(request, workload.volumes)
    _set_credentials(request, workload.registry_credentials)
    for name, value in security.parameters(workload):
        request.add_query_param(name, value)
    given = {**options.place(settings), **options.hardware(workload, choice, settings), **texts_of(request)}
    return split(request, options.with_annotations(given, workload)), choice


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
    set_tags(request, tags_of(workload, settings))


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


def set_volumes(request: Any, volumes: Sequence[Volume]) -> None:
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
