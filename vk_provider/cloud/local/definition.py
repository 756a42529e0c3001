"""This host as one value, for whoever chooses a cloud by its name."""

from __future__ import annotations

import asyncio
import platform
import shlex
import shutil
import socket
from collections.abc import Collection, Mapping

from vk_provider.cloud.base import RequestPreview
from vk_provider.cloud.driver import Driver, Heard, Observe, Place, Whose
from vk_provider.cloud.local import sandbox, spec, state
from vk_provider.cloud.local.driver import FencedLocalCloud, LocalCloud, LocalSettings
from vk_provider.cloud.local.options import LocalOptions
from vk_provider.cloud.local.report import WORDS
from vk_provider.errors import ConfigError, UnsupportedPod
from vk_provider.fence import Fence
from vk_provider.model.poll_limits import PollLimits
from vk_provider.model.workload import Intent, Workload
from vk_provider.redaction import HIDDEN, TELLING_BYTES, shown
from vk_provider.translate.capabilities import Capabilities

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CAPABILITIES = Capabilities(
    cloud="this host",
    runtime="process://1.0.0",
    event_host="local",
    words=WORDS,
    protocols=("TCP", "UDP", "SCTP"),  # the host's network is the pods'
    architectures=(ARCHITECTURE,),
)
LIMITS = PollLimits(
    ids_per_call=1000,
    per_page=1000,
    window_s=(1, 3600),
    changes_per_minute=600,
    changes_at_once=600,
    listed_per_minute=100_000,
    events_apart=False,
)


async def _access(options: LocalOptions) -> None:
    """Tries what every container needs. Raises ConfigError with what the host says."""
    try:
        state.run_dir(options.state)
    except OSError as error:
        raise ConfigError([f"{LocalOptions.flag_of('state')}: {options.state}: {error.strerror}"]) from error
    missing = [each for each in ("unshare", "nsenter") if shutil.which(each) is None]
    if missing:
        raise ConfigError([f"--cloud=local needs {' and '.join(missing)} (of util-linux) on a Linux host"])
    trial = await asyncio.create_subprocess_exec(
        *sandbox.TRIAL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await trial.communicate()
    if trial.returncode:
        why = said.decode(errors="replace").strip().partition("\n")[0]
        raise ConfigError([f"--cloud=local: no namespaces, with a /proc of their own, can be made here: {why}"])


def _settings(options: LocalOptions, whose: Whose) -> LocalSettings:
    try:
        return LocalSettings(root=state.run_dir(options.state), whose=whose, address=options.address or _own_address())
    except OSError as error:
        raise ConfigError([f"{LocalOptions.flag_of('state')}: {options.state}: {error.strerror}"]) from error


def _own_address() -> str:
    """The address of this host toward others; nothing is sent."""
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _connect(settings: LocalSettings, access: None, observe: Observe, heard: Heard) -> None:
    """There is nothing to connect to, and there are no calls to count."""


async def _disconnect(connection: None) -> None:
    """Nothing was connected."""


def _cloud(settings: LocalSettings, connection: None, fence: Fence | None) -> LocalCloud:
    del connection
    return LocalCloud(settings) if fence is None else FencedLocalCloud(settings, fence)


def _preview(workload: Workload, settings: LocalSettings) -> RequestPreview:
    """By container, the program that would run."""
    del settings
    if refused := spec.refusals(workload):
        raise UnsupportedPod(refused)
    programs = {each.name: shlex.join(map(shown, [*each.command, *each.args])) for each in workload.containers}
    return RequestPreview(
        request=programs,
        cpu=workload.cpu or 0,
        memory_gib=workload.memory_gib or 0,
        price=None,
        choices=("a process of this host",),
    )


def _masked(request: Mapping[str, str], secrets: Collection[bytes]) -> dict[str, str]:
    """A second net: what came out of Secrets is hidden by its place already."""
    values = [each.decode(errors="replace") for each in secrets if len(each) >= TELLING_BYTES]
    hidden = dict(request)
    for value in sorted(values, key=len, reverse=True):
        hidden = {name: text.replace(value, HIDDEN) for name, text in hidden.items()}
    return hidden


DRIVER: Driver[LocalOptions, LocalSettings, None, None] = Driver(
    name="local",
    capabilities=CAPABILITIES,
    place=lambda _: Place(architecture=ARCHITECTURE),
    limits=lambda _: LIMITS,
    access=_access,
    settings=_settings,
    connect=_connect,
    disconnect=_disconnect,
    cloud=_cloud,
    intent=lambda _, __: Intent(),
    refusals=lambda workload, _: spec.refusals(workload),
    left_out=spec.notices,
    preview=_preview,
    masked=_masked,
)
