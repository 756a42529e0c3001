"""Everything a pod says that is not carried, found before anything is fetched or started.

The table in `pod_fields` judges each field by itself; here stand the few rules that need two fields at once. They look
only at pods in which every field has its proper type, so that they can read them without asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from vk_provider import bounds
from vk_provider.errors import Refusal
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.model.quantity import parse
from vk_provider.translate import restart
from vk_provider.translate.annotations import annotation_rule, contradictions
from vk_provider.translate.expansion import names_in
from vk_provider.translate.field_rules import walk
from vk_provider.translate.fieldrefs import is_pod_ip
from vk_provider.translate.oversize import oversize
from vk_provider.translate.pod_fields import VOLUME_SOURCES, pod_rule
from vk_provider.translate.probe_fields import health_refusals
from vk_provider.translate.resources import GPU, architecture


def refusals(pod: Json, *, expands_pod_ip: bool = False) -> Sequence[Refusal]:
    """All of them, each with the path of the field it is about; in the pod's own order, and the crosswise ones last.

    expands_pod_ip: as in `NodeContext`.
    Never raises, whatever the pod looks like. Of a pod that is too large only that is said, and nothing else is read.
    """
    if too_large := oversize(pod):
        return too_large
    metadata = pod.get("metadata") if isinstance(pod, Mapping) else None
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    findings = walk(pod_rule(annotation_rule(annotations)), pod, "")
    found = [finding.refusal for finding in findings]
    rules = [*_CROSSWISE, _paths_of_the_address if expands_pod_ip else _uses_of_the_address]
    if not any(finding.malformed for finding in findings):
        for rule in rules:
            found.extend(islice(rule(pod), bounds.MOST_REFUSALS))
        return tuple(found[: bounds.MOST_REFUSALS])
    for rule in rules:
        found.extend(islice(_as_far_as_it_reads(rule, pod), bounds.MOST_REFUSALS))
    return tuple(dict.fromkeys(found))[: bounds.MOST_REFUSALS]


def _as_far_as_it_reads(rule: Callable[[Json], Iterator[Refusal]], pod: Json) -> Iterator[Refusal]:
    """Of a pod in which something is not even of its type; a walk through the fields has told of that."""
    try:
        yield from rule(pod)
    except (LookupError, TypeError, ValueError, AttributeError):
        return


def containers_with_paths(pod: Json) -> Iterator[tuple[str, Json]]:
    """Every container with its path, in the order in which they start."""
    for index, container in enumerate(init_containers_of(pod)):
        yield f"spec.initContainers[{index}]", container
    for index, container in enumerate(containers_of(pod)):
        yield f"spec.containers[{index}]", container


def _volumes_with_two_sources(pod: Json) -> Iterator[Refusal]:
    for index, volume in enumerate(pod["spec"].get("volumes") or ()):
        sources = [name for name in volume if name in VOLUME_SOURCES and volume[name] is not None]
        if len(sources) > 1:
            yield Refusal(
                f"spec.volumes[{index}].{sources[1]}", f"the volume is {sources[0]} already; make two volumes"
            )


def _mounts_of_nothing(pod: Json) -> Iterator[Refusal]:
    volumes = {volume["name"] for volume in pod["spec"].get("volumes") or ()}
    for path, container in containers_with_paths(pod):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount["name"] not in volumes:
                yield Refusal(f"{path}.volumeMounts[{index}].name", f"the pod has no volume {mount['name']}")


def _two_sub_paths(pod: Json) -> Iterator[Refusal]:
    for path, container in containers_with_paths(pod):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            if mount.get("subPath") and mount.get("subPathExpr"):
                yield Refusal(f"{path}.volumeMounts[{index}].subPathExpr", "the mount has a subPath already; keep one")


def _fields_of_unknown_containers(pod: Json) -> Iterator[Refusal]:
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


def _paths_of_the_address(pod: Json) -> Iterator[Refusal]:
    """What no cloud can do, even one that writes the address into texts."""
    return (one for one in _uses_of_the_address(pod) if one.field.endswith(".subPathExpr"))


def _uses_of_the_address(pod: Json) -> Iterator[Refusal]:
    """Words made of the pod's address: the cloud can hand it over as a variable, but cannot write it into a text."""
    for path, container in containers_with_paths(pod):
        late: set[str] = set()
        for index, variable in enumerate(container.get("env") or ()):
            text = variable.get("value") or ""
            yield from _late_names(f"{path}.env[{index}].value", text, late, _IN_A_VARIABLE)
            _follow(variable, late)
        for field in ("command", "args"):
            for index, word in enumerate(container.get(field) or ()):
                yield from _late_names(f"{path}.{field}[{index}]", word, late, _IN_A_COMMAND)
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            yield from _late_names(
                f"{path}.volumeMounts[{index}].subPathExpr", mount.get("subPathExpr"), late, _IN_A_PATH
            )


