"""`make soak`: an even life for an hour, and whether what the provider holds stays what it was; ends with 1 if not."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from fakes.api_client import ApiClient
from tests.bench import parts
from tests.bench.api import Api
from tests.bench.parts import Cloud, Plane, Provider
from tests.chaos.proxy import Proxy
from tests.soak.asking import Asking
from tests.soak.churn import HELD, NAMESPACE, SCENARIO, Churn
from tests.soak.leaks import LEAKS
from tests.soak.sample import FIGURES, Sample, points, read
from tests.soak.verdict import FEWEST, WARM_UP, Verdict, judge

NODE = "vk-soak"
SAMPLE_EVERY_S = 10.0
SHORTEST_MIN = SAMPLE_EVERY_S * (FEWEST + 2) / (1 - WARM_UP) / 60
MAY_FAIL = 0.01  # of what is asked: a watch that is cut, a pod that goes while it is asked


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help=f"how long (60); {SHORTEST_MIN:.0f} at least")
    parser.add_argument("--real", action="store_true", help="on real Kubernetes, found or built as `make e2e` does")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which things come (1)")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="folder of samples and logs (build/soak)")
    parser.add_argument("--plant", choices=LEAKS, help="keep one of this kind for each instance; it must be found")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="run nothing; judge the samples of an earlier run")
    parser.add_argument("--flag", action="append", default=[], help="a further flag for the provider")
    words = parser.parse_args()
    if not words.judge and words.minutes < SHORTEST_MIN:
        parser.error(f"nothing can be said of less than {SHORTEST_MIN:.0f} minutes")
    return words


async def soak(words: argparse.Namespace, address: str, directory: Path) -> tuple[list[Sample], list[str]]:
    """The samples, and what else was not as it should be."""
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(
            parts.control_plane(directory, address, wanted="real" if words.real else "embedded")
        )
        server, tls = ApiClient.access(plane.kubeconfig)
        proxy = await stack.enter_async_context(Proxy(server, tls).serving())
        proxied = directory / "provider.kubeconfig"
        proxied.write_text(proxy.kubeconfig)
        scenario = directory / "scenario.toml"
        scenario.write_text(SCENARIO)
        cloud = await Cloud.start(directory, f"--scenario={scenario}", "--start-delay=0.5")
        stack.push_async_callback(cloud.child.stop)
        flags = ["--live-configuration=true", "--sweep-interval-s=30", *words.flag]
        program = ("tests.soak.provider", *([f"--leak={words.plant}"] if words.plant else []))
        provider = Provider(directory, Plane(plane.name, proxied, address), cloud, NODE, flags, program=program)
        stack.push_async_callback(provider.stop)
        api = await stack.enter_async_context(Api(plane.kubeconfig))
        await provider.start()
        await provider.ready(api)
        await api.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        await _account(api)
        churn = Churn(api, NODE, random.Random(words.seed))
        _say(f"{plane.name}: {HELD} pods to begin with")
        await churn.fill()
        asking = Asking(api, churn, NODE, proxy, random.Random(words.seed + 1))
        live = [asyncio.create_task(churn.run()), asyncio.create_task(asking.run())]
        watching = asyncio.create_task(_watch(words, api, provider, words.out / "samples.jsonl"))
        await asyncio.wait([*live, watching], return_when=asyncio.FIRST_COMPLETED)
        for task in [*live, watching]:
            if task.done():
                task.result()  # an end before its time is told by its error
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)
        _say(f"created {dict(churn.born)}; asked {dict(asking.done)}, without an answer {dict(asking.failed)}")
        return await watching, [*_wrong(churn, asking), *_errors(provider)]


async def _watch(words: argparse.Namespace, api: Api, provider: Provider, file: Path) -> list[Sample]:
    samples: list[Sample] = []
    began, told_s = time.monotonic(), 0.0
    assert provider.child is not None
    with file.open("w") as out:
        while (at_s := time.monotonic() - began) < words.minutes * 60:
            metrics = (await api.send("GET", f"/api/v1/nodes/{NODE}/proxy/metrics")).decode()
            pods = len((await api.get(f"/api/v1/namespaces/{NAMESPACE}/pods"))["items"])
            samples.append(Sample.of(provider.child.pid, metrics, at_s=round(at_s, 2), pods=pods))
            out.write(samples[-1].line())
            out.flush()
            if at_s >= told_s:
                _say(f"{at_s / 60:5.1f} min  {samples[-1].line().strip()}")
                told_s += 300
            await asyncio.sleep(max(0.0, began + len(samples) * SAMPLE_EVERY_S - time.monotonic()))
    return samples


async def _account(api: Api) -> None:
    """Without its ServiceAccount a namespace takes no pod."""
    async with asyncio.timeout(30):
        while True:
            try:
                await api.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")
            except RuntimeError:
                await asyncio.sleep(0.1)
            else:
                return


def _wrong(churn: Churn, asking: Asking) -> Iterator[str]:
    """A node that fails at its work holds nothing, and proves nothing by that."""
    if len(churn.wrong) > MAY_FAIL * max(churn.ended, 1):
        yield f"{len(churn.wrong)} of {churn.ended} pods did not end as they should: {churn.wrong[:3]}"
    for kind, count in asking.failed.items():
        if count > max(1.0, MAY_FAIL * asking.done[kind]):
            yield f"{kind}: {count} of {asking.done[kind] + count} without an answer: {asking.faults[:3]}"
    for kind in ("log", "command", "follow", "scrape"):
        if not asking.done[kind]:
            yield f"{kind}: never answered"


def _errors(provider: Provider) -> Iterator[str]:
    assert provider.child is not None
    for line in provider.child.log.read_text(errors="replace").splitlines():
        if "Traceback" in line or "was never retrieved" in line:
            yield f"the provider's log: {line}"


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    return [judge(figure, points(samples, name)) for name, figure in FIGURES.items()]


def table(found: Sequence[Verdict]) -> str:
    heads = ["", "start", "25 %", "50 %", "75 %", "end", "an hour", "last half", "seen from", ""]
    rows = [heads]
    for each in found:
        name = f"{each.figure.name}, {each.figure.unit}" if each.figure.unit else each.figure.name
        word = "flat" if each.is_flat else "GROWS"
        pace = [f"{each.an_hour:+,.1f}", f"{each.last_half_an_hour:+,.1f}", f"{each.seen_from:,.1f}"]
        rows.append([name, *map(_number, each.marks), *pace, word if each.figure.is_judged else "not judged"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join("  ".join(_cell(row, widths, column) for column in range(len(heads))).rstrip() for row in rows)


def _cell(row: Sequence[str], widths: Sequence[int], column: int) -> str:
    is_text = column in (0, len(row) - 1)
    return row[column].ljust(widths[column]) if is_text else row[column].rjust(widths[column])


def _number(number: float) -> str:
    return f"{number:,.1f}" if number != int(number) else f"{int(number):,}"


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stdout.flush()


def main() -> int:
    words = arguments()
    if words.judge:
        samples, wrong = read(words.judge), []
    else:
        address = parts.own_network() if words.real else "127.0.0.1"
        words.out.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="vk-soak-"))
        try:
            samples, wrong = asyncio.run(soak(words, address, directory))
        finally:
            for each in directory.glob("*.log"):
                shutil.copy(each, words.out)
            shutil.rmtree(directory, ignore_errors=True)
    found = verdicts(samples)
    lasted_min = (samples[-1].at_s - samples[0].at_s) / 60
    text = f"{lasted_min:.0f} minutes on {parts.machine()}\n\n{table(found)}\n"
    for line in wrong:
        text += f"WRONG: {line}\n"
    growing = [each.figure.name for each in found if not each.is_flat]
    text += f"\n{'grows: ' + ', '.join(growing) if growing else 'flat'}\n"
    words.out.mkdir(parents=True, exist_ok=True)
    (words.out / "soak.txt").write_text(text)
    sys.stdout.write(text)
    return 1 if growing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
