"""An SVG chart: pods a second of the provider beside the control plane's ceiling, for running and for going."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.bench.burst import Burst

WIDTH, HEIGHT, LEFT, TOP, BASE = 760, 380, 60, 64, 320
COLOURS = {"provider": "#2563eb", "ceiling": "#cbd5e1"}


def chart(bursts: Sequence[Burst], ceilings: Sequence[Burst], *, title: str) -> str:
    """Two groups of bars a size: until all run, until all are gone."""
    most = max([each.per_s for each in (*bursts, *ceilings)] + [each.gone_per_s for each in ceilings] + [1.0])
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
            ' font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">Pods a second, {escape(title)}</text>',
        f'<text x="{LEFT}" y="44" fill="#475569">blue: vk-provider; grey: a bare client with the same writes</text>',
        f'<line x1="{LEFT}" y1="{BASE}" x2="{WIDTH - 20}" y2="{BASE}" stroke="#475569"/>',
    ]
    groups = [
        (f"{burst.pods:,} {what}", own, top)
        for burst, ceiling in zip(bursts, ceilings, strict=True)
        for what, own, top in (
            ("run", burst.per_s, ceiling.per_s),
            ("gone", burst.gone_per_s, ceiling.gone_per_s),
        )
    ]
    step = (WIDTH - LEFT - 20) / max(1, len(groups))
    for number, (label, own, top) in enumerate(groups):
        x = LEFT + number * step + step * 0.1
        parts += _bar(x, step * 0.38, top / most, COLOURS["ceiling"], f"{top:.0f}")
        parts += _bar(x + step * 0.4, step * 0.38, own / most, COLOURS["provider"], f"{own:.0f}")
        parts.append(f'<text x="{x + step * 0.4:.0f}" y="{BASE + 20}" text-anchor="middle">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(x: float, width: float, share: float, colour: str, label: str) -> list[str]:
    height = share * (BASE - TOP - 16)
    return [
        f'<rect x="{x:.1f}" y="{BASE - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>',
        f'<text x="{x + width / 2:.1f}" y="{BASE - height - 4:.1f}" text-anchor="middle">{label}</text>',
    ]
