"""What the tests of this room stand on: certificates, a small cloud, a scripted API server, a server."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vk_provider.cloud.base import LogOptions
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.kubelet.auth import ClusterAuthenticator, ClusterAuthorizer
from vk_provider.kubelet.certificates import ClientCaSource, KeyPair, KeyPairSource, ServingTls
from vk_provider.kubelet.hijack import StreamTimeouts
from vk_provider.kubelet.listener import Limits
from vk_provider.kubelet.server import KubeletServer
from vk_provider.kubelet.stats import Route
from vk_provider.metrics import Registry
from vk_provider.model.instance import (
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.workload import Workload

Json = dict[str, Any]
NODE = "virtual-kubelet"
DEADLINE_S = 60.0  # of what comes in a moment, on a machine that others use too


# --- certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority made for one test. key: PEM; empty = a new one."""

    def __init__(self, name: str = "test-ca", *, key: bytes = b"") -> None:
        self._key = _key_from(key) if key else ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(self._name, self._name, self._key, days=10)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_signs_certificates(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self, user: str, groups: Sequence[str] = (), *, server: bool = False, valid_for: timedelta = timedelta(days=1)
    ) -> KeyPair:
        """For a client of that user and groups, or for a server at 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _builder(subject, self._name, key, days=1, valid_for=valid_for).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        # Without it Python 3.13 and newer verify no certificate.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if server:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    valid_for: timedelta | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + (valid_for or timedelta(days=days)))
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _key_from(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def client_context(folder: Path, ca: str, pair: KeyPair | None = None) -> ssl.SSLContext:
    """A client that verifies the server by `ca`, and shows `pair` when it is asked for a certificate."""
    context = ssl.create_default_context(cadata=ca)
    if pair is not None:
        file = folder / f"client-{id(pair)}.pem"
        file.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(file)
    return context


# --- the API server's answers ----------------------------------------------------------------------------------------


@dataclass
class Reviewer:
    """Answers reviews by a script, and remembers what it was asked.

    tokens: token → user as in a TokenReview's status. allowed: (user, verb, subresource) that may.
    gate: while not set, no review is answered. failure: raised instead of any answer.
    """

    tokens: Mapping[str, Json] = field(default_factory=dict)
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    asked: list[tuple[str, Json]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def count(self, kind: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == kind)

    async def __call__(self, kind: str, spec: Json) -> Json:
        self.asked.append((kind, spec))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if kind == "TokenReview":
            user = self.tokens.get(spec["token"])
            status = {"authenticated": False} if user is None else {"authenticated": True, "user": user}
        else:
            wanted = spec["resourceAttributes"]
            status = {"allowed": (spec["user"], wanted["verb"], wanted["subresource"]) in self.allowed}
        return {"kind": kind, "spec": spec, "status": status}


@dataclass
class Clock:
    """Seconds that pass only when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the cloud -------------------------------------------------------------------------------------------------------


