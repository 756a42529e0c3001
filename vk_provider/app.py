"""The composition root: settings in, every object made once, one TaskGroup. The only module that knows them all."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from vk_provider import __version__
from vk_provider.cloud.base import Cloud, SupportsFileUpdate, SupportsPricing, SupportsUsage
from vk_provider.cloud.eci.candidates import intent
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import ChainCredentials, Credentials, CredentialSource, FixedCredentials
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.request import refusals
from vk_provider.cloud.eci.settings import eci_settings
from vk_provider.config import Config
from vk_provider.control.plan import NodePolicy, own_and_spare
from vk_provider.control.pods import PodController
from vk_provider.control.profile_watcher import ProfileWatcher
from vk_provider.errors import CloudDenied, CloudError, ConfigError, KubeError
from vk_provider.files.file_sync import PER_MINUTE, FileSyncer
from vk_provider.files.object_reader import ObjectReader
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.health import Check as HealthCheck
from vk_provider.health import Fault, Health, LoopLag
from vk_provider.health_server import HealthServer
from vk_provider.instances.cost import CostMeter
from vk_provider.instances.poller import InstanceCache, InstancePoller
from vk_provider.instances.usage_poller import UsagePoller
from vk_provider.kube import paths
from vk_provider.kube.client import Json, KubeClient
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.kubelet import about, auth, certificates, configz
from vk_provider.kubelet.kubelet_metrics import add_kubelet_metrics
from vk_provider.kubelet.listener import raise_descriptor_limit
from vk_provider.kubelet.server import Check, KubeletServer
from vk_provider.kubelet.serving_certificate import ServingCertificate, Tell
from vk_provider.kubelet.stats import Route, StatsPages
from vk_provider.kubelet.usage_stats import UsageStats
from vk_provider.metrics import Registry, add_process_metrics
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.node.node_controller import STAMP, NodeController
from vk_provider.node.node_lease import NodeLease
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.probes.probe_runner import ProbeRunner
from vk_provider.retry_loop import retry_loop, unforeseen
from vk_provider.runtime import malloc_trim
from vk_provider.throttled_log import ThrottledLog
from vk_provider.translate import events
from vk_provider.translate.node import NodeSpec, Taint, capacity, node_context

log = logging.getLogger(__name__)

USER_AGENT = f"vk-provider/{__version__}"
FLUSH_S = 5.0  # how long the last events may hold up an orderly end
SYSTEM_NAMESPACE = "kube-system"
REFUSED_S = 20.0  # after which a right that is missing counts as never given
STILL_S = 300.0  # after which a loop that does something every few seconds will not go on by itself
WAITING = Backoff(first_s=2.0, most_s=2.0, spread=0.0)
CLIENT_CA = ("kube-system", "extension-apiserver-authentication", "client-ca-file")


async def run(config: Config) -> None:
    """Serve until cancelled. Raises ConfigError when it cannot serve as configured.

    The Node and its pods stay when we go: who restarts us finds everything as it was (N27).
    """
    raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        health = Health()
        if config.health_address:
            door = HealthServer(health, config.health_address)
            await door.start()
            stack.push_async_callback(door.stop)
        clients = [await _client(stack, config) for _ in range(3)]  # pods, events, and the heart that must not wait
        credentials = _credentials(config)
        await _prove_credentials(credentials)
        address = config.node_ip or _own_address(clients[0].server)
        cluster = await _known_to(health, clients[0])
        provider = Provider(config, *clients, cluster=cluster, credentials=credentials, address=address, health=health)
        stack.push_async_callback(provider.close)
        await provider.run()


async def _client(stack: AsyncExitStack, config: Config) -> KubeClient:
    client = await KubeClient.connect(
        kubeconfig=config.kubeconfig or None, context=config.kube_context or None, user_agent=USER_AGENT
    )
    stack.push_async_callback(client.close)
    return client


async def cluster_uid(client: KubeClient) -> str:
    """By which the cluster's instances are known: the uid of its namespace kube-system, which no other cluster has.

    Waits for it as long as it takes, for without it nothing in the cloud can be told to be ours. Raises ConfigError
    where the API server does not let us read it; one that has just started may refuse at first what it allows later.
    """
    loop, told, found = asyncio.get_running_loop(), ThrottledLog(log), []
    began = loop.time()

    async def ask() -> None:
        try:
            answer = await client.get(paths.namespace(SYSTEM_NAMESPACE))
        except KubeError as error:
            if error.status == 401:
                raise _unknown_to(client, error) from error
            if error.status == 403 and loop.time() - began >= REFUSED_S:
                raise ConfigError(
                    [f"the ServiceAccount or user may not get the namespace {SYSTEM_NAMESPACE}: {error}; allow it"]
                ) from error
            raise
        meta = answer.get("metadata")
        uid = meta.get("uid") if isinstance(meta, dict) else None
        if not isinstance(uid, str) or not uid:
            raise KubeError(f"the namespace {SYSTEM_NAMESPACE} has no uid")
        found.append(uid)

    def failed(error: Exception, _: float) -> None:
        told.warning((type(error), getattr(error, "status", 0)), _NO_API_SERVER, client.server, error)

    await retry_loop(ask, name="cluster", backoff=WAITING, on_failure=failed, until=lambda: bool(found))
    log.info("cluster uid=%s", found[0])
    return str(found[0])


async def _known_to(health: Health, client: KubeClient) -> str:
    """The cluster's uid; as long as it is not known, that is why we are not ready."""
    began = asyncio.get_running_loop().time()
    known: list[str] = []

    def check() -> Fault | None:
        waited_s = asyncio.get_running_loop().time() - began
        return None if known else Fault("ClusterUnknown", "the API server has not named its cluster yet", waited_s)

    health.add("cluster", check)
    known.append(await cluster_uid(client))
    return known[0]


