"""Every field that the table of pod fields knows stands in a manifest of the corpus, but for those listed here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.corpus.manifests import cases
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.translate.field_rules import ListOf, MapOf, ObjectOf, Rule
from vk_provider.translate.pod_fields import pod_rule

# What an API server or a controller writes, what only an update may bring, and what the pods of later clusters say to
# their scheduler: nobody puts it into a manifest.
ELSEWHERE = {
    *(f"metadata.{name}" for name in ("clusterName", "creationTimestamp", "deletionGracePeriodSeconds")),
    *(f"metadata.{name}" for name in ("deletionTimestamp", "finalizers", "generateName", "generation")),
    *(f"metadata.{name}" for name in ("managedFields", "resourceVersion", "selfLink")),
    "metadata.annotations[k8s.aliyun.com/eci-price]",
    *(f"spec.{name}" for name in ("ephemeralContainers", "schedulingGates", "schedulingGroup", "workloadRef")),
    "spec.volumes.ephemeral.readOnly",  # gone with 1.21
    "status",
}


def test_every_field_is_in_a_manifest():
    rule = pod_rule(CAPABILITIES, {})
    known = {plain(path) for path in leaves(rule, "")}
    touched = {plain(path) for case in cases() for pod in case.pods for path in fields(rule, pod, "")}
    assert len(known) > 200
    assert sorted(known - touched - ELSEWHERE) == []
    assert sorted(ELSEWHERE & touched) == [], "listed as not in the corpus, and there"


def plain(path: str) -> str:
    """Init containers have the fields of containers."""
    return path.replace("spec.initContainers.", "spec.containers.")


def leaves(rule: Rule, path: str) -> Iterator[str]:
    """Every field that has a rule of its own, without positions in lists."""
    match rule:
        case ObjectOf(known):
            for name, inner in known.items():
                yield from leaves(inner, f"{path}.{name}".lstrip("."))
        case ListOf(item):
            yield from leaves(item, path)
        case MapOf(_, special) if special:
            for key, inner in special.items():
                yield from leaves(inner, f"{path}[{key}]")
        case _:
            yield path


def fields(rule: Rule, value: Any, path: str) -> Iterator[str]:
    """Those of them that the value has."""
    match rule:
        case ObjectOf(known):
            for name, inner in known.items():
                if isinstance(value, dict) and value.get(name) is not None:
                    yield from fields(inner, value[name], f"{path}.{name}".lstrip("."))
        case ListOf(item):
            for each in value:
                yield from fields(item, each, path)
        case MapOf(_, special) if special:
            for key, inner in special.items():
                if key in value:
                    yield from fields(inner, value[key], f"{path}[{key}]")
        case _:
            yield path
