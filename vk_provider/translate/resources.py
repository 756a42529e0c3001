"""CPU, memory and temporary storage: what containers ask for, and what the pod as a whole needs (S9, S39)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar
from vk_provider.model.quantity import GIB, ceil_div, parse

FREE_STORAGE_GIB = 30  # temporary storage that an instance has without asking (eci.md 5.3)


def container_cpu(container: Json) -> float | None:
    """vCPU; None when the container says nothing of it, or zero."""
    return _number(_size(container, "cpu"))


def container_memory_gib(container: Json) -> float | None:
    return _number(_size(container, "memory"), GIB)


def pod_cpu(pod: Json) -> float | None:
    """vCPU the pod needs: all that run together, or its largest init container; None when none says anything.

    Sidecars run together with the containers, and come after every other init container (`probe_fields`).
    """
    return _number(_need(pod, "cpu", _size))


def pod_memory_gib(pod: Json) -> float | None:
    return _number(_need(pod, "memory", _size), GIB)


def exceeds_storage(pod: Json) -> bool:
    """Whether the pod requests more temporary storage than every instance has."""
    need = _need(pod, "ephemeral-storage", _requested)
    return need is not None and need > FREE_STORAGE_GIB * GIB


def states_storage(container: Json) -> bool:
    return bool(_requested(container, "ephemeral-storage"))


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


def _need(pod: Json, resource: str, size: Callable[[Json, str], Fraction | None]) -> Fraction | None:
    inits = init_containers_of(pod)
    together = _present(size(container, resource) for container in (*filter(is_sidecar, inits), *containers_of(pod)))
    in_turn = _present(size(container, resource) for container in inits if not is_sidecar(container))
    if not together and not in_turn:
        return None
    overhead = parse((pod["spec"].get("overhead") or {}).get(resource) or 0)
    return max(sum(together, Fraction(0)), *in_turn, Fraction(0)) + overhead


def _present(sizes: Iterable[Fraction | None]) -> list[Fraction]:
    return [size for size in sizes if size is not None]


def _number(quantity: Fraction | None, unit: int = 1) -> float | None:
    return None if quantity is None else float(quantity / unit)
