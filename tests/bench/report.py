"""The figures as a table, as JSON and as a chart."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.burst import Burst, Spread
from tests.bench.chart import chart
from tests.bench.steady import Idle
from tests.bench.streams import Streams

Row = tuple[str, str, str, str]  # what, measured, ceiling or goal, ratio or verdict


@dataclass(frozen=True, slots=True)
class Peer:
    """A node made with the Go library. lifted: without its rate limits."""

    lifted: bool
    rss_at_0_mb: float
    burst: Burst


@dataclass(slots=True)
class Result:
    machine: str
    plane: str = ""
    took_s: float = 0.0
    rss_at_0_mb: float = 0.0
    bursts: list[Burst] = field(default_factory=list)
    ceilings: list[Burst] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    trickle: Burst | None = None
    idles: list[Idle] = field(default_factory=list)
    starts: list[tuple[int, float]] = field(default_factory=list)
    streams: Streams | None = None


def say(step: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {step}", file=sys.stderr, flush=True)


def write(result: Result, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (directory / "bench.svg").write_text(chart(result.bursts, result.ceilings, title=result.plane))
    text = table(result)
    (directory / "bench.txt").write_text(text)
    print(text)
    print(f"also in {directory}/bench.json, bench.txt and bench.svg")


def table(result: Result) -> str:
    parts = [
        f"vk-provider against {result.plane}, on {result.machine}; {result.took_s:.0f} s",
        "ceiling: the same pods and writes, two statuses a pod until it runs, by a bare client in the same run",
    ]
    for title, rows in _sections(result):
        parts += ["", _drawn(title, list(rows))]
    return "\n".join(parts) + "\n"


def _sections(result: Result) -> Iterator[tuple[str, Sequence[Row]]]:
    for burst, ceiling in zip(result.bursts, result.ceilings, strict=True):
        yield f"{burst.pods:,} pods at once", list(_burst_rows(burst, ceiling))
    for peer in result.peers:
        own = next(burst for burst in result.bursts if burst.pods == peer.burst.pods)
        how = "without its rate limits" if peer.lifted else "as it ships"
        yield f"{own.pods:,} pods beside the Go library {how}", list(_peer_rows(own, peer, result.rss_at_0_mb))
    if result.trickle is not None:
        yield (
            "a trickle of 4 pods a second",
            [
                ("bound → create call, p50 / p90 / p99", _spread(result.trickle.bound_to_create), "p99 ≤ 50 ms", ""),
                ("cloud Running → API Running", _spread(result.trickle.cloud_to_api), "p99 ≤ 2,300 ms", ""),
            ],
        )
    steady: list[Row] = []
    if result.rss_at_0_mb:
        steady.append(("memory without a pod", f"{result.rss_at_0_mb:.1f} MB", "≤ 70 MB", ""))
    for idle in result.idles:
        steady += [
            (f"idle with {idle.pods:,} pods: CPU of one core", f"{idle.cpu_share:.2%}", "≤ 2 %", ""),
            (
                "    cloud calls a minute, on average / in the busiest",
                f"{idle.cloud_calls:.0f} / {idle.busiest_minute}",
                "≤ 40",
                "",
            ),
            (
                "    API requests a minute / writes but the lease",
                f"{idle.requests:.0f} / {idle.writes:.0f}",
                "– / 0",
                "",
            ),
            ("    memory", f"{idle.rss_mb:.1f} MB", "", ""),
        ]
    steady += [(f"start to in-sync with {pods:,} pods", f"{took:.2f} s", "≤ 5 s", "") for pods, took in result.starts]
    if steady:
        yield "when nothing happens, and at the start", steady
    if result.streams is not None:
        yield "logs and commands", list(_stream_rows(result.streams))


def _burst_rows(burst: Burst, ceiling: Burst) -> Iterator[Row]:
    yield "until all run", f"{burst.running_s:.2f} s", f"{ceiling.running_s:.2f} s", ""
    yield "    pods a second", f"{burst.per_s:.0f}", f"{ceiling.per_s:.0f}", f"{burst.per_s / ceiling.per_s:.0%}"
    if ceiling.one_status_s:
        one = burst.pods / ceiling.one_status_s
        yield "    where one status a pod is written", "", f"{one:.0f}", f"{burst.per_s / one:.0%}"
    yield "    bound → create call, p50 / p90 / p99", _spread(burst.bound_to_create), "", ""
    yield "    cloud Running → API Running", _spread(burst.cloud_to_api), "", ""
    yield _cpu(burst.cpu_running_ms, ceiling.cpu_running_ms)
    for name, ms in burst.parts_ms.items():
        if name != "provider":
            yield f"        beside it: {name}", f"{ms:.2f} ms", f"{ceiling.parts_ms.get(name, 0.0):.2f} ms", ""
    yield "until all are gone", f"{burst.gone_s:.2f} s", f"{ceiling.gone_s:.2f} s", ""
    yield (
        "    pods a second",
        f"{burst.gone_per_s:.0f}",
        f"{ceiling.gone_per_s:.0f}",
        f"{burst.gone_per_s / ceiling.gone_per_s:.0%}",
    )
    yield _cpu(burst.cpu_gone_ms, ceiling.cpu_gone_ms)
    yield "memory a pod held", f"{burst.rss_kb:.1f} KB", "≤ 12 KB", ""
    for kind, number in burst.requests.items():
        if number >= 0.01:
            yield f"    {kind} a pod", f"{number:.2f}", "", ""
    for what, looks in (("until it runs", burst.looks), ("until it is gone", burst.looks_gone)):
        yield f"looks at a pod {what}", f"{sum(looks.values()):.1f}", "", ""
    yield "cloud calls a pod until all run", f"{sum(burst.cloud_calls.values()):.2f}", "", ""


def _peer_rows(own: Burst, peer: Peer, rss_at_0_mb: float) -> Iterator[Row]:
    other = peer.burst
    yield _beside("pods a second until all run", own.per_s, other.per_s, "{:.0f}")
    yield _beside("pods a second until all are gone", own.gone_per_s, other.gone_per_s, "{:.0f}")
    yield _beside("CPU a pod until it runs", own.cpu_running_ms, other.cpu_running_ms, "{:.2f} ms")
    yield _beside("CPU a pod until it is gone", own.cpu_gone_ms, other.cpu_gone_ms, "{:.2f} ms")
    yield _beside("memory without a pod", rss_at_0_mb, peer.rss_at_0_mb, "{:.1f} MB")
    yield _beside("memory at its peak", own.peak_mb, other.peak_mb, "{:.1f} MB")
    yield _beside("events a pod that the API server has", own.events, other.events, "{:.2f}")


def _beside(what: str, own: float, other: float, shown: str) -> Row:
    return what, shown.format(own), shown.format(other), f"{own / other:.2f} ×" if other else ""


def _cpu(own_ms: float, bare_ms: float) -> Row:
    ratio = f"{own_ms / bare_ms:.1f} ×" if bare_ms else ""
    return "    CPU a pod, beside the bare client's (goal 2.5 ms)", f"{own_ms:.2f} ms", f"{bare_ms:.2f} ms", ratio


def _stream_rows(streams: Streams) -> Iterator[Row]:
    share = streams.log_lines_per_s / streams.log_written_per_s if streams.log_written_per_s else 0.0
    yield (
        "logs -f, lines a second",
        f"{streams.log_lines_per_s:.0f}",
        f"{streams.log_written_per_s:.0f}",
        f"{share:.0%}",
    )
    yield "exec true, kubectl and all", f"{streams.exec_s * 1e3:.0f} ms", f"{streams.api_s * 1e3:.0f} ms", ""
    yield "50 MB through exec", f"{streams.exec_mb_per_s:.1f} MB/s", "", ""


def _spread(spread: Spread | None) -> str:
    return " / ".join(f"{each * 1e3:,.0f}" for each in (spread.p50, spread.p90, spread.p99)) + " ms" if spread else "–"


def _drawn(title: str, rows: Sequence[Row]) -> str:
    heads: Row = (title, "measured", "beside, goal", "ratio")
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(4)]
    widths[0] = max(widths[0], 48)

    def line(row: Row) -> str:
        return f"│ {row[0]:<{widths[0]}} │ " + " │ ".join(f"{row[c]:>{widths[c]}}" for c in (1, 2, 3)) + " │"

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    drawn = [rule("┌", "┬", "┐"), line(heads), rule("├", "┼", "┤"), *map(line, rows), rule("└", "┴", "┘")]
    return "\n".join(drawn)
