"""What of a pod's files can change while it runs, and a fingerprint of what they are made of.

The fingerprint is over versions, never over contents: it stands on the pod for everybody to read, and no Secret may be
guessed from it. Mounts with a `subPath` are left out, as a kubelet leaves them as they are (contract S21), and so is
the environment, which no running process can be given anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vk_provider.model.pod import OWN_NOTES, Json, containers_of, init_containers_of
from vk_provider.model.vocabulary import Vocabulary
from vk_provider.translate import volumes
from vk_provider.translate.fieldrefs import volume_value
from vk_provider.translate.objects import Kind, ObjectKey, Objects

Source = tuple[Kind, ObjectKey]
ANNOTATIONS = "metadata.annotations"
ABSENT = "absent"  # the version of an object that does not exist
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class LiveSources:
    """What a pod's changing files come from. fields: the pod's own, by path. tokens: whether there are any."""

    objects: Sequence[Source] = ()
    fields: Sequence[str] = ()
    tokens: bool = False

    def __bool__(self) -> bool:
        return bool(self.objects or self.fields or self.tokens)


def live_sources(pod: Json) -> LiveSources:
    namespace = str(pod["metadata"].get("namespace") or "default")
    whole = _mounted_whole(pod)
    shown = [
        volume for volume in volumes.mounted_volumes(pod) if volume["name"] in whole and volumes.holds_files(volume)
    ]
    objects = {source for volume in shown for source in volumes.object_keys(volume, namespace)}
    return LiveSources(
        objects=tuple(sorted(objects, key=lambda source: (source[0].noun, source[1]))),
        fields=tuple(sorted({path for volume in shown for path in volumes.field_paths(volume)})),
        tokens=any(True for volume in shown for _ in volumes.token_requests(volume, pod, namespace)),
    )


def frozen(pod: Json) -> frozenset[str]:
    """Names of the volumes of files that no container mounts but by subPath: theirs stay as they are (S21)."""
    whole = _mounted_whole(pod)
    return frozenset(
        volume["name"]
        for volume in volumes.mounted_volumes(pod)
        if volumes.holds_files(volume) and volume["name"] not in whole
    )


def version_of(found: Json | None) -> str:
    """What tells one state of an object from every other; ABSENT for one that is not there."""
    if found is None:
        return ABSENT
    meta = found["metadata"]
    return f"{meta.get('uid', '')}/{meta.get('resourceVersion', '')}"


def versions(sources: LiveSources, objects: Objects) -> Mapping[Source, str]:
    return {(kind, key): version_of(objects.found(kind, key)) for kind, key in sources.objects}


def fingerprint(pod: Json, sources: LiveSources, known: Mapping[Source, str], words: Vocabulary) -> str:
    """Of what the files come from, tokens apart. known: the version of each object among the sources."""
    parts = [[kind.noun, *key, known[kind, key]] for kind, key in sources.objects]
    quiet = without_notes(pod, words)
    parts += [[path, volume_value(quiet if path == ANNOTATIONS else pod, path)] for path in sources.fields]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]


def is_note(key: str, words: Vocabulary) -> bool:
    """Whether a node writes this annotation on the pods that it runs."""
    return key in OWN_NOTES or key in words.noted


def without_notes(pod: Json, words: Vocabulary) -> Json:
    """Without what a node has written on it: else every pod that shows its annotations would be given files anew right
    after its start, for nothing but its own instance's name. They come along with the next change of anything else."""
    given = pod["metadata"].get("annotations") or {}
    own = {key: text for key, text in given.items() if not is_note(key, words)}
    return {**pod, "metadata": {**pod["metadata"], "annotations": own}}


def _mounted_whole(pod: Json) -> set[str]:
    """Names of the volumes that some container mounts without a subPath."""
    return {
        mount["name"]
        for container in [*init_containers_of(pod), *containers_of(pod)]
        for mount in container.get("volumeMounts") or ()
        if not mount.get("subPath") and not mount.get("subPathExpr")
    }
