"""Where volumes appear in a container (contract S29), with paths made of its variables (S4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from vk_provider import bounds
from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import Mount
from vk_provider.redaction import SecretText
from vk_provider.translate.expansion import Allowance, names_in
from vk_provider.translate.field_rules import inside


def mounts(
    container: Json,
    variables: Mapping[str, str],
    read_only: Collection[str],
    *,
    path: str = "spec.containers[*]",
    allowance: Allowance | None = None,
) -> Iterator[Mount]:
    """read_only: names of volumes that are so by themselves. path: the container's. Raises as `_sub_path` does."""
    allowed = allowance or Allowance()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        yield Mount(
            volume=mount["name"],
            path="/" + mount["mountPath"].lstrip("/"),  # a relative one counts from the root
            sub_path=_sub_path(mount, container, variables, allowed, f"{path}.volumeMounts[{index}].subPathExpr"),
            read_only=bool(mount.get("readOnly")) or mount["name"] in read_only,
        )


def _sub_path(mount: Json, container: Json, variables: Mapping[str, str], allowance: Allowance, place: str) -> str:
    """Raises PodNotReady where a variable is missing or empty, for that would mount another directory, and where its
    value leads out of the volume; UnsupportedPod where it is too long.

    A message never says what an expression becomes that has a Secret's value in it.
    """
    expression = mount.get("subPathExpr")
    if not expression:
        return mount.get("subPath") or ""
    missing = sorted({name for name in names_in(expression) if not variables.get(name)})
    if missing:
        raise _not_ready(f"missing value for {', '.join(missing)}", container)
    found = allowance.expanded(expression, variables, place, most=bounds.MOST_PATH)
    if fault := inside(found):
        if isinstance(found, SecretText):
            raise _not_ready(f"unable to provision SubPath: {place}, which is `{expression}`, {fault}", container)
        raise _not_ready(f"unable to provision SubPath `{found}`: it {fault}", container)
    return found


def _not_ready(message: str, container: Json) -> PodNotReady:
    return PodNotReady(
        message, event_reason="Failed", waiting_reason="CreateContainerConfigError", container=container["name"]
    )
