"""The life of a container group: placed, pending, running, ended; deleted, restarted, updated, reclaimed.

Every change of status goes through `_move`, which reads the table in `group`; every reason to stop a group's
containers is one word in `group.stopping`, acted on in `_stopped` when the last of them has ended.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from fakes.cloud.clock import Timers, iso_time
from fakes.cloud.containers import Containers
from fakes.cloud.errors import ApiError
from fakes.cloud.events import SERVICE
from fakes.cloud.group import (
    ENDED,
    EXPIRED,
    FAILED,
    GONE,
    GROUP_TRANSITIONS,
    PENDING,
    RESTARTING,
    RUNNING,
    SCHEDULE_FAILED,
    SCHEDULING,
    SUCCEEDED,
    TERMINATED,
    TERMINATING,
    UPDATING,
    Container,
    Group,
)
from fakes.cloud.parameters import Json
from fakes.cloud.runtime import Runtime
from fakes.cloud.storage import Disks
from fakes.cloud.store import Store

MOUNT_RETRY_S = 10.0
STOP_CHARGE = (
    "[eci.containergroup]The charge of current ECI instance has been stopped, "
    "but the related resources are still being cleaned."
)


@dataclass(slots=True)
class Settings:
    """Times in seconds of the service's clock."""

    start_delay_s: float = 1.0
    start_spread_s: float = 0.0  # so much more, at most, each group its own part of it
    update_s: float = 0.5  # how long a group is Updating
    release_s: float = 2.0  # from the last container's end to the disappearance of a deleted group
    max_pending_s: float = 240 * 60.0
    service_events: bool = False


_INERT = frozenset({"ended", "released"})  # words in `group.stopping` after which nothing may begin or settle


