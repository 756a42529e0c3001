"""Whether a pod is so large that it is not worth reading: counted before anything else looks at it.

An API server bounds the bytes of an object and hardly anything else: 1.5 MiB are 20,000 variables, or 16,000 volumes,
or 375,000 words of a command. Total and iterative: of a manifest from a file nobody has seen the types or the depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider import bounds
from vk_provider.errors import Refusal

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_NAMED_DEPTH, _NAMED = 5, 60  # how much of a path is kept: keys may be as long as the pod
_ADVICE = "; split the pod, or put what it says into an image or a file system"


def oversize(pod: object) -> tuple[Refusal, ...]:
    """All that is too large, with its field. Looks at no more than a bound's worth of each part."""
    found: list[Refusal] = []
    whole = _Size()
    largest, wordiest = ("spec", _Size()), ("spec", _Size())
    for path, value in _parts(pod):
        size = _Size()
        fault = _measured(path, value, size)
        if fault is not None:
            found.append(fault)
            continue
        whole.entries += size.entries
        whole.text += size.text
        if size.entries > largest[1].entries:
            largest = (path, size)
        if size.text > wordiest[1].text:
            wordiest = (path, size)
        if whole.entries > bounds.MOST_ENTRIES:
            found.append(_too_many(*largest))
            break
        if whole.text > bounds.MOST_TEXT:
            found.append(_wordy(*wordiest))
            break
    return tuple(found)


@dataclass(slots=True)
class _Size:
    entries: int = 0
    text: int = 0  # bytes of UTF-8


def _parts(pod: object) -> Iterator[tuple[str, object]]:
    """The fields of metadata and spec, those of each container by themselves. What a server keeps for itself is left
    out, and so is the status, which is ours."""
    if not isinstance(pod, Mapping):
        return
    for top in ("metadata", "spec"):
        for name, value in _members(pod.get(top)):
            path = f"{top}.{str(name)[:_NAMED]}"
            if path == "metadata.managedFields":
                continue
            if name in _CONTAINERS and isinstance(value, list) and len(value) <= _most(name):
                for index, container in enumerate(value):
                    if isinstance(container, Mapping):
                        for field, inner in container.items():
                            yield f"{path}[{index}].{str(field)[:_NAMED]}", inner
                    else:
                        yield f"{path}[{index}]", container
            else:
                yield path, value


def _members(value: object) -> Iterator[tuple[Any, object]]:
    if isinstance(value, Mapping):
        yield from value.items()


def _measured(part: str, value: object, size: _Size) -> Refusal | None:
    """Add up what is in the value; the first thing in it that alone is too much ends that."""
    waiting: list[tuple[Mapping[Any, Any] | list[Any], str, int]] = []
    if isinstance(value, Mapping | list):
        waiting.append((value, part, 0))
    elif isinstance(value, str):
        size.text += _bytes(value)
    while waiting:
        held, path, depth = waiting.pop()
        if len(held) > (most := _most(part.rpartition(".")[2]) if depth == 0 else bounds.MOST_ITEMS):
            return Refusal(path, f"{len(held):,} entries; at most {most:,} are taken{_ADVICE}")
        if depth > bounds.MOST_DEPTH:
            return Refusal(part, f"is nested more than {bounds.MOST_DEPTH} deep, and nothing in a pod is")
        size.entries += len(held)
        if size.entries > bounds.MOST_ENTRIES:
            return _too_many(part, size)
        for key, inner in held.items() if isinstance(held, Mapping) else ((None, each) for each in held):
            if isinstance(key, str):
                size.text += _bytes(key)
            if isinstance(inner, str):
                size.text += _bytes(inner)
            elif isinstance(inner, Mapping | list):
                named = path if key is None or depth > _NAMED_DEPTH else f"{path}.{str(key)[:_NAMED]}"
                waiting.append((inner, named, depth + 1))
    return _wordy(part, size) if size.text > bounds.MOST_TEXT else None


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _most(name: object) -> int:
    return bounds.MOST_OF_LIST.get(str(name), bounds.MOST_ITEMS)


def _too_many(path: str, size: _Size) -> Refusal:
    reason = f"more than {bounds.MOST_ENTRIES:,} entries in the whole pod, {size.entries:,} of them here{_ADVICE}"
    return Refusal(path, reason)


def _wordy(path: str, size: _Size) -> Refusal:
    reason = f"more than {bounds.MOST_TEXT:,} bytes of text in the whole pod, {size.text:,} of them here{_ADVICE}"
    return Refusal(path, reason)
