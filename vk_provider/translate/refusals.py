"""Everything a pod says that is not carried, found before anything is fetched or started.

The table in `pod_fields` judges each field by itself, `crosswise` has the few rules that need two at once. They read
only pods in which every field has its proper type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from vk_provider import bounds
from vk_provider.errors import Refusal
from vk_provider.model.pod import Json, containers_with_paths
from vk_provider.translate import crosswise
from vk_provider.translate.capabilities import PLAIN, Capabilities
from vk_provider.translate.expansion import names_in
from vk_provider.translate.field_rules import walk
from vk_provider.translate.fieldrefs import is_pod_ip
from vk_provider.translate.oversize import oversize
from vk_provider.translate.pod_fields import pod_rule
from vk_provider.translate.probe_fields import health_refusals


def refusals(pod: Json, capabilities: Capabilities = PLAIN, *, expands_pod_ip: bool = False) -> Sequence[Refusal]:
    """All of them, each with the path of the field it is about; in the pod's own order, and the crosswise ones last.

    capabilities, expands_pod_ip: as in `NodeContext`.
    Never raises, whatever the pod looks like. Of a pod that is too large only that is said, and nothing else is read.
    """
    if too_large := oversize(pod):
        return too_large
    metadata = pod.get("metadata") if isinstance(pod, Mapping) else None
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    findings = walk(pod_rule(capabilities, annotations), pod, "")
    found = [finding.refusal for finding in findings]
    rules = [
        crosswise.volumes_with_two_sources,
        crosswise.mounts_of_nothing,
        crosswise.two_sub_paths,
        crosswise.fields_of_unknown_containers,
        crosswise.gpus,
        lambda pod: crosswise.architectures(pod, capabilities.architectures),
        lambda pod: iter(capabilities.annotations.contradictions(pod["metadata"].get("annotations") or {})),
        crosswise.restart_policies,
        crosswise.resolver_settings,
        health_refusals,
        # In a subPathExpr no cloud can do it, even one that writes the address into texts.
        (lambda pod: (one for one in _uses_of_the_address(pod) if one.field.endswith(".subPathExpr")))
        if expands_pod_ip
        else _uses_of_the_address,
    ]
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
