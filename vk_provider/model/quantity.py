"""Kubernetes quantities and plain numbers.

Source: kubernetes staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go (grammar in its package comment).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

# No real quantity has an exponent of more digits, and computing with one would take for ever.
_QUANTITY = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d{1,3})|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)?)", re.ASCII
)
_MOST_CHARACTERS = 500  # the API server's own take a few dozen
_FACTORS: dict[str, Fraction] = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000 ** (power + 1)) for power, suffix in enumerate("kMGTPE")},
    **{f"{suffix}i": Fraction(1024 ** (power + 1)) for power, suffix in enumerate("KMGTPE")},
}
GIB = 1024**3


def parse(text: str | int | float) -> Fraction:
    """`500m` → 1/2, `1Gi` → 1073741824, `1e3` → 1000. Exact. Raises ValueError on anything else."""
    text = str(text)
    if len(text) > _MOST_CHARACTERS:  # nor is it worth a place in the cache
        raise ValueError(f"a quantity of {len(text)} characters; write for example 500m, 2, 512Mi or 1.5Gi")
    return _parsed(text)


@lru_cache(maxsize=1024)  # a burst's pods ask for the same few sizes, each of them in a dozen places
def _parsed(text: str) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write for example 500m, 2, 512Mi or 1.5Gi")
    number, exponent, suffix = match.groups()
    if exponent:
        return Fraction(number) * Fraction(10) ** int(exponent[1:])
    return Fraction(number) * _FACTORS[suffix or ""]


def ceil_div(quantity: Fraction, divisor: Fraction) -> int:
    """How many divisors it takes to hold the quantity: what a resourceFieldRef shows."""
    return -((-quantity) // divisor)
