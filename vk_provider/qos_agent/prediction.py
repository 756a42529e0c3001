"""The node's TimeSeriesPrediction, `noderesource-<node>`: how its use is to be forecast, and what came of it.

It is read where an administrator has made one; the agent makes none. Its status is written when it says something else:
another condition, or a peak that differs by over a tenth, so that nothing is written while nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.idle import predictions
from vk_provider.idle.forecast import Algorithm, Forecaster, Percentile
from vk_provider.idle.history import HOUR_S
from vk_provider.idle.predictions import TimeSeriesPrediction
from vk_provider.model.pod import Json

NAME = "noderesource-"
RESOURCES = ("cpu", "memory")
_STEP_S = 60
_WORTH = 0.1
_DEFAULT = Percentile()


@dataclass(frozen=True, slots=True)
class Terms:
    """How each resource is forecast, and how far ahead."""

    cpu: Algorithm = _DEFAULT
    memory: Algorithm = _DEFAULT
    window_s: float = float(HOUR_S)


DEFAULT = Terms()


def terms(document: Json | None) -> Terms:
    """What cannot be read of it stays as without it; its status says so."""
    if document is None:
        return DEFAULT
    spec = predictions.prediction(document)
    algorithms = {each.resource: each.algorithm for each in spec.metrics if each.algorithm is not None}
    return Terms(algorithms.get("cpu", DEFAULT.cpu), algorithms.get("memory", DEFAULT.memory), float(spec.window_s))


def status_patch(document: Json, forecasters: Mapping[str, Forecaster], now_s: float, *, now: str) -> Json | None:
    """A merge patch of its status; None where it says so already. now: RFC 3339."""
    spec: TimeSeriesPrediction = predictions.prediction(document)
    forecasts = {
        each.identifier: forecasters[each.resource].samples(now_s, spec.window_s, _STEP_S)
        for each in spec.metrics
        if each.resource in forecasters
    }
    wanted = predictions.status(spec, forecasts, now=now)
    if _gist(wanted) == _gist(document.get("status") or {}) and _is_near(wanted, document.get("status") or {}):
        return None
    return {"status": wanted}


def _gist(status: Mapping[str, Any]) -> list[Any]:
    conditions = [
        tuple(each.get(key) for key in ("type", "status", "reason", "message"))
        for each in status.get("conditions") or ()
    ]
    ready = [(each.get("resourceIdentifier"), each.get("ready")) for each in status.get("predictionMetrics") or ()]
    return [conditions, ready]


def _is_near(wanted: Mapping[str, Any], stated: Mapping[str, Any]) -> bool:
    before = _peaks(stated)
    return all(
        abs(peak - before.get(name, 0.0)) <= _WORTH * max(peak, before.get(name, 0.0), 1e-9)
        for name, peak in _peaks(wanted).items()
    )


def _peaks(status: Mapping[str, Any]) -> dict[str, float]:
    peaks = {}
    for metric in status.get("predictionMetrics") or ():
        samples = [each for series in metric.get("prediction") or () for each in series.get("samples") or ()]
        try:
            peaks[str(metric.get("resourceIdentifier"))] = max((float(each["value"]) for each in samples), default=0.0)
        except (KeyError, TypeError, ValueError):
            continue
    return peaks
