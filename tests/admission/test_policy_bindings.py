"""The bindings of the placement policy follow the selectors of the profile; others' are left alone; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.admission.test_webhook_registration import Server
from tests.control.pure_time import play
from vk_provider.admission import policy
from vk_provider.admission.placement import Selector
from vk_provider.admission.policy_bindings import PolicyBindings
from vk_provider.errors import NotFound

Json = dict[str, Any]
BINDINGS = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"
A = Selector("profile-0", namespace={"team": "a"})
CHOOSES_A = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
B = Selector("profile-1", namespace={"team": "b"}, pod={"tier": "batch"})


class Listing(Server):
    """Also lists, and deletes."""

    async def get(self, path: str) -> Json:
        if path != BINDINGS:
            return await super().get(path)
        await self._come()
        return {"items": [each for name, each in sorted(self.objects.items()) if name.startswith(f"{BINDINGS}/")]}

    async def delete(self, path: str) -> Json:
        await self._come()
        if self.objects.pop(path, None) is None:
            raise NotFound(path)
        self.writes.append(path)
        return {}

    def bound(self) -> dict[str, Json]:
        return {path.removeprefix(f"{BINDINGS}/"): each["spec"] for path, each in self.objects.items()}


class Replica:
    def __init__(self, server: Listing, selectors: Sequence[Selector] = ()) -> None:
        self.selectors = selectors
        self.bindings = PolicyBindings(server, selectors=lambda: self.selectors)  # type: ignore[arg-type] -- its verbs


async def run_for(seconds: float, *replicas: Replica) -> None:
    tasks = [asyncio.create_task(each.bindings.run()) for each in replicas]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def name_of(selector: Selector) -> str:
    return f"{selector.name}.{policy.NAME}"


def test_each_selector_has_a_binding_and_then_nothing_more_is_written() -> None:
    server = Listing()
    play(run_for(600, Replica(server, [A, B]), Replica(server, [A, B])))
    assert server.bound() == {
        name_of(A): {"policyName": policy.NAME, "matchResources": CHOOSES_A},
        name_of(B): policy.binding(B)["spec"],
    }
    assert len(server.writes) == 2


def test_they_follow_the_profile_at_once() -> None:
    server = Listing()
    replica = Replica(server, [A, B])

    async def story() -> None:
        running = asyncio.create_task(run_for(60, replica))
        await asyncio.sleep(1)
        changed = Selector("profile-0", pod={"tier": "web"})
        replica.selectors = [changed]
        replica.bindings.refresh_now()
        await asyncio.sleep(1)
        assert set(server.bound()) == {name_of(A)}
        assert server.bound()[name_of(A)]["matchResources"] == {"objectSelector": {"matchLabels": {"tier": "web"}}}
        await running

    play(story())


@pytest.mark.parametrize("name", [f"pod-label.{policy.NAME}", "profile-0.somebody-else.io"])
def test_bindings_of_others_stay(name: str) -> None:
    server = Listing()
    server.objects[f"{BINDINGS}/{name}"] = {"metadata": {"name": name}, "spec": {"policyName": "x"}}
    play(run_for(60, Replica(server)))
    assert set(server.bound()) == {name}
    assert server.writes == []


def test_what_an_api_server_adds_is_no_difference() -> None:
    server = Listing()
    body = policy.binding(A)
    resources = {**body["spec"]["matchResources"], "matchPolicy": "Equivalent", "objectSelector": {}}
    body["spec"]["matchResources"] = resources
    server.objects[f"{BINDINGS}/{name_of(A)}"] = body
    play(run_for(60, Replica(server, [A])))
    assert server.writes == []


def test_what_others_change_is_made_good_and_an_api_server_that_is_away_is_waited_for() -> None:
    server = Listing()
    replica = Replica(server, [A])

    async def story() -> None:
        server.is_away = True
        running = asyncio.create_task(run_for(300, replica))
        await asyncio.sleep(60)
        server.is_away = False
        await asyncio.sleep(120)
        server.objects[f"{BINDINGS}/{name_of(A)}"]["spec"] = {"policyName": policy.NAME}
        await asyncio.sleep(60)
        assert server.bound()[name_of(A)]["matchResources"]["namespaceSelector"] == {"matchLabels": {"team": "a"}}
        await running

    play(story())