class SmallCloud:
    """A cloud that only has logs. Each call to `logs` is one `Stream`, which the test feeds."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.ready: list[bytes | Exception] = []  # what every stream begins with
        self.ends = True  # after that
        self.tagged: list[Instance] = []  # what lies under its tags

    def logs(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        stream = Stream(instance_id, container, options)
        self.streams.append(stream)
        for item in self.ready:
            stream.put(item)
        if self.ends:
            stream.put(None)
        return stream.chunks()

    async def create(self, workload: Workload) -> Instance:
        raise NotImplementedError

    async def delete(self, instance_id: str, *, force: bool = False) -> None:
        raise NotImplementedError

    async def list(self) -> Sequence[Instance]:
        return []

    async def describe(self, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
        return {}

    async def find(self, pod_uid: str) -> Sequence[Instance]:
        return [each for each in self.tagged if each.owner.uid == pod_uid]

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        return []

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        return []

    async def statuses(self, *, rest_s: float = 0.0) -> Mapping[str, InstanceStatus]:
        return {}

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class Stream:
    """One log that somebody reads. taken: chunks handed out so far; closed: set when nobody reads any longer."""

    def __init__(self, instance_id: str, container: str, options: LogOptions) -> None:
        self.instance_id = instance_id
        self.container = container
        self.options = options
        self.taken = 0
        self.closed = asyncio.Event()
        self._items: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def put(self, item: bytes | Exception | None) -> None:
        """A chunk, an error to raise, or None for the end."""
        self._items.put_nowait(item)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while (item := await self._items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                self.taken += 1
                yield item
        finally:
            self.closed.set()


# --- pods ------------------------------------------------------------------------------------------------------------


def pod_named(name: str = "api-0", namespace: str = "web", *, status: Json | None = None, **meta: Any) -> Json:
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}", **meta},
        "spec": {"containers": [{"name": "app", "image": "busybox"}], "initContainers": [{"name": "setup"}]},
        "status": status or {},
    }


def container_status(
    name: str = "app", *, state: Json | None = None, last: Json | None = None, key: str = "containerStatuses"
) -> Json:
    return {key: [{"name": name, "state": state or {}, "lastState": last or {}}]}


RUNNING = ContainerState(StateKind.RUNNING)
TERMINATED = ContainerState(StateKind.TERMINATED, reason="Completed", exit_code=0)


def instance_of_pod(
    pod: Json, state: ContainerState = RUNNING, last: ContainerState | None = None, *, name: str = "app", ip: str = ""
) -> Instance:
    meta = pod["metadata"]
    return Instance(
        id=f"eci-{meta['name']}",
        owner=Owner(namespace=meta["namespace"], name=meta["name"], uid=meta["uid"]),
        status=InstanceStatus.RUNNING,
        ip=ip,
        containers=(ContainerReport(name=name, state=state, last_state=last, image="busybox"),),
    )


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A kubelet API on loopback, everything around it, and clients of it."""

    folder: Path
    server_ca: Authority = field(default_factory=lambda: Authority("server-ca"))
    client_ca: Authority = field(default_factory=lambda: Authority("client-ca"))
    pods: list[Json] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    ended_logs: EndedLogs = field(default_factory=EndedLogs)
    cloud: SmallCloud = field(default_factory=SmallCloud)
    review: Reviewer = field(default_factory=Reviewer)
    clock: Clock = field(default_factory=Clock)
    registry: Registry = field(default_factory=Registry)
    checks: dict[str, Callable[[], str]] | None = None
    key_pair: KeyPairSource | None = None
    read_client_ca: ClientCaSource | None = None
    server: KubeletServer | None = None
    stream_times: StreamTimeouts | None = None
    pages: Sequence[Route] = ()
    limits: Limits | None = None

    def add(self, pod: Json, instance: Instance | None = None) -> None:
        self.pods.append(pod)
        if instance is not None:
            self.instances[pod["metadata"]["uid"]] = instance

    def find(self, namespace: str, name: str) -> Json | None:
        wanted = {"namespace": namespace, "name": name}
        return next((pod for pod in self.pods if wanted.items() <= pod["metadata"].items()), None)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[World]:
        own = self.server_ca.issue("node", server=True)
        self.tls = ServingTls(self.key_pair or (lambda: own), self.read_client_ca or self._client_ca)
        self.server = KubeletServer(
            pods=self.find,
            all_pods=lambda: self.pods,
            instance_of=self.instances.get,
            cloud=self.cloud,
            authenticator=ClusterAuthenticator(self.review, clock=self.clock),
            authorizer=ClusterAuthorizer(self.review, node_name=NODE, clock=self.clock),
            tls=self.tls,
            registry=self.registry,
            host="127.0.0.1",
            port=0,
            checks=self.checks,
            stream_times=self.stream_times,
            pages=self.pages,
            limits=self.limits,
            ended_logs=self.ended_logs,
        )
        await self.server.start()
        try:
            yield self
        finally:
            await self.server.stop()

    async def _client_ca(self) -> str:
        return self.client_ca.pem

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    @asynccontextmanager
    async def client(
        self, pair: KeyPair | None = None, *, token: str = "", read_buffer: int = 2**16
    ) -> AsyncIterator[aiohttp.ClientSession]:
        context = client_context(self.folder, self.server_ca.pem, pair)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession(
            f"https://127.0.0.1:{self.port}",
            connector=aiohttp.TCPConnector(ssl=context),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=120),
            read_bufsize=read_buffer,
        ) as session:
            yield session

    @asynccontextmanager
    async def api_server(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The API server's own client, which may do everything."""
        name = "kube-apiserver-kubelet-client"
        for verb in ("get", "create"):
            self.review.allowed.add((name, verb, "proxy"))
        self.review.allowed.add((name, "get", "metrics"))
        async with self.client(self.client_ca.issue(name, ["system:masters"])) as session:
            yield session


async def until(claim: Callable[[], bool]) -> None:
    """Wait for a claim to become true; TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 -- what is claimed may be anything, also of another process
            await asyncio.sleep(0.005)
