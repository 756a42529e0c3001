"""Fetches what a pod refers to: just that, each object once for many pods, tokens for each pod anew."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vk_provider import bounds
from vk_provider.errors import Conflict, KubeError, NotFound, PodNotReady, Refusal, UnsupportedPod
from vk_provider.kube import objects, paths
from vk_provider.kube.api import KubeApi
from vk_provider.redaction import SecretText
from vk_provider.translate import placement
from vk_provider.translate.capabilities import PLAIN, Capabilities
from vk_provider.translate.claims import secret_keys, volume_name
from vk_provider.translate.judging import wanted
from vk_provider.translate.objects import Kind, ObjectKey, Objects, References, TokenRequest
from vk_provider.translate.workload import content_references, field_of, references

Json = dict[str, Any]

# How old a cached object may be: as long as a burst of pods needs to share it, and so short that a pod made after a
# Service or a change of its ConfigMap is started with it, as on a kubelet, which watches both.
FRESH_S = 1.0
CACHE_SIZE = 512


class ObjectReader:
    """Reads by name only, as R1 wants it. Concurrent readers of one object share one request."""

    def __init__(
        self,
        client: KubeApi,
        *,
        capabilities: Capabilities = PLAIN,
        expands_pod_ip: bool = False,
        node_name: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """capabilities, expands_pod_ip: as in `NodeContext`. node_name: ours; labels: those that it surely has."""
        self._capabilities = capabilities
        self._expands_pod_ip = expands_pod_ip
        self._node_name, self._labels = node_name, labels or {}
        self._client = client
        self._cache: OrderedDict[str, tuple[float, asyncio.Task[Any]]] = OrderedDict()

    async def read(self, pod: Json) -> Objects:
        """Everything the pod refers to; what is not there is None.

        Raises UnsupportedPod before anything is fetched, or as soon as it is too much; PodNotReady when the API server
        cannot give it now.
        """
        named = references(pod, capabilities=self._capabilities, expands_pod_ip=self._expands_pod_ip)
        try:
            return await self._with_node(pod, await self._read(pod, named))
        except ExceptionGroup as failures:
            raise _not_ready(failures) from None

    async def read_to_judge(self, pod: Json) -> Objects:
        """What can be had now of what a refused pod refers to. Never raises for what cannot."""
        try:
            return await self._read(pod, wanted(pod))
        except ExceptionGroup as failures:
            _, others = failures.split((KubeError, UnsupportedPod))
            if others is not None:
                raise others from None  # a bug
        return Objects()

    async def read_content(self, pod: Json) -> Objects:
        """What the pod's volumes show, and new tokens. Raises KubeError; NotFound or Conflict: the pod is gone, or the
        account that its tokens speak for. Raises UnsupportedPod for too much of it."""
        try:
            return await self._read(pod, content_references(pod))
        except ExceptionGroup as failures:
            gone, _ = failures.split((UnsupportedPod, NotFound, Conflict))
            raise (gone or failures).exceptions[0] from None

    def invalidate(self, path: str) -> None:
        """The object there has changed: who asks next is not told what it was before."""
        self._cache.pop(path, None)

    async def _read(self, pod: Json, named: References) -> Objects:
        weight = _Weight(pod)
        async with asyncio.TaskGroup() as tasks:
            config_maps = {
                key: tasks.create_task(self._weighed(Kind.CONFIG_MAP, key, weight)) for key in named.config_maps
            }
            secrets = {key: tasks.create_task(self._weighed(Kind.SECRET, key, weight)) for key in named.secrets}
            claims = {key: tasks.create_task(self._object(paths.claim(*key))) for key in named.claims}
            services = [tasks.create_task(self._services(each)) for each in sorted(named.service_namespaces)]
            tokens = {request: tasks.create_task(self._token(pod, request)) for request in named.tokens}
        found = Objects(
            config_maps={key: task.result() for key, task in config_maps.items()},
            secrets={key: task.result() for key, task in secrets.items()},
            claims={key: task.result() for key, task in claims.items()},
            services=[service for task in services for service in task.result()],
            tokens={request: task.result()[0] for request, task in tokens.items()},
            token_lives_s={request: task.result()[1] for request, task in tokens.items()},
        )
        return await self._with_storage(found) if named.claims else found

    async def _with_node(self, pod: Json, found: Objects) -> Objects:
        """And our node, where the pod asks for labels that it need not have: only the API server knows all of them."""
        if not self._node_name or placement.suits(pod, self._labels, self._node_name):
            return found
        async with asyncio.TaskGroup() as tasks:
            node = tasks.create_task(self._object(paths.node(self._node_name)))
        return replace(found, node=node.result())

    async def _with_storage(self, found: Objects) -> Objects:
        """And what stands behind the claims, step by step: the volumes they are bound to, the Secrets those name."""
        names = {name for claim in found.claims.values() if (name := volume_name(claim))}
        async with asyncio.TaskGroup() as tasks:
            volumes = {name: tasks.create_task(self._object(paths.persistent_volume(name))) for name in names}
        found = replace(found, persistent_volumes={name: task.result() for name, task in volumes.items()})
        async with asyncio.TaskGroup() as tasks:
            secrets = {key: tasks.create_task(self._object(paths.secret(*key))) for key in set(secret_keys(found))}
        return replace(found, secrets={**found.secrets, **{key: task.result() for key, task in secrets.items()}})

    async def _weighed(self, kind: Kind, key: ObjectKey, weight: _Weight) -> Json | None:
        path = paths.config_map(*key) if kind is Kind.CONFIG_MAP else paths.secret(*key)
        found = await self._object(path)
        weight.add(kind, key, found)
        return found

    async def _object(self, path: str) -> Json | None:
        async def fetch() -> Json | None:
            try:
                return await self._client.get(path)
            except NotFound:
                return None

        found: Json | None = await self._cached(path, fetch)
        return found

    async def _services(self, namespace: str) -> Sequence[Json]:
        path = paths.core("services", namespace=namespace)

        async def fetch() -> Sequence[Json]:
            answer = await self._client.get(path, params={"resourceVersion": "0"})
            items: Sequence[Json] = answer.get("items") or ()
            # One that is malformed may not keep every pod of the namespace from being created.
            return [_slim(each) for each in items if not objects.fault_of_object(each, needs=("name", "namespace"))]

        found: Sequence[Json] = await self._cached(path, fetch)
        return found

    async def _cached(self, path: str, fetch: Callable[[], Awaitable[Any]]) -> Any:
        """What `fetch` gives, at most FRESH_S old; absent objects are never remembered."""
        now = asyncio.get_running_loop().time()
        while self._cache and next(iter(self._cache.values()))[0] <= now:
            self._cache.popitem(last=False)  # the oldest first: nobody's Secret stays longer than it is of use
        entry = self._cache.get(path)
        if entry is not None:
            return await asyncio.shield(entry[1])
        task = asyncio.ensure_future(fetch())
        self._cache[path] = (now + FRESH_S, task)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        try:
            found = await asyncio.shield(task)
        except BaseException:
            self._cache.pop(path, None)
            raise
        if found is None:
            self._cache.pop(path, None)
        return found

    async def _token(self, pod: Json, request: TokenRequest) -> tuple[str, int]:
        """S23: a token bound to this pod, so that it dies with it, and the seconds it lives. By the length that the
        server grants, not by its clock, which may differ from ours."""
        meta = pod["metadata"]
        spec: dict[str, Any] = {
            "expirationSeconds": request.expiration_s,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
        }
        if request.audience:
            spec["audiences"] = [request.audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer: Mapping[str, Any] = await self._client.post(
            paths.service_account_token(request.namespace, request.service_account), body
        )
        token = SecretText(answer["status"]["token"])
        granted = (answer.get("spec") or {}).get("expirationSeconds")
        return token, int(granted or request.expiration_s)


def _slim(service: Json) -> Json:
    """What variables are made of; a namespace may have thousands of Services, each with more annotations than that."""
    meta, spec = service["metadata"], service.get("spec") or {}
    return {
        "metadata": {"namespace": meta["namespace"], "name": meta["name"]},
        "spec": {"clusterIP": spec.get("clusterIP"), "ports": (spec.get("ports") or ())[: bounds.MOST_SERVICE_PORTS]},
    }


class _Weight:
    """How much has been read for one pod: what is never of use is not waited for, nor kept."""

    def __init__(self, pod: Json) -> None:
        self._pod = pod
        self._left = bounds.MOST_OBJECT_BYTES

    def add(self, kind: Kind, key: ObjectKey, found: Json | None) -> None:
        """Raises UnsupportedPod once it is too much."""
        for part in ("data", "binaryData"):
            entries = (found or {}).get(part)
            if isinstance(entries, dict):
                self._left -= sum(len(name) + len(text) for name, text in entries.items() if isinstance(text, str))
        if self._left < 0:
            most = bounds.MOST_OBJECT_BYTES // bounds.MIB
            reason = f"with {kind.proper_noun} {key[1]} the pod is given more than {most} MiB of ConfigMaps and Secrets"
            raise UnsupportedPod([Refusal(field_of(self._pod, (kind, key)), f"{reason}: put it on a file system")])


def _not_ready(failures: ExceptionGroup[Exception]) -> Exception:
    """S12: neither a refusal nor an outage of the API server may fail a pod. Anything else is a bug and stays one."""
    too_much, _ = failures.split(UnsupportedPod)
    if too_much is not None:
        return too_much.exceptions[0]
    _, others = failures.split(KubeError)
    if others is not None:
        return others
    return PodNotReady(
        f"cannot read what the pod refers to: {failures.exceptions[0]}",
        event_reason="FailedMount",
        waiting_reason="ContainerCreating",
    )
