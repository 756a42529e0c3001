"""The environment of one container, as a kubelet makes it (contract S1 to S11)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import FromPodIP, Notice
from vk_provider.redaction import SecretText
from vk_provider.translate.expansion import Allowance, escaped, names_in
from vk_provider.translate.fieldrefs import environment_value
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Kind, ObjectKey, Objects
from vk_provider.translate.resources import resource_value
from vk_provider.translate.services import by_use

Value = str | FromPodIP

# What clouds take. One documents letters, digits and `_` alone, but its own examples have dashes (`logs_log-stdout`)
# and dots (`discovery.type`), as kubelets up to 1.29 have; so those are passed on, and the
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
        return {name: text for name, text in _texts(self.variables).items() if name not in self.late}

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
    allowance: Allowance = dataclasses.field(default_factory=Allowance)

    def build(self, container: Json, path: str = "spec.containers[*]") -> Environment:
        """First `envFrom`, then `env`, then the Services that neither of them named; later ones win.

        path: the container's. Raises PodNotReady when something the container names is not there, and UnsupportedPod
        for what becomes too long.
        """
        variables: dict[str, Value] = {}
        notices: list[Notice] = []
        late: set[str] = set()
        for index, source in enumerate(container.get("envFrom") or ()):
            for name, kind in _ENV_FROM_KINDS:
                if source.get(name):
                    place = f"{path}.envFrom[{index}]"
                    prefix = source.get("prefix") or ""
                    notices.extend(self._add_all(variables, prefix, kind, source[name], container, place))
        known: dict[str, str] = {**self.services, **_texts(variables)}
        for index, variable in enumerate(container.get("env") or ()):
            value = self._value(variable, known, container, f"{path}.env[{index}]", late)
            if value is not None:
                variables[variable["name"]] = value
                self._know(known, variable["name"], value)
                self._follow(variable, value, late)
        added = _missing(self.services, variables)
        return Environment({**variables, **added}, tuple(notices), by_use(added, _texts_of(container)), frozenset(late))

    def _know(self, known: dict[str, str], name: str, value: Value) -> None:
        """What the next variables may be made of: made anew for each of them it would take the square of the time."""
        if isinstance(value, str):
            known[name] = value
        elif name in self.services:
            known[name] = self.services[name]
        else:
            known.pop(name, None)

    def _follow(self, variable: Json, value: Value, late: set[str]) -> None:
        """Keep track of what the cloud completes."""
        text = variable.get("value") or ""
        if isinstance(value, FromPodIP) or _names_any(text, late):
            late.add(variable["name"])
        else:
            late.discard(variable["name"])

    def _add_all(
        self, variables: dict[str, Value], prefix: str, kind: Kind, reference: Json, container: Json, place: str
    ) -> Iterator[Notice]:
        key = (self.namespace, reference["name"])
        data = self.objects.data(kind, key)
        if data is None:
            if reference.get("optional"):
                return
            raise _not_ready(kind.not_found(key[1]), container)
        self.allowance.take_keys(len(data), place)
        skipped = []
        for entry in sorted(data):
            name = prefix + entry
            if VARIABLE_NAME.fullmatch(name):
                variables[name] = text = _text(data[entry], kind, key, entry, container)
                self.allowance.take(text, place)
            else:
                skipped.append(entry)
        if skipped:
            yield _skipped(skipped, kind, key, container)

    def _value(
        self, variable: Json, known: Mapping[str, str], container: Json, place: str, late: Collection[str]
    ) -> Value | None:
        """One entry of `env`; None = an optional source is missing, so that an earlier value stays."""
        if text := variable.get("value"):
            unknown = late if _names_any(text, late) else None
            return self.allowance.expanded(text, known, f"{place}.value", late=unknown)
        found = self._found(variable.get("valueFrom") or {}, container)
        if isinstance(found, str):
            self.allowance.take(found, f"{place}.valueFrom")
        return found

    def _found(self, source: Json, container: Json) -> Value | None:
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


def _texts(variables: Mapping[str, Value]) -> Mapping[str, str]:
    return {name: value for name, value in variables.items() if isinstance(value, str)}


def _names_any(text: str, names: Collection[str]) -> bool:
    return bool(names) and any(name in names for name in names_in(text))


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
    return SecretText(text) if kind is Kind.SECRET and text else text


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
