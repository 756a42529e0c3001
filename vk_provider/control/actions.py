"""What one reconcile may do with one pod. Plain data: `control.decide` chooses, `control.perform` carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vk_provider.control.drift import Change
from vk_provider.control.memory import Problem
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.stop_order import StopOrder
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.model.probe import Failure


@dataclass(frozen=True, slots=True)
class Done:
    """All is as it should be; a change will say so."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Reconcile again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadPod:
    """What is known of the pod may be older than our own last write: read it from the API server."""


@dataclass(frozen=True, slots=True)
class FetchIntent:
    """What the pod wants is not known: read what that depends on, then decide again."""


@dataclass(frozen=True, slots=True)
class Create:
    """Start an instance. replaces: id of an unplaced one in whose place it comes. attempt: which candidate."""

    replaces: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is never to be created, for this reason; when the pod is failed for it is paced per owner."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class DeleteInstance:
    """Ask the cloud to stop it. killing: containers that run are being stopped, which events on the pod say.

    force: at once; its grace is over. order: the stop order by which it goes, if any.
    """

    instance: Instance
    why: str
    killing: bool = False
    force: bool = False
    order: StopOrder | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart the whole instance: the cloud restarts no single container."""

    instance: Instance
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeleteOrphan:
    """Delete it if a live read of the API server proves that its pod is gone."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Write this to pods/status. problem: emit a Warning event with it too. event: emit that too.

    then: what there is to do once the API server shows the pod with it, so long as nothing else changes; None = to be
    decided anew.
    """

    body: Json
    problem: Problem | None = None
    event: PodEvent | None = None
    then: Done | RequeueAfter | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class VerifyInstance:
    """An instance is not known though it may exist: ask the cloud by id and by uid before anything is concluded."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run of a container that ended with an error and left no message. id: tells it from the container's other runs.

    previous: it is the one before the present run.
    """

    container: str
    id: str
    previous: bool


@dataclass(frozen=True, slots=True)
class ReadTerminationMessages:
    """Read the ends of these runs' logs, in place of the messages that they did not leave."""

    instance_id: str
    runs: Sequence[FailedRun]


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Give the instance new files, when its turn comes."""


@dataclass(frozen=True, slots=True)
class MakeWay:
    """Delete it, if the cloud confirms that nothing of it has run: another takes its place, as the pod notes."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class UpdateContainers:
    """Make of the instance what its pod has become."""

    instance: Instance
    change: Change


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Remove the pod object: grace 0, uid as precondition."""


Action = (
    Done
    | RequeueAfter
    | ReadPod
    | FetchIntent
    | Create
    | Refuse
    | DeleteInstance
    | Restart
    | DeleteOrphan
    | PatchStatus
    | VerifyInstance
    | ReadTerminationMessages
    | UpdateFiles
    | MakeWay
    | UpdateContainers
    | RemovePod
)
