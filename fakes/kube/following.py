"""Following one resource for ever, whatever becomes of its history."""

from collections.abc import AsyncIterator
from typing import Any

from fakes.kube.api import Api, ApiError, WatchEvent

Json = dict[str, Any]


async def changes(api: Api, resource: str, *, field_selector: str = "") -> AsyncIterator[WatchEvent]:
    """Everything that is, as ADDED, then every change.

    When history was lost everything comes as ADDED again, after DELETED, with its last known state, for what has
    vanished meanwhile. So a reader who takes ADDED for "is there" is always right in the end.
    """
    known: dict[tuple[str, str], Json] = {}
    while True:
        items, version = api.list(resource, field_selector=field_selector)
        present = {_place(item): item for item in items}
        for place, old in list(known.items()):
            if place not in present or present[place]["metadata"]["uid"] != old["metadata"]["uid"]:
                del known[place]
                yield WatchEvent("DELETED", old)
        for place, item in present.items():
            known[place] = item
            yield WatchEvent("ADDED", item)
        try:
            async for event in api.watch(resource, resource_version=version, field_selector=field_selector):
                if event.type == "DELETED":
                    known.pop(_place(event.object), None)
                else:
                    known[_place(event.object)] = event.object
                yield event
        except ApiError as gone:
            if gone.code != 410:
                raise


def _place(obj: Json) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