def _follow(variable: Json, late: set[str]) -> None:
    """Keep track of which variables hold the address. An optional source may be missing and so leave it there."""
    source = variable.get("valueFrom") or {}
    if not variable.get("value") and is_pod_ip((source.get("fieldRef") or {}).get("fieldPath") or ""):
        late.add(variable["name"])
    elif not any((source.get(kind) or {}).get("optional") for kind in ("configMapKeyRef", "secretKeyRef")):
        late.discard(variable["name"])


_IN_A_COMMAND = (
    "let a shell put it in, which has the variable: command [sh, -c, 'exec PROGRAM \"${name}\"']; or, where the"
    " cloud is known to replace it itself, let the operator set --cloud-expands-pod-ip"
)
_IN_A_VARIABLE = (
    "let a shell make it, which has the variable: command [sh, -c, 'export OTHER=\"${name}:80\"; exec PROGRAM']; or,"
    " where the cloud is known to replace it itself, let the operator set --cloud-expands-pod-ip"
)
_IN_A_PATH = "use metadata.name or metadata.uid, which are known before"


def _late_names(path: str, text: str | None, late: set[str], advice: str) -> Iterator[Refusal]:
    for name in names_in(text or "") if late else ():
        if name in late:
            reason = f"$({name}) is the pod's address, which does not exist before it runs; "
            yield Refusal(path, reason + advice.replace("${name}", f"${name}"))
            return


def _gpus(pod: Json) -> Iterator[Refusal]:
    """What the API server lets nobody store; a manifest from a file has not been there."""
    for path, container in containers_with_paths(pod):
        resources = container.get("resources") or {}
        request, limit = ((resources.get(group) or {}).get(GPU) for group in ("requests", "limits"))
        if request is not None and parse(request) != parse(limit or 0):
            yield Refusal(f"{path}.resources.requests[{GPU}]", "GPUs are not shared: state the same number as a limit")


def _architectures(pod: Json) -> Iterator[Refusal]:
    wanted = architecture(pod)
    if wanted not in ("", "amd64", "arm64"):
        yield Refusal(
            "spec.nodeSelector" if pod["spec"].get("nodeSelector") else "spec.affinity",
            f"there are no {wanted} instances, only amd64 and arm64",
        )


def _restart_policies(pod: Json) -> Iterator[Refusal]:
    """An instance has one policy. A container that wants more restarts than that runs as well; one that wants fewer
    must not be begun again."""
    for path, container in containers_with_paths(pod):
        if restart.is_less(pod, container, is_init=path.startswith("spec.initContainers")):
            yield Refusal(
                f"{path}.restartPolicy",
                f"an instance has one restart policy for all its containers, and the pod's would begin this one again"
                f" where {container['restartPolicy']} does not; give the pod that restartPolicy, or make two pods",
            )


def _contradicting_annotations(pod: Json) -> Iterator[Refusal]:
    return contradictions(pod["metadata"].get("annotations") or {})


def _resolver_settings(pod: Json) -> Iterator[Refusal]:
    spec = pod["spec"]
    config = {name: value for name, value in (spec.get("dnsConfig") or {}).items() if value}
    if spec.get("dnsPolicy") == "Default" and config:
        yield Refusal("spec.dnsConfig", "nothing can be added to the cloud's own resolver; use dnsPolicy None")
    if spec.get("dnsPolicy") == "None" and not config.get("nameservers"):
        yield Refusal("spec.dnsPolicy", "None needs a name server in dnsConfig.nameservers")


_CROSSWISE: Sequence[Callable[[Json], Iterator[Refusal]]] = (
    _volumes_with_two_sources,
    _mounts_of_nothing,
    _two_sub_paths,
    _fields_of_unknown_containers,
    _gpus,
    _architectures,
    _contradicting_annotations,
    _restart_policies,
    _resolver_settings,
    health_refusals,
)
