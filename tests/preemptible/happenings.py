"""What happens in a story of preemptible Jobs, and when: drawn by a seed, or by Hypothesis, which makes it smaller."""

from __future__ import annotations

import random
from dataclasses import dataclass

TROUBLE_S = 900.0
LOADS = (5.0, 20.0, 40.0, 70.0)
MARKETS: tuple[tuple[float, int | None], ...] = ((0.2, None), (1.4, None), (0.3, 20), (0.5, 4))
SIZES = ((2, 8), (4, 6), (8, 5), (16, 3))  # vCPU of a pod, and pods of a Job
IMAGES = ("short", "usual", "stubborn")
REGULAR_CPU = (4, 8, 16, 32)
AWAY_S = (1.0, 12.0, 40.0)
SILENCES_S = (20.0, 240.0)


@dataclass(frozen=True, slots=True)
class JobComes:
    at_s: float
    cpu: int
    pods: int
    image: str


@dataclass(frozen=True, slots=True)
class RegularComes:
    at_s: float
    cpu: int


@dataclass(frozen=True, slots=True)
class LoadChanges:
    """Other tenants of the account hold so many vCPU from now on."""

    at_s: float
    vcpu: float


@dataclass(frozen=True, slots=True)
class MarketChanges:
    """price: of that on demand. stock: vCPU that are left, None = as much as anybody wants."""

    at_s: float
    price: float
    stock: int | None


@dataclass(frozen=True, slots=True)
class ProviderDies:
    """process: which of them. After so many steps of its calls; another takes its place after `away_s`."""

    at_s: float
    process: int
    steps: int
    away_s: float


@dataclass(frozen=True, slots=True)
class LeaderChanges:
    """A node goes from the process that serves it to another one, which may be new. node: which of them."""

    at_s: float
    node: int


@dataclass(frozen=True, slots=True)
class PodIsDeleted:
    """pick: which of the preemptible pods that are there then, 0-1."""

    at_s: float
    pick: float


@dataclass(frozen=True, slots=True)
class QuotaIsSilent:
    at_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True)
class CloudTakesBack:
    """pick: which of the spot instances that run then, 0-1."""

    at_s: float
    pick: float


Happening = (
    JobComes
    | RegularComes
    | LoadChanges
    | MarketChanges
    | ProviderDies
    | LeaderChanges
    | PodIsDeleted
    | QuotaIsSilent
    | CloudTakesBack
)


@dataclass(frozen=True, slots=True)
class Plan:
    """processes: the nodes that each serves at first."""

    processes: tuple[tuple[str, ...], ...]
    happenings: tuple[Happening, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for names in self.processes for name in names)


PROCESSES = ((("vk",),), (("vk-a", "vk-b"),), (("vk-a",), ("vk-b",)))


def drawn(seed: int) -> Plan:
    """The same seed is the same plan."""
    dice = random.Random(seed)
    processes = dice.choices(PROCESSES, (6, 2, 2))[0]
    found: list[Happening] = [
        JobComes(dice.uniform(0, TROUBLE_S * 0.8), *dice.choice(SIZES), dice.choice(IMAGES))
        for _ in range(dice.randint(7, 11))
    ]
    found += [RegularComes(dice.uniform(60, TROUBLE_S), dice.choice(REGULAR_CPU)) for _ in range(dice.randint(4, 8))]
    found += [_trouble(dice, dice.uniform(30, TROUBLE_S)) for _ in range(dice.randint(3, 8))]
    return Plan(processes, tuple(sorted(found, key=lambda each: each.at_s)))


def _trouble(dice: random.Random, at_s: float) -> Happening:
    match dice.randrange(7):
        case 0:
            return LoadChanges(at_s, dice.choice(LOADS))
        case 1:
            return MarketChanges(at_s, *dice.choice(MARKETS))
        case 2:
            return ProviderDies(at_s, dice.randrange(2), dice.randint(1, 60), dice.choice(AWAY_S))
        case 3:
            return LeaderChanges(at_s, dice.randrange(2))
        case 4:
            return PodIsDeleted(at_s, dice.random())
        case 5:
            return QuotaIsSilent(at_s, dice.choice(SILENCES_S))
        case _:
            return CloudTakesBack(at_s, dice.random())
