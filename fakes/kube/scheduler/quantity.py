"""Quantities in the units the scheduler counts in: whole numbers, always rounded up. Pure."""

from decimal import ROUND_CEILING
from functools import lru_cache

from fakes.kube.quantity import parse


@lru_cache(maxsize=4096)
def units(resource: str, text: object) -> int:
    """Thousandths of a core for cpu, else ones. Raises ValueError on text that is no quantity."""
    value = parse(text) * (1000 if resource == "cpu" else 1)
    return int(value.to_integral_value(rounding=ROUND_CEILING))
