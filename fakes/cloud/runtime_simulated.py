# ruff: noqa: ARG002 - both runtimes have the methods that `runtime.Runtime` asks for, needed or not
"""A runtime that runs nothing: starts, ends, logs and figures all follow from a scenario and the clock.

A group costs one timer while it runs; log lines and metrics are computed when asked for, never stored.
"""

import math
from collections.abc import Sequence

from fakes.cloud.clock import Timer, Timers, nano_time
from fakes.cloud.errors import ApiError
from fakes.cloud.group import CONTAINER_RUNNING, TERMINATED, Container, Exit, Group
from fakes.cloud.metrics import GIB, Sample, record
from fakes.cloud.parameters import Json
from fakes.cloud.runtime import Checked, ExecProcess, ExecResult, Exited, LogQuery, Pull, Started
from fakes.cloud.scenario import Rule, Scenario

SAMPLE_S = 15
SAMPLES = 20


class SimulatedRuntime:
    def __init__(self, timers: Timers, scenario: Scenario) -> None:
        self._timers = timers
        self._scenario = scenario
        self._running: dict[tuple[str, str], tuple[Timer | None, Exited]] = {}

    def pull(self, group: Group, container: Container, now: float) -> Pull:
        rule = self._scenario.rule(group, container)
        return Pull(rule.pull_s, rule.pull_error, 100_000_000)

    def start_delay(self, group: Group) -> float:
        return self._scenario.rule(group, group.containers[0]).start_delay_s

    def prepare(self, group: Group) -> None:
        group.runtime_data = self._scenario.rule(group, group.containers[0])

    def start(self, group: Group, container: Container, now: float, *, started: Started, exited: Exited) -> None:
        rule = self._scenario.rule(group, container)
        key = (group.id, container.name)
        crash = container.runs < rule.crashes
        duration = rule.crash_after_s if crash else rule.duration(group, init=container.init)
        end = Exit(rule.crash_code) if crash else Exit(rule.exit_code, reason=rule.reason)

        def finish(when: float) -> None:
            del self._running[key]
            exited(when, end)

        # Asking for the end before telling of the start, since that may stop the container again.
        timer = None if duration is None else self._timers.at(now + duration, finish)
        self._running[key] = (timer, exited)
        started(now)

    def stop(self, group: Group, container: Container, now: float, *, grace_s: float) -> None:
        key = (group.id, container.name)
        if key not in self._running:
            return
        timer, exited = self._running[key]
        if timer is not None:
            timer.cancel()
        rule = self._scenario.rule(group, container)
        killed = rule.stop_s > grace_s
        end = Exit(137, 9) if killed else Exit(143, 15)

        def finish(when: float) -> None:
            if self._running.pop(key, None) is not None:
                exited(when, end)

        self._running[key] = (self._timers.at(now + (grace_s if killed else rule.stop_s), finish), exited)

    def update_files(self, group: Group) -> None:
        """Nobody reads them."""

    def clear_scratch(self, group: Group) -> None:
        """There is none."""

    def ended(self, group: Group) -> None:
        """There is no network."""

    def release(self, group: Group) -> None:
        for container in group.everyone:
            timer, _ = self._running.pop((group.id, container.name), (None, None))
            if timer is not None:
                timer.cancel()

    def logs(self, group: Group, container: Container, query: LogQuery, now: float) -> str:
        rule = self._scenario.rule(group, container)
        span = _span(container, now, previous=query.previous)
        if span is None:
            return ""
        began, end = span
        last = len(rule.log_lines) if rule.log_rate == 0 else math.floor((end - began) * rule.log_rate) + 1
        first = max(0, last - query.tail)
        since = query.since_ns / 1e9
        if rule.log_rate:
            first = max(first, math.ceil((since - began) * rule.log_rate))
        elif since > began:
            first = last
        text = "".join(_line(rule, began, number, timestamps=query.timestamps) for number in range(first, last))
        return text.encode()[: query.limit_bytes].decode(errors="ignore")

    def samples(self, group: Group, now: float) -> list[Json]:
        if group.running_at is None:
            return []
        newest = math.floor(min(now, group.ended_at or now) / SAMPLE_S)
        oldest = max(newest - SAMPLES + 1, math.ceil(group.running_at / SAMPLE_S))
        return [self._sample(group, number * SAMPLE_S) for number in range(oldest, newest + 1)]

    def _sample(self, group: Group, at: float) -> Json:
        parts = []
        for container in group.containers:
            rule = self._scenario.rule(group, container)
            cpu = (container.spec.get("Cpu") or group.cpu) * rule.cpu_share
            memory = (container.spec.get("Memory") or group.memory_gib) * rule.memory_share * GIB
            used = cpu * max(0.0, at - (group.running_at or at))
            parts.append((container, Sample(at, int(used * 1e9), int(cpu * 1e9), int(memory))))
        return record(group, at, parts)

    def check(self, group: Group, container: Container, probe: Json, *, timeout_s: float, done: Checked) -> None:
        now, rule = self._timers.clock.now(), self._scenario.rule(group, container)
        age_s = now - (container.started_at or now)
        late = probe is container.spec.get("ReadinessProbe") and age_s < rule.ready_after_s
        sick_after_s = math.inf if rule.sick_after_s is None else rule.sick_after_s
        sick = probe is container.spec.get("LivenessProbe") and age_s >= sick_after_s
        done(now, "not as the scenario has it" if late or sick else "")

    async def exec(self, group: Group, container: Container, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        return ExecResult(0, self._scenario.rule(group, container).exec_output.encode())

    async def exec_stream(
        self, group: Group, container: Container, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess:
        return _SimulatedProcess(self._scenario.rule(group, container).exec_output.encode())

    async def close(self) -> None:
        self._running.clear()


class _SimulatedProcess:
    """Prints its text and ends."""

    def __init__(self, output: bytes) -> None:
        self._output = output

    async def read(self) -> tuple[int, bytes] | None:
        output, self._output = self._output, b""
        return (1, output) if output else None

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def close_stdin(self) -> None:
        """Nobody reads it."""

    def resize(self, *, columns: int, rows: int) -> None:
        """It has no window."""

    async def wait(self) -> int:
        return 0

    def kill(self) -> None:
        self._output = b""


def _span(container: Container, now: float, *, previous: bool) -> tuple[float, float] | None:
    """Begin and end of the run whose log is asked for."""
    if previous:
        run = container.previous if container.state == TERMINATED else container.last
    elif container.state == CONTAINER_RUNNING and container.started_at is not None:
        return container.started_at, now
    else:
        run = container.last
    if run is None and previous:
        raise ApiError("InvalidParameter.NotFound", f"The container {container.name} has no previous run.", 404)
    return None if run is None or run.started_at is None else (run.started_at, run.finished_at)


def _line(rule: Rule, began: float, number: int, *, timestamps: bool) -> str:
    text = rule.log_lines[number % len(rule.log_lines)].replace("{n}", str(number))
    if not timestamps:
        return f"{text}\n"
    offset = number / rule.log_rate if rule.log_rate else number * 1e-9
    return f"{nano_time(int(began * 1e9) + int(offset * 1e9))} {text}\n"
