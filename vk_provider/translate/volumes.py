"""Volumes of a pod with all their content, laid out as a kubelet does (contract S20 to S28).

Only volumes that some container mounts are looked at: a kubelet sets up no others, so what those name may be missing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.model.quantity import ceil_div, parse
from vk_provider.model.workload import EmptyDir, File, Flex, Nfs, Volume
from vk_provider.redaction import SecretBytes, SecretText
from vk_provider.translate import claims, storage
from vk_provider.translate.capabilities import ReadsStorage
from vk_provider.translate.expansion import Allowance
from vk_provider.translate.fieldrefs import service_account, volume_value
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Kind, ObjectKey, Objects, TokenRequest
from vk_provider.translate.resources import resource_value

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_LIFE_S = 3600
_KINDS = (("configMap", Kind.CONFIG_MAP), ("secret", Kind.SECRET))
_FILE_SOURCES = ("configMap", "secret", "downwardAPI", "projected")
_MIB = parse("1Mi")
# The volume that the admission controller ServiceAccount adds to each pod: since Kubernetes 1.22, and before.
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
_TOKEN_VOLUMES = {
    "projected": re.compile(r"kube-api-access-[a-z0-9]{5}"),
    "secret": re.compile(r"[a-z0-9.-]+-token-[a-z0-9]{5}"),
}


def mounted_volumes(pod: Json) -> Sequence[Json]:
    """The volumes that some container mounts, in the pod's order."""
    return [volume for _, volume in mounted_with_index(pod)]


def mounted_with_index(pod: Json) -> Sequence[tuple[int, Json]]:
    """As `mounted_volumes`, each with its place in the pod's list."""
    containers = [*init_containers_of(pod), *containers_of(pod)]
    used = {mount["name"] for container in containers for mount in container.get("volumeMounts") or ()}
    return [(index, each) for index, each in enumerate(pod["spec"].get("volumes") or ()) if each["name"] in used]


def is_added(volume: Json, elsewhere: Collection[str]) -> bool:
    """Whether the cluster gave the volume to the pod, whose owner never asked for it. elsewhere: as below."""
    names = [pattern for source, pattern in _TOKEN_VOLUMES.items() if volume.get(source) is not None]
    return volume["name"] not in elsewhere and any(pattern.fullmatch(volume["name"]) for pattern in names)


def mounted_elsewhere(pod: Json) -> Collection[str]:
    """Names of the volumes that are mounted at another path than the cluster's own is."""
    return {
        mount["name"]
        for container in (*init_containers_of(pod), *containers_of(pod))
        for mount in container.get("volumeMounts") or ()
        if mount.get("mountPath") != TOKEN_PATH
    }


def holds_files(volume: Json) -> bool:
    """Whether the volume shows objects of the API; a kubelet mounts those for reading only, whatever the pod says."""
    return any(volume.get(source) is not None for source in _FILE_SOURCES)


def object_keys(volume: Json, namespace: str) -> Iterator[tuple[Kind, ObjectKey]]:
    """Every ConfigMap and Secret that the volume shows or logs in with, optional ones among them."""
    login = storage.secret_of_inline(volume, namespace)
    if login is not None:
        yield Kind.SECRET, login
    for projection in _projections(volume):
        for field, kind in _KINDS:
            if projection.get(field) is not None:
                yield kind, (namespace, projection[field]["name"])


def token_requests(volume: Json, pod: Json, namespace: str) -> Iterator[TokenRequest]:
    for projection in _projections(volume):
        if projection.get("serviceAccountToken") is not None:
            yield _token_request(volume, projection["serviceAccountToken"], pod, namespace)


