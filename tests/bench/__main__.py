"""`make bench`: the whole of it in numbers, beside what the control plane lets a bare client do in the same run."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench import burst, parts, peer, report, steady, streams
from tests.bench.api import Api
from tests.bench.parts import Cloud, Provider, Watcher
from tests.bench.report import Result

NODE, BARE = "vk-bench", "bare-bench"
SHIPPED_AT_MOST = 1000  # pods; with 5 requests a second, more would take half an hour
SCENARIO = """
[[rule]]
image = "*/chatty*"
pull_s = 0.0
log_rate = 1000.0
duration_s = 3600.0
[[rule]]
pull_s = 0.0
stop_s = 0.0
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also 5,000 and 10,000 pods; about a quarter of an hour")
    parser.add_argument("--sizes", type=_sizes, help="pods of each burst, as 100,1000")
    parser.add_argument(
        "--idle",
        type=float,
        default=150.0,
        metavar="S",
        help="how long idleness is measured; 0 = neither that nor starts",
    )
    parser.add_argument("--plane", choices=("auto", "real", "embedded"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--only", choices=("bursts", "streams"), help="leave the rest out")
    parser.add_argument("--quick", action="store_true", help="without the trickle")
    parser.add_argument("--peer", action="store_true", help="also a node made with the Go library, in the same run")
    parser.add_argument("--keep", action="store_true", help="leave the parts' logs where they are")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="have cProfile write what the provider did")
    parser.add_argument("--flag", action="append", default=[], help="a further flag for the provider")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


async def main(args: argparse.Namespace, address: str) -> Result:
    sizes = args.sizes or ([100, 500, 1000, 5000, 10_000] if args.full else [100, 500, 1000])
    directory = Path(tempfile.mkdtemp(prefix="vk-bench-"))
    result = Result(machine=parts.machine())
    began = time.monotonic()
    try:
        async with AsyncExitStack() as stack:
            plane = await stack.enter_async_context(parts.control_plane(directory, address, wanted=args.plane))
            result.plane = plane.name
            api = await stack.enter_async_context(Api(plane.kubeconfig))
            await _namespace(api)
            if args.only != "streams":
                await _bursts(stack, directory, plane, api, sizes, args, result)
            if args.only != "bursts":
                report.say("logs and commands")
                result.streams = await streams.measure(stack, directory, plane, api)
    finally:
        if not args.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            report.say(f"logs: {directory}")
    result.took_s = time.monotonic() - began
    return result


async def _bursts(stack, directory, plane, api, sizes, args, result) -> None:
    (directory / "scenario.toml").write_text(SCENARIO)
    cloud = await Cloud.start(directory, f"--scenario={directory / 'scenario.toml'}", "--start-delay=0")
    stack.push_async_callback(cloud.child.stop)
    provider = Provider(directory, plane, cloud, NODE, args.flag, profile=args.profile)
    watcher = await parts.begun(stack, directory, api, provider, plane)
    result.rss_at_0_mb = provider.cost().rss_mb
    if not args.quick:
        report.say("a trickle of pods")
        result.trickle = await steady.trickle(api, watcher, provider, cloud, seconds=15, per_s=4)
    for size in sizes:
        report.say(f"{size} pods at once: the control plane's ceiling")
        result.ceilings.append(await _ceiling(directory, plane, api, size))
        report.say(f"{size} pods at once: the provider")
        found = await burst.up(api, watcher, provider, cloud, size)
        result.bursts.append(found)
        if args.idle and (size == sizes[-1] or size >= 5000):
            report.say(f"{size} pods, and nothing happens")
            result.idles.append(await steady.idle(api, provider, cloud, size, seconds=args.idle))
            report.say(f"a start with {size} pods")
            result.starts.append((size, await steady.start(api, watcher, provider, cloud)))
        report.say(f"{size} pods deleted at once")
        await burst.down(api, watcher, provider, found)
        assert provider.child is not None
        complaints = [line for line in provider.child.log.read_text().splitlines() if "Traceback" in line]
        assert not complaints, f"{provider.child.log}: {complaints[:3]}"
        if args.peer:
            result.peers += [await _peer_burst(directory, plane, api, size, lifted=True)]
            if size <= SHIPPED_AT_MOST:
                result.peers += [await _peer_burst(directory, plane, api, size, lifted=False)]


async def _ceiling(directory, plane, api, size):
    """Of two statuses a pod; with it, how long all take that get one only."""
    found, with_one = [await _bare_burst(directory, plane, api, size, statuses) for statuses in (2, 1)]
    found.one_status_s = with_one.running_s
    return found


async def _bare_burst(directory, plane, api, size, statuses):
    watcher = await Watcher.start(directory, plane.kubeconfig, BARE)
    bare = await parts.start_bare(directory, plane, BARE, statuses=statuses)
    try:
        return await burst.of_process(api, watcher, BARE, size, pid=bare.pid, prefix=f"c{size}-{statuses}-")
    finally:
        await bare.stop()
        await watcher.child.stop()


async def _peer_burst(directory, plane, api, size, *, lifted):
    report.say(f"{size} pods at once: the Go library{'' if lifted else ' as it ships'}")
    node = f"peer-{size}-{'lifted' if lifted else 'shipped'}"
    watcher = await Watcher.start(directory, plane.kubeconfig, node)
    try:
        child = await peer.start(directory, plane, node, lifted=lifted, create_s=burst.CREATE_S)
        try:
            idle_mb, prefix = parts.Cost.of(child.pid).rss_mb, f"p{size}-{'l' if lifted else 's'}-"
            found = await burst.of_process(api, watcher, node, size, pid=child.pid, prefix=prefix)
            found.events = await burst.events_a_pod(api, prefix, size)
        finally:
            await child.stop()
        return report.Peer(lifted=lifted, rss_at_0_mb=idle_mb, burst=found)
    finally:
        await watcher.child.stop()


async def _namespace(api: Api) -> None:
    """With its ServiceAccount, without which no pod is admitted."""
    await api.send("POST", "/api/v1/namespaces", {"metadata": {"name": burst.NAMESPACE}})
    path = f"/api/v1/namespaces/{burst.NAMESPACE}/serviceaccounts/default"
    async with asyncio.timeout(30):
        while True:
            try:
                account = await api.get(path)
            except RuntimeError:
                account = {}
            if account:
                break
            await asyncio.sleep(0.1)
    trial = burst.pod("trial", "nowhere")
    async with asyncio.timeout(30):
        while True:  # before 1.24 an account is of use only once it has a token
            try:
                await api.send("POST", f"/api/v1/namespaces/{burst.NAMESPACE}/pods?dryRun=All", trial)
            except RuntimeError:
                await asyncio.sleep(0.1)
            else:
                return


if __name__ == "__main__":
    chosen = arguments()
    place = parts.own_network()
    done = asyncio.run(main(chosen, place))
    report.write(done, chosen.out)
