"""Everything one server serves: what is built in, and what its CustomResourceDefinitions add."""

from collections.abc import Callable, Iterator
from typing import Any

from fakes.kube import definitions
from fakes.kube.definitions import DEFINITIONS
from fakes.kube.resources import RESOURCES, Resource

Json = dict[str, Any]


class Catalog:
    """Resources by key. Always true: a custom resource is here exactly while its definition is established."""

    def __init__(self) -> None:
        self._rows: dict[str, Resource] = {**RESOURCES, DEFINITIONS.key: DEFINITIONS}
        self._custom: dict[str, dict[str, Resource]] = {}
        self._listeners: list[Callable[[Resource], None]] = []
        self.generation = 0
        """Moves on with every change of what is served."""

    def __getitem__(self, key: str) -> Resource:
        """The resource as it is stored. Raises KeyError."""
        return self._rows[key]

    def get(self, key: str) -> Resource | None:
        return self._rows.get(key)

    def rows(self) -> Iterator[Resource]:
        """Every resource that is served, once."""
        for key, row in self._rows.items():
            if key not in self._custom:
                yield row
            elif self._custom[key]:
                yield next(iter(self._custom[key].values()))

    def versions(self) -> Iterator[Resource]:
        """Every resource that is served, once for each version whose schema is its own."""
        for key, row in self._rows.items():
            yield from self._custom[key].values() if key in self._custom else (row,)

    def stored(self) -> list[Resource]:
        """Those that have objects of their own, which can be watched."""
        return [row for row in self._rows.values() if "watch" in row.verbs and not row.stored_as]

    def route(self, group: str, version: str, plural: str) -> Resource | None:
        """What a URL names, with the schema of that version."""
        key = f"{plural}.{group}" if group else plural
        if key in self._custom:
            return self._custom[key].get(version)
        row = self._rows.get(key)
        return row if row is not None and version in (row.version, *row.older) else None

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource an owner reference means, whatever version it writes."""
        group = api_version.rpartition("/")[0]
        for row in self._rows.values():
            if (row.group, row.kind) == (group, kind):
                return row
        return None

    def add(self, row: Resource) -> None:
        """Serve something more that is not stored."""
        self._rows[row.key] = row

    def listen(self, listener: Callable[[Resource], None]) -> None:
        """Call `listener` with each stored resource that there is, and that there will be."""
        self._listeners.append(listener)
        for row in self.stored():
            listener(row)

    def conflict(self, obj: Json) -> str:
        """Why the names of a definition cannot be had, "" if they can."""
        spec = obj["spec"]
        for row in self._rows.values():
            if row.group == spec["group"] and row.key != obj["metadata"]["name"]:
                if row.kind == spec["names"]["kind"]:
                    return f'"{row.kind}" is already in use'
                shared = {row.plural, row.singular, *row.short_names} & set(spec["names"].get("shortNames") or ())
                if shared:
                    return f'"{min(shared)}" is already in use'
        return ""

    def define(self, obj: Json) -> None:
        """Serve what an established definition says."""
        key = obj["metadata"]["name"]
        if not definitions.is_served(obj):
            return
        known = key in self._rows
        self._rows[key] = definitions.storage_resource(obj)
        self._custom[key] = definitions.resources(obj)
        self.generation += 1
        for listener in self._listeners if not known else ():
            listener(self._rows[key])

    def drop(self, key: str) -> None:
        """A definition is gone."""
        self._rows.pop(key, None)
        self._custom.pop(key, None)
        self.generation += 1
