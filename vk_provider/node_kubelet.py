"""The kubelet API of one node, put together: its server and pages, its serving certificate, whom it believes.

Each node has a port of its own, which its Node announces: a process serves several nodes at one address, and callers
such as metrics-server know a node by where they reach it. It is open only while the node is led here, so that nobody is
answered in the name of a node that another replica serves.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vk_provider.cloud.base import Cloud
from vk_provider.config import Config
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.instances.usage_poller import UsagePoller
from vk_provider.kube import paths
from vk_provider.kube.api import Json, KubeApi
from vk_provider.kube.store import Store
from vk_provider.kubelet import about, auth, certificates, configz
from vk_provider.kubelet.certificate_store import CertificateStore
from vk_provider.kubelet.kubelet_metrics import add_kubelet_metrics
from vk_provider.kubelet.listener import Limits
from vk_provider.kubelet.server import Check, KubeletServer
from vk_provider.kubelet.serving_certificate import ServingCertificate, Tell
from vk_provider.kubelet.stats import Route, StatsPages
from vk_provider.kubelet.usage_stats import UsageStats
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.probe import ProbeCount
from vk_provider.translate.objects import Kind

CLIENT_CA = ("kube-system", "extension-apiserver-authentication")  # ConfigMap
CLIENT_CA_KEY = "client-ca-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the API shows. checks: of `/healthz`. pages: made elsewhere. container_states: as `kubelet_metrics` has it.
    usage: None where the cloud does not measure."""

    pods: Store[Json]
    instances: InstanceCache
    ended_logs: EndedLogs
    cloud: Cloud
    stats: UsageStats
    usage: UsagePoller | None
    registry: Registry
    checks: Mapping[str, Check]
    container_states: Callable[[], tuple[int, Mapping[str, int]]] = lambda: (0, {})
    pages: Sequence[Route] = ()
    probe_counts: Callable[[], Iterable[ProbeCount]] = tuple


class NodeKubelet:
    """address: at which the node is reached. limits: of connections."""

    def __init__(self, config: Config, client: KubeApi, served: Served, *, address: str, limits: Limits) -> None:
        self._config, self._client, self._served = config, client, served
        self._address = address
        self._certificate = self._signed_certificate()
        self._tls = self._serving_tls()
        self._server = self._made(limits)

    @property
    def port(self) -> int:
        """The port in use, once it was started."""
        return self._server.port

    async def start(self) -> None:
        """Raises ConfigError when the port cannot be had or there is no usable certificate."""
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def tls(self) -> certificates.ServingTls:
        """What it shows in the TLS handshake."""
        return self._tls

    def begin(self, tasks: asyncio.TaskGroup, tell: Tell) -> None:
        """Keep certificates fresh. tell: an event on the node."""
        tasks.create_task(self._tls.run(), name="certificates")
        if self._certificate is not None:
            renewing = self._certificate.run(changed=self._tls.reload_now, tell=tell)
            tasks.create_task(renewing, name="serving certificate")
        if not self._config.client_ca_file:
            tasks.create_task(self._watched(CLIENT_CA, self._tls.reload_now).run(), name="client CA")

    def _made(self, limits: Limits) -> KubeletServer:
        config, served = self._config, self._served
        review = auth.reviewer(self._client.post)
        anybody = auth.Anybody()
        insecure = config.insecure_kubelet_api
        return KubeletServer(
            pods=self.pod_named,
            all_pods=served.pods.values,
            instance_of=self.instance_of,
            cloud=served.cloud,
            authenticator=anybody if insecure else auth.ClusterAuthenticator(review),
            authorizer=anybody if insecure else auth.ClusterAuthorizer(review, node_name=config.node_name),
            tls=self._tls,
            registry=served.registry,
            host=config.kubelet_bind,
            port=config.kubelet_port,
            pages=self._pages(),
            checks=served.checks,
            limits=limits,
            ended_logs=served.ended_logs,
        )

    def _pages(self) -> list[Route]:
        config, served = self._config, self._served
        add_kubelet_metrics(
            served.registry,
            node_name=config.node_name,
            container_states=served.container_states,
        )
        stats = StatsPages(
            node_name=config.node_name,
            started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            all_pods=served.pods.values,
            instance_of=self.instance_of,
            book=served.stats,
            probe_counts=served.probe_counts,
            **({} if served.usage is None else {"settled": served.usage.settle}),
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
            ("*", "/configz", configz.page(shown)),
            ("GET", "/flagz", about.flagz(shown)),
            *served.pages,
        ]

    # --- certificates -------------------------------------------------------------------------------------------------

    def _signed_certificate(self) -> ServingCertificate | None:
        """None: the settings name another."""
        config, address = self._config, self._address
        if config.tls_cert_file or config.serving_certificate != "csr":
            return None
        remedy, secret = "ends when the cluster has signed one", config.serving_certificate_secret
        return ServingCertificate(
            self._client,
            config.node_name,
            addresses=lambda: [address],
            stand_in=certificates.self_signed(config.node_name, [address], remedy=remedy),
            store=CertificateStore(self._client, secret, config.node_name) if secret else None,
            approve_own=config.approve_own_certificate,
            jitter=random.random,
        )

    def _serving_tls(self) -> certificates.ServingTls:
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
        found = await self._client.get(paths.config_map(*CLIENT_CA))
        return str((found.get("data") or {}).get(CLIENT_CA_KEY) or "")

    def _watched(self, config_map: tuple[str, str], changed: Callable[[], None]) -> ObjectWatcher:
        """One that calls `changed` whenever the ConfigMap (namespace, name) is another."""
        watcher = ObjectWatcher(self._client, changed=lambda _: changed(), stale=lambda _: None, jitter=random.random)
        watcher.acquire("", [(Kind.CONFIG_MAP, config_map)])
        return watcher

    # --- what it reads ------------------------------------------------------------------------------------------------

    def pod_named(self, namespace: str, name: str) -> Json | None:
        """The newest of that name."""
        found = self._served.pods.find(f"{namespace}/{name}")
        return found[-1] if found else None

    def instance_of(self, uid: str) -> Instance | None:
        """None but what the cloud has shown to be this pod's."""
        mine = [each for each in self._served.instances.of(uid) if each.proven]
        if len(mine) < 2:
            return mine[0] if mine else None
        pod = self._served.pods.get(uid)
        noted = pods.instance_id_of(pod) if pod is not None else ""
        return min(mine, key=lambda each: each.id != noted)
