"""The workload controllers of the stand-in cluster, and the scheduler beside them: what a control plane does by itself.

Every controller follows the API by watches, keeps no truth of its own, and acts through the same door as a client.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from fakes.kube.api import Api
from fakes.kube.controllers.cronjob import CronJobController
from fakes.kube.controllers.daemonset import DaemonSetController
from fakes.kube.controllers.deployment import DeploymentController
from fakes.kube.controllers.disruption import DisruptionController
from fakes.kube.controllers.endpoints_controller import EndpointsController
from fakes.kube.controllers.ephemeral_volumes import EphemeralVolumes
from fakes.kube.controllers.hollow import HollowHeartbeat, HollowPods
from fakes.kube.controllers.job import JobController
from fakes.kube.controllers.job_cleanup import JobOrphans, JobTtl
from fakes.kube.controllers.node_lifecycle import GRACE_S, NodeLifecycle, TaintEviction
from fakes.kube.controllers.pod_gc import PodGc
from fakes.kube.controllers.replicaset import ReplicaSetController
from fakes.kube.controllers.statefulset import StatefulSetController
from fakes.kube.controllers.volume_binder import VolumeBinder
from fakes.kube.controllers.volume_protection import VolumeProtection
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.scheduler.loop import Scheduler


class _Part(Protocol):
    async def run(self) -> None: ...


async def run_controllers(api: Api, *, node_grace_s: float = GRACE_S) -> None:
    """Run the scheduler and every controller until cancelled.

    node_grace_s: how long a node may be silent before it is taken for unreachable.
    """
    cluster = Cluster(api)
    parts: Sequence[_Part] = [
        Scheduler(cluster),
        JobController(cluster),
        JobOrphans(cluster),
        JobTtl(cluster),
        CronJobController(cluster),
        ReplicaSetController(cluster),
        DeploymentController(cluster),
        StatefulSetController(cluster),
        DaemonSetController(cluster),
        EndpointsController(cluster),
        DisruptionController(cluster),
        VolumeBinder(cluster),
        EphemeralVolumes(cluster),
        VolumeProtection(cluster),
        NodeLifecycle(cluster, grace_s=node_grace_s),
        TaintEviction(cluster),
        PodGc(cluster),
        HollowHeartbeat(cluster),
        HollowPods(cluster),
    ]
    async with asyncio.TaskGroup() as group:
        # The parts have named the informers they need by now.
        for informer in cluster.informers.values():
            group.create_task(informer.run(), name=f"informer {informer.resource}")
        for part in parts:
            group.create_task(part.run(), name=type(part).__name__)
