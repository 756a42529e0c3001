"""The webhook's HTTPS server. It answers API servers, in milliseconds, and knows nothing of the provider.

It asks nobody for credentials: an answer tells only what would be added to the pod that was sent, and writes nothing.
Connections, their time and their bodies are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from vk_provider import bounds, jsontext
from vk_provider.admission import webhook
from vk_provider.admission.placement import Target
from vk_provider.admission.webhook_certificate import WebhookCertificate
from vk_provider.errors import ConfigError
from vk_provider.model.pod import Json

log = logging.getLogger(__name__)

Answer = Callable[[object], Json]  # to a review

MOST_AT_ONCE = 256  # requests
DEADLINE_S = 10.0  # of a request; the API server has given up after TIMEOUT_S


class WebhookServer:
    """address: `host:port` or `:port`; port 0 takes a free one. Serves once it has a certificate.

    others: by path, what further webhooks answer to a review; they may raise BadReview.
    """

    def __init__(self, address: str, target: Target, others: Mapping[str, Answer] | None = None) -> None:
        self._address = address
        self._answers: dict[str, Answer] = {
            webhook.PATH: lambda review: webhook.answer(review, target),
            **(others or {}),
        }
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._runner: web.AppRunner | None = None
        self._free = asyncio.Semaphore(MOST_AT_ONCE)

    @property
    def port(self) -> int:
        """Raises RuntimeError before `start`."""
        if self._runner is None:
            raise RuntimeError("the webhook is not serving yet")
        return int(self._runner.addresses[0][1])

    def serve_with(self, certificate: WebhookCertificate) -> None:
        """New connections get this one. Raises OSError where no file can be written: ssl reads keys from files only."""
        with tempfile.TemporaryDirectory(prefix="vk-webhook-") as folder:
            chain, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
            chain.write_bytes(certificate.certificate)
            key.touch(mode=0o600)
            key.write_bytes(certificate.key)
            self._context.load_cert_chain(chain, key)

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had."""
        host, _, port = self._address.rpartition(":")
        app = web.Application(client_max_size=bounds.MOST_REVIEW)
        for path in self._answers:
            app.router.add_post(path, self._review)
        app.router.add_get("/healthz", _healthz)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=75, shutdown_timeout=2)
        await runner.setup()
        try:
            await web.TCPSite(runner, host.strip("[]") or None, int(port), ssl_context=self._context).start()
        except OSError as error:
            await runner.cleanup()
            advice = f"--webhook-address: cannot listen at {self._address}: {error.strerror or error}; choose another"
            raise ConfigError([advice]) from error
        self._runner = runner
        log.info("webhook serves at port %d", self.port)

    async def stop(self) -> None:
        """Requests that are being answered are answered."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _review(self, request: web.Request) -> web.Response:
        if self._free.locked():
            return web.Response(status=503, text="too many requests at once\n")
        try:
            async with self._free, asyncio.timeout(DEADLINE_S):
                review = jsontext.loads(await request.read())
                return web.json_response(self._answers[request.path](review))
        except TimeoutError:
            return web.Response(status=408, text="the request did not arrive in time\n")
        except (webhook.BadReview, ValueError, RecursionError) as error:
            words = str(error) if isinstance(error, webhook.BadReview) else "the body is no JSON"
            return web.Response(status=400, text=f"{words}\n")


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