def field_paths(volume: Json) -> Iterator[str]:
    """The pod's own fields that the volume shows."""
    for projection in _projections(volume):
        for item in (projection.get("downwardAPI") or {}).get("items") or ():
            if item.get("fieldRef"):
                yield item["fieldRef"]["fieldPath"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What an instance that runs has already. volumes: by name. frozen: those whose files never change. lacks: whether
    files that are no longer to be had stay as they are there, else they are missing.

    Storage is mounted for the instance's life: what became of its claim since does not matter.
    """

    volumes: Mapping[str, Volume]
    frozen: frozenset[str] = frozenset()
    lacks: bool = False


NOTHING_KEPT = Kept({})


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeBuilder:
    """Makes the volumes of one pod. containers: every container of the pod by its name."""

    pod: Json
    namespace: str
    containers: Mapping[str, Json]
    objects: Objects
    context: NodeContext
    kept: Kept
    allowance: Allowance = dataclasses.field(default_factory=Allowance)
    _shown: dict[str, bytes] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )  # the pod's own fields, by path

    _elsewhere: Collection[str] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_elsewhere", mounted_elsewhere(self.pod))

    def build(self, volume: Json, index: int) -> Volume:
        """The volume. index: its place in the pod. Raises PodNotReady, naming everything in it that is missing, and
        UnsupportedPod."""
        name = volume["name"]
        if holds_files(volume):
            files = self.files(volume, f"spec.volumes[{index}]")
            return Volume(name, files=files, index=index, added=is_added(volume, self._elsewhere))
        try:
            return self._unshown(volume, name, index)
        except (PodNotReady, UnsupportedPod):
            if name not in self.kept.volumes:
                raise
            return replace(self.kept.volumes[name], index=index)

    def _unshown(self, volume: Json, name: str, index: int) -> Volume:
        """A volume of other things than objects of the API."""
        field = f"spec.volumes[{index}]"
        role = self.context.role
        claim = claims.claim_of(volume, self.pod["metadata"]["name"], self.namespace)
        if claim is not None:
            made = claims.resolve(volume, self.pod, claim, self.objects, field, reader=self._reader(field), role=role)
            return _stored(name, made, index)
        if storage.is_inline(volume):
            return _stored(name, self._reader(field).inline(volume, self.pod, self.objects, field, role=role), index)
        source = volume.get("emptyDir") or {}
        limit = parse(source.get("sizeLimit") or 0)  # zero is no limit
        empty_dir = EmptyDir(medium=source.get("medium") or "", size_mib=ceil_div(limit, _MIB) if limit else None)
        return Volume(name, empty_dir=empty_dir, index=index)

    def _reader(self, field: str) -> ReadsStorage:
        storage = self.context.capabilities.storage
        if storage.reader is None:
            raise UnsupportedPod([Refusal(field, f"the cloud mounts no storage; {storage.advice}")])
        return storage.reader

    def files(self, volume: Json, place: str) -> Sequence[File]:
        """What a volume of files holds now, sorted by path. place: the volume's field.

        Raises PodNotReady, naming everything that is missing, and UnsupportedPod where it is too much.
        """
        shown = self.kept.volumes.get(volume["name"])
        there = _with_modes(volume, shown.files or ()) if shown is not None else None
        if there is not None and volume["name"] in self.kept.frozen:
            return tuple(there[path] for path in sorted(there))
        files: dict[str, File] = {}
        faults: list[str] = []
        for projection in _projections(volume):
            for file in self._files(volume, projection, faults, place):
                self.allowance.take_bytes(len(file.content) * 4 // 3, place)  # as base64, which is how files are sent
                files[file.path] = file
        if faults:
            if there is None or not self.kept.lacks:
                raise _not_ready(volume, faults)
            files = {**there, **files}
        return tuple(files[path] for path in sorted(files))

    def _files(self, volume: Json, projection: Json, faults: list[str], place: str) -> Iterator[File]:
        """The files of one source; what is missing goes to `faults`, so that all of it is known at once."""
        mode = _mode(volume)
        for field, kind in _KINDS:
            if projection.get(field) is not None:
                yield from self._object_files(kind, projection[field], mode, faults, place)
        if projection.get("serviceAccountToken") is not None:
            yield from self._token_files(volume, projection["serviceAccountToken"], mode, faults)
        for item in (projection.get("downwardAPI") or {}).get("items") or ():
            yield File(_clean(item["path"]), self._downward(item), _or_default(item.get("mode"), mode))

    def _object_files(self, kind: Kind, source: Json, mode: int, faults: list[str], place: str) -> Iterator[File]:
        content = self.objects.files(kind, (self.namespace, source["name"]))
        optional = bool(source.get("optional"))
        if content is None:
            if not optional:
                faults.append(kind.not_found(source["name"]))
            return
        self.allowance.take_keys(len(source.get("items") or content), place)
        items = source.get("items") or [{"key": key, "path": key} for key in sorted(content)]
        for item in items:
            if item["key"] in content:
                found = content[item["key"]]
                found = SecretBytes(found) if kind is Kind.SECRET else found
                yield File(_clean(item["path"]), found, _or_default(item.get("mode"), mode))
            elif not optional:
                faults.append(kind.path_key_not_found(item["key"]))
                return  # a kubelet names one key of each object

    def _token_files(self, volume: Json, source: Json, mode: int, faults: list[str]) -> Iterator[File]:
        request = _token_request(volume, source, self.pod, self.namespace)
        token = self.objects.tokens.get(request)
        if token is None:
            faults.append(f'failed to fetch token: serviceaccounts "{request.service_account}" not found')
        else:
            content = token.encode()
            yield File(_clean(request.path), SecretBytes(content) if isinstance(token, SecretText) else content, mode)

    def _downward(self, item: Json) -> bytes:
        if item.get("fieldRef"):
            path = item["fieldRef"]["fieldPath"]
            if path not in self._shown:  # half a surrogate pair has no UTF-8
                self._shown[path] = volume_value(self.pod, path).encode(errors="replace")
            return self._shown[path]
        reference = item.get("resourceFieldRef")
        if not reference:
            return b""
        named = self.containers[reference["containerName"]]
        return resource_value(named, reference, self.context.allocatable).encode()


def _with_modes(volume: Json, shown: Sequence[File]) -> dict[str, File]:
    """Files as the instance has them, which no cloud tells the modes of."""
    sources = [source for projection in _projections(volume) for source in projection.values()]
    items = [item for source in sources for item in source.get("items") or ()]
    modes = {_clean(item["path"]): item.get("mode") for item in items}
    return {file.path: replace(file, mode=_or_default(modes.get(file.path), _mode(volume))) for file in shown}


def _projections(volume: Json) -> Sequence[Json]:
    """The volume as a list of projected sources, so that the plain kinds need no code of their own."""
    if volume.get("projected") is not None:
        sources: Sequence[Json] = volume["projected"].get("sources") or ()
        return sources
    if volume.get("secret") is not None:
        secret = volume["secret"]
        return [{"secret": {**secret, "name": secret["secretName"]}}]
    return [{field: volume[field]} for field in ("configMap", "downwardAPI") if volume.get(field) is not None]


def _mode(volume: Json) -> int:
    source = next(volume[field] for field in _FILE_SOURCES if volume.get(field) is not None)
    return _or_default(source.get("defaultMode"), DEFAULT_MODE)


def _or_default(mode: int | None, default: int) -> int:
    return default if mode is None else mode


def _token_request(volume: Json, source: Json, pod: Json, namespace: str) -> TokenRequest:
    return TokenRequest(
        volume=volume["name"],
        path=source["path"],
        service_account=service_account(pod),
        namespace=namespace,
        audience=source.get("audience") or "",
        expiration_s=source.get("expirationSeconds") or DEFAULT_TOKEN_LIFE_S,
    )


def _stored(name: str, what: Nfs | Flex, index: int) -> Volume:
    if isinstance(what, Nfs):
        return Volume(name, nfs=what, index=index)
    return Volume(name, flex=what, index=index)


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _not_ready(volume: Json, faults: Sequence[str]) -> PodNotReady:
    unique = list(dict.fromkeys(faults))
    text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {text}'
    return PodNotReady(message, event_reason="FailedMount", waiting_reason="ContainerCreating")
