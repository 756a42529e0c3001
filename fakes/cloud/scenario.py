"""What the simulated runtime plays: TOML, a list of tables `[[rule]]`; the first that fits a container is taken.

| key           | meaning                                                                                     |
|---------------|---------------------------------------------------------------------------------------------|
| image, name   | globs for the container's image and for the group's name; default `*`                       |
| container     | glob for the container's name; default `*`                                                  |
| pull_s        | seconds a pull takes (1)                                                                    |
| pull_error    | text: the pull fails with it                                                                |
| start_delay_s | seconds from acceptance to placement; taken from the rule of the first container            |
| duration_s    | seconds a run lasts; absent: for ever with restart policy Always, else 5                    |
| exit_code     | of a run that ends by itself (0)                                                            |
| reason        | of such an end, e.g. `OOMKilled`                                                            |
| crashes       | the first so many runs end with crash_code after crash_after_s (0, 1, 1.0)                  |
| ready_after_s | seconds after its start from which on its readiness probe succeeds (0)                       |
| sick_after_s  | seconds after its start from which on its liveness probe fails; absent: never               |
| stop_s        | seconds a container takes to end when asked to (0.1); longer than the grace period: killed  |
| log_lines     | list of texts; line n is item n modulo their number, `{n}` in it is replaced                |
| log_rate      | lines per second while it runs (0: all at once at the start, each once)                     |
| exec_output   | what a command in the container prints                                                      |
| cpu_share     | vCPU used, as a share of the container's (0.1);  memory_share likewise (0.25)                |
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from fakes.cloud.group import Container, Group
from fakes.cloud.images import split_reference


@dataclass(frozen=True, slots=True)
class Rule:
    image: str = "*"
    name: str = "*"
    container: str = "*"
    pull_s: float = 1.0
    pull_error: str = ""
    start_delay_s: float = -1.0
    duration_s: float | None = None
    exit_code: int = 0
    reason: str = ""
    crashes: int = 0
    crash_code: int = 1
    crash_after_s: float = 1.0
    ready_after_s: float = 0.0
    sick_after_s: float | None = None
    stop_s: float = 0.1
    log_lines: Sequence[str] = ("simulated line {n}",)
    log_rate: float = 0.0
    exec_output: str = ""
    cpu_share: float = 0.1
    memory_share: float = 0.25

    def matches(self, group: Group, container: Container) -> bool:
        path = split_reference(container.image)[0]
        image_fits = any(fnmatchcase(text, self.image) for text in (container.image, path, path.rpartition("/")[2]))
        return image_fits and fnmatchcase(group.name, self.name) and fnmatchcase(container.name, self.container)

    def duration(self, group: Group, *, init: bool) -> float | None:
        """Seconds of a run; None is for ever."""
        if self.duration_s is not None:
            return self.duration_s
        return None if group.restart_policy == "Always" and not init else 5.0


class ScenarioError(Exception):
    """The scenario cannot be used; the message names the rule and the fault."""


DEFAULT = Rule()


class Scenario:
    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = [*rules, DEFAULT]

    def rule(self, group: Group, container: Container) -> Rule:
        return next(rule for rule in self._rules if rule.matches(group, container))


def load(text: str) -> Scenario:
    """Raises ScenarioError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not TOML: {error}") from error
    unknown = set(document) - {"rule"}
    if unknown:
        raise ScenarioError(f"unknown key {min(unknown)!r}; only [[rule]] tables are read")
    return Scenario([_rule(number, table) for number, table in enumerate(document.get("rule", []), 1)])


def _rule(number: int, table: Mapping[str, Any]) -> Rule:
    known = {item.name: getattr(DEFAULT, item.name) for item in fields(Rule)}
    for key, value in table.items():
        if key not in known:
            raise ScenarioError(f"rule {number}: unknown key {key!r}; known are {', '.join(known)}")
        if key == "log_lines":
            right = isinstance(value, list) and value and all(isinstance(line, str) for line in value)
        elif isinstance(known[key], str):
            right = isinstance(value, str)
        else:
            right = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not right:
            raise ScenarioError(f"rule {number}: {key} has a wrong value {value!r}")
    return Rule(**table)
