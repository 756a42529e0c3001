"""A pod becomes a Workload in two steps: name what it refers to, and, with that fetched, put everything together.

Nothing here awaits: whoever calls fetches in between. A pod that says anything we do not carry stops at the first step,
with all of it named at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from vk_provider import bounds
from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.model.instance import Owner
from vk_provider.model.pod import (
    SIDECAR_ORDER_ANNOTATION,
    Json,
    containers_of,
    containers_with_paths,
    init_containers_of,
    is_sidecar,
    late_sidecars,
    restart_policy,
)
from vk_provider.model.security import Security
from vk_provider.model.workload import Container, Dns, Notice, Port, RegistryCredential, Volume, Workload
from vk_provider.translate import (
    claims,
    environment,
    hosts,
    images,
    placement,
    probes,
    registries,
    restart,
    security,
    volumes,
)
from vk_provider.translate.capabilities import PLAIN, Capabilities
from vk_provider.translate.dns import resolver
from vk_provider.translate.environment import Environment, EnvironmentBuilder
from vk_provider.translate.expansion import Allowance
from vk_provider.translate.hosts import host_aliases, hostname
from vk_provider.translate.mounts import mounts
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Kind, ObjectKey, Objects, References, TokenRequest
from vk_provider.translate.refusals import refusals
from vk_provider.translate.resources import (
    architecture,
    container_cpu,
    container_gpus,
    container_memory_gib,
    is_cpu_open,
    is_memory_open,
    pod_cpu,
    pod_memory_gib,
    pod_storage_gib,
)
from vk_provider.translate.services import MASTER_NAMESPACE, service_variables
from vk_provider.translate.volumes import NOTHING_KEPT, Kept, VolumeBuilder

__all__ = [
    "NodeContext",
    "Objects",
    "References",
    "TokenRequest",
    "awaited",
    "build",
    "content",
    "content_references",
    "references",
]

T = TypeVar("T")

DEFAULT_GRACE_S = 30
DEFAULT_TERMINATION_PATH = "/dev/termination-log"
LEAST_AFTER_HOOK_S = 2  # what a kubelet leaves a container after its hook, however long that took


def references(pod: Json, *, capabilities: Capabilities = PLAIN, expands_pod_ip: bool = False) -> References:
    """Everything to fetch before `build`. Raises UnsupportedPod with all that the pod says and we do not carry, and for
    a pod that names so much that fetching it is no small matter.

    capabilities, expands_pod_ip: as in `NodeContext`.
    """
    _refuse(pod, capabilities, expands_pod_ip=expands_pod_ip)
    wanted = needed(pod)
    if too_many := too_much_to_fetch(pod, wanted):
        raise UnsupportedPod(too_many)
    return wanted


def needed(pod: Json) -> References:
    """As `references`, and judges nothing."""
    namespace = _namespace(pod)
    shown = content_references(pod)
    keys = {key for container in _containers(pod) for key in environment.object_keys(container, namespace)}
    keys |= {(Kind.SECRET, key) for key in registries.secret_keys(pod, namespace)}
    return replace(
        shown,
        config_maps=shown.config_maps | {key for kind, key in keys if kind is Kind.CONFIG_MAP},
        secrets=shown.secrets | {key for kind, key in keys if kind is Kind.SECRET},
        service_namespaces=frozenset({MASTER_NAMESPACE, *([namespace] if _wants_links(pod) else ())}),
    )


def too_much_to_fetch(pod: Json, wanted: References) -> Sequence[Refusal]:
    """Each of them is a request to the API server, at each try."""
    if len(wanted.tokens) > bounds.MOST_TOKENS:
        reason = f"{len(wanted.tokens)} tokens of the ServiceAccount; at most {bounds.MOST_TOKENS} are asked for"
        return [Refusal("spec.volumes", reason)]
    count = len(wanted.config_maps) + len(wanted.secrets) + len(wanted.claims)
    if count > bounds.MOST_OBJECTS:
        named: dict[str, set[tuple[Kind, ObjectKey]]] = {}
        for place, key in _named_objects(pod):
            named.setdefault(place, set()).add(key)
        place = max(named, key=lambda each: len(named[each]))
        reason = f"with it the pod names {count} ConfigMaps, Secrets and claims; at most {bounds.MOST_OBJECTS} are read"
        return [Refusal(place, reason)]
    return ()


def _named_objects(pod: Json) -> Iterator[tuple[str, tuple[Kind, ObjectKey]]]:
    """What the pod names, each with the field in which it stands."""
    namespace = _namespace(pod)
    for index, volume in volumes.mounted_with_index(pod):
        for key in volumes.object_keys(volume, namespace):
            yield f"spec.volumes[{index}]", key
    for path, container in containers_with_paths(pod):
        for key in environment.object_keys(container, namespace):
            yield f"{path}.env", key
    for secret in registries.secret_keys(pod, namespace):
        yield "spec.imagePullSecrets", (Kind.SECRET, secret)


def field_of(pod: Json, key: tuple[Kind, ObjectKey]) -> str:
    """Where the pod names the object first."""
    return next((place for place, named in _named_objects(pod) if named == key), "spec.volumes")


def awaited(pod: Json) -> Sequence[tuple[Kind, ObjectKey]]:
    """All objects that the pod names, which it may have to wait for."""
    wanted = needed(pod)
    return [
        *((Kind.CONFIG_MAP, key) for key in sorted(wanted.config_maps)),
        *((Kind.SECRET, key) for key in sorted(wanted.secrets)),
        *((Kind.CLAIM, key) for key in sorted(wanted.claims)),
    ]


def content_references(pod: Json) -> References:
    """Everything to fetch before `content`."""
    namespace = _namespace(pod)
    mounted = volumes.mounted_volumes(pod)
    keys = {key for volume in mounted for key in volumes.object_keys(volume, namespace)}
    return References(
        config_maps=frozenset(key for kind, key in keys if kind is Kind.CONFIG_MAP),
        secrets=frozenset(key for kind, key in keys if kind is Kind.SECRET),
        claims=frozenset(
            key
            for volume in mounted
            if (key := claims.claim_of(volume, pod["metadata"]["name"], namespace)) is not None
        ),
        tokens=frozenset(request for volume in mounted for request in volumes.token_requests(volume, pod, namespace)),
    )


def content(
    pod: Json,
    objects: Objects,
    context: NodeContext,
    kept: Kept = NOTHING_KEPT,
    *,
    allowance: Allowance | None = None,
) -> Sequence[Volume]:
    """All volumes of a pod as `build` makes them, be it for an instance that has them already and shall show what is
    new. allowance: what they may take; the whole of a pod's unless something is counted already.

    Raises PodNotReady for the first that is not to be had, or UnsupportedPod with everything that is refused.
    """
    builder = _builder(pod, objects, context, kept, allowance or Allowance())
    built: list[Volume] = []
    found: list[Refusal] = []
    for index, volume in volumes.mounted_with_index(pod):
        try:
            built.append(security.readable(builder.build(volume, index), pod))
        except UnsupportedPod as error:
            found.extend(error.refusals)
    if found:
        raise UnsupportedPod(found)
    return tuple(built)


def _builder(pod: Json, objects: Objects, context: NodeContext, kept: Kept, allowance: Allowance) -> VolumeBuilder:
    return VolumeBuilder(
        pod=pod,
        namespace=_namespace(pod),
        containers={container["name"]: container for container in _containers(pod)},
        objects=objects,
        context=context,
        kept=kept,
        allowance=allowance,
    )


def build(pod: Json, objects: Objects, context: NodeContext) -> Workload:
    """The pod with everything in it, ready for a cloud.

    Raises UnsupportedPod as `references` does, and PodNotReady for the first thing that is missing, volumes before
    environments and both in the pod's order, as a kubelet would come upon them.
    """
    _refuse(pod, context.capabilities, expands_pod_ip=context.expands_pod_ip)
    return assemble(pod, objects, context)


def assemble(pod: Json, objects: Objects, context: NodeContext) -> Workload:
    """As `build`, for a pod that `references` has let pass: to judge it a second time costs as much as all the rest."""
    return _Assembly(pod, objects, context).workload()


def as_far_as_possible(pod: Json, objects: Objects, context: NodeContext) -> tuple[Workload | None, Sequence[Refusal]]:
    """What can be put together of a pod that may say anything and miss anything, and what is refused on the way.

    Parts that cannot be had are empty; None where not even containers and volumes can be told.
    """
    found: list[Refusal] = []
    try:
        return _Assembly(pod, objects, context, found).workload(), found
    except UnsupportedPod as error:
        return None, [*found, *error.refusals]
    except (PodNotReady, *UNREADABLE):
        return None, found


UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)  # by what a malformed pod shows itself


class _Assembly:
    """One pod being put together: what all its parts need, gathered once.

    refused: where to put what is refused, to go on without it; None: the first thing that is wrong is raised.
    """

    def __init__(self, pod: Json, objects: Objects, context: NodeContext, refused: list[Refusal] | None = None) -> None:
        self._refused = refused
        self._pod = pod
        self._spec: Json = pod["spec"]
        self._namespace = _namespace(pod)
        self._objects = objects
        self._context = context
        by_name = {container["name"]: container for container in _containers(pod)}
        self._paths = {container["name"]: path for path, container in containers_with_paths(pod)}
        self._allowance = Allowance()
        services = service_variables(
            objects.services, namespace=self._namespace, links=_wants_links(pod), context=context
        )
        self._environments = EnvironmentBuilder(
            pod=pod,
            namespace=self._namespace,
            containers=by_name,
            objects=objects,
            context=context,
            services=services,
            allowance=self._allowance,
        )
        self._notices: list[Notice] = []
        self._can = context.capabilities
        self._named = (pod, self._namespace, context.cluster_domain, self._can.annotations.own_address)

    def _check_placement(self) -> None:
        asked_too_much = placement.oversized(self._pod, self._context.allocatable)
        found = [*asked_too_much, *placement.refusals(self._pod, self._objects.node)]
        if found and self._refused is None:
            raise UnsupportedPod(found)
        if self._refused is not None:
            self._refused += found

    def workload(self) -> Workload:
        self._check_placement()
        given, asked = self._pod["metadata"].get("annotations") or {}, self._can.annotations
        nothing: tuple[Dns | None, Sequence[Notice]] = (None, ())
        dns, dns_notices = self._part(lambda: resolver(self._pod, self._namespace, self._context), nothing)
        built = self._volumes()
        read_only = {volume.name for volume in built if volume.is_read_only}
        inits = tuple((item, self._container(item, read_only)) for item in init_containers_of(self._pod))
        containers = tuple(self._container(item, read_only) for item in containers_of(self._pod))
        no_logins: tuple[Sequence[RegistryCredential], Sequence[Notice]] = ((), ())
        credentials, registry_notices = self._part(
            lambda: registries.credentials(self._pod, self._namespace, self._objects), no_logins
        )
        return Workload(
            owner=self._owner(),
            containers=(*(made for item, made in inits if is_sidecar(item)), *containers),
            init_containers=tuple(made for item, made in inits if not is_sidecar(item)),
            volumes=built,
            cpu=self._part(lambda: pod_cpu(self._pod, self._can.left_out), None),
            memory_gib=self._part(lambda: pod_memory_gib(self._pod, self._can.left_out), None),
            cpu_open=self._part(lambda: is_cpu_open(self._pod, self._can.left_out), False),
            memory_open=self._part(lambda: is_memory_open(self._pod, self._can.left_out), False),
            storage_gib=self._part(lambda: pod_storage_gib(self._pod, self._can.left_out), None),
            architecture=self._part(lambda: architecture(self._pod), ""),
            restart_policy=restart_policy(self._pod),
            termination_grace_s=self._part(lambda: _grace_s(self._pod), DEFAULT_GRACE_S),
            active_deadline_s=self._spec.get("activeDeadlineSeconds"),
            hostname=self._part(lambda: hostname(self._pod, self._namespace, self._context.cluster_domain), ""),
            host_aliases=self._part(lambda: (*host_aliases(self._pod), *hosts.own_alias(*self._named)), ()),
            share_process_namespace=bool(self._spec.get("shareProcessNamespace")),
            sysctls=self._part(lambda: security.sysctls(self._pod, self._context.allowed_unsafe_sysctls), ()),
            dns=dns,
            registry_credentials=credentials,
            annotations=asked.requests(given) if self._refused is None else asked.valid_requests(given),
            notices=self._part(
                lambda: (
                    *dns_notices,
                    *registry_notices,
                    *self._notices,
                    *restart.notices(self._pod),
                    *_order_notices(self._pod),
                    *hosts.notices(*self._named),
                    *security.notices(self._pod),
                    *asked.notices(given),
                ),
                (),
            ),
        )

    def _part(self, make: Callable[[], T], otherwise: T) -> T:
        """What `make` gives. Where what is wrong is gathered: `otherwise`, if it cannot be had."""
        if self._refused is None:
            return make()
        try:
            return make()
        except UnsupportedPod as error:
            self._refused.extend(error.refusals)
        except (PodNotReady, *UNREADABLE):
            pass  # a walk through the fields tells of it, or it may come yet
        return otherwise

    def _volumes(self) -> Sequence[Volume]:
        if self._refused is None:
            return content(self._pod, self._objects, self._context, allowance=self._allowance)
        builder = _builder(self._pod, self._objects, self._context, NOTHING_KEPT, self._allowance)
        return tuple(
            self._part(partial(builder.build, each, index), Volume(str(each["name"]), index=index))
            for index, each in volumes.mounted_with_index(self._pod)
        )

    def _owner(self) -> Owner:
        meta = self._pod["metadata"]
        return Owner(
            cluster=self._context.cluster,
            node=self._context.node_name,
            namespace=self._namespace,
            name=meta["name"],
            uid=meta.get("uid") or "",
        )

    def _container(self, container: Json, read_only: set[str]) -> Container:
        path = self._paths[container["name"]]
        self._part(lambda: images.check(container), None)
        variables = self._part(lambda: self._environments.build(container, path), _named_only(container))
        texts = variables.texts
        self._notices.extend(variables.notices)
        health = self._part(lambda: probes.health(self._pod, container, self._can.words.probes), probes.Health())
        self._notices.extend(self._part(lambda: [*probes.notices(self._pod, container, health)], []))
        return Container(
            name=container["name"],
            image=container["image"],
            command=self._part(lambda: self._expanded(container, "command", path, variables), ()),
            args=self._part(lambda: self._expanded(container, "args", path, variables), ()),
            env=tuple(variables.for_expansion() if self._context.expands_pod_ip else variables.variables.items()),
            added_env=variables.added,
            cpu=self._part(lambda: container_cpu(container), None),
            memory_gib=self._part(lambda: container_memory_gib(container), None),
            gpus=self._part(lambda: container_gpus(container), 0),
            mounts=self._part(
                lambda: tuple(mounts(container, texts, read_only, path=path, allowance=self._allowance)), ()
            ),
            ports=self._part(lambda: _ports(container), ()),
            working_dir=container.get("workingDir") or "",
            image_pull_policy=container.get("imagePullPolicy") or "",
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            tty=bool(container.get("tty")),
            security=self._part(lambda: security.of_container(self._pod, container), Security()),
            termination_path=_unless(container.get("terminationMessagePath"), DEFAULT_TERMINATION_PATH),
            termination_policy=_unless(container.get("terminationMessagePolicy"), "File"),
            sidecar=is_sidecar(container) and any(container is each for each in init_containers_of(self._pod)),
            liveness=health.liveness,
            readiness=health.readiness,
            post_start=self._part(lambda: probes.hook(container, "postStart"), None),
            pre_stop=self._part(lambda: probes.hook(container, "preStop"), None),
        )

    def _expanded(self, container: Json, field: str, path: str, variables: Environment) -> Sequence[str]:
        known, late = variables.texts, variables.late if self._context.expands_pod_ip else None
        return tuple(
            self._allowance.expanded(word, known, f"{path}.{field}[{index}]", late=late)
            for index, word in enumerate(container.get(field) or ())
        )


def _named_only(container: Json) -> Environment:
    """The names of the variables that the container itself lists."""
    listed = container.get("env")
    names = [each.get("name") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return Environment({name: "" for name in names if isinstance(name, str)})


def _ports(container: Json) -> Sequence[Port]:
    return tuple(Port(port["containerPort"], port.get("protocol") or "TCP") for port in container.get("ports") or ())


def _refuse(pod: Json, capabilities: Capabilities, *, expands_pod_ip: bool) -> None:
    found = refusals(pod, capabilities, expands_pod_ip=expands_pod_ip)
    if found:
        raise UnsupportedPod(found)


def _containers(pod: Json) -> Sequence[Json]:
    return [*init_containers_of(pod), *containers_of(pod)]


def _namespace(pod: Json) -> str:
    return str(pod["metadata"].get("namespace") or "default")


def _wants_links(pod: Json) -> bool:
    return pod["spec"].get("enableServiceLinks") is not False


def _grace_s(pod: Json) -> int:
    """What is left of the grace period for the cloud once the provider has slept for the pod's hook."""
    stated = pod["spec"].get("terminationGracePeriodSeconds")
    grace_s = DEFAULT_GRACE_S if stated is None else int(stated)
    if grace_s < 0:
        return 1  # at once, which is written as one second
    slept_s = probes.stop_delay_s(pod)
    return max(grace_s - slept_s, min(grace_s, LEAST_AFTER_HOOK_S)) if slept_s else grace_s


def _order_notices(pod: Json) -> Iterator[Notice]:
    late = [each["name"] for _, each in late_sidecars(pod)]
    if late:
        yield Notice(
            "SidecarsStartLate",
            f"{', '.join(late)} start together with the containers, after all init containers:"
            f" {SIDECAR_ORDER_ANNOTATION} says that those do without",
        )


def _unless(stated: str | None, default: str) -> str:
    return "" if stated in (None, default) else str(stated)
