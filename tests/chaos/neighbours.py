"""`python -m tests.chaos --neighbours`: honest bursts first alone, then beside bad neighbours, and what that cost them.

No part is broken here: every complaint is that one tenant, a stranger, an object or an answer did harm to others.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import resource
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from fakes.api_client import ApiRefused
from tests.chaos import hostile, story
from tests.chaos.auditor import one_instance_per_pod
from tests.chaos.contention import Contention
from tests.chaos.hostile import HURTS, SIZES
from tests.chaos.proxy import Accident
from tests.chaos.run import Outcome, gather
from tests.chaos.stage import KEY_SECRET, NODE, Json, Stage

NAMESPACE = "hostile"
INSTANCE_ID = "virtual-kubelet.io/instance-id"
TOKEN = "chaos-pod-secret-8Kd"
MOST_RSS_MB = 300.0
MOST_LATE_S = 60.0  # whatever is away
TIMES, AT_LEAST_S = 2.0, 1.0
"""How much slower honest pods may start; a second is what the measurement itself is worth."""
BURSTS, BURST = 3, 20
STRANGERS = 1100  # more than a process has descriptors by default
HANGS_S = 5.0
CA_LATE_S = 3.0
RETRY_S, ANSWER_S, RENEW_S = 5.0, 20.0, 10.0
"""How long what failed twice is waited with, an answer for, and the next look at files of credentials."""
VICTIM = "web-victim"
STARTED_WITHIN_S, GONE_WITHIN_S = MOST_LATE_S + 15.0, 90.0
Neighbour = Callable[["Street"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Start:
    """Of an honest pod: when it was bound, and the seconds from then to Running."""

    at_s: float
    took_s: float

    def calm_s(self, away: Collection[tuple[float, float]]) -> float:
        """The seconds of them in which nothing was away."""
        calm, at, end = 0.0, self.at_s, self.at_s + self.took_s
        for began, over in sorted(away):
            calm += max(0.0, min(began, end) - at)
            at = max(at, over)
        return calm + max(0.0, end - at)


@dataclass
class Street:
    """The stage and who is on it.

    worst_mb: of memory. away: from when to when something was away that honest pods need, as `time.monotonic` has it.
    unready: what the node said of itself. given_up: honest pods never ran.
    """

    stage: Stage
    dice: random.Random
    sizes: str
    number: int = 0
    worst_mb: float = 0.0
    away: list[tuple[float, float]] = field(default_factory=list)
    unready: set[str] = field(default_factory=set)
    read: list[str] = field(default_factory=list)
    hostile: list[str] = field(default_factory=list)
    given_up: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there is no provider any more, or pods that never ran: what more there is to see takes for ever."""
        return self.given_up or self.stage.provider.exit_code is not None

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"


async def tenant(street: Street) -> str:
    told = []
    for hurt in street.dice.sample(HURTS, 3):
        pod = _pod(street.name("hostile-"))
        hurt(pod["spec"], street.dice, SIZES[street.sizes])
        await _create(street, pod)
        told.append(hurt.__name__)
    return ", ".join(told)


async def reader(street: Street) -> str:
    """A pod that says it is another's instance, and asks for its log; and one that would have a secret told."""
    groups = [each for each in (await street.stage.cloud_says("state"))["groups"] if each["status"] == "Running"]
    others = [each for each in groups if each["name"].startswith(story.NAMESPACE)]
    pod = _pod(street.name("reader-"))
    annotated: Json = {"annotations": {INSTANCE_ID: street.dice.choice(others)["id"]} if others else {}}
    pod["metadata"] |= annotated
    source = {"secretKeyRef": {"name": "s", "key": "token"}}
    pod["spec"]["containers"][0]["env"] = [{"name": "TOKEN", "valueFrom": source}]
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": "../$(TOKEN)"}
    if street.dice.random() < 0.5:
        pod["spec"]["containers"][0]["volumeMounts"] = [mount]
        pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    await _create(street, pod)
    await asyncio.sleep(5.0)  # it runs, as far as it ever will
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
    for _ in range(2):
        street.read.append(await street.stage.text(f"{path}/log"))
        await street.stage.call("PATCH", path, {"metadata": annotated})
    return f"{name} asked for the log of {'another' if others else 'itself'}"


async def strangers(street: Street) -> str:
    """Connections to the kubelet port: silent, senseless, or without a name."""
    node = await street.stage.api.get(f"/api/v1/nodes/{NODE}")
    port = int(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"])
    count = street.dice.randint(STRANGERS - 100, STRANGERS)
    writers: list[asyncio.StreamWriter] = []
    for number in range(count):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            if number % 4 == 0:
                writer.write(street.dice.randbytes(200))
    nobody = ssl.create_default_context()
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=nobody)) as session:
        for path in ("/pods", "/containerLogs/a/b/c", "/exec/a/b/c?command=id"):
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with session.get(f"https://127.0.0.1:{port}{path}") as answer:
                    if answer.status < 400:
                        street.read.append(f"{story.LOG_LINE}: a stranger was answered at {path}")
    await asyncio.sleep(5.0)
    for writer in writers:
        writer.close()
    return f"{len(writers)} connections to port {port}"


