"""Readiness, liveness and the two hooks of a container: when they are asked, and what an answer does.

A check is the runtime's business (`Runtime.check`); here are the counting and the timers. A container that has ended
or been replaced since a question was asked makes the answer void.
"""

from collections.abc import Callable

from fakes.cloud.clock import Timers
from fakes.cloud.group import CONTAINER_RUNNING, Container, Group
from fakes.cloud.parameters import Json
from fakes.cloud.runtime import Runtime

HOOK_TIMEOUT_S = 30.0


class Probes:
    """ready: told of each verdict of a readiness probe. unhealthy: the container is to be stopped, with its reason."""

    def __init__(
        self,
        timers: Timers,
        runtime: Runtime,
        *,
        ready: Callable[[Group, Container, float, bool], None],
        unhealthy: Callable[[Group, Container, float, str], None],
    ) -> None:
        self._timers = timers
        self._runtime = runtime
        self._ready = ready
        self._unhealthy = unhealthy

    def begin(self, group: Group, container: Container, now: float) -> None:
        """A run of the container has started."""
        hook = _hook(container, "PostStart")
        if hook:
            self._post_start(group, container, hook)
        for kind in ("Readiness", "Liveness"):
            probe = container.spec.get(f"{kind}Probe")
            if probe:
                self._ask_at(group, container, kind, probe, now + probe.get("InitialDelaySeconds", 0), (0, 0))

    def before_stop(
        self, group: Group, container: Container, now: float, grace_s: float, stop: Callable[[float, float], None]
    ) -> None:
        """Run the hook before a stop, if there is one; then call stop(time, what is left of the grace period).

        A hook after the start that still runs ends first, within the grace period: a kubelet's sync of a pod is over
        before the pod is killed.
        """
        if container.in_post_start and container.state == CONTAINER_RUNNING and grace_s > 0:
            self._after_post_start(group, container, now, grace_s, stop)
            return
        hook = _hook(container, "PreStop")
        if not hook or container.state != CONTAINER_RUNNING or grace_s <= 0:
            stop(now, grace_s)
            return

        def done(when: float, error: str) -> None:
            if error:
                group.events.warning(when, "FailedPreStopHook", f"PreStopHook failed: {error}")
            if container.active:
                # A kubelet leaves a container two seconds, however long its hook took.
                stop(when, max(2.0, grace_s - (when - now)))

        self._runtime.check(group, container, hook, timeout_s=grace_s, done=done)

    def _post_start(self, group: Group, container: Container, hook: Json) -> None:
        turn, runs = container.turn, container.runs
        container.in_post_start, container.after_post_start = True, None

        def done(now: float, error: str) -> None:
            if container.runs != runs:
                return
            container.in_post_start = False
            waiting, container.after_post_start = container.after_post_start, None
            if error and container.turn == turn and container.state == CONTAINER_RUNNING:
                group.events.warning(now, "FailedPostStartHook", f"PostStartHook failed: {error}")
                if waiting is None:
                    self._unhealthy(group, container, now, "FailedPostStartHook")
            if waiting is not None:
                waiting(now)

        self._runtime.check(group, container, hook, timeout_s=HOOK_TIMEOUT_S, done=done)

    def _after_post_start(
        self, group: Group, container: Container, now: float, grace_s: float, stop: Callable[[float, float], None]
    ) -> None:
        runs = container.runs

        def go_on(when: float) -> None:
            if container.active and container.runs == runs:
                container.in_post_start, container.after_post_start = False, None
                self.before_stop(group, container, when, max(0.0, grace_s - (when - now)), stop)

        container.after_post_start = go_on
        self._timers.at(now + grace_s, lambda when: go_on(when) if container.after_post_start is go_on else None)

    def _ask_at(
        self, group: Group, container: Container, kind: str, probe: Json, when: float, counts: tuple[int, int]
    ) -> None:
        turn = container.turn

        def stale() -> bool:
            return container.turn != turn or container.state != CONTAINER_RUNNING or bool(group.stopping)

        def ask(_: float) -> None:
            if not stale():
                timeout_s = float(probe.get("TimeoutSeconds", 1))
                self._runtime.check(group, container, probe, timeout_s=timeout_s, done=answer)

        def answer(now: float, error: str) -> None:
            if not stale():
                following = self._judge(group, container, kind, probe, now, error, counts)
                self._ask_at(group, container, kind, probe, now + probe.get("PeriodSeconds", 10), following)

        self._timers.at(when, ask)

    def _judge(
        self,
        group: Group,
        container: Container,
        kind: str,
        probe: Json,
        now: float,
        error: str,
        counts: tuple[int, int],
    ) -> tuple[int, int]:
        """Count successes and failures in a row, and act where a threshold is reached."""
        good, bad = (counts[0] + 1, 0) if not error else (0, counts[1] + 1)
        if error:
            group.events.warning(now, "Unhealthy", f"{kind} probe failed: {error}")
        if kind == "Readiness" and good == probe.get("SuccessThreshold", 1):
            self._ready(group, container, now, True)
        elif bad == probe.get("FailureThreshold", 3):
            if kind == "Readiness":
                self._ready(group, container, now, False)
            else:
                container.unhealthy = True
                message = f"Container {container.name} failed liveness probe, will be restarted"
                self._unhealthy(group, container, now, message)
        return good, bad


def _hook(container: Container, name: str) -> Json | None:
    """A hook in the form of a probe: its parameters are glued together."""
    prefix = f"Lifecycle{name}Handler"
    given = {key.removeprefix(prefix): value for key, value in container.spec.items() if key.startswith(prefix)}
    if "Exec" in given:
        return {"Exec": {"Command": given["Exec"]}}
    for kind in ("HttpGet", "TcpSocket"):
        members = {key.removeprefix(kind): value for key, value in given.items() if key.startswith(kind)}
        if members:
            return {kind: members}
    return None
