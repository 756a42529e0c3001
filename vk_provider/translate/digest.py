"""What an instance is made of, as short digests that are kept with it as tags, and compared with its pod later.

Two texts. `images`: one digest for each container. `values`: one for the image pull secrets, then one for each
container, over what a kubelet reads again at each start: ConfigMaps and Secrets behind its environment, those behind
files that it mounts by `subPath` only (contract S21; all other files follow by themselves, see `live`), and the labels
and annotations that either shows. Containers are in the pod's order, init containers first. A pod of more than
MOST_CONTAINERS has one digest for all of them: a tag holds 128 characters.

Tags are read by everybody who may look into the cloud account, so no value may be guessed from a digest. Each object
goes in as an HMAC of its content under its own uid: 122 random bits, which the API server shows to those who may read
the object, and nobody else has. A resourceVersion would give away as little, but changes with every annotation; of a
content that is as it was the digest stays the same. An object that was deleted and made again with the same content has
another uid and counts as changed, which costs one start more.

Left out: Services, whose variables a kubelet reads at a start too, for in a busy namespace they change all day; and
what the cloud renews anyhow at a change, as tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b32encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from vk_provider.model.instance import MadeOf
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.model.vocabulary import Vocabulary
from vk_provider.translate import environment, file_sources, registries, volumes
from vk_provider.translate.fieldrefs import volume_value
from vk_provider.translate.file_sources import ABSENT, Source
from vk_provider.translate.objects import Kind, Objects

MOST_CONTAINERS = 20
_FORMAT = "1"  # of both texts: one that begins otherwise tells nothing
_LENGTH = 6  # characters of a digest: 30 bits, a change in a thousand million is missed
_LONG = 1_000  # characters
_CONTENT = ("type", "data", "binaryData")
_OF_POD = ("metadata.labels['", "metadata.annotations['")


# --- what it is made of ---


def made_of(pod: Json, objects: Objects, words: Vocabulary) -> MadeOf:
    """Of an instance that is made from these. words: its cloud's."""
    found = {(kind, key): content_of(objects.found(kind, key)) for kind, key in sources(pod)}
    frozen = file_sources.frozen(pod)
    varies = bool(found) or any(True for each in _containers(pod) for _ in _fields_of(each, pod, frozen, words))
    return MadeOf(images(pod), values(pod, found, words) if varies else "")


def images(pod: Json) -> str:
    spec = pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return _text([_image(each["name"], str(each.get("image") or "")) for each in containers])


def values(pod: Json, contents: Mapping[Source, str], words: Vocabulary) -> str:
    """contents: of each of `sources`, as `content_of` gives it."""
    namespace = _namespace(pod)
    pull = [contents[Kind.SECRET, key] for key in registries.secret_keys(pod, namespace)]
    frozen = file_sources.frozen(pod)
    fields = _Fields(pod, words)
    each = [_short(_values_of(container, pod, frozen, contents, fields)) for container in _containers(pod)]
    return _FORMAT + _short(pull) + _text(each).removeprefix(_FORMAT)


def sources(pod: Json) -> Sequence[Source]:
    """The objects that `values` is about, each once."""
    namespace = _namespace(pod)
    found: dict[Source, None] = {(Kind.SECRET, key): None for key in registries.secret_keys(pod, namespace)}
    frozen = file_sources.frozen(pod)
    for container in _containers(pod):
        found.update(dict.fromkeys(_sources_of(container, pod, frozen)))
    return tuple(found)


def shows_files(pod: Json, names: Collection[str]) -> bool:
    """Whether the values of one of these containers are files, too."""
    frozen = file_sources.frozen(pod)
    return any(each["name"] in names and any(_mounted(each, pod, frozen)) for each in _containers(pod))


def content_of(found: Json | None) -> str:
    """What tells one content of a ConfigMap or Secret from another, and nothing else of it; ABSENT without one."""
    if found is None:
        return ABSENT
    key = str(found["metadata"].get("uid") or "").encode()
    text = json.dumps([found.get(field) for field in _CONTENT], sort_keys=True)
    return hmac.digest(key, text.encode(), "sha256")[:16].hex()


# --- what of it is no longer so ---


def other_images(pod: Json, made: MadeOf) -> frozenset[str]:
    """Names of the containers that have another image in the pod than in the instance, as far as that is known."""
    wants = images(pod)
    if made.images == wants:
        return frozenset()  # as nearly always
    return _different(made.images, wants, [each["name"] for each in _containers(pod)])


def other_values(pod: Json, made: MadeOf, wants: str) -> frozenset[str]:
    """Names of the containers whose values are others by now. wants: `values`, as they are now."""
    names = [each["name"] for each in _containers(pod)]
    return _different(_FORMAT + made.values[_PULL:], _FORMAT + wants[_PULL:], names) if is_known(made) else frozenset()


