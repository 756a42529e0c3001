"""TimeSeriesPrediction: custom resource → what to forecast and how; forecasts → its status.

Source: gocrane's prediction.crane.io/v1alpha1. A spec that cannot be read is said to be so in the Ready condition, and
never replaced by defaults in silence. Units are vCPU and bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vk_provider import bounds
from vk_provider.idle.fields import Fields, Notes
from vk_provider.idle.forecast import Algorithm, Dsp, Percentile
from vk_provider.idle.histogram import Buckets
from vk_provider.idle.history import DAY_S, HOUR_S, MINUTE_S
from vk_provider.idle.periodic import DEFAULT_ESTIMATORS, Estimator, Harmonics, MaxValue
from vk_provider.model.pod import Json

SUCCEEDED, PARTIAL, FAILED = "PredictSucceed", "PredictPartial", "PredictFailed"
MOST_SAMPLES = 1_000  # of one metric in a status
_MOST_HISTORY_S = 60 * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """resource: `cpu` or `memory`. algorithm: None when it cannot be forecast; `why` then says so."""

    identifier: str
    resource: str = ""
    algorithm: Algorithm | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeriesPrediction:
    """target: kind and name of what is forecast."""

    namespace: str
    name: str
    target: tuple[str, str]
    window_s: int
    metrics: tuple[Metric, ...]
    faults: tuple[str, ...] = ()


def prediction(document: Json) -> TimeSeriesPrediction:
    """Total: what is wrong stands with its metric, or in `faults`."""
    notes = Notes()
    whole = Fields(document, "", notes)
    meta, spec = whole.fields("metadata"), whole.fields("spec")
    target = spec.fields("targetRef")
    metrics = [_metric(each) for each in spec.each("predictionMetrics", bounds.MOST_PREDICTIONS)]
    return TimeSeriesPrediction(
        namespace=meta.text("namespace"),
        name=meta.text("name"),
        target=(target.text("kind"), target.text("name")),
        window_s=spec.whole("predictionWindowSeconds", HOUR_S, least=MINUTE_S, most=7 * DAY_S),
        metrics=tuple(metrics),
        faults=tuple(notes.faults),
    )


def status(
    spec: TimeSeriesPrediction, forecasts: Mapping[str, Sequence[tuple[int, float]]], *, now: str
) -> dict[str, object]:
    """forecasts: by identifier, epoch seconds and values; a metric without any is not ready. now: RFC 3339."""
    listed = []
    for metric in spec.metrics:
        samples = forecasts.get(metric.identifier, ())[:MOST_SAMPLES] if metric.algorithm else ()
        values = [{"value": f"{value:.5f}", "timestamp": when_s} for when_s, value in samples]
        series = [{"labels": [], "samples": values}] if values else []
        listed.append({"resourceIdentifier": metric.identifier, "ready": bool(values), "prediction": series})
    ready = sum(bool(each["ready"]) for each in listed)
    is_good = ready == len(listed) > 0 and not spec.faults
    reason = SUCCEEDED if is_good else PARTIAL if ready else FAILED
    condition = {
        "type": "Ready",
        "status": "True" if is_good else "False",
        "reason": reason,
        "message": bounds.shortened(_message(spec, listed), bounds.MOST_EVENT),
        "lastTransitionTime": now,
    }
    return {"predictionMetrics": listed, "conditions": [condition]}


def _message(spec: TimeSeriesPrediction, listed: Sequence[Mapping[str, object]]) -> str:
    lines = list(spec.faults)
    for metric, entry in zip(spec.metrics, listed, strict=True):
        if not entry["ready"]:
            lines.append(f"{metric.identifier}: {metric.why or 'there are no readings of late'}")
    if not spec.metrics:
        lines.append("spec.predictionMetrics is empty")
    return "; ".join(lines)


def _metric(fields: Fields) -> Metric:
    own = Notes()  # a fault of one metric must not spoil the others
    fields = fields.noted_in(own)
    identifier = fields.text("resourceIdentifier", fields.path)
    kind = fields.text("type", "ResourceQuery", among=("ResourceQuery", "MetricQuery", "ExpressionQuery"))
    if kind != "ResourceQuery":
        return Metric(identifier=identifier, why=f"{kind} needs a source of metrics, and there is none")
    resource = fields.text("resourceQuery", among=("cpu", "memory"))
    if not resource and not own.faults:
        own.fault(fields.at("resourceQuery"), "must be cpu or memory")
    algorithm = _algorithm(fields.fields("algorithm"))
    if own.faults:
        return Metric(identifier=identifier, why="; ".join(own.faults))
    return Metric(identifier=identifier, resource=resource, algorithm=algorithm)


def _algorithm(fields: Fields) -> Algorithm:
    kind = fields.text("algorithmType", "percentile", among=("dsp", "percentile"))
    fallback = _percentile(fields.fields("percentile"))
    return _dsp(fields.fields("dsp"), fallback) if kind == "dsp" else fallback


def _percentile(fields: Fields) -> Percentile:
    histogram = fields.fields("histogram")
    half_life_s = histogram.seconds("halfLife", float(DAY_S), least=MINUTE_S)
    return Percentile(
        share=fields.number("percentile", 0.99, least=0.01, most=1),
        margin=fields.number("marginFraction", 0, least=0, most=10),
        target_utilization=fields.number("targetUtilization", 1, least=0.01, most=1),
        history_s=int(fields.seconds("historyLength", 7 * DAY_S, least=HOUR_S, most=_MOST_HISTORY_S)),
        least_weight=fields.number("minSampleWeight", 1e-5, least=0, most=1e9),
        half_life_s=half_life_s,
        buckets=_buckets(histogram),
    )


def _buckets(fields: Fields) -> Buckets | None:
    """None: those that fit all there is. Exponential if both of their fields are given."""
    if "maxValue" not in fields:
        return None
    most = fields.number("maxValue", 100, least=1e-9, most=2.0**60)
    first = fields.number("firstBucketSize", 0, least=1e-9, most=2.0**60)
    growth = fields.number("bucketSizeGrowthRatio", 0, least=1.0001, most=100)
    linear = fields.number("bucketSize", most / 1000, least=1e-9, most=2.0**60)
    try:
        return Buckets(most=most, first=first, growth=growth) if first and growth else Buckets(most=most, first=linear)
    except ValueError as error:
        fields.notes.fault(fields.path, str(error))
        return None


def _dsp(fields: Fields, fallback: Percentile) -> Dsp:
    estimators = fields.fields("estimators")
    maxima = [
        MaxValue(margin=each.number("marginFraction", 0, least=0, most=10))
        for each in estimators.each("maxValue", bounds.MOST_ESTIMATORS)
    ]
    harmonics = [_harmonics(each) for each in estimators.each("fft", bounds.MOST_ESTIMATORS)]
    given: tuple[Estimator, ...] = (*maxima, *harmonics)
    return Dsp(
        history_s=int(fields.seconds("historyLength", 15 * DAY_S, least=2 * DAY_S, most=_MOST_HISTORY_S)),
        interval_s=int(fields.seconds("sampleInterval", MINUTE_S, least=1, most=HOUR_S)),
        estimators=given or DEFAULT_ESTIMATORS,
        fallback=fallback,
    )


def _harmonics(fields: Fields) -> Harmonics:
    most = fields.whole("maxNumOfSpectrumItems", -1, least=1, most=100_000)
    return Harmonics(
        margin=fields.number("marginFraction", 0, least=0, most=10),
        least_amplitude=fields.number("lowAmplitudeThreshold", 1, least=0, most=2.0**60),
        highest_hz=fields.number("highFrequencyThreshold", 1 / 3600, least=0, most=1000),
        least_items=fields.whole("minNumOfSpectrumItems", 3, least=0, most=100_000),
        most_items=None if most < 0 else most,
    )
