"""A pod's phase from its containers' entries, in the kubelet's order (P16)."""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.model.instance import StateKind
from vk_provider.model.pod import Json, init_containers_of, is_sidecar, restart_policy
from vk_provider.model.vocabulary import Vocabulary
from vk_provider.translate.conditions import is_done
from vk_provider.translate.container_lists import counted
from vk_provider.translate.container_status import (
    by_name,
    ended,
    ended_before,
    has_started,
    is_running,
    state_of,
)

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"


def phase(pod: Json, inits: Sequence[Json], apps: Sequence[Json], *, final: bool, words: Vocabulary) -> str:
    """final: nothing starts any more, whatever the restart policy says.

    Never Succeeded or Failed while an entry says running: a process may still write (P18).
    """
    derived = _derived(pod, by_name(inits), apps, final=final, words=words)
    if derived in (SUCCEEDED, FAILED) and any(map(is_running, [*inits, *apps])):
        return RUNNING if any(map(has_started, apps)) else PENDING
    return derived


def all_succeeded(apps: Sequence[Json]) -> bool:
    """Every app container ended with 0; a waiting one counts by its last run."""
    ends = [ended(status) or ended_before(status) for status in apps]
    return bool(ends) and all(end is not None and end.get("exitCode") == 0 for end in ends)


def _derived(pod: Json, inits: dict[str, Json], apps: Sequence[Json], *, final: bool, words: Vocabulary) -> str:
    policy = "Never" if final else restart_policy(pod)
    specs = init_containers_of(pod)
    plain = [inits.get(spec["name"]) for spec in specs if not is_sidecar(spec)]
    if policy == "Never" and any(map(_failed, plain)):
        return FAILED
    if not any(map(has_started, apps)) and not all(
        spec["name"] in inits and is_done(spec, inits[spec["name"]]) for spec in specs
    ):
        return PENDING
    sidecars = [inits[spec["name"]] for spec in specs if is_sidecar(spec) and spec["name"] in inits]
    lasting = [*sidecars, *apps]
    if not apps or not all(map(has_started, lasting)):
        return PENDING
    if policy == "Always" or any(map(is_running, lasting)):
        return RUNNING
    if all_succeeded(counted(pod, apps, words)):
        return SUCCEEDED
    return FAILED if policy == "Never" else RUNNING


def _failed(status: Json | None) -> bool:
    if status is None or state_of(status) is StateKind.RUNNING:
        return False
    end = ended(status) or ended_before(status)
    return end is not None and end.get("exitCode") != 0
