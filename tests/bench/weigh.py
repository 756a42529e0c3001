"""`python -m tests.bench.weigh`: what the provider holds for each pod that runs and rests, and who holds it.

The resident set has more than the sum of what is held: what the burst has left free between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.bench import burst, parts
from tests.bench.__main__ import NODE, SCENARIO, _namespace
from tests.bench.api import Api
from tests.bench.parts import Cloud, Provider, until

SETTLE_S = 75.0  # the incremental calls tell of a change for a minute
SHOWN = 5  # bytes a pod from which on a holder is worth a line


async def main(pods: int) -> dict[str, Any]:
    """What was held before the pods, when the last had said all, and when the cloud had stopped telling of them."""
    with tempfile.TemporaryDirectory(prefix="vk-weigh-") as name:
        directory = Path(name)
        os.environ["SCALES_FILE"] = str(directory / "scales.json")
        async with AsyncExitStack() as stack:
            plane = await stack.enter_async_context(parts.control_plane(directory, "127.0.0.1", wanted="embedded"))
            api = await stack.enter_async_context(Api(plane.kubeconfig))
            await _namespace(api)
            (directory / "scenario.toml").write_text(SCENARIO)
            cloud = await Cloud.start(directory, f"--scenario={directory / 'scenario.toml'}", "--start-delay=0")
            stack.push_async_callback(cloud.child.stop)
            provider = Provider(directory, plane, cloud, NODE, program=("tests.bench.scales",))
            watcher = await parts.begun(stack, directory, api, provider, plane)
            told = {"empty": await look(provider)}
            await burst.up(api, watcher, provider, cloud, pods)
            told["quiet"] = await look(provider)
            await asyncio.sleep(SETTLE_S)
            told["settled"] = await look(provider)
            return told


async def look(provider: Provider) -> Any:
    file = Path(os.environ["SCALES_FILE"])
    _ask(provider, file)
    await until(file.exists, within_s=120)
    return await asyncio.to_thread(lambda: json.loads(file.read_text()))


def _ask(provider: Provider, file: Path) -> None:
    file.unlink(missing_ok=True)
    assert provider.child is not None
    os.kill(provider.child.pid, signal.SIGUSR1)


def show(told: dict[str, Any], pods: int) -> None:
    empty = told.pop("empty")
    print(f"without pods: {empty['VmRSS'] / 1e6:.1f} MB resident, {empty['RssFile'] / 1e6:.1f} of it files")
    for when, now in told.items():
        print(f"{when}: {(now['VmRSS'] - empty['VmRSS']) / pods:.0f} bytes a pod resident")
        more = {name: (size - empty["holders"].get(name, 0)) / pods for name, size in now["holders"].items()}
        for name, size in more.items():
            if abs(size) >= SHOWN:
                print(f"  {name:32} {size:6.0f}")
        print(f"  {'all holders':32} {sum(more.values()):6.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.weigh", description=__doc__)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="where all that was told goes too, as JSON")
    chosen = parser.parse_args()
    found = asyncio.run(main(chosen.pods))
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1))
    show(found, chosen.pods)
