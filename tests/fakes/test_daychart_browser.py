"""The chart of a day in a real browser, Debian's Chromium, in both themes: colours apply, nothing overlaps.

A script that only this test adds reads the page as the browser lays it out.
"""

import json
import re
import shutil
import subprocess

import pytest

from fakes.daychart import _COLOURS, page
from tests.fakes.test_daychart import peak
from tests.guides import ROOT

CHROMIUM = shutil.which("chromium")
PROBE = """
<script>
const style = (selector) => getComputedStyle(document.querySelector(selector));
const box = (each) => { const r = each.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
document.body.dataset.seen = JSON.stringify({
  ground: style("body").backgroundColor,
  fills: Object.fromEntries(["ground", "regular", "preemptible", "reclaim"].map((n) => [n, style(".day ." + n).fill])),
  lines: Object.fromEntries(["forecast", "offered"].map((n) => [n, style(".day ." + n).stroke])),
  texts: [...document.querySelectorAll(".day text")].map((each) => [each.textContent, ...box(each)]),
  svg: box(document.querySelector(".day")),
  tooWide: document.documentElement.scrollWidth > innerWidth,
});
</script>
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed")


def example():
    return page(peak(), title="A day of a quota of 200 vCPU", facts={"Jobs done": "500", "bill": "35 %"})


WRITTEN = ROOT / "deploy" / "preemptible" / "day.html"  # by `make demo-preemptible`, where somebody kept it


def written():
    return WRITTEN.read_text()


def seen(tmp_path, text, *, dark, width):
    """What the browser makes of the page."""
    file = tmp_path / "day.html"
    file.write_text(text.replace("</body>", PROBE + "</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"--window-size={width},900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=1000"]
    command += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stdout[-500:]
    return json.loads(found[1].replace("&quot;", '"'))


def rgb(colour):
    return "rgb({}, {}, {})".format(*(int(colour[place : place + 2], 16) for place in (1, 3, 5)))


def overlaps(one, other):
    """one, other: text, left, top, right, bottom."""
    return one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]


@pytest.mark.parametrize(
    ("text", "width"), [(example, 1200), (example, 700), *([(written, 1200)] if WRITTEN.exists() else [])]
)
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(tmp_path, dark, text, width):
    view = seen(tmp_path, text(), dark=dark, width=width)
    colours = {name: rgb(pair[dark]) for name, pair in _COLOURS.items()}
    assert view["ground"] == colours["ground"]
    assert view["fills"] == {name: colours[name] for name in view["fills"]}
    assert view["lines"] == {name: colours[name] for name in view["lines"]}
    assert not view["tooWide"]
    left, top, right, bottom = view["svg"]
    texts = view["texts"]
    assert len(texts) > 15
    for text, x0, y0, x1, y1 in texts:
        assert left - 1 <= x0 <= x1 <= right + 1, text
        assert top - 1 <= y0 <= y1 <= bottom + 1, text
    pairs = [(one, other) for place, one in enumerate(texts) for other in texts[place + 1 :]]
    assert [(one[0], other[0]) for one, other in pairs if overlaps(one, other)] == []
