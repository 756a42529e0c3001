"""A day of a shared quota as a picture: who uses it, with the forecast and reclaims; below, what is offered of it.

`svg` gives one self-contained SVG, `page` an HTML page around it with the same figures as tables. Both follow the
reader's light or dark theme, need no script and load nothing. Colours differ in lightness too, and every series also by
its form: areas, a dashed and a thin line, triangles; so that the picture can be read without telling colours apart.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 604
LEFT, RIGHT = 56, 20
TOP, FLOOR = 92, 396  # of who uses the quota
OFFER_TOP, OFFER_FLOOR = 452, 560  # of what is offered, below it
MOST_POINTS = 480
HOUR_S = 3600.0

# Light, dark. Areas have at least 3 to 1 against the ground, words at least 7 to 1 in both.
_COLOURS = {
    "ground": ("#ffffff", "#16181d"),
    "ink": ("#1a1a19", "#f2f1ee"),
    "muted": ("#52514e", "#c3c2b7"),
    "grid": ("#e4e3df", "#31343c"),
    "regular": ("#2a6fc4", "#5b9bea"),
    "preemptible": ("#12875e", "#35b98a"),
    "forecast": ("#1a1a19", "#f2f1ee"),
    "offered": ("#6a3fb5", "#b79cf0"),
    "reclaim": ("#c22f2e", "#ff7b72"),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading, in vCPU. when_s: of the day. offered: to preemptible pods, those they hold included. reclaims: pods
    that were ended for regular ones since the reading before."""

    when_s: float
    quota: float
    regular: float
    forecast: float
    offered: float
    preemptible: float
    reclaims: int = 0


Reading = Callable[[Moment], float]


def svg(moments: Sequence[Moment], *, title: str) -> str:
    """moments: in order of time, at least two. The picture is described in words for those who do not see it."""
    if len(moments) < 2:
        raise ValueError("a chart needs at least two moments")
    scale = _Scale(moments, max(max(one.quota, one.regular + one.preemptible) for one in moments), (TOP, FLOOR), 5)
    most = max(max(one.offered, one.preemptible) for one in moments)
    offers = _Scale(moments, most, (OFFER_TOP, OFFER_FLOOR), 3)
    points = _thinned(moments)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="day"'
                ' aria-labelledby="day-title day-words">'
            ),
            f"<style>{_style()}</style>",
            f'<title id="day-title">{escape(title)}</title>',
            f'<desc id="day-words">{escape(described(moments))}</desc>',
            f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>',
            *_legend(has_reclaims=any(moment.reclaims for moment in moments)),
            f'<text x="{LEFT}" y="{OFFER_TOP - 14}">Offered to preemptible Jobs, and what their pods hold of it</text>',
            *_axis(scale),
            *_axis(offers),
            *_hours(scale),
            _area("regular", points, scale, lambda _: 0.0, lambda one: one.regular),
            _area("preemptible", points, scale, lambda one: one.regular, lambda one: one.regular + one.preemptible),
            _area("preemptible", points, offers, lambda _: 0.0, lambda one: one.preemptible),
            _line("offered", points, offers, lambda one: one.offered),
            _line("forecast", points, scale, lambda one: min(one.forecast, scale.top)),
            _line("quota", points, scale, lambda one: one.quota),
            *_marks(moments, scale),
            *_columns(moments, scale),
            "</svg>",
        ]
    )


def page(moments: Sequence[Moment], *, title: str, facts: Mapping[str, str]) -> str:
    """facts: what came of the day, by name, for people."""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    heads = "".join(f"<th scope=col>{escape(name)}</th>" for name in _HEADS)
    hours = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in _cells(moment)) + "</tr>" for moment in _hourly(moments)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{_variables()}
