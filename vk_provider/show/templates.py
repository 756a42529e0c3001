"""Pod templates in documents of any kind, found by their shape. Pure, and it never raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def templates(document: Json) -> Iterator[tuple[str, Json, Json]]:
    """Path, template and the object around it, of everything that looks like a pod template; outermost first."""
    below: list[tuple[str, Json, Json]] = [("spec", _object(document.get("spec")), {})]
    while below:
        path, value, around = below.pop()
        template = template_at(path, value, document)
        if template is not None:
            yield path, template, around
            continue
        inside: list[tuple[str, Json, Json]] = []
        for key, content in value.items():
            if isinstance(content, dict):
                inside.append((f"{path}.{key}", content, value))
            elif isinstance(content, list):
                inside += [(f"{path}.{key}[{n}]", each, {}) for n, each in enumerate(content) if isinstance(each, dict)]
        below += reversed(inside)


def template_at(path: str, value: Json, document: Json) -> Json | None:
    """A pod template {metadata, spec: {containers}}, a bare pod spec {containers}, or a step of an Argo workflow."""
    if _has_images(_object(value.get("spec")).get("containers")):
        return value
    if path != "spec" and _has_images(value.get("containers")):  # the spec of an object itself holds patches at most
        return {"spec": value}
    container = value.get("container") or value.get("script")
    if "templates[" in path and isinstance(container, dict) and isinstance(container.get("image"), str):
        volumes = [each for each in (_object(document.get("spec")).get("volumes"), value.get("volumes")) if each]
        return {
            "metadata": value.get("metadata") or {},
            "spec": {
                "containers": [{"name": "main", **{key: each for key, each in container.items() if key != "source"}}],
                "volumes": [each for listed in volumes if isinstance(listed, list) for each in listed],
                "restartPolicy": "Never",
            },
        }
    return None


def _has_images(containers: object) -> bool:
    return isinstance(containers, list) and any(isinstance(each, dict) and "image" in each for each in containers)


def with_names(spec: Json) -> Json:
    """With names for containers that need none where they come from, as in Knative."""
    containers = spec.get("containers")
    if not isinstance(containers, list):
        return spec
    named = [
        {"name": f"container-{n}", **each} if isinstance(each, dict) else each for n, each in enumerate(containers)
    ]
    return {**spec, "containers": named}


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}
