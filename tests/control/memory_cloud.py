"""A Cloud that lives in memory: all the interface promises, with dials for what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import replace

from vk_provider.cloud.base import LogOptions
from vk_provider.errors import CloudError, CloudUnavailable, OutOfCapacity
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus, Owner
from vk_provider.model.workload import Workload


class MemoryCloud:
    """`instances`: the truth. `hidden`: ids that lists leave out though they exist. `foreigners`: those of
    others. `calls`: what was asked, in order.

    fail: raised by every call while set; fail_after: raised by the next create after it has acted.
    """

    def __init__(self, *instances: Instance) -> None:
        self.instances: dict[str, Instance] = {each.id: each for each in instances}
        self.hidden: set[str] = set()
        self.foreigners: set[str] = set()
        self.calls: list[str] = []
        self.created: list[Workload] = []
        self.fail: CloudError | None = None
        self.fail_create: list[CloudError] = []
        self.sold_out_once: set[str] = set()  # names of pods whose first way to be carried is out of stock, once
        self.lose_next_answer = False
        self.vanish_on_delete = True
        self.said: dict[str, list[bytes]] = {}  # logs, by container
        self._tokens: dict[tuple[str, str, int], str] = {}

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        if self.fail is not None:
            raise self.fail

    def _shown(self) -> dict[str, Instance]:
        return {key: each for key, each in self.instances.items() if key not in self.hidden}

    def set(self, instance_id: str, **changes: object) -> None:
        self.instances[instance_id] = replace(self.instances[instance_id], **changes)

    async def create(self, workload: Workload) -> Instance:
        self._enter("create")
        if self.fail_create:
            raise self.fail_create.pop(0)
        if workload.attempt == 0 and workload.owner.name in self.sold_out_once:
            self.sold_out_once.discard(workload.owner.name)
            raise OutOfCapacity("NoStock: a", code="OperationDenied.NoStock", next_attempt=1)
        token = (workload.owner.uid, workload.replaces, workload.attempt)
        if token not in self._tokens:
            self._tokens[token] = f"eci-{len(self._tokens) + 1}"
            owner = Owner("c", "vk", workload.owner.namespace, workload.owner.name, workload.owner.uid)
            made = Instance(
                self._tokens[token],
                owner,
                InstanceStatus.SCHEDULING,
                created_at="2026-01-02T03:00:00Z",
                attempt=workload.attempt,
            )
            self.instances[made.id] = made
            self.created.append(workload)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise CloudUnavailable("the answer was lost")
        return self.instances[self._tokens[token]]

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        self._enter(f"delete {instance_id}")
        if instance_id not in self.instances:
            return False
        if self.vanish_on_delete:
            del self.instances[instance_id]
        else:
            self.set(instance_id, status=InstanceStatus.TERMINATING)
        return True

    async def is_gone(self, instance_id: str, container: str) -> bool:
        self._enter(f"is_gone {instance_id}")
        return instance_id not in self.instances

    async def foreign(self, instance_ids: Sequence[str]) -> Set[str]:
        self._enter("foreign")
        return {each for each in instance_ids if each in self.foreigners}

    async def list(self) -> Sequence[Instance]:
        self._enter("list")
        return list(self._shown().values())

    async def describe(self, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
        self._enter("describe")
        shown = self._shown()
        return {each: shown[each] for each in instance_ids if each in shown}

    async def find(self, pod_uid: str) -> Sequence[Instance]:
        self._enter("find")
        return [each for each in self._shown().values() if each.owner.uid == pod_uid]

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        self._enter("changes")
        return [
            InstanceReport(each.id, status=each.status, ip=each.ip, containers=each.containers)
            for each in self._shown().values()
        ]

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        self._enter("events")
        return [InstanceReport(each.id, events=each.events) for each in self._shown().values()]

    async def statuses(self, *, rest_s: float = 0.0) -> Mapping[str, InstanceStatus]:
        self._enter("statuses")
        return {key: each.status for key, each in self._shown().items()}

    async def _log(self, container: str) -> AsyncIterator[bytes]:
        for chunk in self.said.get(container, ()):
            yield chunk

    def logs(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        return self._log(container)

    async def check(self) -> None:
        self._enter("check")

    async def close(self) -> None:
        return
