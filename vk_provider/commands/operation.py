"""One verb from the question to its answer: connect, ask, print, end with a code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from os import environ
from pathlib import Path
from typing import Protocol

import msgspec

from vk_provider import __version__
from vk_provider.arguments import Arguments
from vk_provider.cloud import drivers
from vk_provider.cloud.base import Cloud, Finding, Verdict
from vk_provider.cloud.driver import Whose
from vk_provider.commands import doctor, explanation, instances, status
from vk_provider.commands.cluster import NoAnswer
from vk_provider.commands.terminal import Style
from vk_provider.config import Config
from vk_provider.errors import ConfigError, KubeError, NotFound
from vk_provider.kube import paths
from vk_provider.kube.client import KubeClient
from vk_provider.kube.kubeconfig import read_target

WATCH_S = 2.0
FAILED = 1
_CLEAR = "\x1b[H\x1b[2J"


class Complain(Protocol):
    def __call__(self, heading: str, faults: Sequence[str], code: int = ..., /) -> int: ...


@dataclass(frozen=True, slots=True)
class Stated:
    """settings: as far as these verbs need them. complete: with the cloud's as well; raises ConfigError."""

    settings: Config
    complete: Callable[[], Config]


def run(
    given: Arguments,
    stated: Stated,
    style: Style,
    *,
    show: Callable[[str], int],
    complain: Complain,
    is_agreed: Callable[[str], bool],
) -> int:
    """The exit code. show: prints. is_agreed: asks a question of whoever sits there."""
    operation = _Operation(given, stated, style, show, complain, is_agreed)
    try:
        return asyncio.run(operation.run())
    except NoAnswer as error:
        return complain("the provider does not answer", [str(error)], FAILED)
    except KubeError as error:
        return complain("the API server does not answer as it should", [str(error)], FAILED)


class _Operation:
    def __init__(
        self,
        given: Arguments,
        stated: Stated,
        style: Style,
        show: Callable[[str], int],
        complain: Complain,
        is_agreed: Callable[[str], bool],
    ) -> None:
        self._given = given
        self._stated = stated
        self._style = style
        self._show = show
        self._complain = complain
        self._is_agreed = is_agreed
        self._is_json = given.values.get("output") == "json"

    async def run(self) -> int:
        settings = _with_usual_kubeconfig(self._stated.settings)
        async with AsyncExitStack() as stack:
            client = await KubeClient.connect(
                kubeconfig=settings.kubeconfig or None,
                context=settings.kube_context or None,
                user_agent=f"vk-provider/{__version__} {self._given.verb}",
            )
            stack.push_async_callback(client.close)
            match self._given.verb:
                case "status":
                    return await self._status(client)
                case "explain":
                    return await self._explain(client, settings)
                case "doctor":
                    return await self._doctor(client, settings, stack)
                case _:
                    return await self._instances(client, stack)

    async def _status(self, client: KubeClient) -> int:
        is_watching = "watch" in self._given.values
        code = 0
        while True:
            found = await status.collect(client, self._given.values.get("node", ""))
            shots = [each for _, each in found if not isinstance(each, str)]
            if self._is_json:
                if silent := [f"{node}: {each}" for node, each in found if isinstance(each, str)]:
                    self._complain("no answer", silent)
                text = msgspec.json.format(msgspec.json.encode(shots), indent=2).decode() + "\n"
            else:
                text = status.text(found, self._style)
            is_screen = is_watching and self._style.width is not None and not self._is_json
            code = self._show((_CLEAR if is_screen else "") + text)
            if not is_watching or code:
                is_well = bool(found) and len(shots) == len(found) and all(each.is_ready for each in shots)
                return code or (0 if is_well else FAILED)
            await asyncio.sleep(WATCH_S)

    async def _explain(self, client: KubeClient, settings: Config) -> int:
        namespace, _, name = self._given.words[0].rpartition("/")
        namespace = self._given.values.get("namespace") or namespace.removeprefix("pod/") or _namespace_of(settings)
        try:
            found = await explanation.explained(client, namespace, name)
        except NotFound:
            raise NoAnswer(f"there is no pod {namespace}/{name}; name it as NAMESPACE/POD") from None
        return self._show(explanation.as_json(found) if self._is_json else explanation.text(found, self._style))

    async def _doctor(self, client: KubeClient, settings: Config, stack: AsyncExitStack) -> int:
        cluster = await _cluster_of(client)
        cloud, faults = None, list[Finding]()
        try:
            complete = self._stated.complete()
            settings = replace(complete, kubeconfig=settings.kubeconfig)
            cloud = await _connected(settings, cluster or "unknown", stack)
        except ConfigError as error:
            fix = "set what is named, as flag, variable or in the file; `vk-provider doctor --help` lists them"
            faults = [Finding("settings", Verdict.FAILED, fault, fix) for fault in error.faults]
        found = [*faults, *await doctor.examined(client, cloud, settings, cluster=cluster)]
        text = doctor.as_json(found) if self._is_json else doctor.text(found, self._style)
        return self._show(text) or (0 if doctor.is_well(found) else FAILED)

    async def _instances(self, client: KubeClient, stack: AsyncExitStack) -> int:
        if "delete_orphans" not in self._given.values:
            found = await instances.collect(client, self._given.values.get("node", ""))
            return self._show(instances.as_json(found) if self._is_json else instances.text(found, self._style))
        settings = self._stated.settings
        if node := self._given.values.get("node"):
            settings = replace(settings, node_name=node)
        cluster = str((await client.get(paths.namespace("kube-system")))["metadata"]["uid"])
        cloud = await _connected(settings, cluster, stack)

        def agreed(orphans: Sequence[tuple[str, str]]) -> bool:
            lines = [f"  {instance} of {pod}" for instance, pod in orphans]
            self._show(
                "\n".join([f"{len(orphans)} instances of node {settings.node_name} have no pod:", *lines]) + "\n"
            )
            return "yes" in self._given.values or self._is_agreed("Delete them?")

        text, is_well = await instances.delete_orphans(client, cloud, is_agreed=agreed, style=self._style)
        return self._show(text) or (0 if is_well else FAILED)


async def _connected(settings: Config, cluster: str, stack: AsyncExitStack) -> Cloud:
    """Raises ConfigError."""
    driver = drivers.load(settings.cloud)
    access = await driver.access(settings.options)
    whose = Whose(cluster=cluster, node=settings.node_name, cluster_name=settings.cluster_name)
    of_driver = driver.settings(settings.options, whose)
    connection = driver.connect(of_driver, access, lambda *_: None, lambda *_: None)
    stack.push_async_callback(driver.disconnect, connection)
    cloud = driver.cloud(of_driver, connection, None)
    stack.push_async_callback(cloud.close)
    return cloud


async def _cluster_of(client: KubeClient) -> str:
    """Its uid; empty where it cannot be read."""
    try:
        return str((await client.get(paths.namespace("kube-system"), timeout_s=5.0))["metadata"]["uid"])
    except KubeError:
        return ""


def _with_usual_kubeconfig(settings: Config) -> Config:
    """As kubectl: what is set, else the pod's own ServiceAccount, else ~/.kube/config."""
    if settings.kubeconfig or "KUBERNETES_SERVICE_HOST" in environ:
        return settings
    usual = Path.home() / ".kube" / "config"
    return replace(settings, kubeconfig=str(usual)) if usual.exists() else settings


def _namespace_of(settings: Config) -> str:
    """The one of the kubeconfig's context."""
    if not settings.kubeconfig:
        return "default"
    return read_target(settings.kubeconfig, settings.kube_context or None).namespace or "default"
