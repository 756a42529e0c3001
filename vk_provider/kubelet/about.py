"""What a kubelet tells of itself as plain text: `/flagz` and `/statusz`; and what it has and this node has not.

No flag of ours is shown with its value but those of a kubelet's own configuration: others may be secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from vk_provider import __version__
from vk_provider.kubelet import target
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.target import FindPod

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

WARNING = "Warning: This endpoint is for people; its form may change."


def flagz(shown: Mapping[str, Any]) -> Page:
    """shown: as `/configz` shows it."""
    flags = {name: value for name, value in shown.items() if isinstance(value, (str, int)) and name not in _IDENTIFYING}
    text = "\n".join(["", "kubelet flagz", WARNING, "", *(f"{name}={value}" for name, value in sorted(flags.items()))])

    async def handle(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 -- there is one answer
        return web.Response(text=f"{text}\n")

    return handle


_IDENTIFYING = ("kind", "apiVersion")


def statusz(paths: Callable[[], list[str]], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Page:
    """paths: those served. The process is as old as this page."""
    started = now()

    async def handle(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 -- there is one answer
        lines = [
            "",
            "kubelet statusz",
            WARNING,
            "",
            f"Started: {started:%a %b %d %H:%M:%S UTC %Y}",
            f"Up: {str(now() - started).partition('.')[0]}",
            f"Binary version: {__version__}",
            f"Paths: {' '.join(paths())}",
        ]
        return web.Response(text="\n".join(lines) + "\n")

    return handle


async def logs(request: web.Request) -> web.StreamResponse:
    """Of the machine: there is none, so the folder is empty."""
    if request.match_info["file"]:
        raise web.HTTPNotFound
    listing = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n</pre>\n'
    return web.Response(text=listing, content_type="text/html")


async def to_folder(request: web.Request) -> web.StreamResponse:
    """For a path that lacks its last slash."""
    folder = f"{request.rel_url.raw_path}/"
    return web.Response(
        status=307,
        text=f'<a href="{folder}">Temporary Redirect</a>.\n\n',
        content_type="text/html",
        headers={"Location": folder},
    )


def checkpoint(pods: FindPod) -> Page:
    async def handle(request: web.Request) -> web.StreamResponse:
        names = request.match_info
        target.require_container(target.streaming_pod(pods, names), names["container"])
        what = f"{names['namespace']}/{names['pod']}/{names['container']}"
        raise HttpError(500, f"checkpointing of {what} failed (this node's cloud makes no checkpoints)")

    return handle
