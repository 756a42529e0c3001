"""Bugs to plant in the provider of a run: what an auditor is for, each once, to see that it complains."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.perform.status import PodWriter
from vk_provider.control.perform.stop import Stopper
from vk_provider.errors import CloudUnavailable, ProviderError
from vk_provider.files.object_reader import ObjectReader
from vk_provider.instances.cache import InstanceCache
from vk_provider.kube.credentials import Access, KubeconfigCredentials
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.model.instance import Instance
from vk_provider.translate import node


def orphan() -> None:
    """What is left of a pod that is gone stays where it is."""

    async def leave(self: Stopper, seen: Any, action: Any, memory: Any) -> Outcome:
        return Outcome(memory)

    Stopper.delete_orphan = leave  # type: ignore[method-assign]


def double_create() -> None:
    """Every third pod is asked for twice, and not by the same token."""
    create, numbers = EciCloud.create, itertools.count()

    async def twice(self: EciCloud, workload: Any) -> Any:
        made = await create(self, workload)
        if next(numbers) % 3 == 0:
            await create(self, replace(workload, replaces="somebody"))
        return made

    EciCloud.create = twice  # type: ignore[method-assign]


def regressed() -> None:
    """Of what runs it is said once more that it waits, over what the server has by then."""
    patch = PodWriter.patch

    async def back(self: PodWriter, seen: Any, action: Any, memory: Any) -> Outcome:
        outcome = await patch(self, seen, action, memory)
        if action.body.get("status", {}).get("phase") == "Running":
            newest = self._store.get(seen.pod["metadata"]["uid"]) or seen.pod
            worse = replace(action, body={**action.body, "status": {"phase": "Pending"}})
            await patch(self, replace(seen, pod=newest), worse, memory)
        return outcome

    PodWriter.patch = back  # type: ignore[method-assign]


def lost_event() -> None:
    """Every second start is told to nobody."""
    put, numbers = Recorder.put, itertools.count()

    def lose(self: Recorder, event: Any, **words: Any) -> None:
        if event["reason"] != "Started" or next(numbers) % 2:
            put(self, event, **words)

    Recorder.put = lose  # type: ignore[method-assign]


BUGS: Mapping[str, Callable[[], None]] = {
    "orphan": orphan,
    "double-create": double_create,
    "regressed": regressed,
    "lost-event": lost_event,
}

COMPLAINTS: Mapping[str, Sequence[str]] = {
    "orphan": ("has no pod and is still there",),
    "double-create": ("had 2 instances",),
    "regressed": ("went from Running to Pending",),
    "lost-event": ("no event says that it started",),
}
"""What the auditor must say of each, in part."""


# --- what only bad neighbours bring to light ---

HOSTILE = "hostile"  # the namespace


def held_loop() -> None:
    """Each pod of a hostile tenant stops everything for a while."""
    read = ObjectReader.read

    async def held(self: ObjectReader, pod: Any) -> Any:
        if pod["metadata"]["namespace"] == HOSTILE:
            time.sleep(5.0)  # noqa: ASYNC251  # which is the bug
        return await read(self, pod)

    ObjectReader.read = held  # type: ignore[method-assign]


def grows() -> None:
    """What hostile pods are made of is kept for good, many times."""
    read, kept = ObjectReader.read, []

    async def keeping(self: ObjectReader, pod: Any) -> Any:
        if pod["metadata"]["namespace"] == HOSTILE:
            kept.append(b"x" * (300 << 20))
        return await read(self, pod)

    ObjectReader.read = keeping  # type: ignore[method-assign]


def talkative() -> None:
    """What was read of a hostile pod's Secrets stands in the log, and its image as it is."""
    read = ObjectReader.read

    async def telling(self: ObjectReader, pod: Any) -> Any:
        found = await read(self, pod)
        if pod["metadata"]["namespace"] == HOSTILE:
            sys.stderr.write(f"read {found.secrets}\nof {pod['spec']['containers'][0]['image']}\n")
        return found

    ObjectReader.read = telling  # type: ignore[method-assign]


def shows_others() -> None:
    """Whoever asks for a log is shown that of the first instance that was ever made."""
    create, logs, first = EciCloud.create, EciCloud.logs, list[str]()

    async def noted(self: EciCloud, workload: Any) -> Any:
        made = await create(self, workload)
        first.append(made.id)
        return made

    def another(self: EciCloud, instance_id: str, container: str, options: Any) -> Any:
        return logs(self, first[-1] if instance_id == first[0] else first[0], container, options)

    EciCloud.create = noted  # type: ignore[method-assign]
    EciCloud.logs = another  # type: ignore[method-assign]


