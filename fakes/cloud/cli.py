"""The command line of the fake cloud, and the one place that puts its parts together."""

import argparse
import asyncio
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from fakes.cloud import images, isolation, scenario, tmpfs
from fakes.cloud.admin import Admin
from fakes.cloud.clock import Clock, Timers
from fakes.cloud.faults import Faults
from fakes.cloud.journal import Journal
from fakes.cloud.launcher import Launcher
from fakes.cloud.lifecycle import Settings
from fakes.cloud.limits import RateLimits
from fakes.cloud.memory import Memory
from fakes.cloud.network import Network
from fakes.cloud.runtime import Runtime
from fakes.cloud.runtime_process import ProcessRuntime
from fakes.cloud.runtime_simulated import SimulatedRuntime
from fakes.cloud.server import MAX_BODY_BYTES, MAX_LINE_BYTES, Server
from fakes.cloud.service import Service
from fakes.cloud.signature import Credential, Verifier
from fakes.cloud.store import CIDR
from fakes.startup import port, told

_PREFIX = "fake-eci-"
_NETWORK_HELP = (
    "runtime process: netns gives each group a network of its own, so that its address can be dialled from this "
    "machine; host leaves the address on paper and runs containers on this machine's network; auto is netns where "
    "this user may have it (default: %(default)s)"
)
_SANDBOX_HELP = (
    "runtime process: namespaces of its own for each container, where this user may have them; without, plain "
    "processes, for root of users without rights"
)


