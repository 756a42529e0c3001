"""Names and tokens that a pod's instance gets: the same for the same pod, whoever asks and however often.

Pure.
"""

from __future__ import annotations

import hashlib
import re

from vk_provider.model.instance import Owner

MAX_NAME = 128
MIN_NAME = 2


def group_name(namespace: str, name: str) -> str:
    """A name to read in the console, 2-128 of `a-z 0-9 -` without `-` at either end; two pods may share one."""
    text = re.sub(r"[^a-z0-9-]", "-", f"{namespace}-{name}".lower())[:MAX_NAME].strip("-")
    return text if len(text) >= MIN_NAME else f"pod-{text}".rstrip("-")


def client_token(owner: Owner, replaces: str = "", *, attempt: int = 0) -> str:
    """64 ASCII characters: however often a create is repeated, the cloud makes one instance of it.

    One per pod uid; one more for each dead instance in whose place a new one comes, since under the old token the
    cloud would give the dead one back; and one for each further way that is tried to carry the pod, whose request
    differs. Which way is being tried stands on the pod before anything is sent (see `control.rules.creating`).
    """
    life = [replaces] if replaces or attempt else []
    parts = (owner.cluster, owner.node, owner.uid, *life, *([f"attempt {attempt}"] if attempt else []))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
