"""What a cloud can do and how it wants to be asked, as data from its driver. Whoever judges or translates a pod reads
this, and knows no cloud by name. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vk_provider.errors import Refusal
from vk_provider.model.notice import Notice
from vk_provider.model.pod import Json
from vk_provider.model.vocabulary import NEUTRAL, Vocabulary
from vk_provider.model.workload import Flex, Nfs
from vk_provider.translate.field_rules import Rule, walk
from vk_provider.translate.objects import Objects
from vk_provider.translate.profile import ParseProfile

Texts = Mapping[str, str | None]  # annotations as they stand on a pod


def _nothing(_: Texts) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotationTable:
    """The annotations by which a pod speaks to the cloud.

    rules: by key, what may stand there; any other key may say what it likes. reported: of these, the keys that a node
    writes and that ask for nothing. prefixes: with which the cloud's keys begin. sizes: keys by which a pod names what
    it runs on, the one that messages advise first. own_address: the key by which it names its own address; empty =
    there is none. contradictions: what no single value shows. notices: what the pod's owner should hear of.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    own_address: str = ""
    contradictions: Callable[[Texts], Iterable[Refusal]] = _nothing
    notices: Callable[[Texts], Iterable[Notice]] = _nothing

    def requests(self, annotations: Texts) -> Mapping[str, str]:
        """Those that ask the cloud for something."""
        return {
            key: text
            for key, text in sorted(annotations.items())
            if text and key in self.rules and key not in self.reported and (not isinstance(text, str) or text.strip())
        }

    def valid_requests(self, annotations: object) -> Mapping[str, str]:
        """As `requests`, without those that are refused."""
        if not isinstance(annotations, Mapping):
            return {}
        given = {key: text for key, text in annotations.items() if isinstance(text, str)}
        return {key: text for key, text in self.requests(given).items() if not walk(self.rules[key], text, key)}


class ReadsStorage(Protocol):
    """Makes of a volume in Kubernetes' words what the cloud mounts.

    field: the volume's path in the pod. role: that instances have where the pod names none. Raises UnsupportedPod for
    what cannot be mounted, PodNotReady for a Secret that is not there yet.
    """

    def inline(self, volume: Json, pod: Json, objects: Objects, field: str, *, role: str) -> Nfs | Flex:
        """volume: of the pod, with a source that is one of `Storage.kinds`."""
        ...

    def persistent(
        self, volume: Json, found: Json, pod: Json, objects: Objects, field: str, *, role: str, read_only: bool
    ) -> Nfs | Flex:
        """found: the persistent volume that the claim is bound to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Storage:
    """What can be mounted. kinds: sources of volumes, of `csi`, `flexVolume` and `nfs`; with one of them at least,
    claims too. csi, flex: drivers that a pod itself may name. advice: what to use instead of others. reader: None where
    there are no kinds."""

    kinds: frozenset[str] = frozenset()
    csi: tuple[str, ...] = ()
    flex: tuple[str, ...] = ()
    advice: str = "use emptyDir, a ConfigMap or a Secret"
    reader: ReadsStorage | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Capabilities:
    """cloud: as people call it. runtime: name and version of what runs containers there, as the Node shows it.

    event_host: as events show it beside `kubelet`, which tells the cloud's from our own. protocols: of ports.
    architectures: as in `kubernetes.io/arch`. left_out: name and value of the variable by which a container says that
    it shall not make the instance larger; empty = there is none. parse_profile: None where there are no profiles.
    """

    cloud: str = "the cloud"
    runtime: str = "instance://1.0.0"
    event_host: str = "cloud"
    words: Vocabulary = NEUTRAL
    annotations: AnnotationTable = field(default_factory=AnnotationTable)
    storage: Storage = field(default_factory=Storage)
    protocols: tuple[str, ...] = ("TCP", "UDP")
    architectures: tuple[str, ...] = ("amd64", "arm64")
    left_out: tuple[str, str] = ("", "")
    parse_profile: ParseProfile | None = None


PLAIN = Capabilities()
