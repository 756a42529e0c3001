"""A fake cloud without HTTP, in time that only moves when a test says so."""

from collections.abc import Mapping
from typing import Any

from fakes.cloud.clock import Clock, Timers
from fakes.cloud.group import Group
from fakes.cloud.lifecycle import Settings
from fakes.cloud.queries import Queries
from fakes.cloud.runtime_simulated import SimulatedRuntime
from fakes.cloud.scenario import load
from fakes.cloud.service import Service

START = 1_700_000_000.0
BASE = {
    "RegionId": "cn-hangzhou",
    "ContainerGroupName": "default-web",
    "RestartPolicy": "Never",
    "Container.1.Name": "web",
    "Container.1.Image": "nginx",
}


class World:
    """One service with the simulated runtime; times in tests are seconds since its beginning."""

    def __init__(self, scenario: str = "", **options: Any) -> None:
        self.clock = Clock(lambda: 0.0, start=START)
        self.timers = Timers(self.clock)
        options.setdefault("settings", Settings(start_delay_s=1.0))
        self.service = Service(self.timers, SimulatedRuntime(self.timers, load(scenario)), **options)
        self.queries = Queries(self.service)

    def run(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.timers.run_due()

    def create(self, **changes: str | None) -> Group:
        """A group from BASE and changes; names have `__` for dots, None takes a parameter away."""
        group = self.service.store.get(self.service.create(flat(**changes))["ContainerGroupId"])
        assert group is not None
        return group

    def states(self, group: Group) -> list[tuple[float, str]]:
        """The statuses a group went through and when."""
        return [
            (round(entry["when"] - START, 3), entry["new"])
            for entry in self.service.journal.since(0)
            if entry["kind"] == "state" and entry["id"] == group.id
        ]


def flat(base: Mapping[str, str] = BASE, **changes: str | None) -> dict[str, str]:
    merged = {**base, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def reasons(group: Group) -> list[str]:
    return [event.reason for event in group.events]
