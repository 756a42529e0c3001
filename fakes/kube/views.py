"""How a stored object is shown under the version, and in the form, a client asked for."""

from dataclasses import dataclass
from typing import Any

from fakes.kube.resources import Resource
from fakes.kube.store import Snapshot, encode

Json = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One resource under one of its versions."""

    row: Resource
    version: str

    @property
    def api_version(self) -> str:
        return f"{self.row.group}/{self.version}" if self.row.group else self.version

    def item(self, snapshot: Snapshot) -> bytes:
        """As an item of a list: without kind and version."""
        if self.row.key == "events.events.k8s.io":
            return encode(_bare(new_event(snapshot.object)))
        return snapshot.item()

    def whole(self, snapshot: Snapshot) -> bytes:
        if self.row.key == "events.events.k8s.io":
            return encode(new_event(snapshot.object))
        return snapshot.whole(self.row.kind, self.api_version)

    def stored(self, obj: Json) -> Json:
        """What a client sent, in the form it is stored."""
        return old_event(obj) if self.row.key == "events.events.k8s.io" else obj


def _bare(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OLD_EVENT_NAMES = {new: old for old, new in _EVENT_NAMES.items()}


def new_event(event: Json) -> Json:
    """A core Event in the words of events.k8s.io."""
    shown = {_EVENT_NAMES.get(key, key): value for key, value in event.items()}
    return shown | {"kind": "Event", "apiVersion": "events.k8s.io/v1"}


def old_event(event: Json) -> Json:
    """An events.k8s.io Event in the words of the core API, in which all are stored."""
    return {_OLD_EVENT_NAMES.get(key, key): value for key, value in event.items()} | {
        "kind": "Event",
        "apiVersion": "v1",
    }


@dataclass(frozen=True)
class Form:
    """What an Accept header wants: objects as they are, a Table of them, or their metadata only."""

    shape: str = ""
    version: str = "v1"


def accepted(header: str) -> Form | None:
    """The first form of the header that can be served; None when there is none."""
    if not header:
        return Form()
    for choice in header.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        named = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if media not in ("application/json", "*/*", "application/*", "application/yaml"):
            continue
        shape = named.get("as", "")
        if shape and (named.get("g") != "meta.k8s.io" or named.get("v") not in ("v1", "v1beta1")):
            continue
        if shape in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form(shape.removesuffix("List"), named.get("v", "v1"))
    return None


def partial(obj: Json, version: str) -> Json:
    """Only an object's metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}
