"""The provider's wall clock goes where the file says, and back; its own modules see that, and nothing else breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOK = """
import datetime, pickle, sys, time
from pathlib import Path
from tests.chaos.clock import SetClock, Wall
from vk_provider import app
from vk_provider.control import collaborators

file = Path(sys.argv[1])
clock = SetClock(file)
Wall(file).hang()
real = lambda: time.clock_gettime(time.CLOCK_REALTIME)

def wrong_by():
    seen = {round(time.time() - real()), round(collaborators.datetime.now(datetime.UTC).timestamp() - real())}
    (only,) = seen
    return only

print(wrong_by())
clock.jump(-7200.0)
print(wrong_by())
clock.jump(90.5)
before, loop = wrong_by(), time.monotonic()
print(before)
clock.jump(0.0)
print(wrong_by())
assert time.monotonic() - loop < 5, "only the wall's"
moment = collaborators.datetime.now(datetime.UTC)
assert isinstance(moment, collaborators.datetime) and isinstance(moment, datetime.datetime)
assert isinstance(collaborators.datetime.fromisoformat("2026-01-02T03:04:05+00:00"), collaborators.datetime)
assert moment - collaborators.datetime.fromisoformat("2020-01-02T03:04:05+00:00") > datetime.timedelta(days=1)
"""


def test_the_wall_clock_jumps_and_comes_back(tmp_path: Path) -> None:
    """In a process of its own, for the clock hangs there for good."""
    words = [sys.executable, "-c", LOOK, str(tmp_path / "clock")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [int(word) for word in done.stdout.split()] in ([0, -7200, 90, 0], [0, -7200, 91, 0])