class Lifecycle:
    """Owns every change of every group. Methods are synchronous; what takes time is a timer or a runtime's callback.

    watch: told of each change of a group's status, as (group, old status, time).
    no_stock: says why a group cannot be placed now, or nothing.
    """

    def __init__(
        self,
        timers: Timers,
        runtime: Runtime,
        store: Store,
        settings: Settings,
        *,
        watch: Callable[[Group, str, float], None],
        no_stock: Callable[[Group], str],
    ) -> None:
        self._timers = timers
        self._runtime = runtime
        self._store = store
        self._settings = settings
        self._watch = watch
        self._no_stock = no_stock
        self._disks = Disks()
        self.containers = Containers(timers, runtime, changed=store.touch, settled=self._settled)

    def admit(self, group: Group, now: float) -> None:
        """Take a new group in; it is placed later."""
        self._store.add(group, now)
        self._watch(group, "", now)
        own = self._runtime.start_delay(group)
        spread = self._settings.start_spread_s * random.Random(group.seq).random()
        delay = self._settings.start_delay_s + spread if own < 0 else own
        self._timers.at(now + delay, lambda when: self._place(group, when))

    def delete(self, group: Group, now: float, *, force: bool = False) -> None:
        """Begin the end of a live group; an ended one is gone at once. Twice is fine."""
        if group.status in ENDED:
            self._vanish(group, now, "delete")
            return
        grace = 0.0 if force else group.grace_s
        if group.status == TERMINATING:
            if force:
                self.containers.stop(group, now, grace_s=0.0, only=[item for item in group.everyone if item.active])
            return
        self._move(group, "delete", now)
        self._stop(group, "delete", now, grace_s=grace)

    def restart(self, group: Group, now: float) -> None:
        """Raises ApiError `IncorrectStatus` unless Pending or Running."""
        self.must_be_up(group)
        self._move(group, "restart", now)
        self._stop(group, "restart", now, grace_s=group.grace_s)

    def update(self, group: Group, spec: Json, replaced: list[Container], now: float, *, files_changed: bool) -> None:
        """Take on a new, checked spec; restart the given containers. Raises ApiError unless Pending or Running."""
        self.must_be_up(group)
        group.spec = spec
        self._move(group, "update", now)
        if files_changed and group.runtime_data is not None:
            self._runtime.update_files(group)
        for container in replaced:
            self.containers.replace(group, container, now)
        self._timers.at(now + self._settings.update_s, lambda when: self._updated(group, when))

    def reclaim(self, group: Group, now: float, *, notice_s: float = 0.0, announced: bool = True) -> None:
        """Take a spot instance back: a notice, then the end, status Expired."""
        group.release_at = now + notice_s
        if announced:
            message = f"Spot ECI will be released in {notice_s / 60:.0f} minutes"
            group.events.warning(now, "SpotToBeReleased", message, source=SERVICE)
            group.release_announced_at = now
        self._store.touch(group, now)

        def take(when: float) -> None:
            if group.status in (PENDING, RUNNING, RESTARTING, UPDATING):
                group.reason = "BidFailed"
                group.message = f"The spot instance was released at {iso_time(when)}."
                self._stop(group, "reclaimed", when, grace_s=group.grace_s)

        if notice_s > 0:
            self._timers.at(now + notice_s, take)
        else:
            take(now)

    def vanish(self, group: Group, now: float) -> None:
        """Lose a group without a trace, as an outage of the cloud might."""
        self._vanish(group, now, None)

    def retire(self, now: float) -> None:
        """Forget ended groups as the retention rules say."""
        for group in self._store.expired(now):
            self._vanish(group, now, "delete")

    def _place(self, group: Group, now: float) -> None:
        if group.status != SCHEDULING:
            return
        reason, why = "NoStock", self._no_stock(group)
        if not why and not self._store.has_ip():
            reason, why = "IpNotEnough", "The vSwitch has no free IP address."
        if why:
            group.reason, group.message = reason, why
            group.events.warning(now, reason, why, source=SERVICE)
            self._move(group, "no place", now)
            return
        group.pending_at = now
        group.ip = self._store.take_ip()
        if self._settings.service_events:
            size = f"{group.cpu:.1f}-{group.memory_gib:.1f}Gi"
            message = f"[eci.containergroup]The user-specified instanceType for current eci instance is {size}"
            group.events.normal(now, "UserInstanceTypeSpec", message, source=SERVICE)
        if group.init_containers:
            for container in group.containers:
                container.reason = "PodInitializing"
        self._move(group, "placed", now)
        self._set_limits(group, now)
        self._mount(group, now)

    def _mount(self, group: Group, now: float) -> None:
        """Lay out the volumes, again and again if that fails, then begin the containers."""
        if group.status != PENDING or group.stopping:
            return
        in_use = self._disks.attach(group)
        if in_use:
            self._not_mounted(group, "FailedAttachVolume", f"AttachVolume.Attach failed: {in_use}", now)
            return
        try:
            self._runtime.prepare(group)
        except OSError as error:
            self._not_mounted(group, "FailedMount", f"MountVolume.SetUp failed: {error.strerror or error}", now)
            return
        for name in _mounted_volumes(group):
            message = f'MountVolume.SetUp succeeded for volume "{name}"'
            group.events.normal(now, "SuccessfulMountVolume", message)
        self._store.touch(group, now)
        self.containers.advance(group, now)

    def _not_mounted(self, group: Group, reason: str, message: str, now: float) -> None:
        group.events.warning(now, reason, message)
        self._store.touch(group, now)
        self._timers.at(now + MOUNT_RETRY_S, lambda when: self._mount(group, when))

    def _set_limits(self, group: Group, now: float) -> None:
        seconds = group.spec.get("ActiveDeadlineSeconds")
        if seconds and group.deadline is None:
            group.deadline = self._timers.at(now + seconds, lambda when: self._deadline(group, when))
        group.pending_limit = self._timers.at(
            now + self._settings.max_pending_s, lambda when: self._pending_too_long(group, when)
        )

    def _deadline(self, group: Group, now: float) -> None:
        if group.status in (PENDING, RUNNING, RESTARTING, UPDATING):
            group.reason = "DeadlineExceeded"
            group.message = "Pod was active on the node longer than the specified deadline"
            group.events.normal(now, "DeadlineExceeded", group.message)
            self._stop(group, "deadline", now, grace_s=group.grace_s)

    def _pending_too_long(self, group: Group, now: float) -> None:
        in_init = any(item.launched and item.state != TERMINATED for item in group.init_containers)
        if group.status != PENDING or in_init or group.stopping:
            return
        group.reason, group.message = "PendingTimeout", "The instance was pending for longer than allowed."
        group.events.warning(now, "PendingTimeout", group.message, source=SERVICE)
        self._stop(group, "pending too long", now, grace_s=0.0)

    def _stop(self, group: Group, purpose: str, now: float, *, grace_s: float) -> None:
        group.stopping = purpose
        self.containers.stop(group, now, grace_s=grace_s)
        self._settled(group, now)

    def _settled(self, group: Group, now: float) -> None:
        """Look at what the containers have come to; called after each of their changes."""
        if group.stopping in _INERT:
            return
        if group.stopping:
            if not any(container.active for container in group.everyone):
                self._stopped(group, now)
            return
        if group.status == PENDING and all(container.created for container in group.containers):
            self._move(group, "containers created", now)
        if any(init.state == TERMINATED and self._gave_up(group, init) for init in group.init_containers):
            self._stop(group, "init failed", now, grace_s=0.0)
            return
        main = [container for container in group.containers if not container.is_sidecar] or group.containers
        if all(self._is_final(group, container) for container in main):
            self._stop(group, "end", now, grace_s=group.grace_s)  # ends the sidecars, if there are any

    def _is_final(self, group: Group, container: Container) -> bool:
        ended = container.state == TERMINATED and not container.active and container.last is not None
        return ended and not container.replace and not self.containers.will_restart(group, container)

    def _gave_up(self, group: Group, init: Container) -> bool:
        failed = init.last is not None and init.last.exit.code != 0
        return failed and not init.active and not self.containers.will_restart(group, init)

    def _stopped(self, group: Group, now: float) -> None:
        purpose, group.stopping = group.stopping, ""
        if purpose == "delete":
            group.stopping = "released"
            self._timers.at(now + self._settings.release_s, lambda when: self._vanish(group, when, "released"))
        elif purpose == "restart":
            if group.runtime_data is not None:
                self._runtime.clear_scratch(group)
            self.containers.reset(group)
            self._move(group, "restarted", now)
            self.containers.advance(group, now)
        else:
            self._move(group, self._verdict(group) if purpose == "end" else purpose, now)

    def _verdict(self, group: Group) -> str:
        main = [container for container in group.containers if not container.is_sidecar] or group.containers
        good = all(container.last is not None and container.last.exit.code == 0 for container in main)
        return "all succeeded" if good else "some failed"

    def _updated(self, group: Group, now: float) -> None:
        if group.status == UPDATING:
            created = all(container.created for container in group.containers)
            self._move(group, "updated, running" if created else "updated, pending", now)
            self._settled(group, now)
            self.containers.advance(group, now)

    def _move(self, group: Group, what: str, now: float) -> None:
        old, group.status = group.status, GROUP_TRANSITIONS[group.status, what]
        if group.status == RUNNING and group.running_at is None:
            group.running_at = now
        if group.status in (SUCCEEDED, FAILED, EXPIRED, SCHEDULE_FAILED):
            self._end(group, now)
        self._store.touch(group, now)
        self._watch(group, old, now)

    def _end(self, group: Group, now: float) -> None:
        group.ended_at = now
        group.stopping = "ended"
        for timer in (group.deadline, group.pending_limit):
            if timer is not None:
                timer.cancel()
        if self._settings.service_events and group.pending_at is not None:
            group.events.normal(now, "StopCharge", STOP_CHARGE, source=SERVICE)
        self._store.end(group)
        self._disks.detach(group)
        if group.runtime_data is not None:
            self._runtime.ended(group)

    def _vanish(self, group: Group, now: float, what: str | None) -> None:
        if group.status == GONE:
            return
        for container in group.everyone:
            container.turn += 1
            if container.timer is not None:
                container.timer.cancel()
        old, group.status = group.status, GONE if what is None else GROUP_TRANSITIONS[group.status, what]
        group.vanished_at = now
        for timer in (group.deadline, group.pending_limit):
            if timer is not None:
                timer.cancel()
        self._store.remove(group)
        self._disks.detach(group)
        if group.runtime_data is not None:
            self._runtime.release(group)
        self._watch(group, old, now)

    def must_be_up(self, group: Group) -> None:
        """Raises ApiError `IncorrectStatus` unless it is Pending or Running and nothing ends it."""
        if group.status not in (PENDING, RUNNING) or group.stopping:
            message = f"The status {group.status} of the container group does not allow this operation."
            raise ApiError("IncorrectStatus", message)


def _mounted_volumes(group: Group) -> list[str]:
    """Names of the volumes that some container mounts, in the order of their declaration."""
    mounted = {mount["Name"] for container in group.everyone for mount in container.spec.get("VolumeMount", [])}
    return [volume["Name"] for volume in group.spec.get("Volume", []) if volume["Name"] in mounted]
