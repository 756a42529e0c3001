"""What an agent keeps on its node over restarts: the weights that it has raised, and the history of the node's use.

Files of the node's own and no objects of the API server: they are of use on this node only, and nothing is written to
the API server while nothing changes. A file that is lost or damaged costs a history, or what few weights cannot be told
without it (`weights.Memory`), never more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from vk_provider import jsontext
from vk_provider.idle.history import History
from vk_provider.qos_agent.weights import Memory, decode, encode

log = logging.getLogger(__name__)

_WEIGHTS, _HISTORY = "weights.json", "history.json"


class StateFiles:
    """directory: empty = nothing is kept."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory) if directory else None
        self._noted: Memory | None = None

    def weights(self) -> Memory:
        self._noted = decode(self._read(_WEIGHTS))
        return self._noted

    def note_weights(self, memory: Memory) -> None:
        """Raises OSError where it cannot be noted; nothing may be changed then that could not be put back."""
        if memory != self._noted:
            self._write(_WEIGHTS, encode(memory))
            self._noted = memory

    def histories(self) -> Mapping[str, History]:
        """By resource; a history that cannot be read begins anew."""
        found, document = {}, self._read(_HISTORY)
        for resource in ("cpu", "memory"):
            found[resource] = History()
            text = document.get(resource) if isinstance(document, Mapping) else None
            if isinstance(text, str):
                try:
                    found[resource] = History.decode(text)
                except ValueError as error:
                    log.warning("history resource=%s begins anew: %s", resource, error)
        return found

    def note_histories(self, histories: Mapping[str, History]) -> None:
        """Raises OSError."""
        self._write(_HISTORY, {resource: history.encode() for resource, history in histories.items()})

    def _read(self, name: str) -> object:
        if self._directory is None:
            return None
        try:
            document: object = jsontext.loads((self._directory / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("file=%s cannot be read and counts as empty: %s", self._directory / name, error)
            return None
        return document

    def _write(self, name: str, document: object) -> None:
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        fresh = self._directory / f"{name}.new"
        fresh.write_bytes(jsontext.dumps(document))
        fresh.replace(self._directory / name)
