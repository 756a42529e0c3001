"""A headless Chromium, spoken to by its own DevTools protocol: what the tests of the page need, and no more."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium here; install it (apt-get install chromium) or name one with CHROMIUM"
_CODES = {"Escape": 27, "Enter": 13}  # of keys that the browser itself acts on
START_S, ANSWER_S = 60.0, 60.0


def program() -> str:
    """Empty where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")


class Tab:
    """One page. errors: what its console says of errors, and what its script raises."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.errors: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            if (waiting := self._waiting.pop(found.get("id"), None)) is not None and not waiting.done():
                waiting.set_result(found)
            elif found.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(found["params"]["exceptionDetails"])[:500])
            elif found.get("method") == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
                self.errors.append(found["params"]["entry"]["text"])

    async def send(self, method: str, **params: Any) -> Any:
        ident = next(self._ids)
        self._waiting[ident] = answered = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": ident, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_S):
            answer = await answered
        assert "error" not in answer, answer
        return answer["result"]

    async def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=scheme)
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.send("Page.navigate", url=url)

    async def value(self, script: str) -> Any:
        """Of an expression; a promise is waited for."""
        answer = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str, *, within_s: float = 60.0) -> Any:
        """Until the expression is true."""
        async with asyncio.timeout(within_s):
            while True:
                with suppress(AssertionError):
                    if found := await self.value(script):
                        return found
                await asyncio.sleep(0.1)

    async def press(self, key: str, *, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=_CODES.get(key, 0), **more
            )

    async def screenshot(self, file: Path) -> None:
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        file.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240 -- a picture, in a test


@asynccontextmanager
async def a_tab() -> AsyncIterator[Tab]:
    """Of a browser of its own, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="vk-chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            program(),
            "--headless=new",
            "--no-sandbox",  # tests may run as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as session:
                address = await _socket_url(session, Path(folder))
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    listening = asyncio.create_task(tab.listen())
                    for domain in ("Page", "Runtime", "Log"):
                        await tab.send(f"{domain}.enable")
                    try:
                        yield tab
                    finally:
                        listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _socket_url(session: aiohttp.ClientSession, folder: Path) -> str:
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError, ValueError, IndexError, aiohttp.ClientError):
                port = (folder / "DevToolsActivePort").read_text().splitlines()[0]
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [each for each in await answer.json() if each["type"] == "page"]
                    return str(pages[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.1)
