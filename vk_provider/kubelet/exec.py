"""`kubectl exec`: from a request to a command in the cloud. What can be refused is refused before the 101 (X3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from vk_provider.cloud.base import Cloud, SupportsExec
from vk_provider.kubelet import target
from vk_provider.kubelet.exec_session import Orphans, StreamOptions, negotiate_command, serve
from vk_provider.kubelet.hijack import StreamTimeouts
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.target import FindPod
from vk_provider.kubelet.upgrade import upgrading
from vk_provider.model.instance import Instance

FAILING = "Internal error occurred: error executing command in container"  # a kubelet's words
START_TIMEOUT_S = 30.0


class ExecServer:
    """Answers `/exec`. A session is its request, which may outlive its client but not the server."""

    def __init__(
        self, *, pods: FindPod, instance_of: Callable[[str], Instance | None], cloud: Cloud, times: StreamTimeouts
    ) -> None:
        self._pods = pods
        self._instance_of = instance_of
        self._cloud = cloud
        self._times = times
        self._orphans = Orphans()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises RequestRefused, or CloudError when the cloud does not start the command."""
        found = target.running_container(request.match_info, self._pods, self._instance_of)
        if not isinstance(self._cloud, SupportsExec):
            raise HttpError(501, "this node's cloud cannot run commands in containers")
        wanted = StreamOptions.of_query(request.query)
        agreed = negotiate_command(request)
        if isinstance(agreed, web.Response):
            return agreed
        command = request.query.getall("command", [])
        if not command:
            raise HttpError(400, "you must specify at least one command for the container")
        async with upgrading(request, agreed, self._times) as upgrade:
            async with asyncio.timeout(START_TIMEOUT_S):
                session = await self._cloud.exec(
                    found.instance_id, request.match_info["container"], command, stdin=wanted.stdin, tty=wanted.tty
                )
            await serve(
                upgrade,
                agreed.protocol,
                session,
                wanted=wanted,
                times=self._times,
                orphans=self._orphans,
                failing=FAILING,
            )
        return upgrade.response