async def malformed_objects(street: Street) -> str:
    street.stage.proxy.malformed = random.Random(street.dice.random())
    street.stage.proxy.cut_watches()
    await asyncio.sleep(5.0)
    street.stage.proxy.malformed = None
    return "lines of watches that are none, and items of lists, for 5 s"


async def versions_go_back(street: Street) -> str:
    street.stage.proxy.add(Accident("old-version", frozenset({"GET"}), "/pods", 2))
    street.stage.proxy.expire_watches()
    return "two lists of a version long past"


async def cloud_lies(street: Street) -> str:
    kind = street.dice.choice(("malformed-answer", "malformed-answer", "foreign-id"))
    action = "CreateContainerGroup" if kind == "foreign-id" else street.dice.choice(("*", "DescribeContainerGroups"))
    count = street.dice.randint(1, 5)
    await street.stage.cloud("faults", kind=kind, action=action, count=count)
    return f"{count} times {kind} to {action}"


async def cloud_hangs(street: Street) -> str:
    """It takes every request and is silent: what was asked then is never answered."""
    await street.stage.cloud("faults", kind="delay", action="*", count=-1, seconds=3600.0)
    await asyncio.sleep(HANGS_S)
    await street.stage.cloud_calm()
    return f"it answered nothing that was asked in {HANGS_S:g} s"


async def cloud_hours_off(street: Street) -> str:
    await street.stage.cloud("clock", advance=3600.0 * street.dice.uniform(1.0, 6.0))
    return "the cloud's clock went hours ahead"


async def ca_changes(street: Street) -> str:
    """The API server is set up anew; the file with its new CA comes a while later."""
    street.stage.proxy.change_ca()
    await asyncio.sleep(CA_LATE_S)
    street.stage.proxy.write_ca()
    return f"another CA, whose file came after {CA_LATE_S:g} s"


async def no_names(street: Street) -> str:
    """DNS answers nothing; and who is connected to the cloud is not for long, else nobody would ask for its name."""
    switch = street.stage.directory / "no-dns"
    switch.touch()
    await street.stage.cloud("faults", kind="lose-request", action="*", count=-1)
    await asyncio.sleep(4.0)
    await street.stage.cloud_calm()
    switch.unlink()
    return "no name was resolved for 4 s"


async def full_disk(street: Street) -> str:
    """No file takes a byte more, in /tmp or anywhere."""
    stage = street.stage
    old = stage.limit_provider(resource.RLIMIT_FSIZE, 0)
    await asyncio.sleep(4.0)
    if stage.provider.exit_code is None:
        stage.limit_provider(resource.RLIMIT_FSIZE, old[0])
    return "no file took a byte for 4 s"


async def rival(street: Street) -> str:
    other = street.stage.rival()
    other.start()
    await asyncio.sleep(8.0)
    ended = other.exit_code
    await asyncio.to_thread(other.kill)
    return f"a second provider of our name for 8 s{f', which ended with {ended}' if ended is not None else ''}"


OTHERS: Sequence[Neighbour] = (tenant, strangers, reader, tenant, strangers)
"""Beside these nobody may notice anything: nothing that an honest pod needs is away for a moment."""
SERVERS: Mapping[Neighbour, float | None] = {
    malformed_objects: None,
    full_disk: None,
    cloud_hours_off: None,
    rival: None,
    versions_go_back: RETRY_S,
    cloud_lies: RETRY_S,
    ca_changes: RENEW_S + RETRY_S,
    no_names: RETRY_S,
    cloud_hangs: ANSWER_S + RETRY_S,
}
"""None: nothing is away, and nobody may notice anything here either. Else for how long afterwards an honest pod may
still be waiting for what was asked in vain."""
BRINGS_TO_LIGHT: Mapping[str, Neighbour] = {
    "ends-early": malformed_objects,
    "waits-for-ever": cloud_hangs,
    "trusts-for-ever": ca_changes,
    "ends-without-names": no_names,
    "needs-a-disk": full_disk,
    "believes-clocks": cloud_hours_off,
}
"""By planted bug, the mad server that it takes; the others take tenants. Alone, for a rival would carry the pods."""


