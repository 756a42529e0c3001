"""The composition root: settings in, what the nodes of a process share made once, and each node made when it is led."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from vk_provider import __version__, admission_service, logsetup
from vk_provider.cloud import drivers
from vk_provider.cloud.driver import Driver, Heard, Observe, Whose
from vk_provider.cluster import ClusterIdentity, own_address
from vk_provider.config import Config
from vk_provider.dashboard.server import DashboardServer
from vk_provider.errors import CloudError, LeadershipLost
from vk_provider.fence import Fence
from vk_provider.health import Health, LoopLag
from vk_provider.health_server import HealthServer
from vk_provider.kube.api import KubeApi
from vk_provider.kube.client import KubeClient
from vk_provider.kube.lanes import AT_ONCE, Lane
from vk_provider.kubelet.listener import Limits, descriptor_limit, raise_descriptor_limit
from vk_provider.leader.election import LeaderElection
from vk_provider.leader.replicas import GROUP, Replicas, group_label
from vk_provider.metrics import Registry, add_process_metrics
from vk_provider.preemptible.wiring import idle_capacity
from vk_provider.retry_loop import retry_loop, unforeseen
from vk_provider.runtime import malloc_trim, resumption
from vk_provider.tracing import otlp
from vk_provider.tracing.pod_traces import PodTraces
from vk_provider.virtual_node import Shared, VirtualNode

log = logging.getLogger(__name__)

USER_AGENT = f"vk-provider/{__version__}"


async def run(config: Config) -> None:
    """Serve until cancelled. Raises ConfigError when it cannot serve as configured.

    The Nodes and their pods stay when we go: who restarts us finds everything as it was (N27).
    """
    raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        health = Health()
        identity = ClusterIdentity(health)  # before anybody can ask: a roll-out goes on as soon as we are ready
        if config.health_address:
            server = HealthServer(health, config.health_address)
            await server.start()
            stack.push_async_callback(server.stop)
        async with asyncio.TaskGroup() as tasks:
            if admission_service.is_wanted(config):
                tasks.create_task(admission_service.serve(config, await _client(stack, config)), name="admission")
            shared = await _shared(stack, config, health, identity)
            if shared.dashboard is not None:
                await shared.dashboard.start()
                stack.push_async_callback(shared.dashboard.stop)
            tasks.create_task(malloc_trim.keep_trimmed(), name="heap")
            tasks.create_task(shared.lag.run(), name="loop lag")
            if shared.idle is not None:
                tasks.create_task(shared.idle.run(), name="idle capacity")
            if config.leader_lease:
                # Of the leases alone, so that nothing can delay their renewal.
                leases = await _client(stack, config, at_once=_of_leases(config))
                for task in _led(config, shared, leases):
                    tasks.create_task(task)
            else:
                for node in config.for_nodes:
                    tasks.create_task(_serve(config, node, shared, None), name=f"node {node.node_name}")


def _led(config: Config, shared: Shared, leases: KubeApi) -> list[Coroutine[Any, Any, None]]:
    """What serves each node whenever we hold its lease."""
    namespace, _, group = config.leader_lease.partition("/")
    identity = config.leader_identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    elections: dict[str, LeaderElection] = {}
    replicas = Replicas(leases, namespace=namespace, group=group, identity=identity, elections=elections)
    work: list[Coroutine[Any, Any, None]] = []
    for node in config.for_nodes:
        election = elections[node.node_name] = LeaderElection(
            leases,
            namespace=namespace,
            name=node.leader_lease.partition("/")[2],
            identity=identity,
            labels={GROUP: group_label(group)} if config.nodes else None,
            is_watched=not config.nodes,  # else Replicas watches all of them
            may_take=partial(replicas.may_take, node.node_name) if config.nodes else None,
        )
        work.append(_lead(election, partial(_serve, config, node, shared)))
    return [*work, replicas.run()] if config.nodes else work


async def _lead(election: LeaderElection, serve: Any) -> None:
    """Serve whenever we hold the lease, until cancelled."""

    async def term() -> None:
        try:
            await election.lead(serve)
        except LeadershipLost as error:
            log.warning("lease=%s: %s; waiting to lead again", election.name, error)

    await retry_loop(term, name="leadership")


async def _serve(config: Config, node: Config, shared: Shared, fence: Fence | None) -> None:
    """One life of one node: until cancelled."""
    part = node.node_name if config.nodes else ""
    async with AsyncExitStack() as stack:
        stack.enter_context(logsetup.working_for(node.node_name))
        if fence is not None:
            stack.enter_context(resumption.ends_if_shut(fence))
        virtual_node = VirtualNode(node, shared, fence=fence, part=part)
        stack.push_async_callback(virtual_node.close)
        if shared.traces is not None:
            stack.callback(shared.traces.forget, node.node_name)
        await virtual_node.run()


# --- what the nodes share ---------------------------------------------------------------------------------------------


async def _shared(stack: AsyncExitStack, config: Config, health: Health, identity: ClusterIdentity) -> Shared:
    registry, lag, heard = Registry(), LoopLag(), list[Heard]()
    clients = [await _client(stack, config), await _client(stack, config)]
    clients.append(await _client(stack, config, at_once=_of_leases(config)))
    driver = drivers.load(config.cloud)
    access = await driver.access(config.options)
    address = config.node_ip or own_address(clients[0].server)
    cluster = await identity.read(clients[0])
    first = config.for_nodes[0]
    whose = Whose(cluster=cluster, node=first.node_name, cluster_name=config.cluster_name)
    settings = driver.settings(first.options, whose)
    traces = _traces(stack, config)
    observers = [_counted(registry), *([traces.called] if traces is not None else [])]
    connection = _connection(driver, settings, access, observers, heard)
    stack.push_async_callback(driver.disconnect, connection)
    cloud = driver.cloud(settings, connection, None)  # reads the quota and the market, which are all nodes'
    health.add("event-loop", lag.fault)
    _add_metrics(registry, clients, lag)
    return Shared(
        cluster=cluster,
        address=address,
        pods_api=clients[0],
        events_api=clients[1],
        lease_api=clients[2],
        in_burst=lambda: clients[0].in_burst,
        driver=driver,
        connection=connection,
        registry=registry,
        health=health,
        lag=lag,
        limits=Limits.of(descriptor_limit() // len(config.for_nodes)),
        nodes=len(config.for_nodes),
        heard=heard,
        dashboard=DashboardServer(config.dashboard_address) if config.dashboard_address else None,
        traces=traces,
        idle=idle_capacity(
            config.preemptible,
            driver,
            settings,
            cloud,
            client=clients[0],
            registry=registry,
            of_nodes=len(config.for_nodes),
        ),
    )


def _of_leases(config: Config) -> Mapping[Lane, int]:
    """So many that no node's renewal waits for those of others where each takes a second."""
    return {**AT_ONCE, Lane.NODE: AT_ONCE[Lane.NODE] + 2 * len(config.nodes)}


