"""Where volumes appear in a container (contract S29), with paths made of its variables (S4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import Mount
from vk_provider.translate.expansion import expand, names_in
from vk_provider.translate.rules import inside


def mounts(container: Json, variables: Mapping[str, str], read_only: Collection[str]) -> Iterator[Mount]:
    """read_only: names of volumes that are so by themselves. Raises PodNotReady as `_sub_path` does."""
    for mount in container.get("volumeMounts") or ():
        yield Mount(
            volume=mount["name"],
            path="/" + mount["mountPath"].lstrip("/"),  # a relative one counts from the root
            sub_path=_sub_path(mount, container, variables),
            read_only=bool(mount.get("readOnly")) or mount["name"] in read_only,
        )


def _sub_path(mount: Json, container: Json, variables: Mapping[str, str]) -> str:
    """Raises PodNotReady where a variable is missing or empty, for that would mount another directory, and where its
    value leads out of the volume."""
    expression = mount.get("subPathExpr")
    if not expression:
        return mount.get("subPath") or ""
    missing = sorted({name for name in names_in(expression) if not variables.get(name)})
    if missing:
        raise _not_ready(f"missing value for {', '.join(missing)}", container)
    path = expand(expression, variables)
    if inside(path):
        raise _not_ready(f"unable to provision SubPath `{path}`: it {inside(path)}", container)
    return path


def _not_ready(message: str, container: Json) -> PodNotReady:
    return PodNotReady(
        message, event_reason="Failed", waiting_reason="CreateContainerConfigError", container=container["name"]
    )
