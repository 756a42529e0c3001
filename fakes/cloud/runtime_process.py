# ruff: noqa: ARG002 - both runtimes have the methods that `runtime.Runtime` asks for, needed or not
"""A runtime that runs the containers' commands on this machine, each in its own sandbox.

What it cannot give: limits of vCPU, and a writable image (a container may write to its `/tmp`, `/run`, `/var`, its
volumes, and new top-level entries only). Memory is limited by a control group where this user may make one, else by
what a process may allocate. Where there are no namespaces (`isolation`) containers are plain processes: mount paths in
the words and variables are rewritten to where the files are, and nothing is hidden. Without a network of the groups'
own their containers share this machine's: ports are this machine's, and a group's address is on paper only.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fakes.cloud import checks, images, logs
from fakes.cloud import exec as execution
from fakes.cloud.clock import Clock
from fakes.cloud.errors import ApiError
from fakes.cloud.group import CONTAINER_RUNNING, WAITING, Container, Exit, Group
from fakes.cloud.images import HOST, Image
from fakes.cloud.isolation import Isolation
from fakes.cloud.launcher import FAILED, Failure, Launcher
from fakes.cloud.memory import Memory, MemoryGroup
from fakes.cloud.metrics import GIB, Sample, record, usage
from fakes.cloud.network import Link, Network, Traffic
from fakes.cloud.parameters import Json
from fakes.cloud.process import Command, Holder, Process, start_error
from fakes.cloud.runtime import Checked, ExecProcess, ExecResult, Exited, LogQuery, Pull, Started
from fakes.cloud.sandbox import DEFAULT_PATH, Sandbox
from fakes.cloud.volumes import GroupFiles, hostname

STARTING_AT_ONCE = 4
_RUNS_KEPT = 2
_SAMPLES_KEPT = 50
_SAMPLE_S = 1.0
_LAST_WORDS_BYTES = 4096
_LAST_LINES, _LAST_LINES_BYTES = 80, 2048  # of the log, where that speaks for it
_LOOPBACK = "127.0.0.1"


class _Place:
    """What the runtime keeps of a group."""

    __slots__ = ("doomed", "files", "holder", "link", "memory", "processes", "samples", "user")

    def __init__(self, files: GroupFiles, user: int | None) -> None:
        self.files = files
        self.user = user  # of plain processes; None = ours
        self.holder: Holder | None = None
        self.memory: dict[str, MemoryGroup] = {}  # by container
        self.processes: dict[str, Process | None] = {}  # by container; None while it waits for its turn to start
        self.samples: deque[Json] = deque(maxlen=_SAMPLES_KEPT)
        self.doomed = False
        self.link: asyncio.Future[Link] | None = None  # None also where groups have no network of their own


class ProcessRuntime:
    """state_dir: where logs and volumes go. network: None = this machine's. memory: None = no control groups.

    The launcher becomes this one's, and is closed with it.
    """

    def __init__(
        self,
        clock: Clock,
        image_list: Sequence[Image],
        state_dir: Path,
        *,
        launcher: Launcher,
        isolation: Isolation,
        network: Network | None,
        memory: Memory | None,
    ) -> None:
        self._clock = clock
        self._images = image_list
        self._state_dir = state_dir
        self._launcher = launcher
        self._isolation = isolation
        self._network = network
        self._memory = memory
        self._number = 0  # of groups so far
        self._queue: deque[tuple[Group, Container, Started, Exited]] = deque()
        self._starting = 0
        self._places: dict[str, _Place] = {}
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="sweeper")
        self._idle = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()  # at most one per probe of a running container

    def pull(self, group: Group, container: Container, now: float) -> Pull:
        image = images.find(self._images, container.image)
        if image is None:
            path, tag = images.split_reference(container.image)
            reference = f"{path}:{tag}" if "/" in path else f"docker.io/library/{path}:{tag}"
            error = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{reference}": '
                f'failed to resolve reference "{reference}": {reference}: not found '
                f"(no registry was asked: this fake cloud plays {_names(self._images)}; --images adds others)"
            )
            return Pull(0.5, error)
        if image.login and not _has_login(group, container.image, image.login):
            host = images.registry(container.image)
            error = (
                f'rpc error: code = Unknown desc = failed to pull and unpack image "{container.image}": failed to '
                f"authorize: failed to fetch anonymous token: unexpected status from GET request to https://{host}/v2/:"
                " 401 Unauthorized"
            )
            return Pull(0.5, error)
        config_error = _config_error(image, container)
        return Pull(image.pull_s, image.fail, image.size_bytes, config_error, cached=image.cached)

    def start_delay(self, group: Group) -> float:
        return -1.0

    def prepare(self, group: Group) -> None:
        linked = self._network is not None
        user = self._isolation.user_of(self._number)
        root, shared = self._state_dir / "groups" / group.id, self._state_dir / "shared"
        files = GroupFiles(root, shared, linked=linked, owner=user)
        files.create(group)
        self._number += 1
        group.runtime_data = self._places[group.id] = place = _Place(files, user)
        self._connect(group, place)

    def start(self, group: Group, container: Container, now: float, *, started: Started, exited: Exited) -> None:
        place = self._place(group)
        place.processes[container.name] = None
        self._connect(group, place)
        self._hold(group, place)
        self._queue.append((group, container, started, exited))
        self._start_next()

    def stop(self, group: Group, container: Container, now: float, *, grace_s: float) -> None:
        process = self._place(group).processes.get(container.name)
        if process is not None:
            process.stop(grace_s / self._clock.speed)
            return
        for entry in [entry for entry in self._queue if entry[1] is container]:
            self._queue.remove(entry)
            self._over(group, container, entry[3], Exit(137, 9, message="stopped before it began"))

    def update_files(self, group: Group) -> None:
        self._place(group).files.create(group)

    def clear_scratch(self, group: Group) -> None:
        self._place(group).files.clear_scratch(group)

    def ended(self, group: Group) -> None:
        self._disconnect(self._place(group))

    def release(self, group: Group) -> None:
        place = self._place(group)
        place.doomed = True
        for entry in [entry for entry in self._queue if entry[0] is group]:
            self._queue.remove(entry)
            place.processes.pop(entry[1].name, None)
        for process in place.processes.values():
            if process is not None:
                process.kill()
        self._sweep(group.id, place)

    def logs(self, group: Group, container: Container, query: LogQuery, now: float) -> str:
        if group.runtime_data is None:
            return ""
        run = container.runs
        if query.previous and container.state != WAITING:
            run -= 1
        if query.previous and run < 1:
            raise ApiError("InvalidParameter.NotFound", f"The container {container.name} has no previous run.", 404)
        return logs.read(self._place(group).files.log(container, run), query)

    def samples(self, group: Group, now: float) -> list[Json]:
        if group.runtime_data is None:
            return []
        place = self._place(group)
        if not place.samples or now - place.samples[-1]["at"] >= _SAMPLE_S:
            parts = [(item, self._measure(place, item, now)) for item in group.containers]
            if any(sample is not None for _, sample in parts):
                measured = [(item, sample) for item, sample in parts if sample]
                place.samples.append(record(group, now, measured, self._traffic(place)))
        return list(place.samples)

    def check(self, group: Group, container: Container, probe: Json, *, timeout_s: float, done: Checked) -> None:
        async def ask() -> None:
            async def run(command: Sequence[str]) -> ExecResult:
                return await self.exec(group, container, command, timeout_s=timeout_s)

            host = group.ip if self._network else _LOOPBACK
            error = await checks.failure(probe, run, host, timeout_s / self._clock.speed)
            done(self._clock.now(), error)

        task = asyncio.create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def exec(self, group: Group, container: Container, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        return await execution.run(self._inside(group, container), command, timeout_s=timeout_s)

    async def exec_stream(
        self, group: Group, container: Container, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess:
        return await execution.stream(self._inside(group, container), command, tty=tty, stdin=stdin)

    async def close(self) -> None:
        self._queue.clear()
        for task in self._asking:
            task.cancel()
        for place in self._places.values():
            for process in place.processes.values():
                if process is not None:
                    process.kill()
        try:
            async with asyncio.timeout(10):
                while self._running():
                    self._idle.clear()
                    await self._idle.wait()
        finally:
            for place in self._places.values():
                if place.holder is not None:
                    place.holder.kill()
                self._sweeper.submit(place.files.remove)
            self._launcher.close()
            if self._memory is not None:
                self._sweeper.submit(self._memory.close)
            self._sweeper.shutdown(wait=True)

    def _running(self) -> bool:
        return any(process is not None for place in self._places.values() for process in place.processes.values())

    def _start_next(self) -> None:
        while self._starting < STARTING_AT_ONCE:
            entry = next((entry for entry in self._queue if self._can_start(entry[0])), None)
            if entry is None:
                break
            self._queue.remove(entry)
            self._spawn(*entry)

    def _can_start(self, group: Group) -> bool:
        place = self._place(group)
        return (place.link is None or place.link.done()) and (place.holder is None or place.holder.is_settled)

    def _hold(self, group: Group, place: _Place) -> None:
        """Have a process 1 for containers that share theirs, again if it has ended."""
        if self._shares(group) and (place.holder is None or not place.holder.pid):
            try:
                place.holder = Holder(self._launcher, self._isolation, self._start_next)
            except OSError:
                place.holder = None  # no container will start either

    def _shares(self, group: Group) -> bool:
        return self._isolation.is_sandboxed and bool(group.spec.get("ShareProcessNamespace"))

    def _connect(self, group: Group, place: _Place) -> None:
        """Ask for a group's network, again if it could not be made."""
        if self._network is None or (place.link and not (place.link.done() and place.link.exception())):
            return
        place.link = self._network.connect(group.ip)
        place.link.add_done_callback(lambda _: self._start_next())

    def _disconnect(self, place: _Place) -> None:
        if self._network is not None and place.link is not None:
            self._network.disconnect(place.link)
            place.link = None

    def _spawn(self, group: Group, container: Container, started: Started, exited: Exited) -> None:
        place = self._place(group)
        image = images.find(self._images, container.image)
        if image is None:
            gone = Failure(f"image {container.image} is not known any more", FAILED)
            self._over(group, container, exited, start_error(gone))
            return
        try:
            command = self._command(place, group, container, image)
        except OSError as error:
            self._over(group, container, exited, start_error(Failure(str(error), FAILED)))
            return
        self._starting += 1
        waiting = True

        def ready() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._starting -= 1
                asyncio.get_running_loop().call_soon(self._start_next)

        def on_started() -> None:
            ready()
            started(self._clock.now())

        def on_exit(end: Exit) -> None:
            ready()
            if place.memory.get(container.name) and place.memory[container.name].has_killed():
                end = replace(end, reason="OOMKilled")
            if not end.message:
                end = replace(end, message=_last_words(place.files, container, run, end.code))
            self._over(group, container, exited, end)

        run = container.runs + 1
        logs.remove(place.files.log(container, run - _RUNS_KEPT))
        log = logs.RunLog(place.files.log(container, run))
        place.files.last_words(container).write_bytes(b"")
        process = Process(command, log, now=self._clock.now, on_started=on_started, on_exit=on_exit)
        place.processes[container.name] = process
        try:
            process.spawn(self._launcher)
        except OSError as error:
            ready()
            self._over(group, container, exited, start_error(Failure(str(error), FAILED)))

    def _command(self, place: _Place, group: Group, container: Container, image: Image) -> Command:
        """What to start for a container. Raises OSError."""
        if place.link and (broken := place.link.exception()):
            raise OSError(f"failed to set up the network of the sandbox: {broken}")
        if image.lacks:
            raise OSError(image.lacks)
        if self._shares(group) and not (place.holder and place.holder.pid):
            raise OSError("the namespace of processes that its containers share cannot be made")
        words = _words(image, container)
        if not words:
            raise OSError("no command specified")
        if self._memory is not None and container.name not in place.memory:
            limit = container.spec.get("Memory") or group.memory_gib
            place.memory[container.name] = self._memory.group(f"{group.id}.{container.name}", int(limit * GIB))
        box = self._box(place, group, container, image)
        return Command(
            words,
            box,
            self._isolation,
            link=place.link.result() if place.link else None,
            holder=place.holder,
            user=place.user,
            stdin=bool(container.spec.get("Stdin")),
        )

    def _box(self, place: _Place, group: Group, container: Container, image: Image) -> Sandbox:
        security = container.spec.get("SecurityContext", {})
        _, _, gid = image.user.partition(":")
        user = _user(image, container)
        own_group = int(gid or image.user or 0) if user and "RunAsUser" not in security else 0
        return Sandbox(
            root=Path("/" if image.root == HOST else image.root),
            mounts=list(place.files.mounts(group, container)),
            environment=_environment(group, container, image),
            workdir=container.spec.get("WorkingDir") or image.workdir or "/",
            hostname=hostname(group),
            uid=user,
            gid=container.spec.get("SecurityContextRunAsGroup", own_group),
            read_only_root=security.get("ReadOnlyRootFilesystem", False),
            binds=image.host_paths(),
            capabilities=security.get("Capability", {}).get("Add", []),
            kernel=_kernel_settings(group),
            terminal=bool(container.spec.get("Tty")),
            control_groups=memory.folders() if (memory := place.memory.get(container.name)) else [],
            memory_bytes=0 if memory else int((container.spec.get("Memory") or group.memory_gib) * GIB),
        )

    def _over(self, group: Group, container: Container, exited: Exited, end: Exit) -> None:
        place = self._places.get(group.id)
        if place is not None:
            place.processes.pop(container.name, None)
            self._sweep(group.id, place)
        self._idle.set()
        asyncio.get_running_loop().call_soon(lambda: exited(self._clock.now(), end))

    def _sweep(self, group_id: str, place: _Place) -> None:
        """Remove a forgotten group's files once nothing of it runs."""
        if place.doomed and not place.processes:
            if place.holder is not None:
                place.holder.kill()
            for memory in place.memory.values():
                self._sweeper.submit(memory.remove)
            self._disconnect(place)
            self._places.pop(group_id, None)
            self._sweeper.submit(place.files.remove)

    def _measure(self, place: _Place, container: Container, now: float) -> Sample | None:
        process = place.processes.get(container.name)
        if process is None or container.started_at is None:
            return None
        cpu, memory = usage(process.pids())
        since, before = container.started_at, 0
        if place.samples:
            old = next((item for item in place.samples[-1]["Containers"] if item["Name"] == container.name), None)
            if old is not None and place.samples[-1]["at"] >= container.started_at:
                since, before = place.samples[-1]["at"], old["CPU"]["UsageCoreNanoSeconds"]
        rate = max(0, int((cpu - before) / max(now - since, 0.001)))
        return Sample(now, cpu, rate, memory)

    def _inside(self, group: Group, container: Container) -> execution.Inside:
        process = self._place(group).processes.get(container.name) if group.runtime_data is not None else None
        image = images.find(self._images, container.image)
        if process is None or image is None or not process.pid or container.state != CONTAINER_RUNNING:
            raise ApiError("IncorrectStatus", f"The container {container.name} is not running.")
        place = self._place(group)
        box = self._box(place, group, container, image)
        return execution.Inside(
            self._launcher,
            process,
            box,
            self._isolation,
            link=place.link.result() if place.link else None,
            holder=place.holder,
            user=place.user,
        )

    def _traffic(self, place: _Place) -> Traffic:
        if self._network is None or place.link is None or not place.link.done() or place.link.exception():
            return {}
        return self._network.traffic(place.link.result())

    def _place(self, group: Group) -> _Place:
        place = group.runtime_data
        assert isinstance(place, _Place)
        return place


