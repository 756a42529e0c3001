"""Whether what a server sends has the shape that the API promises, before anybody relies on it. Pure.

Only the frame is judged: `metadata` as ObjectMeta declares it, and that `spec`, `status` and `data` are objects. What
is inside of them concerns one object alone, and whoever reads it fails for that object alone.
Source: k8s.io/apimachinery/pkg/apis/meta/v1/types.go, ObjectMeta and ListMeta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vk_provider.errors import MalformedAnswer
from vk_provider.jsontext import Items

Json = dict[str, Any]

_TEXTS = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "continue",
)
_MAPS = ("labels", "annotations")
_PARTS = ("spec", "status", "data", "binaryData", "stringData")


def fault_of_answer(answer: Mapping[str, Any]) -> str:
    """What is wrong with the frame of any answer: an object, a list, a review, a Status. Empty: nothing.

    A Status has `status: "Failure"`, and `data` of a custom kind may be anything: only what is always an object is
    held against it.
    """
    if "metadata" in answer and (fault := _fault_of_meta(answer["metadata"])):
        return fault
    if "items" in answer and not isinstance(answer["items"], list | None):
        return "items is no list"
    if answer.get("kind") == "Status":
        return ""
    return _fault_of_parts(answer)


def fault_of_object(item: Any, *, needs: Sequence[str] = ("name",)) -> str:
    """What is wrong with an object that is stored in the API server. Empty: nothing. needs: of its metadata."""
    if not isinstance(item, dict):
        return "it is no object"
    if fault := _fault_of_meta(item.get("metadata")):
        return fault
    for name in needs:
        if not item["metadata"].get(name):
            return f"metadata.{name} is missing"
    return _fault_of_parts(item)


def checked_object(item: Any, what: str, *, needs: Sequence[str] = ("name", "uid")) -> Json:
    """The object; raises MalformedAnswer where it is none. what: for the message, as `pod web/api-0`."""
    if fault := fault_of_object(item, needs=needs):
        raise MalformedAnswer(f"{what}: the API server sent a malformed object: {fault}")
    found: Json = item
    return found


def checked_items(answer: Mapping[str, Any], what: str) -> Sequence[Any]:
    """The items of a list, unchecked themselves. Raises MalformedAnswer for an answer that is no list: an empty answer
    must never pass for "there are none". Go writes an empty list as null."""
    if "items" not in answer or not isinstance(answer["items"], list | Items | None):
        raise MalformedAnswer(f"{what}: the answer is no list: it has no items")
    if fault := _fault_of_meta(answer.get("metadata")):
        raise MalformedAnswer(f"{what}: the answer is no list: {fault}")
    return answer["items"] or []


def text_of(item: Any, name: str) -> str:
    """A text in the metadata of what may be malformed; empty where there is none."""
    meta = item.get("metadata") if isinstance(item, dict) else None
    value = meta.get(name) if isinstance(meta, dict) else None
    return value if isinstance(value, str) else ""


def without_nulls(item: Json) -> Json:
    """The object with nulls taken for what they stand for, a member that is absent. Changes it."""
    for holder in (item, item["metadata"]):
        for name in [name for name, value in holder.items() if value is None]:
            del holder[name]
    return item


def _fault_of_meta(meta: Any) -> str:
    if not isinstance(meta, dict):
        return "metadata is no object"
    for name in _TEXTS:
        if not isinstance(meta.get(name), str | None):
            return f"metadata.{name} is no text"
    for name in _MAPS:
        if not _is_map_of_text(meta.get(name)):
            return f"metadata.{name} is no map of texts"
    if not _is_list_of(meta.get("finalizers"), str):
        return "metadata.finalizers is no list of texts"
    if not _is_list_of(meta.get("ownerReferences"), dict):
        return "metadata.ownerReferences is no list of objects"
    return ""


def _fault_of_parts(item: Mapping[str, Any]) -> str:
    return next((f"{name} is no object" for name in _PARTS if not isinstance(item.get(name), dict | None)), "")


def _is_map_of_text(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def _is_list_of(value: Any, kind: type) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, kind) for each in value))
