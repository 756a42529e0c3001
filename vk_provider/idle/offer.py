"""One evaluation of all of it, every ten seconds: what the nodes are to publish, and which rules hold.

Whoever leads feeds it with readings and applies what it says. What it remembers may be lost at any time: the history
has a checkpoint, and the rest is read from the nodes and the cloud again (`Offer.resumed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vk_provider.idle.forecast import Forecaster, Prediction
from vk_provider.idle.history import HOUR_S
from vk_provider.idle.holdings import Holding, claims, requested_by_node
from vk_provider.idle.market import Depth
from vk_provider.idle.pool import STALE_S, Node, PoolSize, Quota, Terms, share
from vk_provider.idle.qos import AvoidanceAction, NodeQos
from vk_provider.idle.resources import NOTHING, Amount
from vk_provider.idle.rules import Load, RuleBook, Verdict

EVALUATE_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSettings:
    """reserve: share of the quota that is never offered (0-1). window_s: how far ahead the load is forecast."""

    reserve: float = 0.1
    window_s: float = float(HOUR_S)
    gib_per_cpu: float = 4.0
    stale_s: float = STALE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """published: what the Node object says. memory_left: see `pool.Node`."""

    published: Amount = NOTHING
    weight: float = 1.0
    memory_left: int | None = None

    def sharing(self, name: str, requested: Amount) -> Node:
        """As one that has a share of the pool."""
        return Node(
            name=name,
            requested=requested,
            published=self.published,
            weight=self.weight,
            memory_left=self.memory_left,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """shares: what each node is to publish. pool_cpu: what preemptible pods may hold. prediction: None = not known.

    why_closed: why the market sells nothing, empty when it does. load: what the rules were held against.
    """

    shares: Mapping[str, Amount]
    pool_cpu: float
    prediction: Prediction | None
    depth_cpu: float
    why_closed: str
    verdict: Verdict
    load: Load


class Offer:
    """depth: to be told of polls, creates, refusals and releases by its owner."""

    def __init__(self, forecaster: Forecaster, depth: Depth, settings: OfferSettings) -> None:
        self.forecaster, self.depth = forecaster, depth
        self.rules = RuleBook()
        self._settings = settings
        self._pool = PoolSize()
        self._suspended = False

    @classmethod
    def resumed(
        cls,
        forecaster: Forecaster,
        depth: Depth,
        settings: OfferSettings,
        *,
        holdings: Sequence[Holding],
        nodes: Mapping[str, NodeFacts],
    ) -> Offer:
        """Goes on with what the nodes publish, so that a new leader takes nothing away that is still right."""
        offer = cls(forecaster, depth, settings)
        published = sum(node.published.cpu for node in nodes.values())
        requested = sum(each.requested.cpu for each in holdings)
        offer._pool = PoolSize(max(0.0, published + claims(holdings).held_cpu - requested))
        return offer

    def record(self, quota: Quota, waiting_cpu: float = 0.0) -> None:
        """A reading of the quota, for the history. waiting_cpu: of regular pods that were refused."""
        self.forecaster.history.record(quota.at_s, quota.regular_cpu + waiting_cpu)

    def _terms(self, objects: Sequence[NodeQos], reserve: float | None, part: float) -> Terms:
        return Terms(
            reserve=self._settings.reserve if reserve is None else reserve,
            most_share=min((each.most_share for each in objects), default=1.0),
            part=part,
            suspended=self._suspended,
            stale_s=self._settings.stale_s,
        )

    def evaluate(
        self,
        now_s: float,
        *,
        quota: Quota | None,
        holdings: Sequence[Holding],
        nodes: Mapping[str, NodeFacts],
        qos: Iterable[NodeQos] = (),
        actions: Mapping[str, AvoidanceAction] | None = None,
        waiting_cpu: float = 0.0,
        reserve: float | None = None,
        part: float = 1.0,
        memory: tuple[float, float] | None = None,
        expected_cpu: float | None = None,
    ) -> Evaluation:
        """qos: those that apply to the nodes. waiting_cpu: see `record`. reserve: in place of that of the settings.
        part: of what is idle that these nodes may offer, others having the rest.
        memory: bytes that regular pods hold, and all there are. expected_cpu: somebody else's forecast of the peak."""
        objects = list(qos)
        requested = requested_by_node(holdings)
        prediction = self.forecaster.predict(now_s, self._settings.window_s)
        if expected_cpu is not None and prediction is not None:
            prediction = Prediction(expected_cpu, "external")
        regular_cpu = 0.0 if quota is None else quota.regular_cpu + waiting_cpu
        depth_cpu = self.depth.cpu(now_s)
        held = claims(holdings)
        pool_cpu = self._pool.evaluate(
            now_s,
            quota=quota,
            predicted_cpu=None if prediction is None else max(prediction.peak, regular_cpu),
            depth_cpu=depth_cpu,
            claims=held,
            terms=self._terms(objects, reserve, part),
        )
        sharing = [facts.sharing(name, requested.get(name, NOTHING)) for name, facts in sorted(nodes.items())]
        shares = share(pool_cpu, held, sharing, gib_per_cpu=self._settings.gib_per_cpu)
        load = _load(quota, requested, shares, memory)
        verdict = self.rules.evaluate(now_s, objects, actions or {}, load.metrics())
        self._suspended = verdict.suspended  # growth takes several rounds, so that the next one is soon enough
        return Evaluation(
            shares=shares,
            pool_cpu=pool_cpu,
            prediction=prediction,
            depth_cpu=depth_cpu,
            why_closed=self.depth.why_closed(now_s),
            verdict=verdict,
            load=load,
        )


def without_leader(published: Amount, requested: Amount) -> Amount:
    """What a node may go on to publish once nobody has computed the pool for a minute: no more than it gave out."""
    return Amount(min(published.cpu, requested.cpu), min(published.memory, requested.memory))


def _load(
    quota: Quota | None,
    requested: Mapping[str, Amount],
    shares: Mapping[str, Amount],
    memory: tuple[float, float] | None,
) -> Load:
    return Load(
        memory=None if memory is None else memory[0],
        all_memory=None if memory is None else memory[1],
        cpu=None if quota is None else quota.regular_cpu,
        all_cpu=None if quota is None else quota.most_cpu,
        requested_cpu=float(sum(amount.cpu for amount in requested.values())),
        published_cpu=float(sum(amount.cpu for amount in shares.values())),
    )
