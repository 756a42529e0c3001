"""A pod's quality-of-service class, decided by its containers' cpu and memory alone."""

from collections.abc import Iterator
from typing import Any

from fakes.kube.quantity import parse

Json = dict[str, Any]


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort (`pkg/apis/core/helper/qos`)."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    amounts = [amount for container in containers for amount in _amounts(container)]
    if not amounts:
        return "BestEffort"
    return "Guaranteed" if all(_guaranteed(container) for container in containers) else "Burstable"


def _amounts(container: Json) -> Iterator[str]:
    for kind in ("limits", "requests"):
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            if name in ("cpu", "memory") and _value(amount) != 0:
                yield str(amount)


def _guaranteed(container: Json) -> bool:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return all(
        name in limits and _value(requests.get(name, limits[name])) == _value(limits[name])
        for name in ("cpu", "memory")
    )


def _value(amount: object) -> object:
    """The number, or the text itself when it is none: validation has yet to refuse it."""
    try:
        return parse(amount)
    except ValueError:
        return amount
