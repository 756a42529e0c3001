"""What ECI cannot hold of a workload. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vk_provider.cloud.eci import create_parameters as options
from vk_provider.cloud.eci import probe_parameters, security, tags
from vk_provider.cloud.eci.candidates import examined
from vk_provider.cloud.eci.fitting import MAX_ENV, MAX_FILE_BYTES, MAX_VOLUMES, fitted, variables
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.errors import Refusal
from vk_provider.model.workload import Container, File, Volume, Workload, with_paths
from vk_provider.translate.environment import VARIABLE_NAME

MAX_CONTAINERS = 20
MAX_FILES = 90
MAX_COMMAND_ITEMS = 20
MAX_CREDENTIALS = 10
MAX_IMAGE = 255


def tags_of(workload: Workload, settings: EciSettings) -> Mapping[str, str]:
    return {
        **tags.of_owner(workload.owner),
        **tags.of_cluster_name(settings.cluster_name),
        **tags.of_attempt(workload.attempt),
        **tags.of_make(workload.made_of),
    }


def refusals(workload: Workload, settings: EciSettings) -> Sequence[Refusal]:
    """All that ECI cannot hold of a workload, be it whole or as far as it could be put together."""
    workload, _ = fitted(workload)
    _, found = examined(workload, settings)
    return [*found, *_limits(workload), *options.refusals(workload, tags=len(tags_of(workload, settings)))]


def _limits(workload: Workload) -> Iterator[Refusal]:
    """Hard limits only: where the docs leave open whether a limit is enforced, the cloud decides (eci.md 9)."""
    for containers, path in (
        (workload.containers, "spec.containers"),
        (workload.init_containers, "spec.initContainers"),
    ):
        if len(containers) > MAX_CONTAINERS:
            yield Refusal(path, f"{len(containers)} containers; an instance holds at most {MAX_CONTAINERS}")
    for place, container in with_paths(workload):
        yield from container_refusals(container, place)
    if len(workload.volumes) > MAX_VOLUMES:
        yield Refusal("spec.volumes", f"{len(workload.volumes)} volumes; an instance holds at most {MAX_VOLUMES}")
    if len(workload.registry_credentials) > MAX_CREDENTIALS:
        hosts = len(workload.registry_credentials)
        reason = f"images of {hosts} registries with logins; an instance takes at most {MAX_CREDENTIALS}"
        yield Refusal("spec.imagePullSecrets", reason)
    for volume in workload.volumes:
        yield from volume_refusals(volume, f"spec.volumes[{volume.index}]")
    yield from security.refusals(workload)


def container_refusals(container: Container, path: str) -> Iterator[Refusal]:
    if not 1 <= len(container.image) <= MAX_IMAGE:
        yield Refusal(f"{path}.image", f"{len(container.image)} characters; ECI takes 1 to {MAX_IMAGE}")
    if len(container.command) > MAX_COMMAND_ITEMS:
        yield Refusal(
            f"{path}.command",
            f"{len(container.command)} items; ECI takes at most {MAX_COMMAND_ITEMS}: put them into one `sh -c` text",
        )
    count = len(variables(container))
    if count > MAX_ENV:
        yield Refusal(f"{path}.env", f"{count} variables; ECI takes at most {MAX_ENV}")
    yield from probe_parameters.refusals(container, path)
    for key, _ in container.env:
        if not VARIABLE_NAME.fullmatch(key):
            yield Refusal(
                f"{path}.env",
                f"variable {key!r}: ECI takes 1 to 128 of A-Z a-z 0-9 _ - . and none of 0-9 - . first: rename it",
            )
    for port in container.ports:
        if port.protocol not in ("TCP", "UDP"):
            yield Refusal(f"{path}.ports", f"protocol {port.protocol} of port {port.number}; ECI takes TCP and UDP")


def volume_refusals(volume: Volume, path: str) -> Iterator[Refusal]:
    """Refused, although whoever made the ConfigMap could make it smaller: a Job that ends with this reason is sooner
    mended than one that waits for what nobody knows of, and controllers try again with new pods anyway. The sum of a
    group's files is left to the cloud: a limit of about 60 KB stands in others' notes only (eci.md 2.1)."""
    files = volume.files or ()
    if len(files) > MAX_FILES:
        yield Refusal(path, f"volume {volume.name!r} has {len(files)} files; ECI takes at most {MAX_FILES}")
    for file in files:
        if len(file.content) > MAX_FILE_BYTES:
            yield Refusal(path, _too_big(volume, file))


def _too_big(volume: Volume, file: File) -> str:
    return (
        f"file {file.path!r} of volume {volume.name!r} has {len(file.content)} bytes; "
        f"ECI takes at most {MAX_FILE_BYTES} a file: put it into the image or on a file system"
    )
