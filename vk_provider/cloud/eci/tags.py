"""The tags that say whose an instance is: written at creation, read back from every listing.

Pure. A cluster is known by the uid of its namespace kube-system, for two clusters may have one name.

A tag value holds at most 128 characters and must not begin with `aliyun` or `acs:` (eci.md 2.1), while a pod's
name may have 253 and begin as it likes: so values are escaped, and compared as written, never as read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from vk_provider.model.instance import UNKNOWN_MAKE, MadeOf, Owner

CLUSTER = "vk-cluster-uid"
CLUSTER_NAME = "vk-cluster"  # for people: proves nothing, and nothing is looked up by it
NODE = "vk-node"
NAMESPACE = "vk-namespace"
POD = "vk-pod"
UID = "vk-pod-uid"
ATTEMPT = "vk-attempt"
IMAGES, VALUES = "vk-images", "vk-values"  # what it was made of: `translate.digest`

MAX_VALUE = 128
_FORBIDDEN_STARTS = ("aliyun", "acs:", "_")
_HASH_LENGTH = 32


def value_of(text: str) -> str:
    """The tag value for a name: itself where that is allowed; else `_` before it, or cut short and a hash behind it."""
    escaped = f"_{text}" if text.lower().startswith(_FORBIDDEN_STARTS) else text
    if len(escaped) <= MAX_VALUE:
        return escaped
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{escaped[: MAX_VALUE - _HASH_LENGTH - 1]}-{digest}"


def text_of(value: str) -> str:
    """The name again; a name that was cut stays cut."""
    return value.removeprefix("_")


def of_owner(owner: Owner) -> dict[str, str]:
    return {
        CLUSTER: value_of(owner.cluster),
        NODE: value_of(owner.node),
        NAMESPACE: value_of(owner.namespace),
        POD: value_of(owner.name),
        UID: value_of(owner.uid),
    }


def of_cluster_name(name: str) -> dict[str, str]:
    return {CLUSTER_NAME: value_of(name)} if name else {}


def of_attempt(attempt: int) -> dict[str, str]:
    """Only later ones are written down: nearly all instances are of the first."""
    return {ATTEMPT: str(attempt)} if attempt else {}


def attempt_of(tags: Mapping[str, str]) -> int:
    text = tags.get(ATTEMPT, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0


def of_make(made: MadeOf) -> dict[str, str]:
    return {key: text for key, text in ((IMAGES, made.images), (VALUES, made.values)) if text}


def make_of(tags: Mapping[str, str]) -> MadeOf:
    images, values = tags.get(IMAGES, ""), tags.get(VALUES, "")
    return MadeOf(images, values) if images or values else UNKNOWN_MAKE


def to_owner(tags: Mapping[str, str]) -> Owner:
    return Owner(
        cluster=text_of(tags.get(CLUSTER, "")),
        node=text_of(tags.get(NODE, "")),
        namespace=text_of(tags.get(NAMESPACE, "")),
        name=text_of(tags.get(POD, "")),
        uid=text_of(tags.get(UID, "")),
    )
