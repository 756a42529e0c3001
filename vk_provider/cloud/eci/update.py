"""UpdateContainerGroup: new files or containers for a group that runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aliyunsdkeci.request.v20180808.CreateContainerGroupRequest import CreateContainerGroupRequest

from vk_provider.cloud.base import Change
from vk_provider.cloud.eci.create_refusals import volume_refusals
from vk_provider.cloud.eci.fitting import fitted_volumes
from vk_provider.cloud.eci.request import create, set_volumes
from vk_provider.cloud.eci.response import Words
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest, finished, set_tags
from vk_provider.errors import UnsupportedPod
from vk_provider.model.workload import Container, Volume, Workload


def update_volumes(group_id: str, volumes: Sequence[Volume]) -> EciRequest:
    """UpdateContainerGroup that gives a group's files new contents and touches nothing else.

    IncrementalUpdate leaves alone what is not given; whether a list that is given stands for the whole one or is
    merged by name is not documented, so all volumes are sent. Raises UnsupportedPod naming what ECI cannot hold.
    """
    volumes = fitted_volumes(volumes)
    found = [
        refusal for index, volume in enumerate(volumes) for refusal in volume_refusals(volume, f"spec.volumes[{index}]")
    ]
    if found:
        raise UnsupportedPod(found)
    # A create's volumes are spelt the same, and the vendor's class for updates lacks some of their kinds.
    spelling = CreateContainerGroupRequest()
    set_volumes(spelling, volumes)
    return EciRequest(
        action="UpdateContainerGroup",
        method="POST",
        query={"ContainerGroupId": group_id, "UpdateType": "IncrementalUpdate"},
        body=finished(spelling).body,
    )


def update(
    group_id: str,
    workload: Workload,
    change: Change,
    *,
    settings: EciSettings,
    there: Mapping[str, Words],
    tag_values: Mapping[str, str],
) -> EciRequest:
    """UpdateContainerGroup that gives some of a group's containers what the workload says, and leaves the others as
    they are.

    As with files, whole lists are sent, spelt as a create spells them, for a list may stand for the whole or be merged
    by name. there: what the containers have now, by name: of those that are not to change it is said again, since the
    cloud begins anew what differs (eci.md 2.11). tag_values: all of the group's, for an update takes them for the
    whole. Raises UnsupportedPod.
    """

    def settled(container: Container) -> Container:
        words = there.get(container.name)
        if words is None or container.name in change.containers:
            return container
        return replace(container, image=words.image, env=words.env, command=words.command, args=words.args)

    kept = replace(
        workload,
        containers=tuple(map(settled, workload.containers)),
        init_containers=tuple(map(settled, workload.init_containers)),
    )
    lists = [
        *(["Container"] if any(each.name in change.containers for each in workload.containers) else ()),
        *(["InitContainer"] if any(each.name in change.containers for each in workload.init_containers) else ()),
        *(["Volume"] if change.files else ()),
        *(["ImageRegistryCredential"] if change.logins and workload.registry_credentials else ()),
    ]
    tagged = CreateContainerGroupRequest()
    set_tags(tagged, tag_values)
    return EciRequest(
        action="UpdateContainerGroup",
        method="POST",
        query={"ContainerGroupId": group_id, "UpdateType": "IncrementalUpdate", **finished(tagged).query},
        body={name: text for name, text in create(kept, settings)[0].body.items() if name.partition(".")[0] in lists},
    )
