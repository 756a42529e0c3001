"""All handlers, by the class of their action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vk_provider.control.actions import (
    Action,
    Create,
    DeleteInstance,
    DeleteOrphan,
    FetchIntent,
    MakeWay,
    PatchStatus,
    ReadPod,
    ReadTerminationMessages,
    Refuse,
    RemovePod,
    Restart,
    UpdateContainers,
    UpdateFiles,
    VerifyInstance,
)
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.perform.create import Creator
from vk_provider.control.perform.messages import LogEndReader
from vk_provider.control.perform.outcome import Handler
from vk_provider.control.perform.status import PodWriter
from vk_provider.control.perform.stop import Stopper
from vk_provider.control.perform.update import Updater
from vk_provider.control.perform.verify import Verifier
from vk_provider.files.object_watcher import ObjectWatcher


class Handlers:
    """by_action: all but Done and RequeueAfter, with which nothing is done."""

    def __init__(self, made: Collaborators, awaited: ObjectWatcher) -> None:
        self.creator = Creator(made, awaited)
        self.writer = PodWriter(
            client=made.client, reflector=made.pods_seen, queue=made.queue, costs=made.costs, jitter=made.jitter
        )
        stopper, updater = Stopper(made), Updater(made)
        self.by_action: Mapping[type[Action], Handler[Any]] = {
            ReadPod: self.writer.read,
            FetchIntent: self.creator.fetch_intent,
            Create: self.creator.create,
            Refuse: self.creator.refuse,
            DeleteInstance: stopper.delete,
            Restart: stopper.restart,
            DeleteOrphan: stopper.delete_orphan,
            PatchStatus: self.writer.patch,
            VerifyInstance: Verifier(cloud=made.cloud, instances=made.instances, poller=made.poller).verify,
            ReadTerminationMessages: LogEndReader(made.cloud).read,
            UpdateFiles: updater.update_files,
            MakeWay: stopper.make_way,
            UpdateContainers: updater.update,
            RemovePod: self.writer.remove,
        }
