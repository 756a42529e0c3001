"""What the node publishes of idle capacity, and how that stands in the Node: `gocrane.io/cpu` and `gocrane.io/memory`.

    published = floor(allocatable x (1 - reserve) - max(forecast, use by regular pods))

It falls at once and grows slowly, and where the use is not known nothing more is offered than preemptible pods hold.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.idle.forecast import ASSUMED_SHARE, Forecaster
from vk_provider.idle.pool import MIB, Claims, PoolSize, Quota
from vk_provider.idle.pool import Terms as PoolTerms
from vk_provider.idle.resources import CPU, MEMORY, NAMES, NOTHING, Amount
from vk_provider.model.pod import Json
from vk_provider.model.quantity import parse
from vk_provider.qos_agent.prediction import DEFAULT, Terms
from vk_provider.qos_agent.readings import Name
from vk_provider.qos_agent.usage import STALE_S, Usage

RESERVE_ANNOTATION = "reserve.node.gocrane.io/"  # then cpu or memory
RECENT_S = 120.0  # of when a history's minute began: at least the last minute
_NO_END = math.inf  # of what a market sells: a node's own capacity is not bought


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the Node object says. cpu: allocatable cores. memory: allocatable bytes. all_cpu, all_memory: its capacity.

    reserve_cpu, reserve_memory: shares (0-1) that its annotations keep back; None = they say nothing.
    published: what stands in its allocatable, or in its capacity where that is less.
    """

    cpu: float
    memory: float
    all_cpu: float
    all_memory: float
    published: Amount = NOTHING
    reserve_cpu: float | None = None
    reserve_memory: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationSettings:
    """reserve_cpu, reserve_memory: shares (0-1) that are never offered."""

    reserve_cpu: float = 0.1
    reserve_memory: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """room: what there is now, without waiting for others to agree that it has grown; never less than is published.
    Rules are held against it: a figure that has just fallen and grows slowly must end nobody.

    regular, predicted: what decided, cores and bytes; None = not known.
    """

    published: Amount
    room: Amount
    regular_cpu: float | None
    regular_memory: float | None
    predicted_cpu: float | None
    predicted_memory: float | None

    @property
    def decided_by(self) -> str:
        """`tsp` where the forecast, `local` where the use now decided on the processor; `none`: nothing is known."""
        if self.regular_cpu is None or self.predicted_cpu is None:
            return "none"
        return "tsp" if self.predicted_cpu > self.regular_cpu else "local"