async def play(
    seed: int,
    directory: Path,
    say: Callable[[str], None],
    *,
    real: bool = False,
    sizes: str = "modest",
    bug: str = "",
) -> Outcome:
    """Raises AssertionError when a part does not start. bug: one to plant; then only those come that it takes."""
    others, servers = _who_comes(bug)
    async with Stage(directory, bug=bug).set_up(real=real) as stage:
        street = Street(stage, random.Random(seed), sizes)
        await stage.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        secret = {"metadata": {"name": "s"}, "stringData": {"token": TOKEN}}
        await stage.api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
        await _victim_comes(street)
        contention = Contention(stage.pids)
        watching = asyncio.gather(_watch(street), contention.run())
        alone = await _bursts(street)
        say(f"alone: p99 {_p99(alone):.2f} s of {len(alone)}")
        beside = await _beside(street, others, say)
        say(f"beside bad neighbours: p99 {_p99(beside):.2f} s of {len(beside)}")
        under = await _beside(street, servers, say) if servers and not street.is_over else []
        say(f"under mad servers: p99 {_p99(under):.2f} s of {len(under)}")
        await stage.cloud_calm()
        stage.proxy.clear()
        await stage.call("DELETE", f"/api/v1/namespaces/{story.NAMESPACE}/pods/{VICTIM}", {"gracePeriodSeconds": 1})
        await _hostile_go(street)
        alone += await _bursts(street)  # before and after: a machine that others use is not the same all the time
        say(f"alone again: p99 {_p99(alone):.2f} s of {len(alone)}")
        stage.note_end()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        doubles = one_instance_per_pod(await gather(stage))
        measured = Measured(alone, beside, under, contention.lost)
        found = [*stage.crashed, *complaints(street, measured), *doubles, *await _told(street)]
        facts: dict[str, object] = {
            "honest pods": len(alone) + len(beside) + len(under),
            "hostile pods": len(street.hostile),
            "p99 from bound to Running, alone, s": round(_p99(alone), 2),
            "p99 beside bad neighbours, s": round(_p99(beside), 2),
            "p99 under mad servers, s": round(_p99(under), 2) if under else "–",
            "waited for a processor, s": round(sum(over - began for began, over in contention.lost)),
            **{f"p99 {when}, s": round(took_s, 2) for when, took_s in measured.late_s(street.away).items()},
            "most memory of the provider, MB": round(street.worst_mb),
        }
        return Outcome(found, facts)


def _who_comes(bug: str) -> tuple[Collection[Neighbour], Collection[Neighbour]]:
    """Those of OTHERS and those of SERVERS."""
    if bug in BRINGS_TO_LIGHT:
        return (reader,), (BRINGS_TO_LIGHT[bug],)
    return OTHERS, () if bug else tuple(SERVERS)


@dataclass(frozen=True, slots=True)
class Measured:
    """Starts of honest pods. lost: when they waited for a processor that others had, as `time.monotonic` has it."""

    alone: Sequence[Start]
    beside: Sequence[Start]
    under: Sequence[Start]
    lost: Collection[tuple[float, float]]

    def late_s(self, away: Collection[tuple[float, float]]) -> Mapping[str, float]:
        """The p99 of each, of the seconds in which we had the machine, and under mad servers nothing was away."""
        return {
            "alone, of our own time": _p99([each.calm_s(self.lost) for each in self.alone]),
            "beside, of our own time": _p99([each.calm_s(self.lost) for each in self.beside]),
            "under, of our own time, when nothing was away": _p99(
                [each.calm_s([*self.lost, *away]) for each in self.under]
            )
            if self.under
            else 0.0,
        }


def complaints(street: Street, measured: Measured) -> list[str]:
    found = []
    alone_s, beside_s, under_s = measured.late_s(street.away).values()
    most_s = TIMES * max(alone_s, AT_LEAST_S)
    if not street.read or not any(street.read):
        found.append("no log was read: nothing was shown")
    if beside_s > most_s:
        found.append(f"honest pods were Running {beside_s:.2f} s after they were bound, alone {alone_s:.2f} s")
    if under_s > most_s:
        told = f"under mad servers honest pods were Running {under_s:.2f} s after they were bound"
        found.append(f"{told}, not counting when something was away; alone {alone_s:.2f} s")
    if max((each.took_s for each in measured.under), default=0.0) > MOST_LATE_S:
        found.append("under mad servers an honest pod was Running more than a minute after it was bound")
    if street.worst_mb > MOST_RSS_MB:
        found.append(f"the provider had {street.worst_mb:.0f} MB")
    found += [f"the node was not ready: {each}" for each in sorted(street.unready)]
    found += [f"somebody read what is another's: {each[:200]}" for each in street.read if story.LOG_LINE in each]
    return found


