"""The seam for resources that the node offers besides what its settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class CapacitySource(Protocol):
    def current(self) -> Mapping[str, str]:
        """Resource → quantity, as in `status.capacity`; part of allocatable, too. Neither awaits nor raises.

        What is no longer named is taken off the Node. Read at each round; `NodeController.reconcile_now` begins one.
        """
        ...


def combined(settings: Mapping[str, str], sources: Sequence[CapacitySource]) -> Mapping[str, str]:
    """What the settings say is never changed by a source."""
    added = [source.current() for source in sources]
    return {name: text for each in added for name, text in each.items()} | dict(settings)
