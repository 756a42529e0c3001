"""What is wrong with fields of a pod beside each other: rules that need two of them at once.

Each yields refusals of a pod in which every field has its proper type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vk_provider.errors import Refusal
from vk_provider.model.pod import Json, containers_with_paths
from vk_provider.model.quantity import parse
from vk_provider.translate import restart
from vk_provider.translate.pod_fields import VOLUME_SOURCES
from vk_provider.translate.resources import GPU, architecture


def volumes_with_two_sources(pod: Json) -> Iterator[Refusal]:
    for index, volume in enumerate(pod["spec"].get("volumes") or ()):
        sources = [name for name in volume if name in VOLUME_SOURCES and volume[name] is not None]
        if len(sources) > 1:
            yield Refusal(
                f"spec.volumes[{index}].{sources[1]}", f"the volume is {sources[0]} already; make two volumes"
            )


def mounts_of_nothing(pod: Json) -> Iterator[Refusal]:
    volumes = {volume["name"] for volume in pod["spec"].get("volumes") or ()}
    for path, container in containers_with_paths(pod):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount["name"] not in volumes:
                yield Refusal(f"{path}.volumeMounts[{index}].name", f"the pod has no volume {mount['name']}")


def two_sub_paths(pod: Json) -> Iterator[Refusal]:
    for path, container in containers_with_paths(pod):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("subPath") and mount.get("subPathExpr"):
                yield Refusal(f"{path}.volumeMounts[{index}].subPathExpr", "the mount has a subPath already; keep one")


def fields_of_unknown_containers(pod: Json) -> Iterator[Refusal]:
    names = {container["name"] for _, container in containers_with_paths(pod)}
    for path, reference in _resource_references(pod):
        if reference.get("containerName") and reference["containerName"] not in names:
            yield Refusal(f"{path}.containerName", f"the pod has no container {reference['containerName']}")


def _resource_references(pod: Json) -> Iterator[tuple[str, Json]]:
    for path, container in containers_with_paths(pod):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("resourceFieldRef")
            if reference:
                yield f"{path}.env[{index}].valueFrom.resourceFieldRef", reference
    for path, item in _downward_items(pod):
        if item.get("resourceFieldRef"):
            yield f"{path}.resourceFieldRef", item["resourceFieldRef"]


def _downward_items(pod: Json) -> Iterator[tuple[str, Json]]:
    for index, volume in enumerate(pod["spec"].get("volumes") or ()):
        path = f"spec.volumes[{index}]"
        yield from _items(f"{path}.downwardAPI", volume.get("downwardAPI"))
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            yield from _items(f"{path}.projected.sources[{number}].downwardAPI", source.get("downwardAPI"))


def _items(path: str, downward: Json | None) -> Iterator[tuple[str, Json]]:
    for index, item in enumerate((downward or {}).get("items") or ()):
        yield f"{path}.items[{index}]", item


def gpus(pod: Json) -> Iterator[Refusal]:
    """What the API server lets nobody store; a manifest from a file has not been there."""
    for path, container in containers_with_paths(pod):
        resources = container.get("resources") or {}
        request, limit = ((resources.get(group) or {}).get(GPU) for group in ("requests", "limits"))
        if request is not None and parse(request) != parse(limit or 0):
            yield Refusal(f"{path}.resources.requests[{GPU}]", "GPUs are not shared: state the same number as a limit")


def architectures(pod: Json, offered: Sequence[str]) -> Iterator[Refusal]:
    wanted = architecture(pod)
    if wanted and wanted not in offered:
        yield Refusal(
            "spec.nodeSelector" if pod["spec"].get("nodeSelector") else "spec.affinity",
            f"there are no {wanted} instances, only {' and '.join(offered)}",
        )


def restart_policies(pod: Json) -> Iterator[Refusal]:
    """An instance has one policy. A container that wants more restarts than that runs as well; one that wants fewer
    must not be begun again."""
    for path, container in containers_with_paths(pod):
        if restart.is_less(pod, container, is_init=path.startswith("spec.initContainers")):
            yield Refusal(
                f"{path}.restartPolicy",
                f"an instance has one restart policy for all its containers, and the pod's would begin this one again"
                f" where {container['restartPolicy']} does not; give the pod that restartPolicy, or make two pods",
            )


def resolver_settings(pod: Json) -> Iterator[Refusal]:
    spec = pod["spec"]
    config = {name: value for name, value in (spec.get("dnsConfig") or {}).items() if value}
    if spec.get("dnsPolicy") == "Default" and config:
        yield Refusal("spec.dnsConfig", "nothing can be added to the cloud's own resolver; use dnsPolicy None")
    if spec.get("dnsPolicy") == "None" and not config.get("nameservers"):
        yield Refusal("spec.dnsPolicy", "None needs a name server in dnsConfig.nameservers")
