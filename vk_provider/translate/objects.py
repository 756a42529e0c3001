"""What a pod refers to: named before it is fetched (References), and as it was found (Objects)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from vk_provider.model.pod import Json

ObjectKey = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True, order=True)
class TokenRequest:
    """One service account token to ask for, bound to the pod (S23). audience: empty = the API server's own."""

    volume: str
    path: str
    service_account: str
    namespace: str
    audience: str
    expiration_s: int


@dataclass(frozen=True, slots=True)
class References:
    """What must be fetched before a pod can be built.

    service_namespaces: where Services must be listed. `default` is always among them, since every container is told
    where the Service `kubernetes` is (S11); the pod's own is when the pod wants service links.
    claims: PersistentVolumeClaims. What stands behind them is found by following them: `further`.
    """

    config_maps: frozenset[ObjectKey] = frozenset()
    secrets: frozenset[ObjectKey] = frozenset()
    claims: frozenset[ObjectKey] = frozenset()
    tokens: frozenset[TokenRequest] = frozenset()
    service_namespaces: frozenset[str] = frozenset()

    @property
    def needs_services(self) -> bool:
        return bool(self.service_namespaces)


class Kind(Enum):
    """The kinds of objects that pods name, with the words a kubelet uses for each: in `x "n" not found`, in
    `in X ns/n`, and for a key that a volume names in vain. Claims hold no keys."""

    CONFIG_MAP = ("configmap", "ConfigMap", "configmap references non-existent config key")
    SECRET = ("secret", "Secret", "references non-existent secret key")
    CLAIM = ("persistentvolumeclaim", "PersistentVolumeClaim", "")

    def not_found(self, name: str) -> str:
        return f'{self.value[0]} "{name}" not found'

    def key_not_found(self, key: ObjectKey, entry: str) -> str:
        return f"couldn't find key {entry} in {self.value[1]} {key[0]}/{key[1]}"

    def path_key_not_found(self, entry: str) -> str:
        return f"{self.value[2]}: {entry}"

    @property
    def noun(self) -> str:
        return self.value[0]

    @property
    def proper_noun(self) -> str:
        return self.value[1]


_Layer = tuple[Mapping[str, str | None], Callable[[str | None], bytes]]


class _Entries(Mapping[str, bytes]):
    """Entries of an object, each decoded once it is asked for: a pod may need one of a hundred thousand.

    layers: entries as they are stored, and how they are decoded; the first that has a key counts.
    """

    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._layers = layers
        self._known: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._known:
            texts, decode = next((layer for layer in self._layers if name in layer[0]), ({}, _encoded))
            self._known[name] = decode(texts[name])
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return any(name in texts for texts, _ in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for texts, _ in self._layers for name in texts))

    def __len__(self) -> int:
        """An upper bound, where a key stands in two layers; an API server stores no such object."""
        return sum(len(texts) for texts, _ in self._layers)


@dataclass(frozen=True, slots=True)
class Objects:
    """Everything `References` named, as found. None, or no entry: it does not exist.

    services: of all namespaces asked for, in any order; further ones do no harm. persistent_volumes: by name, those
    that the claims are bound to; the secrets that these name are among `secrets`. token_lives_s: how long each token
    lives from its asking on, as the API server says. node: ours, where the pod asks for a node that ours may not be.
    """

    config_maps: Mapping[ObjectKey, Json | None] = field(default_factory=dict)
    secrets: Mapping[ObjectKey, Json | None] = field(default_factory=dict)
    claims: Mapping[ObjectKey, Json | None] = field(default_factory=dict)
    persistent_volumes: Mapping[str, Json | None] = field(default_factory=dict)
    tokens: Mapping[TokenRequest, str] = field(default_factory=dict)
    services: Sequence[Json] = ()
    token_lives_s: Mapping[TokenRequest, int] = field(default_factory=dict)
    node: Json | None = None
    # A pod may name one object a thousand times, and to decode it takes milliseconds.
    _known: dict[tuple[Kind, ObjectKey, bool], Mapping[str, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def data(self, kind: Kind, key: ObjectKey) -> Mapping[str, bytes] | None:
        """`data` of a ConfigMap or Secret, each entry decoded once it is asked for; None = there is no such object."""
        return self._entries(kind, key, with_binary=False)

    def files(self, kind: Kind, key: ObjectKey) -> Mapping[str, bytes] | None:
        """As `data`, and with a ConfigMap's `binaryData`, which only volumes can show (S6)."""
        return self._entries(kind, key, with_binary=kind is Kind.CONFIG_MAP)

    def _entries(self, kind: Kind, key: ObjectKey, *, with_binary: bool) -> Mapping[str, bytes] | None:
        found = self.found(kind, key)
        if found is None:
            return None
        place = (kind, key, with_binary)
        if place not in self._known:
            decode = _decoded if kind is Kind.SECRET else _encoded
            layers: list[_Layer] = [(found.get("data") or {}, decode)]
            if with_binary and found.get("binaryData"):
                layers.append((found["binaryData"], _decoded))
            self._known[place] = _Entries(layers)
        return self._known[place]

    def found(self, kind: Kind, key: ObjectKey) -> Json | None:
        return (self.config_maps if kind is Kind.CONFIG_MAP else self.secrets).get(key)


def _encoded(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "replace")


def _decoded(content: str | None) -> bytes:
    text = content or ""  # the API server writes an empty value as null
    # The API server only stores what decodes; text that does not comes from a hand-written file and is kept as it is.
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")
