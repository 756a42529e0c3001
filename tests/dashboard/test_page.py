"""The live page in a real browser. Skipped where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vk_provider.health import Fault
from vk_provider.snapshot.document import Idle

from . import chromium
from .world import Node, remember_an_hour, serving

pytestmark = pytest.mark.skipif(not chromium.program(), reason=chromium.MISSING)

HOSTILE = "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>"
# Screenshots are kept where this names a folder; else they are only taken.
KEPT = os.environ.get("VK_SCREENSHOTS", "")
FRAME_MS = 1000 / 60


def folder(tmp_path: Path) -> Path:
    return Path(KEPT) if KEPT else tmp_path


async def test_the_page_with_5000_pods(tmp_path: Path) -> None:
    """One browser for all of it, for each takes seconds to start."""
    node = Node()
    node.fill(5000)
    node.put(HOSTILE, phase="Pending", reason="NoStock", message=HOSTILE)
    node.recent.observe(
        {"type": "Warning", "reason": "NoStock", "message": HOSTILE, "involvedObject": {"kind": "Pod", "name": HOSTILE}}
    )
    async with serving(node) as server, chromium.a_tab() as tab:
        await tab.open(f"http://127.0.0.1:{server.port}/")
        await tab.until("document.getElementById('shown').textContent === '5001 of 5001'")

        # Few rows stand for many, and go on to the last one.
        assert await tab.value("document.querySelectorAll('.rows .row').length") < 80
        await tab.value("document.getElementById('table').scrollTop = 1e9")
        await tab.until("[...document.querySelectorAll('.rows .row')].some((row) => row.dataset.place === '5000')")
        frames = await tab.value(_SCROLL)
        assert frames > 0, "it scrolls, and the browser draws"
        assert await tab.value(_FRAME_MS) < FRAME_MS / 2, "there is no room in a frame for anything else"

        # What people have named is text.
        await tab.value(_FILTER % "onerror")
        assert await tab.until("document.getElementById('shown').textContent === '1 of 5001'")
        assert "<img src=x" in await tab.value("document.querySelector('.rows .row span').textContent")
        assert await tab.value("document.images.length + document.querySelectorAll('body script').length") == 0
        assert "harmed" not in await tab.value("document.title")
        assert "<script>" in await tab.value("document.getElementById('events').textContent")
        await tab.value(_FILTER % "")

        # By keyboard alone.
        await tab.value("document.getElementById('table').focus()")
        await tab.press("Home")
        await tab.press("ArrowDown")
        await tab.press("Enter", text="\r")
        await tab.until("document.getElementById('detail').open")
        assert "web/" in await tab.value("document.getElementById('detail-title').textContent")
        await tab.press("Escape")
        await tab.until("!document.getElementById('detail').open")
        await tab.press("/", text="/")
        assert await tab.value("document.activeElement.id") == "filter"
        assert await tab.value("document.getElementById('filter').value") == ""

        # What is not there is not seen.
        for absent in ("idle", "nodes"):
            assert await tab.value(f"getComputedStyle(document.getElementById('{absent}')).display") == "none"

        # What changes is seen without a hand.
        before = await tab.value("document.getElementById('cost-total').textContent")
        await tab.until(f"document.getElementById('cost-total').textContent !== {before!r}")
        node.fault = Fault("WatchFailing", "403 for the pods", 31.0)
        node.drop("pi-00001")
        await tab.until("document.getElementById('state').textContent === 'not ready'")
        await tab.until("document.getElementById('shown').textContent === '5000 of 5000'")
        node.fault = None
        node.collector.idle = lambda: Idle(
            at="2026-01-02T03:00:00Z", quota=1000, forecast=300, published=250, running=120
        )
        remember_an_hour(server, node)
        await tab.until("!document.getElementById('idle').hidden")
        await tab.until("document.getElementById('state').textContent === 'ready'")

        # A reason of those that wait, pressed, shows its pods.
        await tab.value("document.querySelector('#waiting button').focus()")
        await tab.press("Enter", text="\r")
        await tab.until("document.getElementById('shown').textContent === '101 of 5000'")
        await tab.value(_FILTER % "")

        # In both themes, and on a phone: readable, and nothing is wider than the screen.
        grounds = set()
        for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("phone", 380, False)):
            await tab.open(f"http://127.0.0.1:{server.port}/", width=width, dark=dark)
            await tab.until("document.getElementById('shown').textContent === '5000 of 5000'")
            assert await tab.value("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
            ratio = await tab.value(_CONTRAST)
            assert ratio >= 4.5, f"{name}: text with a contrast of {ratio:.1f}"
            grounds.add(await tab.value("getComputedStyle(document.body).backgroundColor"))
            await tab.screenshot(folder(tmp_path) / f"dashboard-{name}.png")
            assert (folder(tmp_path) / f"dashboard-{name}.png").stat().st_size > 10_000
        assert len(grounds) == 2
        await tab.value("document.getElementById('theme').click()")
        assert await tab.value("getComputedStyle(document.body).backgroundColor") in grounds
        assert tab.errors == [], "neither a script failed nor the policy was broken"


_FILTER = """(() => { const filter = document.getElementById('filter'); filter.value = %r;
filter.dispatchEvent(new Event('input')); return true; })()"""

# Milliseconds that a jump to far away takes, rows and layout; of many the tenth, for others use this machine, too.
_FRAME_MS = """(() => { const table = document.getElementById('table'), took = [];
for (let number = 0; number < 99; number++) { const began = performance.now();
  table.scrollTop = (number * 48170) % table.scrollHeight; drawRows(); void table.offsetHeight;
  took.push(performance.now() - began); }
return took.sort((one, other) => one - other)[9]; })()"""

# How many frames are drawn while it scrolls through all rows.
_SCROLL = """new Promise((done) => { let frames = 0; const table = document.getElementById('table');
table.scrollTop = 0;
const step = () => { table.scrollTop += 1500; frames++;
  if (table.scrollTop + table.clientHeight >= table.scrollHeight - 1) done(frames); else requestAnimationFrame(step); };
requestAnimationFrame(step); })"""

# The least contrast of quiet and of coloured words on a card (WCAG 2, 1.4.3).
_CONTRAST = """(() => {
  const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = light(getComputedStyle(document.querySelector('section')).backgroundColor);
  const made = ['quiet', 'good', 'warn', 'bad'].map((name) => { const each = document.createElement('span');
    each.className = name; document.querySelector('section').append(each);
    const found = light(getComputedStyle(each).color); each.remove(); return found; });
  return Math.min(...made.map((each) => (Math.max(each, ground) + 0.05) / (Math.min(each, ground) + 0.05)));
})()"""