async def _told(street: Street) -> list[str]:
    """What stands where it must not: secrets anywhere, a tenant's line in the log as if it were the provider's."""
    log, texts = street.stage.provider_log(), {}
    for namespace in (NAMESPACE, story.NAMESPACE):
        for plural in ("events", "pods"):
            listed = await street.stage.api.get(f"/api/v1/namespaces/{namespace}/{plural}")
            parts = [each.get("status") if plural == "pods" else each for each in listed["items"]]
            texts[f"{plural} of {namespace}"] = json.dumps(parts)
    encoded = base64.b64encode(TOKEN.encode()).decode()
    places = {"log": log, **texts}.items()
    found = [f"a secret stands in the {place}" for place, text in places if TOKEN in text or encoded in text]
    found += ["the key stands in the log"] if KEY_SECRET in log else []
    found += ["a tenant wrote a line of the log"] if f"\n{hostile.FORGED}" in log else []
    return found


async def _watch(street: Street) -> None:
    while True:
        with suppress(OSError, ValueError):
            pages = int(street.stage.proc("statm").split()[1])
            street.worst_mb = max(street.worst_mb, pages * resource.getpagesize() / 2**20)
        with suppress(ApiRefused, aiohttp.ClientError, OSError):
            node = await street.stage.api.get(f"/api/v1/nodes/{NODE}")
            ready = next(each for each in node["status"]["conditions"] if each["type"] == "Ready")
            if ready["status"] != "True":
                street.unready.add(f"{ready['status']} {ready.get('reason')}")
        await asyncio.sleep(0.5)


async def _beside(street: Street, them: Collection[Neighbour], say: Callable[[str], None]) -> list[Start]:
    """Bursts for as long as these come, one after the other."""
    coming = asyncio.create_task(_come(street, them, say))
    took = await _bursts(street, bursts=1)
    while not coming.done() and not street.is_over:
        took += await _bursts(street, bursts=1)
    if street.is_over:
        coming.cancel()
        await asyncio.wait([coming])
    else:
        await coming
    return took


async def _come(street: Street, them: Collection[Neighbour], say: Callable[[str], None]) -> None:
    began = time.monotonic()
    order = list(them)
    street.dice.shuffle(order)
    for each in order:
        at_s, later_s = time.monotonic(), SERVERS.get(each)
        what = await each(street)
        if later_s is not None:
            street.away.append((at_s, time.monotonic() + later_s))
        say(f"{time.monotonic() - began:6.1f} s  {each.__name__:<20} {what}")
        await asyncio.sleep(street.dice.uniform(0.5, 2.0))


async def _bursts(street: Street, *, bursts: int = BURSTS) -> list[Start]:
    """Of each honest pod; they go when all run. Who never runs counts as for ever."""
    took: list[Start] = []
    for _ in range(bursts):
        if street.is_over:
            break
        names = [street.name("web-n") for _ in range(BURST)]
        collection = f"/api/v1/namespaces/{story.NAMESPACE}/pods"
        await asyncio.gather(*(street.stage.call("POST", collection, _pod(name)) for name in names))

        async def all_run(names: Sequence[str] = names) -> bool:
            return street.is_over or all(name in street.stage.witness.running_s for name in names)

        try:
            await street.stage.until(all_run, within_s=STARTED_WITHIN_S, what="all run")
        except AssertionError:
            street.given_up = True
        for name in names:
            witness = street.stage.witness
            took.append(Start(witness.bound_s.get(name, 0.0), witness.start_s(name)))
            await street.stage.call("DELETE", f"{collection}/{name}", {"gracePeriodSeconds": 1})
    return took


async def _victim_comes(street: Street) -> None:
    """An honest pod that runs all the time, and has a log that others may want to read."""
    await street.stage.call("POST", f"/api/v1/namespaces/{story.NAMESPACE}/pods", _pod(VICTIM))

    async def runs() -> bool:
        return VICTIM in street.stage.witness.running_s

    await street.stage.until(runs, within_s=STARTED_WITHIN_S, what=f"{VICTIM} runs")


async def _hostile_go(street: Street) -> None:
    for name in street.hostile:
        await street.stage.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}", {"gracePeriodSeconds": 0})

    async def none_left() -> bool:
        return street.is_over or not (await street.stage.cloud_says("state"))["groups"]

    try:
        await street.stage.until(none_left, within_s=GONE_WITHIN_S, what="no instance is left of pods that are gone")
    except AssertionError as error:
        street.stage.crashed.append(str(error))


async def _create(street: Street, pod: Json) -> None:
    code = await street.stage.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    if code < 300:
        street.hostile.append(pod["metadata"]["name"])


def _pod(name: str) -> Json:
    return story._pod(name)


def _p99(starts: Sequence[Start | float]) -> float:
    seconds = [each.took_s if isinstance(each, Start) else each for each in starts]
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1] if seconds else math.inf
