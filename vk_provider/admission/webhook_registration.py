"""Keeps the webhook known to the API server: its certificate in a Secret, its configuration with the right CA bundle.

Level-triggered, and the same in every replica: each round reads the Secret, renews it where that is due, and writes the
configuration where it differs from what the selectors and the Secret say. A certificate is served only once the
configuration trusts its authority, so no request fails at a renewal; who lost a race reads again in the next round.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from vk_provider.admission import webhook
from vk_provider.admission.placement import Selector
from vk_provider.admission.webhook_certificate import LIFETIME, WebhookCertificate, issue
from vk_provider.errors import Conflict, NotFound
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

Json = dict[str, Any]
REFRESH_S = 30.0
SETTLE_S = 5.0  # until every API server has read a new CA bundle: theirs comes by a watch, within a second
SECRET_NAME = "vk-provider-webhook-certificate"  # noqa: S105 -- a name


class WebhookRegistration:
    """service: namespace and name of the Service in front of us. url: instead of it, where we run outside a cluster.

    serve: called with each certificate that is to be served from now on. selectors: asked in each round. others: by
    path, further webhooks of the configuration, from their clientConfig and our namespace.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        service: tuple[str, str],
        url: str = "",
        selectors: Callable[[], Sequence[Selector]],
        serve: Callable[[WebhookCertificate], None],
        others: Mapping[str, Callable[[Json, str], Json]] | None = None,
        lifetime: timedelta = LIFETIME,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        namespace, name = service
        self._client = client
        self._service = service
        self._url = url
        # What an API server holds the certificate against.
        self._names = [urlsplit(url).hostname or ""] if url else [f"{name}.{namespace}.svc"]
        self._selectors = selectors
        self._serve = serve
        self._others = others or {}
        self._lifetime = lifetime
        self._clock = clock
        self._served: WebhookCertificate | None = None
        self._due = asyncio.Event()

    def refresh_now(self) -> None:
        """The selectors may have changed: do not wait for the next round."""
        self._due.set()

    async def run(self, interval_s: float = REFRESH_S) -> None:
        """Rounds for ever; the first at once."""

        async def rest() -> None:
            left_s = 0.0
            if self._served is not None:
                left_s = max(1.0, (self._served.renewal_at - self._clock()).total_seconds())
            with suppress(TimeoutError):
                async with asyncio.timeout(min(interval_s, left_s)):
                    await self._due.wait()

        await retry_loop(self.reconcile, name="webhook registration", rest=rest)

    async def reconcile(self) -> None:
        """One round. Raises KubeError where the API server refuses or does not answer."""
        self._due.clear()
        current = await self._certificate()
        await self._configure(current)
        if current != self._served:
            if self._served is not None:
                await asyncio.sleep(SETTLE_S)
            self._serve(current)
            self._served = current

    async def _certificate(self) -> WebhookCertificate:
        """The Secret's, renewed where that is due. Raises Conflict when another replica was faster."""
        namespace = self._service[0]
        path = paths.secret(namespace, SECRET_NAME)
        try:
            found: Json | None = await self._client.get(path)
        except NotFound:
            found = None
        current = WebhookCertificate.from_secret(_decoded((found or {}).get("data")))
        if current.is_good_for(self._names, self._clock()):
            return current
        renewed = issue(self._names, self._clock(), before=current, lifetime=self._lifetime)
        data = {key: base64.b64encode(value).decode() for key, value in renewed.as_secret().items()}
        metadata = {"name": SECRET_NAME, "namespace": namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        if found is None:
            await self._client.post(paths.core("secrets", namespace=namespace), body)
        else:
            await self._client.put(path, {**found, "data": {**(found.get("data") or {}), **data}})
        log.info("webhook certificate renewed secret=%s/%s", namespace, SECRET_NAME)
        return renewed

    def _client_config(self, current: WebhookCertificate, path: str) -> Json:
        if self._url:
            return webhook.url_client(self._url, current.authorities, path=path)
        return webhook.service_client(*self._service, current.authorities, path=path)

    async def _configure(self, current: WebhookCertificate) -> None:
        place = paths.mutating_webhook_configuration(webhook.NAME)
        namespace = self._service[0]
        wanted = webhook.configuration(
            self._client_config(current, webhook.PATH), self._selectors(), own_namespace=namespace
        )
        wanted["webhooks"] += [
            make(self._client_config(current, path), namespace) for path, make in self._others.items()
        ]
        try:
            found = await self._client.get(place)
        except NotFound:
            with suppress(Conflict):  # another replica made it: its differences are seen in the next round
                await self._client.post(paths.mutating_webhook_configurations(), wanted)
            log.info("webhook configuration made name=%s webhooks=%d", webhook.NAME, len(wanted["webhooks"]))
            return
        if found.get("webhooks") != wanted["webhooks"]:
            await self._client.put(place, {**found, "webhooks": wanted["webhooks"]})
            log.info("webhook configuration written name=%s webhooks=%d", webhook.NAME, len(wanted["webhooks"]))


def _decoded(data: object) -> dict[str, bytes]:
    if not isinstance(data, dict):
        return {}
    found = {}
    for key, value in data.items():
        with suppress(binascii.Error, ValueError, TypeError):
            found[str(key)] = base64.b64decode(value, validate=True)
    return found