def _unknown_to(client: KubeClient, error: KubeError) -> ConfigError:
    return ConfigError([f"the API server at {client.server} does not know us: {error}; check the kubeconfig"])


async def _prove_credentials(credentials: CredentialSource) -> None:
    """Without any credentials nothing can ever work; wrong ones are the cloud's to say, and show on the node."""
    try:
        await credentials.get()
    except CloudDenied as error:
        raise ConfigError([str(error)]) from error


class Provider:
    """Everything that runs, put together. cluster: its uid. address: the node's."""

    def __init__(
        self,
        config: Config,
        client: KubeClient,
        events_client: KubeClient,
        lease_client: KubeClient,
        *,
        cluster: str,
        credentials: CredentialSource,
        address: str,
        health: Health,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._client = client
        self._lease_client = lease_client
        self._registry = Registry()
        self._health, self._lag = health, LoopLag()
        self._checks: dict[str, Check] = {"ping": _well, "log": _well}  # of the kubelet API's /healthz
        add_process_metrics(self._registry)
        self._count_requests(client, events_client, lease_client)
        self._credentials = credentials
        self._heard: Callable[[CloudError | None, float], None] | None = None
        self._cloud = self._eci()
        self._asker = ProbeRunner(self._cloud)
        self._recorder = Recorder(events_client, yields_to=lambda: client.in_burst)
        self._queue = WorkQueue()
        self._pods: Store[Json] = Store(key=pods.uid_of, version=_version, index=_name, family=pods.family_of)
        self._pods.subscribe(self._queue.add)
        self._reflector = Reflector(
            client, paths.pods(), self._pods, params={"fieldSelector": f"spec.nodeName={config.node_name}"}
        )
        self._instances = InstanceCache(self._instance_changed)
        self._costs = CostMeter(self._cloud, self._instances, self._registry)
        self._figures = UsageStats(clock=time.monotonic, wall=time.time)
        self._usage = self._usage_loop()
        self._address = address
        self._certificate = self._signed_certificate()
        self._add_check("syncloop", self._reflector.fault)
        self._add_check("event-loop", self._lag.fault)
        self._add_health_metrics()

    async def run(self) -> None:
        tls = self._tls()
        kubelet = self._kubelet(tls)
        await kubelet.start()
        recording = asyncio.create_task(self._recorder.run(), name="events")
        try:
            node = self._node(kubelet.port, await self._server_version())
            await self._serve(node, tls, recording)
        finally:
            await self._recorder.flush(FLUSH_S)  # outlives all that writes events, so that the last ones arrive
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
            await kubelet.stop()

    async def close(self) -> None:
        await self._asker.close()
        await self._cloud.close()

    async def _serve(self, node: NodeController, tls: certificates.ServingTls, recording: asyncio.Task[None]) -> None:
        lease = NodeLease(self._lease_client, self._config.node_name, owner_uid=lambda: node.uid)
        node.on_owner_change(lease.owner_changed)
        poller = InstancePoller(
            cloud=self._cloud,
            store=self._instances,
            gone=lambda instance: controller.instance_gone(instance),
            health_changed=node.reconcile_now,
            poll_interval_s=self._config.poll_interval_s,
            sweep_interval_s=self._config.sweep_interval_s,
            jitter=random.random,
        )
        references = ObjectReader(self._client, expands_pod_ip=self._config.cloud_expands_pod_ip)
        self._heard = poller.heard
        profile = self._profile(self._tell_node(node))
        live = self._live(references, poller, profile, lambda: controller)
        controller = self._controller(poller, references, live, profile)
        node.watch_health(lambda: poller.health)
        node.watch_own_health(self._health.for_node)
        self._watch_loops(node, lease, poller)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(lease.run(), name="lease")
            tasks.create_task(node.run(), name="node")
            tasks.create_task(_end_with(recording), name="events")
            tasks.create_task(tls.run(), name="certificates")
            tasks.create_task(malloc_trim.keep_trimmed(), name="heap")
            tasks.create_task(self._lag.run(), name="loop lag")
            await node.registered.wait()  # a Node of our name that is not ours must stop us before we touch a pod
            tasks.create_task(self._reflector.run(), name="pods")
            if self._certificate is not None:
                renewing = self._certificate.run(changed=tls.look_now, tell=self._tell_node(node))
                tasks.create_task(renewing, name="serving certificate")
            tasks.create_task(poller.run(), name="instances")
            if profile is not None:
                tasks.create_task(profile.run(), name="profile")
            if isinstance(self._cloud, SupportsPricing):
                tasks.create_task(self._cloud.keep_prices(), name="prices")
            if self._usage is not None:
                tasks.create_task(self._usage.run(), name="usage")
            tasks.create_task(controller.run(self._config.workers), name="reconcile")
            if live is not None:
                tasks.create_task(live.run(), name="live configuration")

    def _count_requests(self, *clients: KubeClient) -> None:
        requests = self._registry.counter(
            "vk_kube_requests_total", "Requests to the API server, answered or not.", ("verb", "resource", "code")
        )
        for client in clients:
            client.observe = lambda verb, resource, code: requests.add(verb=verb, resource=resource, code=code)

    # --- health ---

    def _add_check(self, name: str, check: HealthCheck, *, is_own: bool = True, restart_helps: bool = False) -> None:
        self._health.add(name, check, is_own=is_own, restart_helps=restart_helps)
        if not restart_helps:
            self._checks[name] = lambda: fault.message if (fault := check()) is not None else ""

    def _watch_loops(self, node: NodeController, lease: NodeLease, poller: InstancePoller) -> None:
        """What fails shows wherever health is read; what stands still fails the liveness probe as well."""
        cloud_s = max(60.0, 10 * self._config.poll_interval_s)
        for name, pulse, reason, what, stale_s, is_own in (
            ("lease", lease.pulse, "LeaseNotRenewed", "the node's lease has not been renewed", 40.0, True),
            ("node-status", node.pulse, "NodeNotWritten", "the Node has not been read or written", 60.0, True),
            ("cloud-poll", poller.pulse, "CloudNotPolled", "the cloud has not answered", cloud_s, False),
        ):
            self._add_check(name, partial(pulse.fault, reason, what, stale_s=stale_s), is_own=is_own)
            still = partial(pulse.stillness, "LoopStandsStill", f"the loop of {name}", most_s=STILL_S)
            self._add_check(f"{name}-loop", still, is_own=is_own, restart_helps=True)

    def _add_health_metrics(self) -> None:
        events_total = self._registry.counter("vk_events_total", "Events by what became of them.", ("result",))
        waiting = self._registry.gauge("vk_events_waiting", "Events that are not on the API server yet.")
        malformed = self._registry.counter("vk_kube_malformed_total", "Malformed objects in the pod watch.")
        failures = self._registry.counter(
            "vk_loop_failures_total", "Rounds of background loops that failed unexpectedly.", ("loop",)
        )
        lag = self._registry.gauge(
            "vk_loop_lag_seconds", "The most that the event loop was late by in the last minute."
        )
        healthy = self._registry.gauge("vk_healthy", "1 if the check passes, else 0.", ("check",))

        def look() -> None:
            for result, number in self._recorder.sent.items():
                events_total.set_total(number, result=result)
            for result, number in self._recorder.dropped.items():
                events_total.set_total(number, result=f"dropped_{result}")
            waiting.set(len(self._recorder))
            malformed.set_total(self._reflector.malformed)
            for loop, number in unforeseen.items():
                failures.set_total(number, loop=loop)
            lag.set(self._lag.worst_s)
            for name, fault in self._health.faults().items():
                healthy.set(int(fault is None), check=name)

        self._registry.before_scrape(look)

    # --- the parts ---

    def _eci(self) -> Cloud:
        calls = self._registry.counter("vk_cloud_calls_total", "Calls to the cloud API, answered.", ("action", "code"))
        seconds = self._registry.histogram("vk_cloud_call_seconds", "How long calls to the cloud take.", ("action",))

        def observe(action: str, code: str, took_s: float) -> None:
            calls.add(action=action, code=code)
            seconds.observe(took_s, action=action)

        settings = eci_settings(self._config, self._cluster)

        def heard(unanswered: CloudError | None, took_s: float) -> None:
            if self._heard is not None:
                self._heard(unanswered, took_s)

        return EciCloud(settings, EciClient(settings, self._credentials, observe=observe, heard=heard))

    def _usage_loop(self) -> UsagePoller | None:
        """None: this cloud does not measure."""
        if not isinstance(self._cloud, SupportsUsage):
            return None
        return UsagePoller(
            cloud=self._cloud,
            store=self._instances,
            take=self._figures.ingest,
            keep=self._figures.retain,
            jitter=random.random,
        )

    def _instance_changed(self, uid: str) -> None:
        self._queue.add(uid)
        if self._usage is not None:
            self._usage.wake()

    def _live(
        self,
        references: ObjectReader,
        poller: InstancePoller,
        profile: ProfileWatcher | None,
        controller: Callable[[], PodController],
    ) -> FileSyncer | None:
        """None: it is switched off, or this cloud cannot do it."""
        if not self._config.live_configuration or not isinstance(self._cloud, SupportsFileUpdate):
            return None
        raised = self._config.eci_calls_per_minute.get("UpdateContainerGroup", 0)
        return FileSyncer(
            cloud=self._cloud,
            references=references,
            sources=ObjectWatcher(
                self._client, changed=self._queue.add, stale=references.invalidate, jitter=random.random
            ),
            context=node_context(self._config, self._cluster, self._address),
            metrics=self._registry,
            pod_of=self._pods.get,
            instance_of=lambda pod: own_and_spare(pod, self._instances.of(pods.uid_of(pod)))[0],
            look=self._queue.add,
            doubt=lambda pod: controller().refetch(pod),
            gone=poller.confirm_deleted,
            warn=lambda pod, reason, message: controller().warn(pod, reason, message),
            clock=lambda: datetime.now(UTC),
            jitter=random.random,
            per_minute=max(1, raised * 4 // 5) if raised else PER_MINUTE,
            admit=profile.admit if profile is not None else None,
        )

    def _controller(
        self,
        poller: InstancePoller,
        references: ObjectReader,
        live: FileSyncer | None,
        profile: ProfileWatcher | None,
    ) -> PodController:
        config, settings = self._config, eci_settings(self._config, self._cluster)
        return PodController(
            client=self._client,
            cloud=self._cloud,
            pods_seen=self._reflector,
            instances=self._instances,
            poller=poller,
            queue=self._queue,
            recorder=self._recorder,
            references=references,
            live=live,
            costs=self._costs,
            admission=profile,
            intent_of=lambda pod: intent(pod, settings),
            refusals_of=lambda workload: refusals(workload, settings),
            node=NodePolicy(
                name=config.node_name,
                host_ip=self._address,
                fail_daemon_pods=config.daemon_set_pods == "fail",
                orphan_age_s=config.orphan_age_s,
                updates=isinstance(self._cloud, SupportsFileUpdate),
            ),
            context=node_context(config, self._cluster, self._address),
            metrics=self._registry,
            jitter=random.random,
            ask=self._asker.probe,
        )

    def _profile(self, tell: Tell) -> ProfileWatcher | None:
        """None: the settings name none."""
        namespace, _, name = self._config.eci_profile.partition("/")
        return ProfileWatcher(self._client, namespace, name, tell=tell) if name else None

    def _node(self, port: int, server_version: str) -> NodeController:
        config = self._config
        spec = NodeSpec(
            name=config.node_name,
            identity=f"{self._cluster}/{config.node_name}",
            addresses=[self._address],
            kubelet_port=port,
            server_version=server_version,
            capacity=capacity(config),
            labels=config.node_labels,
            taints=[Taint(**taint) for taint in config.taints],
            region=config.eci_region,
            zone=config.eci_zone,
            arch=config.eci_cpu_architecture,
        )
        notices = () if config.cluster_dns else (_NO_CLUSTER_DNS,)
        return NodeController(
            client=self._client,
            spec=spec,
            recorder=self._recorder,
            adopt=config.adopt_node,
            notices=notices,
            jitter=random.random,
        )

    def _kubelet(self, tls: certificates.ServingTls) -> KubeletServer:
        review = auth.reviewer(self._client.post)
        anybody = auth.Anybody()
        insecure = self._config.insecure_kubelet_api
        return KubeletServer(
            pods=self._pod_named,
            all_pods=self._pods.values,
            instance_of=self._instance_of,
            cloud=self._cloud,
            authenticator=anybody if insecure else auth.ClusterAuthenticator(review),
            authorizer=anybody if insecure else auth.ClusterAuthorizer(review, node_name=self._config.node_name),
            tls=tls,
            registry=self._registry,
            host=self._config.kubelet_bind,
            port=self._config.kubelet_port,
            pages=self._pages(),
            checks=self._checks,
        )

    def _pages(self) -> list[Route]:
        config = self._config
        add_kubelet_metrics(
            self._registry, node_name=config.node_name, all_pods=self._pods.values, instance_of=self._instance_of
        )
        stats = StatsPages(
            node_name=config.node_name,
            started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            all_pods=self._pods.values,
            instance_of=self._instance_of,
            book=self._figures,
            **({} if self._usage is None else {"settled": self._usage.settle}),
        )
        shown = configz.configuration(
            port=config.kubelet_port,
            max_pods=config.quota_pods,
            cluster_dns=config.cluster_dns,
            cluster_domain=config.cluster_domain,
            anonymous=config.insecure_kubelet_api,
        )
        return [
            *stats.routes(),
            ("GET", "/configz", configz.page(shown)),
            ("GET", "/flagz", about.flagz(shown)),
        ]

    def _signed_certificate(self) -> ServingCertificate | None:
        """None: the settings name another."""
        config = self._config
        if config.tls_cert_file or config.serving_certificate != "csr":
            return None
        remedy = "ends when the cluster has signed one"
        return ServingCertificate(
            self._client,
            config.node_name,
            addresses=lambda: [self._address],
            stand_in=certificates.self_signed(config.node_name, [self._address], remedy=remedy),
            approve_own=config.approve_own_certificate,
            jitter=random.random,
        )

    def _tell_node(self, node: NodeController) -> Tell:
        """Events on our Node for what has no other place to be seen at."""

        def tell(kind: str, reason: str, message: str) -> None:
            target = events.involved({"metadata": {"name": self._config.node_name, "uid": node.uid}})
            now = datetime.now(UTC).strftime(STAMP)
            self._recorder.put(
                events.own_event(
                    target, type=kind, reason=reason, message=message, now=now, node=self._config.node_name
                )
            )

        return tell

    def _tls(self) -> certificates.ServingTls:
        config = self._config
        if config.tls_cert_file:
            key_pair = certificates.key_pair_files(Path(config.tls_cert_file), Path(config.tls_key_file))
        elif self._certificate is not None:
            key_pair = self._certificate.current
        else:
            key_pair = certificates.self_signed(config.node_name, [self._address])
        if config.client_ca_file:
            return certificates.ServingTls(key_pair, certificates.client_ca_file(Path(config.client_ca_file)))
        return certificates.ServingTls(key_pair, self._cluster_client_ca)

    async def _cluster_client_ca(self) -> str:
        namespace, name, key = CLIENT_CA
        found = await self._client.get(paths.config_map(namespace, name))
        return str((found.get("data") or {}).get(key) or "")

    async def _server_version(self) -> str:
        """The API server's version; waits for it as long as it takes."""
        found: list[str] = []
        told = ThrottledLog(log)

        async def ask() -> None:
            try:
                found.append(str((await self._client.get(paths.VERSION)).get("gitVersion") or ""))
            except KubeError as error:
                if error.status in (401, 403):
                    raise _unknown_to(self._client, error) from error
                raise

        def failed(error: Exception, _: float) -> None:
            told.warning((type(error), getattr(error, "status", 0)), _NO_API_SERVER, self._client.server, error)

        await retry_loop(ask, name="version", backoff=WAITING, on_failure=failed, until=lambda: bool(found))
        return found[0]

    # --- what the kubelet API reads ---

    def _pod_named(self, namespace: str, name: str) -> Json | None:
        """The newest of that name."""
        found = self._pods.find(f"{namespace}/{name}")
        return found[-1] if found else None

    def _instance_of(self, uid: str) -> Instance | None:
        """None but what the cloud has shown to be this pod's."""
        mine = [each for each in self._instances.of(uid) if each.proven]
        if len(mine) < 2:
            return mine[0] if mine else None
        pod = self._pods.get(uid)
        noted = pods.instance_id_of(pod) if pod is not None else ""
        return min(mine, key=lambda each: each.id != noted)


def _well() -> str:
    return ""


async def _end_with(task: asyncio.Task[None]) -> None:
    """Fails when the task does, and leaves it running when we are cancelled."""
    await asyncio.shield(task)


_NO_API_SERVER = (
    "waiting for the API server at %s, which does not answer: %s; if this stays, see that it runs, that this host can"
    " reach it, and that --kubeconfig (with --kube-context) names the right one"
)
_NO_CLUSTER_DNS = (
    "MissingClusterDNS",
    "no cluster DNS is configured, so pods use the cloud's resolver and cannot resolve Services; set --cluster-dns",
)


def _credentials(config: Config) -> CredentialSource:
    if config.eci_access_key:
        pair = Credentials(config.eci_access_key, config.eci_secret_key, config.eci_security_token)
        return FixedCredentials(pair)
    return ChainCredentials()


def _own_address(server: str) -> str:
    """The address from which this host reaches the API server; nothing is sent."""
    parts = urlsplit(server)
    host = parts.hostname or "localhost"
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError([f"--node-ip: this host's address toward {host} cannot be told ({error}); set it"]) from error


def _version(pod: Json) -> str:
    return str(pod["metadata"].get("resourceVersion") or "")


def _name(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
