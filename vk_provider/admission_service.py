"""What every replica does for the placement of pods, whoever leads: the webhook, or the policy's bindings.

A Service leads API servers to any replica, so each has to answer; what they write is the same in all of them.
"""

from __future__ import annotations

import asyncio
import logging

from vk_provider.admission.placement import DEFAULT_SELECTORS, Selector, Target, are_labels
from vk_provider.admission.policy_bindings import PREFIX, PolicyBindings
from vk_provider.admission.webhook_registration import WebhookRegistration
from vk_provider.admission.webhook_server import WebhookServer
from vk_provider.cloud import drivers
from vk_provider.config import Config
from vk_provider.control.profile_watcher import ProfileWatcher
from vk_provider.kube.client import KubeClient
from vk_provider.preemptible import job_webhook

log = logging.getLogger(__name__)

MOST_PLACING_SELECTORS = 50  # of the profile: each is a webhook, or a binding, that a new pod may wait for


def is_wanted(config: Config) -> bool:
    return bool(config.webhook_address or config.placement_bindings)


async def serve(config: Config, client: KubeClient) -> None:
    """Until cancelled. Raises ConfigError where the webhook's address cannot be had."""
    profile = _profile(config, client)
    async with asyncio.TaskGroup() as tasks:
        if profile is not None:
            tasks.create_task(profile.run(), name="profile of placement")
        if config.webhook_address:
            tasks.create_task(_serve_webhook(config, client, profile), name="webhook")
        if config.placement_bindings:
            tasks.create_task(_keep_bindings(client, profile), name="policy bindings")


def _profile(config: Config, client: KubeClient) -> ProfileWatcher | None:
    """None: the settings name none."""
    driver = drivers.load(config.cloud)
    namespace, _, name = driver.place(config.options).profile.partition("/")
    parse = driver.capabilities.parse_profile
    return ProfileWatcher(client, namespace, name, parse=parse, tell=_log_event) if name and parse else None


def _log_event(kind: str, reason: str, message: str) -> None:
    """The Node has an event of it by who leads."""
    log.debug("profile: %s %s: %s", kind, reason, message)


async def _keep_bindings(client: KubeClient, profile: ProfileWatcher | None) -> None:
    bindings = PolicyBindings(client, selectors=lambda: _placing_selectors(profile))
    if profile is not None:
        profile.on_change(bindings.refresh_now)
        while not await profile.known():  # what is not known takes nothing away
            log.warning("the profile cannot be read: the bindings of the placement policy stay as they are")
    await bindings.run()


def target_of(config: Config) -> Target:
    """Pods that are sent here tolerate the taint that all nodes bear; further taints are for some pods only."""
    return Target(taint_key=config.taint_key, taint_value=config.taint_value, taint_effect=config.taint_effect)


async def _serve_webhook(config: Config, client: KubeClient, profile: ProfileWatcher | None) -> None:
    target = target_of(config)
    owner_kinds, is_preemptible = config.preemptible.owner_kinds, config.preemptible.enabled
    answers = {job_webhook.PATH: lambda review: job_webhook.answer(review, target, owner_kinds)}
    server = WebhookServer(config.webhook_address, target, answers if is_preemptible else None)
    namespace, _, name = config.webhook_service.partition("/")
    registration = WebhookRegistration(
        client,
        service=(namespace, name),
        url=config.webhook_url,
        selectors=lambda: [*DEFAULT_SELECTORS, *_placing_selectors(profile)],
        serve=server.serve_with,
        others={job_webhook.PATH: job_webhook.configured} if is_preemptible else None,
    )
    if profile is not None:
        profile.on_change(registration.refresh_now)
        await profile.known()  # else a new replica would take the profile's webhooks away for a moment
    await server.start()
    try:
        await registration.run()
    finally:
        await server.stop()


def _placing_selectors(profile: ProfileWatcher | None) -> list[Selector]:
    """The profile's; those whose labels no API server takes are left out, for with one of them it would take none."""
    chosen = profile.current.chosen[:MOST_PLACING_SELECTORS] if profile is not None else ()
    return [
        Selector(f"{PREFIX}{place}", namespace=namespace, pod=pod)
        for place, (namespace, pod) in enumerate(chosen)
        if are_labels({**namespace, **pod})
    ]
