"""The containers of a group: pulled and started in order, restarted by policy with a growing delay, stopped.

The rules are the kubelet's, since an agent of that kind works inside the real instance: init containers one by one,
then the others in order; the first restart follows at once, later ones 10 s, 20 s, ... up to 300 s after the end;
ten quiet minutes forgive. Nothing here knows why a group is stopped: `lifecycle` decides that.
"""

from collections.abc import Callable

from fakes.cloud.clock import Timers
from fakes.cloud.group import (
    CONTAINER_RUNNING,
    CONTAINER_TRANSITIONS,
    PENDING,
    RUNNING,
    TERMINATED,
    UPDATING,
    WAITING,
    Container,
    Exit,
    Group,
    Run,
)
from fakes.cloud.probes import Probes
from fakes.cloud.runtime import Pull, Runtime

BACKOFF_FIRST_S = 10.0
BACKOFF_MAX_S = 300.0
BACKOFF_FORGIVEN_S = 2 * BACKOFF_MAX_S
NEVER_PULL = "ErrImageNeverPull"
START_FAILED = 128  # the exit code of a container whose process could not begin
Notice = Callable[[Group, float], None]


class Containers:
    """Moves containers. Tells `changed` of what can be seen, `settled` when the group may have reached something."""

    def __init__(self, timers: Timers, runtime: Runtime, *, changed: Notice, settled: Notice) -> None:
        self._timers = timers
        self._runtime = runtime
        self._changed = changed
        self._settled = settled
        self._probes = Probes(timers, runtime, ready=self._judged_ready, unhealthy=self._unhealthy)

    def advance(self, group: Group, now: float) -> None:
        """Begin the next container whose turn it is, if any."""
        if group.stopping or group.status not in (PENDING, RUNNING, UPDATING):
            return
        for init in group.init_containers:
            if not init.launched:
                self._launch(group, init, now)
                return
            if not _is_done(init):
                return
        for container in group.containers:
            if not container.launched:
                self._launch(group, container, now)
                return

    def stop(self, group: Group, now: float, *, grace_s: float, only: list[Container] | None = None) -> None:
        """Stop containers; those not begun stay as they are. `settled` is called when none is active any more."""
        for container in group.everyone if only is None else only:
            if container.active:
                group.events.normal(now, "Killing", f"Stopping container {container.name}")
                self._stop_one(group, container, now, grace_s)
            else:
                container.turn += 1
                if container.timer is not None:
                    container.timer.cancel()

    def replace(self, group: Group, container: Container, now: float) -> None:
        """Start the container again with its new spec, stopping it first where it runs."""
        if container.active:
            container.replace = True
            self.stop(group, now, grace_s=group.grace_s, only=[container])
        elif container.launched:
            self._begin(group, container, now)

    def reset(self, group: Group) -> None:
        """Back to the first init container, as a restarted group; restart counts go on."""
        for container in group.everyone:
            container.turn += 1
            container.launched = container.created = container.ready = False
            self._wait(container, "PodInitializing" if group.init_containers and not container.init else "")
            container.backoff_s = container.pull_backoff_s = 0.0

    def will_restart(self, group: Group, container: Container) -> bool:
        """Whether policy starts this ended container again."""
        code = container.last.exit.code if container.last else 0
        if container.init:
            return code != 0 and group.restart_policy != "Never"
        return group.restart_policy == "Always" or (group.restart_policy == "OnFailure" and code != 0)

    def _stop_one(self, group: Group, container: Container, now: float, grace_s: float) -> None:
        def stop(when: float, left_s: float) -> None:
            self._runtime.stop(group, container, when, grace_s=left_s)

        self._probes.before_stop(group, container, now, grace_s, stop)

    def _judged_ready(self, group: Group, container: Container, now: float, ready: bool) -> None:
        if container.ready != ready:
            container.ready = ready
            self._changed(group, now)

    def _unhealthy(self, group: Group, container: Container, now: float, message: str) -> None:
        group.events.normal(now, "Killing", message)
        self._stop_one(group, container, now, group.grace_s)

    def _launch(self, group: Group, container: Container, now: float) -> None:
        container.launched = True
        self._begin(group, container, now)

    def _begin(self, group: Group, container: Container, now: float) -> None:
        container.turn += 1
        policy = container.spec.get("ImagePullPolicy") or _default_policy(container.image)
        pull = self._runtime.pull(group, container, now)
        present = container.image in group.pulled or pull.cached or (policy == "Never" and not pull.error)
        if present and policy != "Always":
            message = f'Container image "{container.image}" already present on machine'
            group.events.normal(now, "Pulled", message)
            self._create(group, container, pull, now)
            return
        if policy == "Never":
            self._not_present(group, container, now)
            return
        if not container.runs:
            self._wait(container, "ContainerCreating")
        group.events.normal(now, "Pulling", f'Pulling image "{container.image}"')
        self._changed(group, now)
        seconds = 0.0 if present else pull.seconds
        turn = container.turn

        def pulled(when: float) -> None:
            if container.turn == turn:
                self._pulled(group, container, pull, seconds, when)

        container.timer = self._timers.at(now + seconds, pulled)

    def _not_present(self, group: Group, container: Container, now: float) -> None:
        message = f'Container image "{container.image}" is not present with pull policy of Never'
        group.events.warning(now, NEVER_PULL, message)
        group.events.warning(now, "Failed", f"Error: {NEVER_PULL}")
        self._wait(container, NEVER_PULL, message)
        self._changed(group, now)
        turn = container.turn

        def again(when: float) -> None:
            if container.turn == turn:
                self._begin(group, container, when)

        container.timer = self._timers.at(now + BACKOFF_FIRST_S, again)
        self.advance(group, now)

    def _pulled(self, group: Group, container: Container, pull: Pull, seconds: float, now: float) -> None:
        if pull.error:
            self._pull_failed(group, container, pull.error, now)
            return
        group.pulled.add(container.image)
        container.pull_backoff_s = 0.0
        took = f"{seconds:.3f}s"
        message = (
            f'Successfully pulled image "{container.image}" in {took} ({took} including waiting). '
            f"Image size: {pull.size_bytes} bytes."
        )
        group.events.normal(now, "Pulled", message)
        self._create(group, container, pull, now)

    def _pull_failed(self, group: Group, container: Container, error: str, now: float) -> None:
        image = container.image
        group.events.warning(now, "Failed", f'Failed to pull image "{image}": {error}')
        group.events.warning(now, "Failed", "Error: ErrImagePull")
        self._wait(container, "ErrImagePull", error)
        self._changed(group, now)
        delay = container.pull_backoff_s = min(container.pull_backoff_s * 2 or BACKOFF_FIRST_S, BACKOFF_MAX_S)
        turn = container.turn

        def back_off(when: float) -> None:
            if container.turn == turn:
                group.events.normal(when, "BackOff", f'Back-off pulling image "{image}"')
                group.events.warning(when, "Failed", "Error: ImagePullBackOff")
                self._wait(container, "ImagePullBackOff", f'Back-off pulling image "{image}": {error}')
                self._changed(group, when)
                container.timer = self._timers.at(now + delay, again)

        def again(when: float) -> None:
            if container.turn == turn:
                self._begin(group, container, when)

        container.timer = self._timers.at(now + 1.0, back_off)
        self.advance(group, now)

    def _create(self, group: Group, container: Container, pull: Pull, now: float) -> None:
        if pull.config_error:
            self._cannot_create(group, container, pull.config_error, now)
            return
        group.events.normal(now, "Created", f"Created container: {container.name}")
        container.active = True
        turn = container.turn

        def started(when: float) -> None:
            if container.turn == turn:
                self._started(group, container, when)

        def exited(when: float, end: Exit) -> None:
            if container.turn == turn:
                self._exited(group, container, end, when)

        self._changed(group, now)
        self._runtime.start(group, container, now, started=started, exited=exited)

    def _cannot_create(self, group: Group, container: Container, error: str, now: float) -> None:
        group.events.warning(now, "Failed", f"Error: {error}")
        self._wait(container, "CreateContainerConfigError", error)
        self._changed(group, now)
        turn = container.turn

        def again(when: float) -> None:
            if container.turn == turn:
                self._begin(group, container, when)

        container.timer = self._timers.at(now + BACKOFF_FIRST_S, again)

    def _started(self, group: Group, container: Container, now: float) -> None:
        self._move(container, "started")
        container.unhealthy = False
        container.started_at = now
        container.reason = container.message = ""
        _count_run(container)
        container.ready = not container.spec.get("ReadinessProbe")
        group.events.normal(now, "Started", f"Started container {container.name}")
        self._changed(group, now)
        self._probes.begin(group, container, now)
        self._settled(group, now)
        self.advance(group, now)

    def _exited(self, group: Group, container: Container, end: Exit, now: float) -> None:
        container.active = container.ready = False
        began = container.state == CONTAINER_RUNNING
        if began:
            self._move(container, "exited")
        else:
            self._move(container, "start failed")
            _count_run(container)
            group.events.warning(now, "Failed", f"Error: {end.message}")
        container.previous, container.last = container.last, Run(end, container.started_at if began else None, now)
        if end.reason == "OOMKilled":
            group.events.warning(now, "OOMKilled", "Out of memory")
        self._changed(group, now)
        if container.replace and not group.stopping:
            container.replace = False
            self._begin(group, container, now)
        elif not group.stopping and self.will_restart(group, container):
            self._restart_later(group, container, now)
        self._settled(group, now)
        self.advance(group, now)

    def _restart_later(self, group: Group, container: Container, now: float) -> None:
        forgiven = now - container.backoff_from > BACKOFF_FORGIVEN_S
        delay = 0.0 if forgiven else container.backoff_s
        turn = container.turn
        # A kubelet restarts what it has killed itself in one go, and counts the run before it, of which there is none
        # the first time.
        is_counted = not container.unhealthy or container.previous is not None

        def again(when: float) -> None:
            if container.turn == turn and not is_counted:
                self._begin(group, container, when)
            elif container.turn == turn:
                first = forgiven or not container.backoff_s
                container.backoff_s = BACKOFF_FIRST_S if first else min(container.backoff_s * 2, BACKOFF_MAX_S)
                container.backoff_from = when
                self._begin(group, container, when)

        if delay:
            group.events.warning(now, "BackOff", f"Back-off restarting failed container {container.name}")
            message = f"Back-off {_duration(delay)} restarting failed container={container.name} pod={group.name}"
            self._wait(container, "CrashLoopBackOff", message)
            self._changed(group, now)
        container.timer = self._timers.at(now + delay, again)

    def _wait(self, container: Container, reason: str, message: str = "") -> None:
        self._move(container, "wait")
        container.started_at = None
        container.reason, container.message = reason or "ContainerCreating", message

    @staticmethod
    def _move(container: Container, what: str) -> None:
        container.state = CONTAINER_TRANSITIONS[container.state, what]


def _count_run(container: Container) -> None:
    container.restarts += container.runs > 0
    container.runs += 1
    container.created = True


def _is_done(init: Container) -> bool:
    return init.state == TERMINATED and init.last is not None and init.last.exit.code == 0 and not init.active


def _duration(seconds: float) -> str:
    """`10s`, `2m40s`, `5m0s`, as Go prints durations."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _default_policy(image: str) -> str:
    """`Always` for `latest` and for no tag at all, as Kubernetes defaults it."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") and "@" not in image else "IfNotPresent"


__all__ = ["BACKOFF_FIRST_S", "BACKOFF_MAX_S", "START_FAILED", "WAITING", "Containers"]
