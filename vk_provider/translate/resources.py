"""CPU, memory and temporary storage: what containers ask for, and what the pod as a whole needs (S9, S39)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar
from vk_provider.model.quantity import GIB, ceil_div, parse

GPU = "nvidia.com/gpu"
Mark = tuple[str, str]  # name and value of an environment variable; empty = no container has it
NO_MARK: Mark = ("", "")
ARCH_LABEL = "kubernetes.io/arch"
REQUIRED_AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"


def container_cpu(container: Json) -> float | None:
    """vCPU; None when the container says nothing of it, or zero."""
    return _number(_size(container, "cpu"))


def container_memory_gib(container: Json) -> float | None:
    return _number(_size(container, "memory"), GIB)


def container_gpus(container: Json) -> int:
    """Whole GPUs; Kubernetes lets them be stated as a limit, and as a request only beside an equal limit."""
    stated = _requested(container, GPU)
    return 0 if stated is None else int(stated)


def pod_cpu(pod: Json, left_out: Mark = NO_MARK) -> float | None:
    """vCPU the pod needs as a whole (S39); None when nothing in it says anything.

    All containers that run together, or an init container and the sidecars started before it if that is more; a value
    of the pod itself goes before all of them, and its overhead is added. left_out: as in `Capabilities`.
    """
    return _number(_need(pod, "cpu", _size, left_out))


def pod_memory_gib(pod: Json, left_out: Mark = NO_MARK) -> float | None:
    return _number(_need(pod, "memory", _size, left_out), GIB)


def is_cpu_open(pod: Json, left_out: Mark = NO_MARK) -> bool:
    """Some app container says nothing of its vCPU, so that no sum speaks for it, nor does the pod itself.

    A value of an injected sidecar or init container must not become the size of a server that says nothing.
    """
    return _is_open(pod, "cpu", left_out)


def is_memory_open(pod: Json, left_out: Mark = NO_MARK) -> bool:
    return _is_open(pod, "memory", left_out)


def pod_storage_gib(pod: Json, left_out: Mark = NO_MARK) -> float | None:
    """Temporary storage that the pod requests as a whole, what every instance has for free included."""
    return _number(_need(pod, "ephemeral-storage", _requested, left_out), GIB)


def architecture(pod: Json) -> str:
    """The one `kubernetes.io/arch` that the pod insists on, as `arm64`; empty when it insists on none.

    Total: only the scheduler reads these fields by right, so nobody has looked at their types.
    """
    spec = pod["spec"]
    chosen = _at(spec, "nodeSelector", ARCH_LABEL)
    if chosen is not None:
        return str(chosen)
    terms = _at(spec, "affinity", "nodeAffinity", REQUIRED_AFFINITY, "nodeSelectorTerms")
    allowed = [_arch_of_term(term) for term in terms] if isinstance(terms, list) else []
    return allowed[0] if len(set(allowed)) == 1 else ""


def _arch_of_term(term: Any) -> str:
    expressions = _at(term, "matchExpressions")
    for expression in expressions if isinstance(expressions, list) else []:
        values = _at(expression, "values")
        if _at(expression, "key") == ARCH_LABEL and _at(expression, "operator") == "In" and isinstance(values, list):
            return str(values[0]) if len(values) == 1 else ""
    return ""


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def resource_value(container: Json, reference: Json, allocatable: Mapping[str, str]) -> str:
    """What a `resourceFieldRef` shows: the quantity in whole divisors, rounded up (S9).

    An unset limit is what the node has to give. A divisor of zero is what the API server writes for none.
    """
    group, _, resource = str(reference["resource"]).partition(".")
    stated = _requested(container, resource) if group == "requests" else _stated(container, group, resource)
    if stated is None and group == "limits":
        stated = parse(allocatable.get(resource) or 0)
    divisor = parse(reference.get("divisor") or 0) or Fraction(1)
    return str(ceil_div(stated or Fraction(0), divisor))


def _size(container: Json, resource: str) -> Fraction | None:
    # The cloud enforces the one number it is given, so the limit goes before the request.
    return _stated(container, "limits", resource) or _stated(container, "requests", resource) or None


def _requested(container: Json, resource: str) -> Fraction | None:
    # The API server copies an unset request from the limit; a manifest from a file has not been there yet.
    requested = _stated(container, "requests", resource)
    return _stated(container, "limits", resource) if requested is None else requested


def _stated(container: Json, group: str, resource: str) -> Fraction | None:
    text = ((container.get("resources") or {}).get(group) or {}).get(resource)
    return None if text is None else parse(text)


def _need(pod: Json, resource: str, size: Callable[[Json, str], Fraction | None], left_out: Mark) -> Fraction | None:
    overhead = parse((pod["spec"].get("overhead") or {}).get(resource) or 0)
    whole = size(pod["spec"], resource)
    if whole is not None:
        return whole + overhead
    sidecars = [one for one in init_containers_of(pod) if is_sidecar(one)]
    running = [one for one in [*containers_of(pod), *sidecars] if not _is_left_out(one, left_out)]
    together = [found for one in running if (found := size(one, resource)) is not None]
    in_turn = list(_start_up(pod, lambda one: size(one, resource), left_out))
    if not together and not in_turn:
        return None
    if len(together) == 1 and not in_turn and not overhead:
        return together[0]  # as in most; sums of fractions are slow
    return max(sum(together, Fraction(0)), *in_turn, Fraction(0)) + overhead


def _is_open(pod: Json, resource: str, left_out: Mark) -> bool:
    if _size(pod["spec"], resource) is not None:
        return False
    return any(_size(one, resource) is None for one in containers_of(pod) if not _is_left_out(one, left_out))


def _start_up(pod: Json, size: Callable[[Json], Fraction | None], left_out: Mark) -> Iterator[Fraction]:
    """What runs at once while each init container runs: itself and the sidecars before it."""
    before = Fraction(0)
    for container in init_containers_of(pod):
        own = size(container)
        if is_sidecar(container):
            before += Fraction(0) if _is_left_out(container, left_out) else own or 0
        elif own is not None:
            yield before + own


def _is_left_out(container: Json, left_out: Mark) -> bool:
    """Whether it says, in the cloud's own words, that it shall not make the instance larger."""
    name, value = left_out
    return bool(name) and any(
        one.get("name") == name and one.get("value") == value for one in container.get("env") or ()
    )


def _number(quantity: Fraction | None, unit: int = 1) -> float | None:
    return None if quantity is None else float(quantity / unit)
