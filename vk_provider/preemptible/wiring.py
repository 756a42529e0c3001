"""What the composition root makes of the settings: idle capacity of the process, or none."""

from __future__ import annotations

import random
from typing import Any

from vk_provider.cloud.base import SupportsSpot
from vk_provider.cloud.driver import Driver
from vk_provider.errors import ConfigError
from vk_provider.kube.api import KubeApi
from vk_provider.metrics import Registry
from vk_provider.preemptible.idle_capacity import IdleCapacity
from vk_provider.preemptible_options import PreemptibleOptions


def idle_capacity(
    options: PreemptibleOptions,
    driver: Driver[Any, Any, Any, Any],
    settings: Any,
    cloud: object,
    *,
    client: KubeApi,
    registry: Registry,
    of_nodes: int,
) -> IdleCapacity | None:
    """None: it is switched off. Raises ConfigError where this cloud sells nothing of the kind."""
    if not options.enabled:
        return None
    if driver.spot is None or not isinstance(cloud, SupportsSpot):
        raise ConfigError(
            [f"{options.flag_of('enabled')}: the cloud {driver.name} has no capacity that it may take back"]
        )
    return IdleCapacity(
        options,
        client=client,
        cloud=cloud,
        terms=driver.spot(settings),
        metrics=registry,
        jitter=random.random,
        of_nodes=of_nodes,
    )
