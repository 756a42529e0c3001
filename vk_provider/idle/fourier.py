"""The discrete Fourier transform, and the smooth part of one period of a load.

Plain Python on purpose: a period has 2,016 points at most (a week of five minutes), and a whole fit of two weeks takes
0.1 to 0.3 s twice a day, in a thread; numpy would cost every provider some 17 MB for as long as it lives.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence


def transform(values: Sequence[complex]) -> list[complex]:
    """X[k] = sum of x[n] e^(-2πikn/N). Fast where N has small prime factors; N² steps where N is prime."""
    count = len(values)
    radix = next((prime for prime in (2, 3, 5, 7) if count % prime == 0), count)
    if count <= 1:
        return list(values)
    size = count // radix
    parts = [transform(values[start::radix]) if size > 1 else [values[start]] for start in range(radix)]
    roots = [cmath.exp(-2j * math.pi * step / count) for step in range(count)]
    return [sum(part[k % size] * roots[k * start % count] for start, part in enumerate(parts)) for k in range(count)]


def smooth(
    values: Sequence[float],
    *,
    step_s: float,
    highest_hz: float,
    least_amplitude: float,
    least_items: int = 0,
    most_items: int | None = None,
) -> list[float]:
    """One period without what is noise: of its harmonics those that are slow or strong are kept.

    highest_hz: up to here a harmonic is slow. least_amplitude: from here on it is strong, in the unit of the values.
    The strongest `least_items` are kept in any case, and no more than the strongest `most_items`. Both halves of the
    spectrum are kept or left out together, so that the result is real and nothing of it is halved.
    """
    count = len(values)
    spectrum = transform([complex(value) for value in values])
    amplitudes = {k: 2 * abs(spectrum[k]) / count for k in range(1, count // 2 + 1)}
    strongest = sorted(amplitudes, key=lambda k: (-amplitudes[k], k))
    kept = set(strongest[:least_items])
    kept |= {k for k in strongest if k / (count * step_s) <= highest_hz or amplitudes[k] >= least_amplitude}
    if most_items is not None:
        kept &= set(strongest[:most_items])
    filtered = [value if k == 0 or min(k, count - k) in kept else 0j for k, value in enumerate(spectrum)]
    back = transform([value.conjugate() for value in filtered])
    return [value.real / count for value in back]
