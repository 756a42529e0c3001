"""This host as a `Cloud`: creates directories and supervisors, and reads what those write (`state`)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vk_provider.cloud.base import LogOptions
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.local import logs, report, sandbox, spec, state
from vk_provider.cloud.local.exec import LocalSession
from vk_provider.errors import CloudUnavailable, InstanceGone, UnsupportedPod
from vk_provider.fence import Fence
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus
from vk_provider.model.workload import Workload

STARTING_S = 15.0  # how long a supervisor may take to write its first status
SHOWN_S = 2.0  # how long an instance that was deleted still shows how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """root: where the instances are. address: that pods get. backoff_s: before a container begins anew for the first
    time, doubled each time; a kubelet's."""

    root: Path
    whose: Whose
    address: str
    backoff_s: float = 10.0


class LocalCloud:
    """See `vk_provider.cloud.base.Cloud` for what each method promises."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._supervisors: dict[str, asyncio.subprocess.Process] = {}

    async def create(self, workload: Workload) -> Instance:
        if refused := spec.refusals(workload):
            raise UnsupportedPod(refused)
        token = f"{workload.owner.uid}/{workload.replaces}/{workload.attempt}"
        id_ = f"local-{hashlib.sha256(token.encode()).hexdigest()[:20]}"
        directory = self._settings.root / id_
        if (found := self._instance(directory)) is None:
            directory.mkdir(exist_ok=True)
            # Its last step makes the directory an instance.
            spec.lay_out(workload, directory, self._settings.address, self._settings.backoff_s)
            found = self._instance(directory)
        if state.read(directory / state.STATUS) is None and id_ not in self._supervisors:
            await self._supervise(id_, directory)  # of two, as of an earlier life of ours, only one goes on
        if found is None:
            raise CloudUnavailable(f"{directory} cannot be read")
        return replace(found, notices=spec.notices(workload))

    async def _supervise(self, id_: str, directory: Path) -> None:
        self._supervisors = {key: each for key, each in self._supervisors.items() if each.returncode is None}
        with (directory / "supervisor.log").open("ab") as log:
            self._supervisors[id_] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "vk_provider.cloud.local.supervisor", str(directory)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        directory = self._directory(instance_id)
        instance = self._instance(directory) if directory is not None else None
        if directory is None or instance is None:
            return False
        (directory / state.DELETING).touch()
        status = state.read(directory / state.STATUS) or {}
        if state.is_running(status):
            with suppress(ProcessLookupError):
                os.kill(status["pid"], signal.SIGTERM)
                if force:
                    for run in status["runs"].values():
                        if run.get("pid") and run.get("exit_code") is None:
                            os.kill(run["pid"], signal.SIGKILL)
        elif instance.status.is_ended:
            state.remove(directory)
        return True

    async def is_gone(self, instance_id: str, container: str) -> bool:
        del container
        directory = self._directory(instance_id)
        return directory is None or self._instance(directory) is None

    async def list(self) -> Sequence[Instance]:
        found = [self._instance(each) for each in sorted(self._settings.root.iterdir())]
        return tuple(each for each in found if each is not None and self._is_ours(each))

    async def describe(self, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
        wanted = set(instance_ids)
        return {each.id: each for each in await self.list() if each.id in wanted}

    async def foreign(self, instance_ids: Sequence[str]) -> Collection[str]:
        places = {id_: self._directory(id_) for id_ in instance_ids}
        found = {id_: self._instance(place) for id_, place in places.items() if place is not None}
        return {id_ for id_, each in found.items() if each is not None and not self._is_ours(each)}

    async def find(self, pod_uid: str) -> Sequence[Instance]:
        return tuple(each for each in await self.list() if each.owner.uid == pod_uid)

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        del window_s  # all of them: to read is as cheap as to know what changed
        return tuple(report.of(each) for each in await self.list())

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        del window_s
        return ()  # they come with the changes

    async def statuses(self, *, rest_s: float = 0.0) -> Mapping[str, InstanceStatus]:
        del rest_s
        return {each.id: each.status for each in await self.list()}

    async def logs(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        directory = self._directory(instance_id)
        if directory is None or self._instance(directory) is None:
            raise InstanceGone(f"there is no instance {instance_id}")
        async for chunk in logs.read(directory, container, options):
            yield chunk

    async def exec(
        self, instance_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> LocalSession:
        directory = self._directory(instance_id)
        reported = state.read(directory / state.SPEC) if directory is not None else None
        if directory is None or reported is None:
            raise InstanceGone(f"there is no instance {instance_id}")
        runs = (state.read(directory / state.STATUS) or {}).get("runs") or {}
        run = runs.get(container) or {}
        first = state.child_of(int(run["pid"])) if run.get("pid") and run.get("exit_code") is None else None
        if first is None:
            raise CloudUnavailable(f"container {container} does not run")
        named = next(
            each for each in (*reported["init_containers"], *reported["containers"]) if each["name"] == container
        )
        return await LocalSession.open(sandbox.enter(first, named, command), stdin=stdin, tty=tty)

    async def check(self) -> None:
        """The directory was made when we were connected."""

    async def close(self) -> None:
        """Instances go on; a provider that comes again finds them."""

    def _directory(self, id_: str) -> Path | None:
        """None also for what is no name of one of ours."""
        path = self._settings.root / id_
        return path if path.parent == self._settings.root and path.is_dir() else None

    def _instance(self, directory: Path) -> Instance | None:
        reported = state.read(directory / state.SPEC)
        if reported is None:
            return None
        status = state.read(directory / state.STATUS)
        if status is None:
            alive, status = _age_s(directory / state.SPEC) < STARTING_S, {}
        else:
            alive = state.is_running(status)
        deleting = (directory / state.DELETING).exists()
        instance = report.instance(directory.name, reported, status, alive=alive, deleting=deleting)
        if deleting and not alive and _age_s(directory / state.DELETING, directory / state.STATUS) > SHOWN_S:
            state.remove(directory)
            return None
        return instance

    def _is_ours(self, instance: Instance) -> bool:
        whose = self._settings.whose
        return (instance.owner.cluster, instance.owner.node) == (whose.cluster, whose.node)


class FencedLocalCloud(LocalCloud):
    """For one who may lose the node: nothing is made or deleted once the fence is shut (LeadershipLost)."""

    def __init__(self, settings: LocalSettings, fence: Fence) -> None:
        super().__init__(settings)
        self._permit = fence.permit

    async def create(self, workload: Workload) -> Instance:
        self._permit()
        return await super().create(workload)

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        self._permit()
        return await super().delete(instance_id, force=force)


def _age_s(*paths: Path) -> float:
    """Since the last of them was written."""
    return time.time() - max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
