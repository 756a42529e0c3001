"""`vk-provider doctor`: looks at all that pods here depend on, and says of each red line what to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from datetime import datetime

import msgspec

from vk_provider.cloud.base import Cloud, Finding, SupportsDiagnosis, Verdict
from vk_provider.commands import checks, provider_checks, terminal
from vk_provider.commands.findings import Client
from vk_provider.commands.terminal import DIM, GREEN, RED, YELLOW, Style
from vk_provider.config import Config
from vk_provider.logtext import on_one_line
from vk_provider.snapshot.document import Shape

_COLOURS = {Verdict.OK: GREEN, Verdict.WARNING: YELLOW, Verdict.FAILED: RED, Verdict.SKIPPED: DIM}
_MARKS = {Verdict.OK: "ok", Verdict.WARNING: "warn", Verdict.FAILED: "FAIL", Verdict.SKIPPED: "skip"}


async def examined(
    client: Client, cloud: Cloud | None, settings: Config, *, cluster: str, now: datetime | None = None
) -> Sequence[Finding]:
    """cloud: None where it could not even be connected. cluster: its uid, empty where it is not known."""
    at = now or checks.now_utc()
    server = await checks.api_server(client)
    if server.verdict is not Verdict.OK:
        waits = ("clock", "permissions", "node", "kubelet API", "logs", "injection")
        skipped = [Finding(each, Verdict.SKIPPED, "the API server cannot be asked yet") for each in waits]
        return [server, *skipped, *await checks.dns(settings), *await _of_cloud(cloud)]
    name = settings.node_name
    groups = await asyncio.gather(
        _alone(checks.clock(client, at)),
        checks.rights(client, settings.leader_lease),
        checks.node(client, name, cluster, at),
        provider_checks.provider(client, name, at),
        _alone(provider_checks.log_through(client, name)),
        _alone(checks.injection(client)),
        checks.dns(settings),
        _of_cloud(cloud),
    )
    return [server, *(finding for group in groups for finding in group)]


async def _alone(asked: Awaitable[Finding]) -> Sequence[Finding]:
    return [await asked]


async def _of_cloud(cloud: Cloud | None) -> Sequence[Finding]:
    if cloud is None:
        return []
    if not isinstance(cloud, SupportsDiagnosis):
        return [Finding("cloud", Verdict.SKIPPED, "this cloud has nothing to be looked at")]
    return await cloud.diagnose()


def is_well(found: Sequence[Finding]) -> bool:
    return not any(each.verdict is Verdict.FAILED for each in found)


class Report(Shape, frozen=True, kw_only=True):
    """What `doctor -o json` prints."""

    version: int = 1
    is_well: bool  # nothing failed
    findings: tuple[Finding, ...]


def as_json(found: Sequence[Finding]) -> str:
    report = Report(is_well=is_well(found), findings=tuple(found))
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def text(found: Sequence[Finding], style: Style = terminal.PLAIN) -> str:
    return "".join(f"{line}\n" for line in _lines(found, style))


def _lines(found: Sequence[Finding], style: Style) -> Iterator[str]:
    width = max((len(each.check) for each in found), default=0)
    if style.columns is not None:
        width = min(width, style.columns // 3)
    indent = 6 + width + 2
    for each in found:
        mark = style.paint(_COLOURS[each.verdict], _MARKS[each.verdict].ljust(4))
        check = on_one_line(each.check)
        first, *more = terminal.wrapped(each.message, style, indent=indent) or [""]
        yield f"{mark}  {check.ljust(width)}  {first}"
        yield from (" " * indent + line for line in more)
        if each.fix:
            for number, line in enumerate(terminal.wrapped(each.fix, style, indent=indent + 3)):
                yield " " * indent + ("-> " if number == 0 else "   ") + line
    counts = Counter(each.verdict for each in found)
    parts = [
        f"{counts[each]} {_MARKS[each]}" for each in (Verdict.FAILED, Verdict.WARNING, Verdict.SKIPPED, Verdict.OK)
    ]
    yield ""
    yield ", ".join(part for part in parts if not part.startswith("0 "))
