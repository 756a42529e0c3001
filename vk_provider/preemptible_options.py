"""The settings of preemptible Jobs, as an operator gives them: the section `preemptible`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from vk_provider.settings import Section, dns_name, flag, integer, listing, object_name, setting, takes


@takes("NUMBER")
def _ratio(raw: Any) -> float:
    try:
        number = float(raw) if not isinstance(raw, bool) else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number <= 10:
        raise ValueError("expected a number from 0 to 10; 0 = no limit")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class PreemptibleOptions(Section):
    PREFIX: ClassVar[str] = "preemptible"

    enabled: bool = setting(
        False,
        flag,
        "offer idle quota as gocrane.io/cpu and gocrane.io/memory, and carry the Jobs that request it as spot "
        "instances, which end as soon as regular pods need the quota. Needs what deploy/preemptible has",
        short="offer idle quota to preemptible Jobs",
        section="Preemptible Jobs",
    )
    reserve_percent: int = setting(
        10,
        integer(0, 100),
        "share of the account's vCPU quota that is never offered; the annotation reserve.node.gocrane.io/cpu of a node "
        "goes before it",
        short="share of the quota that is never offered, in per cent",
    )
    share_percent: int = setting(
        100,
        integer(1, 100),
        "share of what is idle that this process may offer: less than 100 where several providers that do not share a "
        "Lease use one account, so that together they have 100",
        short="share of what is idle that is ours to offer, in per cent",
    )
    memory_per_cpu_gib: int = setting(
        4, integer(1, 64), "GiB of gocrane.io/memory that are offered with each gocrane.io/cpu"
    )
    most_spot_ratio: float = setting(
        1.0,
        _ratio,
        "nothing more is offered while spot instances cost more than so many times the price on demand; 0 = no limit",
        short="spot price, of that on demand, above which nothing is offered",
    )
    first_spot_cpu: int = setting(
        16,
        integer(1, 100_000),
        "vCPU that the spot market is thought to sell before anything was bought; more is offered minute by minute as "
        "creates succeed, half after a refusal",
        short="vCPU that the spot market is thought to sell at first",
    )
    owner_kinds: tuple[str, ...] = setting(
        ("Job.batch",),
        listing,
        "kinds of controllers whose pods may request idle capacity, each with its API group",
    )
    history: str = setting(
        "vk-provider/vk-provider-idle-history",
        object_name,
        "ConfigMap, namespace/name, that keeps the history of the regular load over restarts; empty = it is not kept",
        short="ConfigMap that keeps the history of the load",
    )
    predictions: str = setting(
        "crane-system",
        dns_name,
        "namespace of the TimeSeriesPrediction noderesource-NODE, where such objects are served",
    )
    external_predictions: bool = setting(
        False,
        flag,
        "take the forecast from the status of that TimeSeriesPrediction, which somebody else writes, rather than write "
        "it",
        short="somebody else writes the TimeSeriesPrediction",
    )
