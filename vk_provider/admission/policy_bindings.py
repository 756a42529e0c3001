"""Keeps a binding of the placement policy for each selector of the profile, so that the policy sends their pods, too.

Level-triggered, and the same in every replica: each round compares the bindings that are there with the selectors. Only
bindings with our names are touched; the policy itself, and the bindings of the default selectors, are the installer's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from vk_provider.admission import policy
from vk_provider.admission.placement import Selector
from vk_provider.errors import Conflict, NotFound
from vk_provider.kube import paths
from vk_provider.kube.client import KubeClient
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

Json = dict[str, Any]
REFRESH_S = 30.0
PREFIX = "profile-"  # of the names of such selectors, and of nothing else's


class PolicyBindings:
    """selectors: asked in each round; their names begin with PREFIX."""

    def __init__(self, client: KubeClient, *, selectors: Callable[[], Sequence[Selector]]) -> None:
        self._client = client
        self._selectors = selectors
        self._due = asyncio.Event()

    def refresh_now(self) -> None:
        """The selectors may have changed: do not wait for the next round."""
        self._due.set()

    async def run(self, interval_s: float = REFRESH_S) -> None:
        """Rounds for ever; the first at once."""

        async def rest() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._due.wait()

        await retry_loop(self.reconcile, name="policy bindings", rest=rest)

    async def reconcile(self) -> None:
        """One round. Raises KubeError where the API server refuses or does not answer."""
        self._due.clear()
        wanted = {each["metadata"]["name"]: each for each in map(policy.binding, self._selectors())}
        listed = await self._client.get(paths.mutating_admission_policy_bindings())
        found = {each["metadata"]["name"]: each for each in listed.get("items") or () if _is_ours(each)}
        for name, body in wanted.items():
            if name not in found:
                with suppress(Conflict):  # another replica made it: what differs is seen in the next round
                    await self._client.post(paths.mutating_admission_policy_bindings(), body)
                log.info("policy binding made name=%s", name)
            elif _chooses(found[name]) != _chooses(body):
                spec = {**body["spec"], "matchResources": body["spec"].get("matchResources", {})}
                await self._client.put(paths.mutating_admission_policy_binding(name), {**found[name], "spec": spec})
                log.info("policy binding written name=%s", name)
        for name in found.keys() - wanted.keys():
            with suppress(NotFound):
                await self._client.delete(paths.mutating_admission_policy_binding(name))
            log.info("policy binding removed name=%s", name)


def _is_ours(binding: Json) -> bool:
    name = str(binding["metadata"]["name"])
    return name.startswith(PREFIX) and name.endswith(f".{policy.NAME}")


def _chooses(binding: Json) -> tuple[object, ...]:
    """By what it chooses pods, without what an API server adds."""
    spec = binding.get("spec") or {}
    resources = spec.get("matchResources") or {}
    selectors = (resources.get(name) or {} for name in ("namespaceSelector", "objectSelector"))
    labels = ((each.get("matchLabels") or {}, each.get("matchExpressions") or []) for each in selectors)
    return (spec.get("policyName"), *labels)
