"""The chart of a day: self-contained, readable in both themes and without telling colours apart, true to its data."""

import re
import xml.etree.ElementTree as ET

import pytest

from fakes.daychart import _COLOURS, MOST_POINTS, Moment, described, page, svg

SPACE = "{http://www.w3.org/2000/svg}"


def day(count=1440, **more):
    values = {"quota": 200.0, "regular": 60.0, "forecast": 80.0, "offered": 90.0, "preemptible": 40.0} | more
    return [Moment(when_s=minute * 60.0, **values) for minute in range(count)]


def peak():
    moments = day()
    moments[701] = Moment(701 * 60.0, 200.0, 150.0, 80.0, 10.0, 50.0, reclaims=3)
    return moments


def parsed(moments, title="A day"):
    return ET.fromstring(svg(moments, title=title))


def forms(root, name):
    return [each for each in root.iter() if each.get("class") == name]


def test_it_loads_nothing_and_runs_nothing():
    text = page(peak(), title="A <day> & more", facts={"Jobs <done>": "5 & more"})
    urls = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert urls == {"http://www.w3.org/2000/svg"}  # the name of a namespace
    assert not re.search(r"<script|@import|url\(|\son[a-z]+=", text)
    assert "A &lt;day&gt; &amp; more" in text
    assert "Jobs &lt;done&gt;" in text


def test_every_series_has_a_form_and_the_legend_its_name():
    root = parsed(peak())
    for name in ("regular", "offered", "forecast", "quota", "reclaim"):
        assert len(forms(root, name)) == 2  # itself and in the legend
    assert len(forms(root, "preemptible")) == 3  # on top of the regular pods, and again beside what is offered
    words = "".join(root.itertext())
    for label in (
        "regular pods",
        "preemptible pods",
        "offered",
        "Offered to preemptible Jobs",
        "forecast of the next",
        "quota",
        "reclaimed",
    ):
        assert label in words
    assert len(forms(parsed(day()), "reclaim")) == 0


def test_no_peak_is_lost_and_the_picture_stays_small():
    text = svg(peak(), title="A day")
    assert len(text) < 100_000
    path = forms(ET.fromstring(text), "regular")[1].get("d")
    heights = [float(place.split()[1]) for place in path.strip("MZ").split("L")[:MOST_POINTS]]
    assert min(heights) == pytest.approx(440 - 44 - 150 / 200 * (440 - 92 - 44), abs=0.1)
    assert path.count("L") <= 2 * MOST_POINTS + 2


def test_places_are_within_the_picture():
    root = parsed(peak())
    for each in root.iter(f"{SPACE}path"):
        if each.get("class") in ("regular", "preemptible", "offered", "forecast", "quota"):
            for x, y in re.findall(r"(\d+\.\d) (\d+\.\d)", each.get("d", "")):
                assert 56 <= float(x) <= 940
                assert 92 <= float(y) <= 560


def test_what_is_offered_is_drawn_beside_what_is_held_of_it_and_from_nothing():
    root = parsed(day(offered=90.0, preemptible=30.0))
    [offered] = [each.get("d") for each in forms(root, "offered") if "L" in each.get("d", "")]
    held = forms(root, "preemptible")[2].get("d")
    assert offered.startswith("M56.0 462.8")  # 90 of 100, between 452 and 560
    assert held.startswith("M56.0 527.6")  # 30 of 100


def test_what_it_says_in_words():
    words = described(peak())
    assert "from 60 at 00:00 to 150 at 11:41" in words
    assert "3 of them were ended" in words
    root = parsed(peak())
    assert root.get("role") == "img"
    assert root.find(f"{SPACE}desc").text == words
    assert "11:41: 3 reclaimed" in "".join(root.itertext())


def test_the_page_has_the_figures_as_tables():
    text = page(peak(), title="A day", facts={"Jobs done": "500"})
    assert text.count("<tr>") == 1 + 1 + 24
    assert "<tr><td>11:00</td><td>60</td><td>80</td><td>90</td><td>40</td><td>3</td></tr>" in text


@pytest.mark.parametrize(
    "moments", [day(2), day(2, quota=0.0, regular=0.0, preemptible=0.0), day(3, offered=1e9, forecast=1e9)]
)
def test_odd_days(moments):
    assert parsed(moments) is not None


def test_one_moment_is_no_day():
    with pytest.raises(ValueError, match="two moments"):
        svg(day(1), title="A day")


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("which", [0, 1])
def test_contrast_in_both_themes(which):
    """WCAG 2: 3 to 1 for graphics, 7 to 1 for text."""
    colours = {name: pair[which] for name, pair in _COLOURS.items()}
    for name in ("regular", "preemptible", "forecast", "offered", "reclaim"):
        assert contrast(colours[name], colours["ground"]) >= 3, name
    for name in ("ink", "muted"):
        assert contrast(colours[name], colours["ground"]) >= 7, name
