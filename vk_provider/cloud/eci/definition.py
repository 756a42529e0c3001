"""ECI as one value, for whoever chooses a cloud by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vk_provider.cloud.driver import Driver, Heard, Observe, Place, SpotTerms
from vk_provider.cloud.eci import create_refusals, redaction, request, sizes, skus
from vk_provider.cloud.eci.annotations import PREFIX, SPOT
from vk_provider.cloud.eci.candidates import intent
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import (
    ChainCredentials,
    Credentials,
    CredentialSource,
    FileCredentials,
    FixedCredentials,
)
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.fenced_calls import FencedCalls
from vk_provider.cloud.eci.fitting import fitted
from vk_provider.cloud.eci.limits import LIMITS
from vk_provider.cloud.eci.options import EciOptions
from vk_provider.cloud.eci.settings import EciSettings, eci_settings
from vk_provider.errors import CloudDenied, ConfigError, UnsupportedPod
from vk_provider.fence import Fence
from vk_provider.model.poll_limits import PollLimits


async def _access(options: EciOptions) -> CredentialSource:
    """Without any credentials nothing can ever work; wrong ones are the cloud's to say, and show on the node."""
    source: CredentialSource = ChainCredentials()
    if options.access_key_file:
        files = (options.access_key_file, options.secret_key_file, options.security_token_file)
        source = FileCredentials(*(Path(each) for each in files if each))
    elif options.access_key:
        source = FixedCredentials(Credentials(options.access_key, options.secret_key, options.security_token))
    try:
        await source.get()
    except CloudDenied as error:
        raise ConfigError([str(error)]) from error
    return source


def _connect(settings: EciSettings, credentials: CredentialSource, observe: Observe, heard: Heard) -> EciClient:
    return EciClient(settings, credentials, observe=observe, heard=heard)


def _cloud(settings: EciSettings, client: EciClient, fence: Fence | None) -> EciCloud:
    return EciCloud(settings, client if fence is None else FencedCalls(client, fence))


def _place(options: EciOptions) -> Place:
    return Place(
        region=options.region,
        zone=options.zone,
        architecture=options.cpu_architecture,
        role=options.ram_role,
        profile=options.profile,
    )


def _limits(options: EciOptions) -> PollLimits:
    """Of updates no more than a share of what a ticket has raised."""
    raised = options.calls_per_minute.get("UpdateContainerGroup", 0)
    return replace(LIMITS, updates_per_minute=max(1, raised * 4 // 5)) if raised else LIMITS


def _spot(settings: EciSettings) -> SpotTerms:
    def sold_cpu(cpu: float | None, memory_gib: float | None, *, is_spot: bool) -> float:
        try:
            return sizes.fit(cpu, memory_gib, settings.region, standard_only=is_spot).cpu
        except UnsupportedPod:
            return 0.0

    def is_spot(sku: str) -> bool:
        known = skus.parse(sku)
        return known is not None and known.is_spot

    return SpotTerms(
        annotations={SPOT: "SpotAsPriceGo"},
        sold_cpu=sold_cpu,
        is_spot=is_spot,
        notice="SpotToBeReleased",
        evicts=(f"{PREFIX}eci-spot-release-strategy", "api-evict"),
    )


DRIVER: Driver[EciOptions, EciSettings, CredentialSource, EciClient] = Driver(
    name="eci",
    capabilities=CAPABILITIES,
    place=_place,
    limits=_limits,
    access=_access,
    settings=eci_settings,
    connect=_connect,
    disconnect=EciClient.close,
    cloud=_cloud,
    intent=intent,
    refusals=create_refusals.refusals,
    left_out=lambda workload: fitted(workload)[1],
    preview=request.draft,
    masked=redaction.masked,
    spot=_spot,
)
