"""The Secret and the configuration of the webhook, kept right by any number of replicas; in virtual time."""

from __future__ import annotations

import asyncio
import base64
import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from tests.control.pure_time import play
from vk_provider.admission import webhook
from vk_provider.admission.placement import DEFAULT_SELECTORS, Selector
from vk_provider.admission.webhook_certificate import WebhookCertificate
from vk_provider.admission.webhook_registration import SECRET_NAME, WebhookRegistration
from vk_provider.errors import Conflict, KubeUnavailable, NotFound

Json = dict[str, Any]
SECRET = f"/api/v1/namespaces/vk/secrets/{SECRET_NAME}"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CONFIGURATION = f"{CONFIGURATIONS}/{webhook.NAME}"
BEGIN = datetime(2026, 12, 1, tzinfo=UTC)


class Server:
    """Objects with versions: a PUT of an older one is refused."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[str] = []
        self.is_away = False
        self._version = 0

    async def get(self, path: str) -> Json:
        await self._come()
        if path not in self.objects:
            raise NotFound(path)
        return copy.deepcopy(self.objects[path])

    async def post(self, path: str, body: Json) -> Json:
        await self._come()
        return self._write(f"{path}/{body['metadata']['name']}", body, None)

    async def put(self, path: str, body: Json) -> Json:
        await self._come()
        return self._write(path, body, body["metadata"].get("resourceVersion"))

    async def _come(self) -> None:
        await asyncio.sleep(0.01)
        if self.is_away:
            raise KubeUnavailable("away")

    def _write(self, path: str, body: Json, version: str | None) -> Json:
        present = self.objects.get(path, {"metadata": {}})["metadata"].get("resourceVersion")
        if present != version:
            raise Conflict(path)
        self._version += 1
        self.writes.append(path)
        self.objects[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        return copy.deepcopy(self.objects[path])

    def trusted(self) -> bytes:
        """The CA bundle of the first webhook."""
        bundle = self.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]
        return base64.b64decode(bundle)


class Replica:
    """served: every certificate that it was told to serve, with the time."""

    def __init__(self, server: Server, *, lifetime: timedelta = timedelta(days=90), **more: Any) -> None:
        self.server = server
        self.served: list[tuple[float, WebhookCertificate]] = []
        self.selectors: Sequence[Selector] = DEFAULT_SELECTORS
        self.registration = WebhookRegistration(
            server,  # type: ignore[arg-type] -- the three verbs of it that are needed
            service=("vk", "hook"),
            selectors=lambda: self.selectors,
            serve=self._serve,
            lifetime=lifetime,
            clock=lambda: BEGIN + timedelta(seconds=asyncio.get_running_loop().time()),
            **more,
        )

    def _serve(self, certificate: WebhookCertificate) -> None:
        leaf = x509.load_pem_x509_certificate(certificate.certificate)
        for each in x509.load_pem_x509_certificates(self.server.trusted()):
            if each.subject == leaf.issuer and each.public_key() == _signer(certificate):
                break
        else:
            pytest.fail("it is served before anybody trusts it")
        self.served.append((asyncio.get_running_loop().time(), certificate))


def _signer(certificate: WebhookCertificate) -> object:
    return x509.load_pem_x509_certificates(certificate.authorities)[0].public_key()


async def run_for(seconds: float, *replicas: Replica) -> None:
    tasks = [asyncio.create_task(each.registration.run()) for each in replicas]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_what_is_missing_is_made_and_then_nothing_more_is_written() -> None:
    server = Server()
    replica = Replica(server)
    play(run_for(3600, replica))
    assert server.writes == [SECRET, CONFIGURATION]
    assert len(replica.served) == 1
    assert server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["service"]["name"] == "hook"


def test_replicas_serve_one_certificate() -> None:
    server = Server()
    replicas = [Replica(server) for _ in range(3)]
    play(run_for(120, *replicas))
    assert len({each.served[-1][1].certificate for each in replicas}) == 1
    assert server.writes.count(SECRET) == 1


def test_a_certificate_of_a_minute_is_renewed_in_time_and_never_served_untrusted() -> None:
    server = Server()
    replicas = [Replica(server, lifetime=timedelta(seconds=60)) for _ in range(2)]
    play(run_for(600, *replicas))
    for replica in replicas:
        assert len(replica.served) > 10
        for (_, before), (at_s, _) in zip(replica.served, replica.served[1:], strict=False):
            ends = x509.load_pem_x509_certificate(before.certificate).not_valid_after_utc
            assert BEGIN + timedelta(seconds=at_s) < ends, "it ended before the next one was served"


def test_a_new_selector_becomes_a_webhook_at_once() -> None:
    server = Server()
    replica = Replica(server)

    async def story() -> None:
        task = asyncio.create_task(replica.registration.run())
        await asyncio.sleep(10)
        replica.selectors = [*DEFAULT_SELECTORS, Selector("profile-0", pod={"tier": "batch"})]
        replica.registration.refresh_now()
        await asyncio.sleep(1)
        task.cancel()

    play(story())
    assert len(server.objects[CONFIGURATION]["webhooks"]) == len(DEFAULT_SELECTORS) + 1


@pytest.mark.parametrize("harm", ["secret gone", "secret empty", "configuration gone", "configuration empty"])
def test_what_others_break_is_made_good(harm: str) -> None:
    server = Server()
    replica = Replica(server)

    async def story() -> None:
        task = asyncio.create_task(replica.registration.run())
        await asyncio.sleep(10)
        path = SECRET if harm.startswith("secret") else CONFIGURATION
        if harm.endswith("gone"):
            del server.objects[path]
        else:
            server.objects[path] |= {"data": {}} if path == SECRET else {"webhooks": []}
        await asyncio.sleep(60)
        task.cancel()

    play(story())
    assert len(server.objects[CONFIGURATION]["webhooks"]) == len(DEFAULT_SELECTORS)
    assert server.trusted() == replica.served[-1][1].authorities


def test_an_api_server_that_is_away_is_waited_for() -> None:
    server = Server()
    replica = Replica(server)

    async def story() -> None:
        server.is_away = True
        task = asyncio.create_task(replica.registration.run())
        await asyncio.sleep(300)
        server.is_away = False
        await asyncio.sleep(120)
        task.cancel()

    play(story())
    assert len(replica.served) == 1


def test_outside_a_cluster_it_is_reached_by_its_address() -> None:
    server = Server()
    replica = Replica(server, url="https://192.0.2.1:9443")
    play(run_for(10, replica))
    assert server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["url"] == "https://192.0.2.1:9443/place"
    assert replica.served[0][1].is_good_for(["192.0.2.1"], BEGIN)
