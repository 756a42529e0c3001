"""What counts as waiting for a processor: what others take, and not what one uses up."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.contention import Contention
from tests.chaos.neighbours import Start

SPINS = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"
SLEEPS = "import time\nprint(flush=True)\ntime.sleep(600)"


def started(stack, source):
    process = stack.enter_context(subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE))
    stack.callback(process.kill)
    return process


def wait_until(holds):
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


async def test_who_shares_a_processor_waits_for_it_half_of_the_time():
    cpu = min(os.sched_getaffinity(0))
    with ExitStack() as stack:
        first, _ = (started(stack, SPINS % cpu) for _ in range(2))
        contention = Contention(lambda: [first.pid])
        watching = asyncio.create_task(contention.run())
        await asyncio.to_thread(wait_until, lambda: sum(over - began for began, over in contention.lost) >= 0.5)
        watching.cancel()


async def test_who_sleeps_waits_for_no_processor():
    with ExitStack() as stack:
        asleep, _ = started(stack, SLEEPS), started(stack, SPINS % min(os.sched_getaffinity(0)))
        asleep.stdout.readline()
        stat = Path(f"/proc/{asleep.pid}/stat")
        await asyncio.to_thread(wait_until, lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
        contention = Contention(lambda: [asleep.pid])
        watching = asyncio.create_task(contention.run())
        await asyncio.sleep(1.0)
        watching.cancel()
        assert contention.lost == []


def test_of_those_who_wait_at_once_it_is_the_longest_and_never_longer_than_it_took():
    contention = Contention(list)
    contention._note(10.0, 10.1, [0.02, 0.05])
    contention._note(10.1, 10.2, [0.3])
    contention._note(10.2, 10.3, [])
    assert contention.lost == [(pytest.approx(10.05), 10.1), (pytest.approx(10.1), 10.2)]


def test_what_was_waited_is_no_part_of_how_long_a_pod_took():
    assert Start(10.0, 2.0).calm_s([(10.5, 11.0), (10.75, 11.25), (11.9, 14.0)]) == pytest.approx(1.15)