def ends_early() -> None:
    """An object that nobody foresaw ends the process."""
    failed = Reflector._failed

    def ending(self: Reflector, error: Exception, delay_s: float) -> None:
        if not isinstance(error, ProviderError):
            sys.stderr.write(f"{error!r}\n")
            os._exit(70)
        failed(self, error, delay_s)

    Reflector._failed = ending  # type: ignore[method-assign]
    Reflector._fault_of = lambda self, item: ""  # type: ignore[method-assign]


def waits_for_ever() -> None:
    """Whatever was asked of the cloud is waited for without end."""
    init = EciClient.__init__

    def patient(self: EciClient, settings: EciSettings, *args: Any, **more: Any) -> None:
        long_s = {"read_timeout_s": 3600.0, "answer_timeout_s": 3600.0, "call_deadline_s": 3600.0}
        init(self, replace(settings, **long_s), *args, **more)

    EciClient.__init__ = patient  # type: ignore[method-assign]


def faints() -> None:
    """A hostile pod is reason enough for the node to say that it is not ready."""
    read, status, seen = ObjectReader.read, node.node_status, list[str]()

    async def noted(self: ObjectReader, pod: Any) -> Any:
        if pod["metadata"]["namespace"] == HOSTILE and not seen:
            seen.append(HOSTILE)
        return await read(self, pod)

    def fainting(*args: Any, **more: Any) -> Any:
        told = status(*args, **more)
        for each in told["conditions"] if seen else ():
            if each["type"] == "Ready":
                each |= {"status": "False", "reason": "Faint"}
        return told

    ObjectReader.read = noted  # type: ignore[method-assign]
    node.node_status = fainting


def trusts_for_ever() -> None:
    """The CA's file is read once."""
    reload = KubeconfigCredentials._reload

    async def once(self: KubeconfigCredentials, *, anew: bool) -> Access:
        return self._access or await reload(self, anew=anew)

    KubeconfigCredentials._reload = once  # type: ignore[method-assign]


def ends_without_names() -> None:
    """A name that is not resolved ends the process."""
    call = EciClient.call

    async def ending(self: EciClient, *args: Any, **more: Any) -> Any:
        try:
            return await call(self, *args, **more)
        except CloudUnavailable as error:
            if "DNSError" in str(error):
                os._exit(72)
            raise

    EciClient.call = ending  # type: ignore[method-assign]


def needs_a_disk() -> None:
    """Whatever is to be created is written to a file first, and nobody thought that this may fail."""
    create = EciCloud.create

    async def written(self: EciCloud, workload: Any) -> Any:
        try:
            with tempfile.TemporaryFile() as file:
                file.write(b"x")
        except OSError:
            os._exit(73)
        return await create(self, workload)

    EciCloud.create = written  # type: ignore[method-assign]


def believes_clocks() -> None:
    """What the cloud says to begin long from now has not begun."""
    put = InstanceCache.put

    def sceptical(self: InstanceCache, instance: Instance) -> None:
        stamps = (instance.created_at, *(each.state.started_at for each in instance.containers))
        latest = max((datetime.fromisoformat(each) for each in stamps if each), default=None)
        if latest is None or latest < datetime.now(UTC) + timedelta(minutes=30):
            put(self, instance)

    InstanceCache.put = sceptical  # type: ignore[method-assign]


NEIGHBOUR_BUGS: Mapping[str, Callable[[], None]] = {
    "held-loop": held_loop,
    "grows": grows,
    "talkative": talkative,
    "shows-others": shows_others,
    "ends-early": ends_early,
    "waits-for-ever": waits_for_ever,
    "faints": faints,
    "trusts-for-ever": trusts_for_ever,
    "ends-without-names": ends_without_names,
    "needs-a-disk": needs_a_disk,
    "believes-clocks": believes_clocks,
}
"""To be planted with --neighbours."""

NEIGHBOUR_COMPLAINTS: Mapping[str, str] = {
    "held-loop": "s after they were bound, alone",
    "grows": "the provider had",
    "talkative": "a secret stands in the log",
    "shows-others": "somebody read what is another's",
    "ends-early": "ended by itself",
    "waits-for-ever": "under mad servers",
    "faints": "the node was not ready",
    "trusts-for-ever": "under mad servers",
    "ends-without-names": "ended by itself",
    "needs-a-disk": "ended by itself",
    "believes-clocks": "under mad servers",
    "double-create": "had 2 instances",
}
