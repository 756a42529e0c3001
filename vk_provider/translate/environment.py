"""The environment of one container, as a kubelet makes it (contract S1 to S11)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import FromPodIP, Notice
from vk_provider.translate.expansion import escaped, expand, expand_partly, names_in
from vk_provider.translate.fieldrefs import environment_value
from vk_provider.translate.objects import Kind, NodeContext, ObjectKey, Objects
from vk_provider.translate.resources import resource_value
from vk_provider.translate.services import by_use

Value = str | FromPodIP

# What the cloud takes. ECI documents letters, digits and `_` alone, but the vendor's own examples have dashes
# (`aliyun_logs_log-stdout`) and dots (`discovery.type`), as kubelets up to 1.29 have; so those are passed on, and the
# cloud decides. What is no such name either is refused where the pod says it, and skipped and told in an envFrom.
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_ENV_FROM_KINDS = (("configMapRef", Kind.CONFIG_MAP), ("secretRef", Kind.SECRET))
_KEY_KINDS = (("configMapKeyRef", Kind.CONFIG_MAP), ("secretKeyRef", Kind.SECRET))


@dataclass(frozen=True, slots=True)
class Environment:
    """variables: in the order in which they were first set; notices: what was left out, and why.

    added: the names of those that nobody asked for, the most useful first. late: the names of those that the cloud
    completes, for they hold the pod's address or are made of it.
    """

    variables: Mapping[str, Value]
    notices: tuple[Notice, ...] = ()
    added: tuple[str, ...] = ()
    late: frozenset[str] = frozenset()

    @property
    def texts(self) -> Mapping[str, str]:
        """Those variables whose value is known by now."""
        known = self.variables.items()
        return {name: value for name, value in known if isinstance(value, str) and name not in self.late}

    def for_expansion(self) -> Iterator[tuple[str, Value]]:
        """The variables for a cloud that expands the values of them all."""
        for name, value in self.variables.items():
            is_plain = isinstance(value, str) and name not in self.late and "$" in value
            yield name, escaped(value) if is_plain and isinstance(value, str) else value


def object_keys(container: Json, namespace: str) -> Iterator[tuple[Kind, ObjectKey]]:
    """Every ConfigMap and Secret that the container's environment needs, optional ones among them."""
    for source in container.get("envFrom") or ():
        for field, kind in _ENV_FROM_KINDS:
            if source.get(field):
                yield kind, (namespace, source[field]["name"])
    for variable in container.get("env") or ():
        for field, kind in _KEY_KINDS:
            reference = (variable.get("valueFrom") or {}).get(field)
            if reference:
                yield kind, (namespace, reference["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBuilder:
    """Makes the environments of one pod's containers. containers: every container of the pod by its name."""

    pod: Json
    namespace: str
    containers: Mapping[str, Json]
    objects: Objects
    context: NodeContext
    services: Mapping[str, str]

    def build(self, container: Json) -> Environment:
        """First `envFrom`, then `env`, then the Services that neither of them named; later ones win.

        Raises PodNotReady when something the container names is not there.
        """
        variables: dict[str, Value] = {}
        notices: list[Notice] = []
        late: set[str] = set()
        for source in container.get("envFrom") or ():
            for field, kind in _ENV_FROM_KINDS:
                if source.get(field):
                    skipped = self._add_all(variables, source.get("prefix") or "", kind, source[field], container)
                    notices.extend(skipped)
        for variable in container.get("env") or ():
            value = self._value(variable, variables, container, late)
            if value is not None:
                variables[variable["name"]] = value
                self._follow(variable, value, late)
        added = _missing(self.services, variables)
        return Environment({**variables, **added}, tuple(notices), by_use(added, _texts_of(container)), frozenset(late))

    def _follow(self, variable: Json, value: Value, late: set[str]) -> None:
        """Keep track of what the cloud completes."""
        text = variable.get("value") or ""
        if isinstance(value, FromPodIP) or any(name in late for name in names_in(text)):
            late.add(variable["name"])
        else:
            late.discard(variable["name"])

    def _add_all(
        self, variables: dict[str, Value], prefix: str, kind: Kind, reference: Json, container: Json
    ) -> Iterator[Notice]:
        key = (self.namespace, reference["name"])
        data = self.objects.data(kind, key)
        if data is None:
            if reference.get("optional"):
                return
            raise _not_ready(kind.not_found(key[1]), container)
        skipped = []
        for entry in sorted(data):
            name = prefix + entry
            if VARIABLE_NAME.fullmatch(name):
                variables[name] = _text(data[entry], kind, key, entry, container)
            else:
                skipped.append(entry)
        if skipped:
            yield _skipped(skipped, kind, key, container)

    def _value(
        self, variable: Json, so_far: Mapping[str, Value], container: Json, late: Collection[str]
    ) -> Value | None:
        """One entry of `env`; None = an optional source is missing, so that an earlier value stays."""
        if variable.get("value"):
            known = {**self.services, **{name: text for name, text in so_far.items() if isinstance(text, str)}}
            if any(name in late for name in names_in(variable["value"])):
                return expand_partly(variable["value"], {key: known[key] for key in known if key not in late}, late)
            return expand(variable["value"], known)
        source = variable.get("valueFrom") or {}
        for field, kind in _KEY_KINDS:
            if source.get(field):
                return self._entry(kind, source[field], container)
        if source.get("fieldRef"):
            return environment_value(self.pod, source["fieldRef"]["fieldPath"], self.context)
        if source.get("resourceFieldRef"):
            reference = source["resourceFieldRef"]
            named = self.containers[reference.get("containerName") or container["name"]]
            return resource_value(named, reference, self.context.allocatable)
        return ""

    def _entry(self, kind: Kind, reference: Json, container: Json) -> str | None:
        key, entry = (self.namespace, reference["name"]), reference["key"]
        data = self.objects.data(kind, key)
        if data is not None and entry in data:
            return _text(data[entry], kind, key, entry, container)
        if reference.get("optional"):
            return None
        raise _not_ready(kind.not_found(key[1]) if data is None else kind.key_not_found(key, entry), container)


def _missing(services: Mapping[str, str], variables: Mapping[str, Value]) -> Mapping[str, str]:
    return {name: text for name, text in services.items() if name not in variables}


def _texts_of(container: Json) -> Iterator[str]:
    """Where a container may name a variable: its words, its values, and the commands of its probes and hooks."""
    yield from container.get("command") or ()
    yield from container.get("args") or ()
    yield from (variable.get("value") or "" for variable in container.get("env") or ())
    hooks = container.get("lifecycle") or {}
    probes = (container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness"))
    for asked in (*probes, hooks.get("postStart"), hooks.get("preStop")):
        yield from ((asked or {}).get("exec") or {}).get("command") or ()


def _text(content: bytes, kind: Kind, key: ObjectKey, entry: str, container: Json) -> str:
    """A variable can hold any text but no other bytes; the pod waits, as its owner can mend the object."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        place = f"key {entry} in {kind.proper_noun} {key[0]}/{key[1]}"
        raise _not_ready(f"{place} is not text, so no variable can hold it; mount it as a volume", container)
    return text


def _skipped(entries: list[str], kind: Kind, key: ObjectKey, container: Json) -> Notice:
    word = "configMap" if kind is Kind.CONFIG_MAP else "secret"  # as a kubelet spells it here, and only here (S7)
    message = (
        f"Keys [{', '.join(entries)}] from the EnvFrom {word} {key[0]}/{key[1]} were skipped since they are "
        "considered invalid environment variable names."
    )
    return Notice("InvalidEnvironmentVariableNames", message, container["name"])


def _not_ready(message: str, container: Json) -> PodNotReady:
    return PodNotReady(
        message, event_reason="Failed", waiting_reason="CreateContainerConfigError", container=container["name"]
    )
