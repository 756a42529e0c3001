"""Runs one instance from its spec to its end: `python -m vk_provider.cloud.local.supervisor DIRECTORY`.

A process of its own, so that pods go on while the provider is away. It reads the spec once, keeps the status up to
date, and ends with the instance; SIGTERM asks it to stop everything within the grace period.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vk_provider.cloud.local import probes, sandbox, state

Json = dict[str, Any]
BACKOFF_MOST_S, CALM_S = 300.0, 600.0  # as a kubelet's: between two runs, and after which all is forgiven
LONG_LINE = 256 * 1024
MOST_MESSAGE = 4096  # bytes, as a kubelet reads


def stamp() -> str:
    """Now, RFC 3339 UTC with nanoseconds."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


class Supervisor:
    """runs: of each container, the current run and the last; written down after each change."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.spec: Json = state.read(directory / state.SPEC) or {}
        self._runs: dict[str, Json] = {each["name"]: {"restarts": 0} for each in self._all()}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._status = "Pending"
        self._ended_at = ""
        self._events: list[Json] = []

    def _all(self) -> list[Json]:
        return [*self.spec["init_containers"], *self.spec["containers"]]

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        self._note()
        if (self._directory / state.DELETING).exists():  # from now on we are signalled
            self._stopping.set()
        succeeded = not self._stopping.is_set() and await self._init() and not self._stopping.is_set()
        if succeeded:
            self._status = "Running"
            self._note()
            succeeded = await self._main()
        self._status, self._ended_at = "Succeeded" if succeeded else "Failed", stamp()
        self._note()

    async def _init(self) -> bool:
        for container in self.spec["init_containers"]:
            if not await self._until_done(container, restarts=self.spec["restart_policy"] != "Never"):
                return False
        return True

    async def _main(self) -> bool:
        """Until all that is not a sidecar is done; sidecars end with the others."""
        policy = self.spec["restart_policy"]
        tasks = {
            each["name"]: asyncio.create_task(
                self._until_done(each, restarts=policy != "Never", always=policy == "Always" or each["sidecar"])
            )
            for each in self.spec["containers"]
        }
        main = [tasks[each["name"]] for each in self.spec["containers"] if not each["sidecar"]]
        results = await asyncio.gather(*main)
        self._stopping.set()
        await asyncio.gather(*tasks.values())
        return all(results)

    async def _until_done(self, container: Json, *, restarts: bool, always: bool = False) -> bool:
        """Whether its last run ended well. Begins it anew as the policy says, until everything is to stop."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._once(container)
            again = always or (restarts and code != 0)
            if not again or self._stopping.is_set():
                return code == 0
            if asyncio.get_running_loop().time() - began > CALM_S:
                failures = 0
            run = self._runs[container["name"]]
            run["waiting"] = "CrashLoopBackOff"
            self._warn_of("BackOff", f"Back-off restarting failed container {container['name']}")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(BACKOFF_MOST_S, self.spec["backoff_s"] * 2**failures)):
                    await self._stopping.wait()
            if self._stopping.is_set():
                run.pop("waiting", None)
                return code == 0
            failures += 1
            run["restarts"] += 1
            run["last"] = {key: run[key] for key in ("started_at", "finished_at", "exit_code", "message")}

    async def _once(self, container: Json) -> int:
        """One run to its end; its exit code as a shell has it, 128 + the signal's number."""
        name, run = container["name"], self._runs[container["name"]]
        run.pop("waiting", None)
        own = self._directory / name
        for part in ("up", "work", "root"):
            (own / part).mkdir(parents=True, exist_ok=True)
        (own / "message").write_bytes(b"")
        (own / sandbox.ENTERED).unlink(missing_ok=True)
        (own / "run.sh").write_text(sandbox.script(container, self.spec, self._directory))
        child = await asyncio.create_subprocess_exec(
            *sandbox.UNSHARE,
            "sh",
            str(own / "run.sh"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONG_LINE,
            env={"PATH": sandbox.PATH},
            start_new_session=True,
        )
        self._children[name] = child
        await _until(child, own / sandbox.ENTERED)
        run.update(started_at=stamp(), finished_at="", exit_code=None, message="", pid=child.pid, ready=False)
        self._event("Started", f"Started container {name}")
        watch = asyncio.create_task(probes.watch(container, child, self._set_ready, self._probe_failed))
        stopper = asyncio.create_task(self._stop_in_time(child))
        await self._keep_log(child, state.log_path(self._directory, name, run["restarts"]))
        code = await child.wait()
        watch.cancel()
        stopper.cancel()
        message = (own / "message").read_bytes()[:MOST_MESSAGE].decode(errors="replace")
        run.update(finished_at=stamp(), exit_code=128 - code if code < 0 else code, message=message, ready=False)
        self._note()
        return int(run["exit_code"])

    async def _keep_log(self, child: asyncio.subprocess.Process, path: Path) -> None:
        if child.stdout is None:
            return
        with path.open("ab", buffering=0) as log:
            while True:
                try:
                    line = await child.stdout.readline()
                except ValueError:  # longer than LONG_LINE, and what there is of it has been dropped
                    continue
                if not line:
                    return
                log.write(f"{stamp()} ".encode() + (line if line.endswith(b"\n") else line + b"\n"))

    async def _stop_in_time(self, child: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        await self._stop(child)

    async def _stop(self, child: asyncio.subprocess.Process) -> None:
        if (first := state.child_of(child.pid)) is not None:
            with suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)
        await asyncio.sleep(self.spec["grace_s"])
        with suppress(ProcessLookupError):
            child.kill()  # and with it all in its namespaces: unshare --kill-child

    def _set_ready(self, container: str, ready: bool, why: str = "") -> None:
        if why:
            self._warn_of("Unhealthy", why)
        if self._runs[container].get("ready") is not ready:
            self._runs[container]["ready"] = ready
            self._note()

    async def _probe_failed(self, container: str, why: str) -> None:
        self._warn_of("Unhealthy", why)
        self._event("Killing", f"Container {container} failed liveness probe, will be restarted")
        await self._stop(self._children[container])

    def _warn_of(self, reason: str, message: str) -> None:
        self._event(reason, message, kind="Warning")

    def _event(self, reason: str, message: str, *, kind: str = "Normal") -> None:
        self._events = [*self._events[-49:], {"type": kind, "reason": reason, "message": message, "at": stamp()}]
        self._note()

    def _note(self) -> None:
        state.write(
            self._directory / state.STATUS,
            {
                "pid": os.getpid(),
                "tick": state.started_at_tick(os.getpid()),
                "status": self._status,
                "ended_at": self._ended_at,
                "runs": self._runs,
                "events": self._events,
            },
        )


async def _until(child: asyncio.subprocess.Process, file: Path) -> None:
    """Until something is in the file, or the child has ended: before that it would heed no SIGTERM."""

    def is_written() -> bool:
        return file.exists() and file.stat().st_size > 0

    while not await asyncio.to_thread(is_written) and child.returncode is None:  # noqa: ASYNC110 - written elsewhere
        await asyncio.sleep(0.02)


def main(directory: Path) -> None:
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another one is at it
        if not (directory / state.STATUS).exists():  # else it has been at it
            asyncio.run(Supervisor(directory).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
