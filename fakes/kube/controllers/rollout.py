"""The arithmetic of a Deployment's rollout. Pure. Source: kubernetes pkg/controller/deployment/util, v1.32."""

import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from fakes.kube.reads import Json, annotations_of

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
# No vowels and none of the digits that look like one: a hash never spells a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def fenceposts(deployment: Json) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as pods: surge rounds up, unavailable down, and never are both 0."""
    replicas = replicas_of(deployment)
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def scaled(value: int | str, replicas: int, *, up: bool) -> int:
    """A number as it is, or a share of `replicas` such as "25%", rounded up or down."""
    if isinstance(value, int):
        return value
    share = Fraction(int(value.rstrip("%")), 100) * replicas
    return ceil(share) if up else floor(share)


def is_rolling(deployment: Json) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def max_unavailable(deployment: Json) -> int:
    if not is_rolling(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(fenceposts(deployment)[1], replicas_of(deployment))


def max_replicas(deployment: Json) -> int:
    """The most pods there may be at once."""
    return replicas_of(deployment) + (fenceposts(deployment)[0] if is_rolling(deployment) else 0)


def replicas_of(obj: Json) -> int:
    """`spec.replicas` of a Deployment or ReplicaSet; 1 when unset."""
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def total(sets: Sequence[Json]) -> int:
    return sum(replicas_of(one) for one in sets)


def status_total(sets: Sequence[Json], field: str) -> int:
    """Sum of one status counter over ReplicaSets."""
    return sum((one.get("status") or {}).get(field) or 0 for one in sets)


def new_set_replicas(deployment: Json, others_and_new: Sequence[Json], current: int) -> int:
    """How large the new ReplicaSet may be now, having `current`."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    room = max_replicas(deployment) - total(others_and_new)
    return current if room <= 0 else current + min(room, wanted - current)


def cleanup_count(deployment: Json, old: Sequence[Json], new: Json) -> int:
    """How many pods of old sets may go, counting new pods that are not available as if they never came."""
    minimum = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = replicas_of(new) - status_total([new], "availableReplicas")
    return total([*old, new]) - minimum - new_unavailable


def proportions(deployment: Json, active: Sequence[Json]) -> dict[str, int]:
    """The size of each active set after a scaling in the midst of a rollout: the change is shared in proportion.

    Returns set name → replicas. The rest that rounding leaves goes to the largest set.
    """
    allowed = max_replicas(deployment) if replicas_of(deployment) > 0 else 0
    change = allowed - total(active)
    growing = change > 0
    ranked = sorted(active, key=lambda one: one["metadata"].get("creationTimestamp") or "", reverse=growing)
    ranked.sort(key=replicas_of, reverse=True)
    sizes: dict[str, int] = {}
    given = 0
    for one in ranked:
        share = _share(deployment, one, allowed, change, change - given) if change else 0
        sizes[one["metadata"]["name"]] = replicas_of(one) + share
        given += share
    if ranked:
        first = ranked[0]["metadata"]["name"]
        sizes[first] = max(0, sizes[first] + change - given)
    return sizes


def _share(deployment: Json, one: Json, allowed: int, change: int, left: int) -> int:
    size = replicas_of(one)
    if left == 0 or size == 0:
        return 0
    if replicas_of(deployment) == 0:
        return -size
    before = int(annotations_of(one).get(MAXIMUM) or 0) or (deployment.get("status") or {}).get("replicas") or size
    part = round(Fraction(size * allowed, before)) - size
    return min(part, left) if change > 0 else max(part, left)


def revision_of(obj: Json) -> int:
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def template_hash(template: Json, collisions: int) -> str:
    """A short name for a pod template: equal templates, equal names. `collisions` moves on when a name is taken."""
    body = json.dumps(template, sort_keys=True, separators=(",", ":")) + (str(collisions) if collisions else "")
    number = int.from_bytes(hashlib.sha256(body.encode()).digest()[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def bare_template(template: Json) -> Json:
    """The template without the hash label that a ReplicaSet's carries."""
    meta = dict(template.get("metadata") or {})
    labels = {name: value for name, value in (meta.pop("labels", None) or {}).items() if name != HASH_LABEL}
    if labels:
        meta["labels"] = labels
    meta = {name: value for name, value in meta.items() if value is not None}
    return {**template, "metadata": meta}


def is_complete(deployment: Json, status: Json) -> bool:
    """Is everything updated, available, and nothing old left?"""
    wanted = replicas_of(deployment)
    everywhere = all(status.get(name, 0) == wanted for name in ("updatedReplicas", "replicas", "availableReplicas"))
    return everywhere and bool(status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0))


def has_progressed(before: Json, now: Json) -> bool:
    """Did the rollout move: more new pods, fewer old ones, more ready or available?"""
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = now.get("replicas", 0) - now.get("updatedReplicas", 0)
    counters = ("updatedReplicas", "readyReplicas", "availableReplicas")
    grown = any(now.get(name, 0) > before.get(name, 0) for name in counters)
    return grown or bool(old_now < old_before)
