"""Values of Secrets in a pod's fields, hidden in the cloud's events of its instance: an event may repeat a command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vk_provider.model.instance import ContainerReport, ContainerState, Instance
from vk_provider.model.workload import Workload
from vk_provider.redaction import Sieve


def sieve_of(workload: Workload) -> Sieve:
    return Sieve(_words(workload))


def _words(workload: Workload) -> Iterator[str]:
    for container in (*workload.init_containers, *workload.containers):
        yield from (*container.command, *container.args)
        yield from (value for _, value in container.env if isinstance(value, str))


def without(instance: Instance, sieve: Sieve) -> Instance:
    """The instance, itself where nothing is to be hidden."""
    found = replace(
        instance,
        events=tuple(replace(each, message=sieve.without(each.message)) for each in instance.events),
        containers=tuple(_report(each, sieve) for each in instance.containers),
        init_containers=tuple(_report(each, sieve) for each in instance.init_containers),
        conditions=tuple(replace(each, message=sieve.without(each.message)) for each in instance.conditions),
    )
    return instance if found == instance else found


def _report(report: ContainerReport, sieve: Sieve) -> ContainerReport:
    last = None if report.last_state is None else _state(report.last_state, sieve)
    return replace(report, state=_state(report.state, sieve), last_state=last)


def _state(state: ContainerState, sieve: Sieve) -> ContainerState:
    return replace(state, message=sieve.without(state.message)) if state.message else state