async def _client(stack: AsyncExitStack, config: Config, *, at_once: Mapping[Lane, int] = AT_ONCE) -> KubeClient:
    client = await KubeClient.connect(
        kubeconfig=config.kubeconfig or None,
        context=config.kube_context or None,
        user_agent=USER_AGENT,
        at_once=at_once,
    )
    stack.push_async_callback(client.close)
    return client


def _connection(
    driver: Driver[Any, Any, Any, Any],
    settings: Any,
    access: Any,
    observers: Sequence[Observe],
    listeners: list[Heard],
) -> Any:
    def observe(action: str, code: str, took_s: float) -> None:
        for each in observers:
            each(action, code, took_s)

    def heard(unanswered: CloudError | None, took_s: float) -> None:
        for each in listeners:
            each(unanswered, took_s)

    return driver.connect(settings, access, observe, heard)


def _counted(registry: Registry) -> Observe:
    calls = registry.counter("vk_cloud_calls_total", "Calls to the cloud API, answered.", ("action", "code"))
    seconds = registry.histogram("vk_cloud_call_seconds", "How long calls to the cloud take.", ("action",))

    def observe(action: str, code: str, took_s: float) -> None:
        calls.add(action=action, code=code)
        seconds.observe(took_s, action=action)

    return observe


def _traces(stack: AsyncExitStack, config: Config) -> PodTraces | None:
    """None: they are off. Raises ConfigError."""
    if not config.otlp_endpoint:
        return None
    kept = otlp.connect(config.otlp_endpoint)
    stack.push_async_callback(otlp.close, kept)
    return PodTraces(otlp.tracer(kept))


def _add_metrics(registry: Registry, clients: list[KubeClient], lag: LoopLag) -> None:
    add_process_metrics(registry)
    requests = registry.counter(
        "vk_kube_requests_total", "Requests to the API server, answered or not.", ("verb", "resource", "code")
    )
    for client in clients:
        client.observe = lambda verb, resource, code: requests.add(verb=verb, resource=resource, code=code)
    failures = registry.counter(
        "vk_loop_failures_total", "Rounds of background loops that failed unexpectedly.", ("loop",)
    )
    worst = registry.gauge("vk_loop_lag_seconds", "The most that the event loop was late by in the last minute.")

    def collect() -> None:
        for loop, number in unforeseen.items():
            failures.set_total(number, loop=loop)
        worst.set(lag.worst_s)

    registry.before_scrape(collect)
