"""The elected agent zeroes what nodes publish whose own agent is silent, so that nobody trusts a figure nobody keeps.

Only downwards, and only that: an agent that comes back finds 0 on its Node and publishes what it measures. It also
makes the objects that a cluster has at first, where there is no PodQOS at all.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from vk_provider.errors import Conflict, LeadershipLost, NotFound
from vk_provider.fence import Fence
from vk_provider.idle.resources import NOTHING
from vk_provider.kube import paths
from vk_provider.kube.api import FencedApi, KubeApi
from vk_provider.kube.client import STRATEGIC, Json, KubeClient
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.leader.election import LeaderElection
from vk_provider.model.pod import uid_of
from vk_provider.pacing.backoff import Backoff
from vk_provider.qos_agent.agent_lease import SELECTOR, Silence
from vk_provider.qos_agent.publication import node_facts, status_patch
from vk_provider.retry_loop import reported_elsewhere, retry_loop

log = logging.getLogger(__name__)

LEASE = "qos-agent"  # of the election
DURATION_S, RENEW_S, POLL_S = 15.0, 5.0, 5.0
CHECK_S = 2.0
API = "ensurance.crane.io/v1alpha1"
# As in deploy/preemptible/objects.yaml.
RECLAIM: Json = {
    "apiVersion": API,
    "kind": "AvoidanceAction",
    "metadata": {"name": "reclaim-preemptible"},
    "spec": {
        "description": "Ends preemptible pods, with a grace of half a minute.",
        "coolDownSeconds": 300,
        "eviction": {"terminationGracePeriodSeconds": 30},
    },
}
ALL_BE_PODS: Json = {
    "apiVersion": API,
    "kind": "PodQOS",
    "metadata": {"name": "all-be-pods"},
    "spec": {
        "scopeSelector": {"matchExpressions": [{"scopeName": "QOSClass", "operator": "In", "values": ["BestEffort"]}]},
        "allowedActions": ["reclaim-preemptible"],
        "resourceQOS": {"cpuQOS": {"cpuPriority": 7}},
    },
}
_UNDEFINED = Backoff(first_s=5.0, most_s=60.0, spread=0.2)  # while the definitions are not there


class Keeper:
    """client: for the election, and for all else as long as it is won."""

    def __init__(self, client: KubeClient, *, namespace: str, identity: str) -> None:
        self._client = client
        self._namespace, self._identity = namespace, identity

    async def run(self) -> None:
        """Stand for election until cancelled."""
        await retry_loop(self._term, name="election of the agents")

    async def _term(self) -> None:
        election = LeaderElection(
            self._client,
            namespace=self._namespace,
            name=LEASE,
            identity=self._identity,
            duration_s=DURATION_S,
            renew_s=RENEW_S,
            poll_s=POLL_S,
        )
        try:
            await election.lead(self._serve)
        except LeadershipLost as error:
            log.warning("%s", error)

    async def _serve(self, fence: Fence) -> None:
        leases: Store[Json] = Store(key=uid_of, version=_version)
        params = {"labelSelector": SELECTOR}
        reflector = Reflector(self._client, paths.leases(self._namespace), leases, params=params)
        silence, api = Silence(), FencedApi(self._client, fence)

        made: list[bool] = []

        async def make_first_objects() -> None:
            await first_objects(api)
            made.append(True)

        async def check() -> None:
            await asyncio.sleep(CHECK_S)
            if leases.ready.is_set():
                for node in silence.observe(asyncio.get_running_loop().time(), leases.values()):
                    await zero(api, node)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reflector.run(), name="leases of the agents")
            tasks.create_task(retry_loop(check, name="silent agents"), name="silent agents")
            making = retry_loop(
                make_first_objects,
                name="first objects",
                backoff=_UNDEFINED,
                until=lambda: bool(made),
                on_failure=reported_elsewhere,
            )
            tasks.create_task(making, name="first objects")


async def first_objects(api: KubeApi) -> None:
    """PodQOS `all-be-pods` and its action, in a cluster without any PodQOS. Raises KubeError."""
    listed = await api.get(paths.group(API, "podqoss"), params={"limit": "1"})
    if any(True for _ in listed.get("items") or ()):
        return
    for resource, body in (("avoidanceactions", RECLAIM), ("podqoss", ALL_BE_PODS)):
        with suppress(Conflict):  # it is there
            await api.post(paths.group(API, resource), dict(body))
            log.info("made %s name=%s", body["kind"], body["metadata"]["name"])


async def zero(api: KubeApi, node: str) -> None:
    """What the node publishes is 0 afterwards. Raises KubeError."""
    try:
        found = await api.get(paths.node(node))
        facts = node_facts(found)
        patch = status_patch(found, NOTHING)
        if facts is None or patch is None or facts.published == NOTHING:
            return
        version = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}}
        await api.patch(paths.node_status(node), {**patch, **version}, content_type=STRATEGIC)
    except (NotFound, Conflict):
        return  # it is gone, or has been written since: looked at again
    log.warning("node=%s its agent is silent, so what it publishes is now 0", node)


def _version(item: Json) -> str:
    return str(item["metadata"].get("resourceVersion") or "")