@dataclass(slots=True)
class Options:
    """Everything the command line can say, for those who start the cloud from Python."""

    host: str = "127.0.0.1"
    port: int = 0
    runtime: str = "simulated"
    images: str = ""  # TOML text
    scenario: str = ""  # TOML text
    access_key_id: str = "testid"
    access_key_secret: str = "testsecret"
    region: str = "cn-hangzhou"
    cidr: str | None = None  # None: with networks of the groups' own a free one, else CIDR
    network: str = "auto"  # or netns, host
    quota_cpu: float = 100_000.0
    speed: float = 1.0
    rate_limits: bool = True
    sandbox: bool = True
    control_groups: bool = True  # of memory, where they can be had
    state_dir: Path | None = None
    journal: Path | None = None
    clock: Clock | None = None
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running fake cloud."""

    endpoint: str
    service: Service
    server: Server
    network: Network | None  # None: the groups' addresses are on paper only
    containers: str  # how they are run, for people


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=port, default=0, help="port to listen on; 0 takes any free one (default: %(default)s)")
    add("--runtime", choices=("simulated", "process"), default="simulated", help="what runs containers")
    add("--images", type=Path, metavar="FILE", help="TOML: what image names stand for (runtime process)")
    add("--scenario", type=Path, metavar="FILE", help="TOML: what containers do (runtime simulated)")
    add("--access-key-id", default="testid", help="the key that is known (default: %(default)s)")
    add("--access-key-secret", default="testsecret", help="its secret (default: %(default)s)")
    add("--region", default="cn-hangzhou", help="the region served (default: %(default)s)")
    add("--network", choices=("auto", "netns", "host"), default="auto", help=_NETWORK_HELP)
    add("--cidr", help=f"where the groups' addresses come from (default: {CIDR}; for netns a free part of it)")
    add("--quota-cpu", type=float, default=100_000.0, metavar="N", help="vCPU of all groups (default: %(default)g)")
    add("--start-delay", type=float, default=1.0, metavar="S", help="seconds of Scheduling (default: %(default)g)")
    add("--start-spread", type=float, default=0.0, metavar="S", help="so many more, by chance (default: %(default)g)")
    add("--release-delay", type=float, default=2.0, metavar="S", help="seconds from end to gone (default: %(default)g)")
    add("--speed", type=float, default=1.0, metavar="X", help="the clock runs X times as fast (default: %(default)g)")
    add("--rate-limits", action=argparse.BooleanOptionalAction, default=True, help="the API's calls per minute")
    add("--service-events", action="store_true", help="also the platform's own events, beside the kubelet's")
    add(
        "--sandbox",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="runtime process: namespaces where they can be had",
    )
    add("--state-dir", type=Path, metavar="DIR", help="logs and volumes (default: temporary, removed at the end)")
    add("--journal", type=Path, metavar="FILE", help="append every call and status change, one JSON object a line")
    add("--ready-file", type=Path, metavar="FILE", help='written when ready: {"endpoint": ...}')


async def serve(args: argparse.Namespace) -> None:
    """Run until cancelled. Raises SystemExit with a message when a file or a value cannot be used."""
    try:
        options = _options(args)
    except OSError as error:
        raise SystemExit(f"fakes cloud: {told(error, host=args.host, port=args.port)}") from error
    except (UnicodeDecodeError, images.ImagesError, scenario.ScenarioError) as error:
        raise SystemExit(f"fakes cloud: {error}") from error
    try:
        async with run(options) as cloud:
            if args.ready_file:
                draft = args.ready_file.with_name(f".{args.ready_file.name}.new")
                draft.write_text(json.dumps({"endpoint": cloud.endpoint}) + "\n")
                draft.replace(args.ready_file)
            print(f"fake ECI cloud (stand-in for local use) listening on {cloud.endpoint}", flush=True)
            print(f"how containers run: {cloud.containers}", flush=True)
            await asyncio.Event().wait()
    except OSError as error:
        raise SystemExit(f"fakes cloud: {told(error, host=args.host, port=args.port)}") from error
    except ValueError as error:
        raise SystemExit(f"fakes cloud: {error}") from error


@asynccontextmanager
async def run(options: Options) -> AsyncIterator[Cloud]:
    """A fake cloud, listening while the context lasts. Nothing of it survives the end, nor a killed process."""
    _raise_file_limit()
    async with AsyncExitStack() as stack:
        clock = options.clock or Clock(speed=options.speed)
        timers = Timers(clock)
        journal = Journal(clock, options.journal)
        stack.callback(journal.close)
        network = _network(options)
        if network:
            stack.callback(network.close)
        runtime, containers = await _runtime(options, clock, timers, stack, network)
        service = Service(
            timers,
            runtime,
            settings=options.settings,
            region=options.region,
            quota_cpu=options.quota_cpu,
            cidr=network.cidr if network else options.cidr or CIDR,
            journal=journal,
        )
        verifier = Verifier([Credential(options.access_key_id, options.access_key_secret)])
        server = Server(service, verifier, limits=RateLimits(enabled=options.rate_limits), faults=Faults())
        ticking = asyncio.create_task(timers.run())
        stack.push_async_callback(_cancel, ticking)
        runner = _web_runner(server, containers)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        yield Cloud(f"http://{options.host}:{runner.addresses[0][1]}", service, server, network, containers)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _web_runner(server: Server, containers: str) -> web.AppRunner:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes([*server.routes(), *Admin(server, containers).routes()])
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=False,  # a client that gives up must not undo what the cloud has begun
        shutdown_timeout=1.0,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )


def _network(options: Options) -> Network | None:
    if options.runtime != "process" or options.network == "host":
        return None
    try:
        return Network(options.cidr)
    except OSError as error:
        why = f"groups can have no networks of their own here ({error.strerror or error})"
        if options.network == "netns":
            raise OSError(why) from error
        print(f"fakes cloud: {why}; their addresses are on paper only", file=sys.stderr)
        return None


async def _runtime(
    options: Options, clock: Clock, timers: Timers, stack: AsyncExitStack, network: Network | None
) -> tuple[Runtime, str]:
    """The runtime, to be closed with the stack, and for people how it runs containers. Raises OSError."""
    state_dir = options.state_dir or _temporary_directory(stack)
    if options.runtime == "simulated":
        return SimulatedRuntime(timers, scenario.load(options.scenario)), "simulated: no command is run"
    launcher = Launcher()
    stack.callback(launcher.close)
    try:
        kept_apart = await isolation.choose(launcher, state_dir / "empty", sandbox=options.sandbox)
    except isolation.Impossible as error:
        raise OSError(str(error)) from error
    if kept_apart.users is not None and not _is_open(state_dir):
        state_dir = _temporary_directory(stack)  # where users without rights can go
        state_dir.chmod(0o711)
    known = [*images.load(options.images), *images.built_in(state_dir / "bin")]
    runtime = ProcessRuntime(
        clock,
        known,
        state_dir,
        launcher=launcher,
        isolation=kept_apart,
        network=network,
        memory=_memory() if options.control_groups else None,
    )
    stack.push_async_callback(runtime.close)
    return runtime, kept_apart.describe()


def _memory() -> Memory | None:
    try:
        return Memory()
    except OSError:
        return None


def _is_open(folder: Path) -> bool:
    """Whether everybody may go there."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.resolve().parents))


def _options(args: argparse.Namespace) -> Options:
    options = Options(
        host=args.host,
        port=args.port,
        runtime=args.runtime,
        images=args.images.read_text() if args.images else "",
        scenario=args.scenario.read_text() if args.scenario else "",
        access_key_id=args.access_key_id,
        access_key_secret=args.access_key_secret,
        region=args.region,
        cidr=args.cidr,
        network=args.network,
        quota_cpu=args.quota_cpu,
        speed=args.speed,
        rate_limits=args.rate_limits,
        sandbox=args.sandbox,
        state_dir=args.state_dir,
        journal=args.journal,
        settings=Settings(
            start_delay_s=args.start_delay,
            start_spread_s=args.start_spread,
            release_s=args.release_delay,
            service_events=args.service_events,
        ),
    )
    images.load(options.images)
    scenario.load(options.scenario)
    return options


def _temporary_directory(stack: AsyncExitStack) -> Path:
    """A new directory with our PID in its name; those that killed predecessors left behind are removed."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            tmpfs.unmount_below(old)
            shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    return made


def _raise_file_limit() -> None:
    """Each running container takes a few descriptors; the usual soft limit of 1024 is for no burst."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