def _kernel_settings(group: Group) -> list[tuple[str, str]]:
    """Those asked for: of its network, and of its communication between processes."""
    kinds = (group.spec.get(kind, {}).get("Sysctl", []) for kind in ("SecurityContext", "HostSecurityContext"))
    return [(item["Name"], item.get("Value", "")) for items in kinds for item in items]


def _user(image: Image, container: Container) -> int:
    uid, _, _ = image.user.partition(":")
    return int(container.spec.get("SecurityContext", {}).get("RunAsUser", int(uid or 0)))


def _names(known: Sequence[Image]) -> str:
    return ", ".join(sorted({image.name for image in known}))


def _has_login(group: Group, reference: str, wanted: str) -> bool:
    host = images.registry(reference)
    given = {item["Server"]: item for item in group.spec.get("ImageRegistryCredential", [])}.get(host, {})
    return f"{given.get('UserName', '')}:{given.get('Password', '')}" == wanted


def _config_error(image: Image, container: Container) -> str:
    if container.spec.get("SecurityContextRunAsNonRoot") and _user(image, container) == 0:
        return f"container has runAsNonRoot and image will run as root (container: {container.name})"
    return ""


def _last_words(files: GroupFiles, container: Container, run: int, code: int) -> str:
    """What a container said about its end, as much of it as is kept; after a failure its log may speak for it."""
    said = ""
    with suppress(OSError), files.last_words(container).open("rb") as file:
        said = file.read(_LAST_WORDS_BYTES).decode(errors="replace")
    if said or code == 0 or container.spec.get("TerminationMessagePolicy") != "FallbackToLogsOnError":
        return said
    end = logs.read(files.log(container, run), LogQuery(tail=_LAST_LINES))
    return end.encode()[-_LAST_LINES_BYTES:].decode(errors="replace")


def _environment(group: Group, container: Container, image: Image) -> dict[str, str]:
    """The image's variables, then the container's; a host name and a PATH at least; nothing of this process."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname(group), **image.env}
    for item in container.spec.get("EnvironmentVar", []):
        variables[item["Key"]] = group.ip if "FieldRef" in item else item.get("Value", "")
    return variables


def _words(image: Image, container: Container) -> list[str]:
    """A container's command replaces entrypoint and command of its image; its arguments replace the command only."""
    command, arguments = container.spec.get("Command"), container.spec.get("Arg")
    if command:
        return [*command, *(arguments or ())]
    return [*image.entrypoint, *(arguments or image.command)]