class Publication:
    """cpu, memory: forecasters of regular use in cores and bytes. published: what the Node says at the start."""

    def __init__(
        self, cpu: Forecaster, memory: Forecaster, *, published: Amount, settings: PublicationSettings
    ) -> None:
        self.cpu, self.memory = cpu, memory
        self._window_s = DEFAULT.window_s
        self._before: tuple[float, float] | None = None  # regular use by the measurement before
        self._settings = settings
        self._cpu_size, self._memory_size = PoolSize(float(published.cpu)), PoolSize(float(published.memory))

    def configure(self, terms: Terms, node: NodeFacts) -> None:
        """What changed is forecast anew; the history stays."""
        self.cpu.reconfigure(terms.cpu, all_there_is=node.cpu)
        self.memory.reconfigure(terms.memory, all_there_is=node.memory)
        self._window_s = terms.window_s

    def record(self, usage: Usage, node: NodeFacts, preemptible: Collection[Name]) -> None:
        """A measurement, for the history: the lesser of two in a row, for one alone may count what a preemptible pod
        used as regular, when that began or ended between a kubelet's samples."""
        cpu = usage.cpu_quota(node.cpu, preemptible).regular_cpu
        memory = usage.memory_quota(node.memory, preemptible).regular_cpu
        before, self._before = self._before or (cpu, memory), (cpu, memory)
        self.cpu.history.record(usage.at_s, min(before[0], cpu))
        self.memory.history.record(usage.at_s, min(before[1], memory))

    def evaluate(
        self,
        now_s: float,
        *,
        usage: Usage | None,
        node: NodeFacts,
        preemptible: Collection[Name],
        requested: Amount,
        suspended: bool = False,
    ) -> Evaluation:
        """What the node is to publish from now on. Called once a measurement, known or not.

        preemptible, requested: names of the preemptible pods bound to the node, and what they request together.
        suspended: nothing more may be offered.
        """
        known = usage if usage is not None and usage.is_fresh(now_s) else None
        cpu = None if known is None else known.cpu_quota(node.cpu, preemptible)
        memory = None if known is None else known.memory_quota(node.memory, preemptible)
        reserve_cpu = self._settings.reserve_cpu if node.reserve_cpu is None else node.reserve_cpu
        reserve_memory = self._settings.reserve_memory if node.reserve_memory is None else node.reserve_memory
        cpu_peak = _peak(now_s, self.cpu, cpu, self._window_s)
        memory_peak = _peak(now_s, self.memory, memory, self._window_s)
        sizes = (
            _size(now_s, self._cpu_size, cpu, cpu_peak, requested.cpu, reserve_cpu, suspended),
            _size(now_s, self._memory_size, memory, memory_peak, requested.memory, reserve_memory, suspended),
        )
        published = Amount(math.floor(sizes[0] + 1e-9), int(sizes[1]) // MIB * MIB)
        room = (_room(cpu, cpu_peak, reserve_cpu), _room(memory, memory_peak, reserve_memory))
        return Evaluation(
            published=published,
            room=Amount(max(published.cpu, math.floor(room[0] + 1e-9)), max(published.memory, int(room[1]))),
            regular_cpu=None if cpu is None else cpu.regular_cpu,
            regular_memory=None if memory is None else memory.regular_cpu,
            predicted_cpu=cpu_peak,
            predicted_memory=memory_peak,
        )


def _peak(now_s: float, forecaster: Forecaster, quota: Quota | None, window_s: float) -> float | None:
    prediction = forecaster.predict(now_s, window_s)
    if quota is None or prediction is None:
        return None
    if prediction.method != "assumed":
        return prediction.peak
    # Too short a history to forecast by. Its highest value would hold the figure down for an hour after one burst; pods
    # that yield the processor at once make it enough to look back a minute or two.
    recent = max((value for _, value in forecaster.history.since(now_s - RECENT_S)), default=0.0)
    return max(recent, ASSUMED_SHARE * quota.most_cpu)


def _room(quota: Quota | None, peak: float | None, reserve: float) -> float:
    if quota is None or peak is None:
        return 0.0
    return max(0.0, quota.most_cpu * (1 - reserve) - max(peak, quota.regular_cpu))


def _size(
    now_s: float,
    size: PoolSize,
    quota: Quota | None,
    peak: float | None,
    held: float,
    reserve: float,
    suspended: bool,
) -> float:
    claims = Claims(held_cpu=float(held))
    terms = PoolTerms(reserve=reserve, suspended=suspended, stale_s=STALE_S)
    return size.evaluate(now_s, quota=quota, predicted_cpu=peak, depth_cpu=_NO_END, claims=claims, terms=terms)


# --- the Node object --------------------------------------------------------------------------------------------------


def node_facts(node: Mapping[str, Any]) -> NodeFacts | None:
    """None while the Node says nothing of its size, as before its kubelet has registered it whole."""
    status = node.get("status") or {}
    allocatable, capacity = status.get("allocatable") or {}, status.get("capacity") or {}
    cpu, memory = _amount(allocatable.get("cpu")), _amount(allocatable.get("memory"))
    if cpu is None or memory is None:
        return None
    annotations = (node.get("metadata") or {}).get("annotations") or {}
    stated = [{name: int(_amount(side.get(name)) or 0) for name in NAMES} for side in (allocatable, capacity)]
    return NodeFacts(
        cpu=cpu,
        memory=memory,
        all_cpu=_amount(capacity.get("cpu")) or cpu,
        all_memory=_amount(capacity.get("memory")) or memory,
        published=Amount(min(side[CPU] for side in stated), min(side[MEMORY] for side in stated)),
        reserve_cpu=_share(annotations.get(f"{RESERVE_ANNOTATION}cpu")),
        reserve_memory=_share(annotations.get(f"{RESERVE_ANNOTATION}memory")),
    )


def status_patch(node: Mapping[str, Any], published: Amount) -> Json | None:
    """A strategic merge patch of `nodes/status` with just our keys; None when both sides of the Node say so already."""
    wanted = published.quantities()
    status = node.get("status") or {}
    if all(_says(status.get(side) or {}, wanted) for side in _SIDES):
        return None
    return {"status": {side: dict(wanted) for side in _SIDES}}


_SIDES = ("capacity", "allocatable")


def _says(stated: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(_amount(stated.get(name)) == _amount(value) for name, value in wanted.items())


def _amount(value: object) -> float | None:
    try:
        return None if value is None else float(parse(str(value)))
    except ValueError:
        return None


def _share(value: object) -> float | None:
    """`20%` or `0.2`; None for what is neither."""
    text = str(value or "").strip()
    amount = _amount(text.removesuffix("%"))
    if not text or amount is None:
        return None
    share = amount / 100 if text.endswith("%") else amount
    return share if 0 <= share <= 1 else None