def other_logins(made: MadeOf, wants: str) -> bool:
    """Whether the image pull secrets have changed."""
    return is_known(made) and made.values[:_PULL] != wants[:_PULL]


def is_known(made: MadeOf) -> bool:
    return made.values.startswith(_FORMAT) and len(made.values) >= _PULL


def updated(
    made: MadeOf, wants: MadeOf, pod: Json, *, images: Collection[str], values: Collection[str], logins: bool
) -> MadeOf:
    """What an instance is made of once these of its containers have been given what their pod says now."""
    names = [each["name"] for each in _containers(pod)]
    head = wants.values[:_PULL] if logins else made.values[:_PULL]
    return MadeOf(
        _mixed(made.images, wants.images, names, images),
        head + _mixed(_FORMAT + made.values[_PULL:], _FORMAT + wants.values[_PULL:], names, values)[1:],
    )


def _different(had: str, wants: str, names: Sequence[str]) -> frozenset[str]:
    if had == wants or not had.startswith(_FORMAT):
        return frozenset()
    before, after = _parts(had), _parts(wants)
    if len(before) != len(names) or len(after) != len(names):
        return frozenset(names)
    return frozenset(name for name, one, other in zip(names, before, after, strict=True) if one != other)


def _mixed(had: str, wants: str, names: Sequence[str], chosen: Collection[str]) -> str:
    before, after = _parts(had), _parts(wants)
    if len(before) != len(names) or len(after) != len(names):
        return wants if chosen else had
    parts = zip(names, before, after, strict=True)
    return _FORMAT + "".join(new if name in chosen else old for name, old, new in parts)


# --- digests ---

_PULL = len(_FORMAT) + _LENGTH  # where the containers' digests begin in `values`


@lru_cache(maxsize=1024)  # most pods have one of a few images
def _image(name: str, image: str) -> str:
    return _short([name, image])


class _Fields:
    """The pod's own fields, each read once; of a long one a digest, for a pod may show it a thousand times."""

    def __init__(self, pod: Json, words: Vocabulary) -> None:
        self.words = words
        self._quiet = file_sources.without_notes(pod, words)
        self._known: dict[str, str] = {}

    def __getitem__(self, path: str) -> str:
        if path not in self._known:
            text = volume_value(self._quiet, path)
            self._known[path] = text if len(text) <= _LONG else hashlib.sha256(json.dumps(text).encode()).hexdigest()
        return self._known[path]


def _values_of(
    container: Json, pod: Json, frozen: Collection[str], contents: Mapping[Source, str], fields: _Fields
) -> Sequence[str]:
    objects = dict.fromkeys(_sources_of(container, pod, frozen))
    found = [f"{kind.noun} {key[0]}/{key[1]} {contents[kind, key]}" for kind, key in objects]
    return found + [f"{path} {fields[path]}" for path in _fields_of(container, pod, frozen, fields.words)]


def _sources_of(container: Json, pod: Json, frozen: Collection[str]) -> Iterator[Source]:
    namespace = _namespace(pod)
    yield from environment.object_keys(container, namespace)
    for volume in _mounted(container, pod, frozen):
        yield from volumes.object_keys(volume, namespace)


def _fields_of(container: Json, pod: Json, frozen: Collection[str], words: Vocabulary) -> Iterator[str]:
    """Paths of those of the pod's own fields that may change. What a node writes on a pod is no change of it."""
    for variable in container.get("env") or ():
        path = str(((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath") or "")
        key = path.removesuffix("']").rpartition("['")[2]
        if path.startswith(_OF_POD) and not file_sources.is_note(key, words):
            yield path
    for volume in _mounted(container, pod, frozen):
        yield from volumes.field_paths(volume)


def _mounted(container: Json, pod: Json, frozen: Collection[str]) -> Iterator[Json]:
    if not frozen:
        return
    used = {mount["name"] for mount in container.get("volumeMounts") or ()}
    yield from (each for each in pod["spec"].get("volumes") or () if each["name"] in frozen and each["name"] in used)


def _text(digests: Sequence[str]) -> str:
    return _FORMAT + ("".join(digests) if len(digests) <= MOST_CONTAINERS else _short(digests))


def _parts(text: str) -> Sequence[str]:
    body = text.removeprefix(_FORMAT)
    return [body[start : start + _LENGTH] for start in range(0, len(body), _LENGTH)]


def _short(parts: object) -> str:
    """Lower case letters and digits, which every tag takes."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return b32encode(digest)[:_LENGTH].decode().lower()


def _containers(pod: Json) -> Sequence[Json]:
    return [*init_containers_of(pod), *containers_of(pod)]


def _namespace(pod: Json) -> str:
    return str(pod["metadata"].get("namespace") or "default")
