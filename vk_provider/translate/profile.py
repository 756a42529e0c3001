"""What an operator's ConfigMap makes of pods before they are translated; its form is the cloud's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from vk_provider.model.pod import Json


class BadProfile(ValueError):
    """What is wrong with a profile's content, key by key."""


class Profile(Protocol):
    """unheeded: keys that have no effect here, sorted. needs_namespaces: whether it needs a namespace's labels.

    chosen: pods that it sends to the node, each by the labels of a namespace and those of the pod (empty = any).
    summary: for the log.
    """

    @property
    def unheeded(self) -> Sequence[str]: ...

    @property
    def needs_namespaces(self) -> bool: ...

    @property
    def is_empty(self) -> bool: ...

    @property
    def chosen(self) -> Sequence[tuple[Mapping[str, str], Mapping[str, str]]]: ...

    @property
    def summary(self) -> str: ...

    def apply(self, pod: Json, namespace_labels: Mapping[str, str]) -> Json:
        """The pod as the profile wants it; nothing that is there is overwritten."""
        ...


ParseProfile = Callable[[Mapping[str, str]], Profile]  # of the ConfigMap's `data`; raises BadProfile with all faults