body {{ margin: 0 auto; max-width: 1000px; padding: 16px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; margin: 12px 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid var(--grid); }}
details td, details th {{ text-align: right; }}
</style>
</head>
<body>
{svg(moments, title=title)}
<table><caption hidden>What came of it</caption>{rows}</table>
<details><summary>The same hour by hour, in vCPU</summary>
<table><thead><tr>{heads}</tr></thead><tbody>{hours}</tbody></table></details>
</body>
</html>
"""


def described(moments: Sequence[Moment]) -> str:
    """The story of the chart in two sentences."""
    busiest = max(moments, key=lambda one: one.regular)
    calmest = min(moments, key=lambda one: one.regular)
    fullest = max(moments, key=lambda one: one.preemptible)
    reclaims = sum(one.reclaims for one in moments)
    return (
        f"Of a quota of {moments[0].quota:g} vCPU regular pods use from {calmest.regular:g} at {_clock(calmest)} to "
        f"{busiest.regular:g} at {_clock(busiest)}. Preemptible pods use up to {fullest.preemptible:g} beside them, at "
        f"{_clock(fullest)}; {reclaims} of them were ended for regular pods."
    )


class _Scale:
    """Seconds and vCPU to places in the picture. top: the highest vCPU that is shown."""

    def __init__(self, moments: Sequence[Moment], highest: float, between: tuple[int, int], steps: int) -> None:
        """between: the heights of the highest vCPU and of none. steps: about so many lines."""
        self.first_s, self.last_s = moments[0].when_s, moments[-1].when_s
        self.ceiling, self.floor = between
        self.step = _round_step(highest / steps)
        self.top = max(self.step, math.ceil(highest / self.step - 1e-9) * self.step)

    def x(self, when_s: float) -> float:
        span = max(self.last_s - self.first_s, 1e-9)
        return LEFT + (when_s - self.first_s) / span * (WIDTH - LEFT - RIGHT)

    def y(self, cpu: float) -> float:
        return self.floor - cpu / self.top * (self.floor - self.ceiling)


def _round_step(least: float) -> float:
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least - 1e-9)


_RULES = """
.day text {{ fill: {muted}; font: 13px system-ui, sans-serif; }}
.day .title {{ fill: {ink}; font-size: 17px; font-weight: 600; }}
.day .ground {{ fill: {ground}; }}
.day .grid {{ stroke: {grid}; stroke-width: 1; }}
.day .regular {{ fill: {regular}; }}
.day .preemptible {{ fill: {preemptible}; stroke: {ground}; stroke-width: 1; }}
.day .forecast {{ fill: none; stroke: {forecast}; stroke-width: 2; stroke-dasharray: 6 4; }}
.day .offered {{ fill: none; stroke: {offered}; stroke-width: 1.5; }}
.day .quota {{ fill: none; stroke: {muted}; stroke-width: 1.5; stroke-dasharray: 2 3; }}
.day .reclaim {{ fill: {reclaim}; stroke: {ground}; stroke-width: 1; }}
.day .column {{ fill: {ink}; fill-opacity: 0; }}
.day .column:hover {{ fill-opacity: 0.08; }}
"""


def _style() -> str:
    """Plain rules for either theme: not every program that shows an SVG knows variables."""
    light, dark = (_RULES.format(**_theme(which)) for which in (0, 1))
    return f"{light}@media (prefers-color-scheme: dark) {{{dark}}}\n"


def _variables() -> str:
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in _theme(which).items()) for which in (0, 1))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def _theme(which: int) -> dict[str, str]:
    return {name: pair[which] for name, pair in _COLOURS.items()}


def _legend(*, has_reclaims: bool) -> list[str]:
    entries = [
        ("regular", "regular pods", '<rect class="regular" x="0" y="-10" width="18" height="12"/>'),
        ("preemptible", "preemptible pods", '<rect class="preemptible" x="0" y="-10" width="18" height="12"/>'),
        ("offered", "offered", '<path class="offered" d="M0 -4H18"/>'),
        ("forecast", "forecast of the next hour", '<path class="forecast" d="M0 -4H18"/>'),
        ("quota", "quota", '<path class="quota" d="M0 -4H18"/>'),
    ]
    if has_reclaims:
        entries.append(("reclaim", "reclaimed", '<path class="reclaim" d="M4 -10h12l-6 11z"/>'))
    parts, x = [], float(LEFT)
    for _, label, form in entries:
        parts.append(f'<g transform="translate({x:.0f} 58)">{form}<text x="26" y="1">{label}</text></g>')
        x += 26 + 7.2 * len(label) + 24
    return parts


def _axis(scale: _Scale) -> list[str]:
    parts = []
    for number in range(round(scale.top / scale.step) + 1):
        cpu = number * scale.step
        y = scale.y(cpu)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{cpu:g}</text>')
    parts.append(f'<text x="{LEFT - 8}" y="{scale.ceiling - 14}" text-anchor="end">vCPU</text>')
    return parts


def _hours(scale: _Scale) -> list[str]:
    parts = []
    hours = _round_hours((scale.last_s - scale.first_s) / HOUR_S / 8)
    when_s = math.ceil(scale.first_s / HOUR_S / hours) * hours * HOUR_S
    while when_s <= scale.last_s:
        x = scale.x(when_s)
        parts.append(
            f'<path class="grid" d="M{x:.1f} {TOP}V{FLOOR}M{x:.1f} {OFFER_TOP}v{OFFER_FLOOR - OFFER_TOP + 6}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{OFFER_FLOOR + 22}" text-anchor="middle">{_time(when_s)}</text>')
        when_s += hours * HOUR_S
    return parts


def _round_hours(least: float) -> float:
    return next((hours for hours in (0.25, 0.5, 1, 2, 3, 6, 12) if hours >= least), 24.0)


def _area(name: str, moments: Sequence[Moment], scale: _Scale, low: Reading, high: Reading) -> str:
    upper = [f"{scale.x(one.when_s):.1f} {scale.y(high(one)):.1f}" for one in moments]
    lower = [f"{scale.x(one.when_s):.1f} {scale.y(low(one)):.1f}" for one in reversed(moments)]
    return f'<path class="{name}" d="M{"L".join([*upper, *lower])}Z"/>'


def _line(name: str, moments: Sequence[Moment], scale: _Scale, reading: Reading) -> str:
    places = [f"{scale.x(one.when_s):.1f} {scale.y(reading(one)):.1f}" for one in moments]
    return f'<path class="{name}" d="M{"L".join(places)}"/>'


def _marks(moments: Sequence[Moment], scale: _Scale) -> list[str]:
    """A triangle where pods were reclaimed, at the top of what was in use."""
    marks = []
    for one in moments:
        if one.reclaims:
            x, y = scale.x(one.when_s), scale.y(min(one.regular + one.preemptible, scale.top)) - 3
            words = f"{_clock(one)}: {one.reclaims} reclaimed"
            marks.append(f'<path class="reclaim" d="M{x - 6:.1f} {y - 11:.1f}h12l-6 11z"><title>{words}</title></path>')
    return marks


def _columns(moments: Sequence[Moment], scale: _Scale) -> list[str]:
    """Invisible, one for some minutes: what is said where the pointer is."""
    step = max(1, len(moments) // 96)
    chosen = list(moments[::step])
    parts = []
    for one, following in zip(chosen, [*chosen[1:], moments[-1]], strict=True):
        x = scale.x(one.when_s)
        width = max(0.0, scale.x(following.when_s) - x)
        words = (
            f"{_clock(one)}: regular {one.regular:g}, forecast {one.forecast:.0f}, preemptible {one.preemptible:g} "
            f"of {one.offered:g} offered, quota {one.quota:g} vCPU"
        )
        parts.append(
            f'<rect class="column" x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{OFFER_FLOOR - TOP}">'
            f"<title>{words}</title></rect>"
        )
    return parts


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """At most MOST_POINTS of them, of each group the one with the highest regular load: no peak is left out."""
    size = math.ceil(len(moments) / MOST_POINTS)
    groups = [moments[start : start + size] for start in range(0, len(moments), size)]
    middle = [max(group, key=lambda one: one.regular) for group in groups]
    return [moments[0], *middle[1:-1], moments[-1]] if len(middle) > 1 else [moments[0], moments[-1]]


_HEADS = ("time", "regular", "forecast", "offered", "preemptible", "reclaimed")


def _hourly(moments: Sequence[Moment]) -> list[Moment]:
    """The first moment of each hour, with all reclaims of that hour."""
    hours: dict[int, list[Moment]] = {}
    for one in moments:
        hours.setdefault(int(one.when_s // HOUR_S), []).append(one)
    return [
        Moment(
            group[0].when_s,
            group[0].quota,
            group[0].regular,
            group[0].forecast,
            group[0].offered,
            group[0].preemptible,
            sum(one.reclaims for one in group),
        )
        for group in hours.values()
    ]


def _cells(one: Moment) -> list[str]:
    numbers = (one.regular, one.forecast, one.offered, one.preemptible)
    return [_clock(one), *(f"{number:.0f}" for number in numbers), str(one.reclaims)]


def _clock(one: Moment) -> str:
    return _time(one.when_s)


def _time(when_s: float) -> str:
    minutes = int(when_s // 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"
