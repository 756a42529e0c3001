"""The webhook's answers to API servers and to others, over TLS."""

import asyncio
import base64
import io
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.admission.placements import CASES, Case
from vk_provider import bounds
from vk_provider.admission import webhook
from vk_provider.admission.placement import Target, patch
from vk_provider.admission.webhook_certificate import WebhookCertificate, issue
from vk_provider.admission.webhook_server import WebhookServer
from vk_provider.errors import ConfigError

Json = dict[str, Any]
TARGET = Target()


def review(pod: object, *, namespace: str = "default", **request: Any) -> Json:
    resource = {"group": "", "version": "v1", "resource": "pods"}
    known = {"uid": "u-1", "operation": "CREATE", "resource": resource, "namespace": namespace, "object": pod}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**known, **request}}


def operations(answer: Json) -> list[Json]:
    """Those of the answer's patch."""
    response = answer["response"]
    assert (response["uid"], response["allowed"]) == ("u-1", True)
    if "patch" not in response:
        return []
    assert response["patchType"] == "JSONPatch"
    found: list[Json] = json.loads(base64.b64decode(response["patch"]))
    return found


@pytest.mark.parametrize("case", [each for each in CASES if each.is_placed], ids=lambda case: case.name)
def test_a_pod_that_was_chosen_is_patched(case: Case) -> None:
    assert operations(webhook.answer(review(case.pod()), TARGET)) == patch(case.pod(), TARGET)


@pytest.mark.parametrize(
    "request_of",
    [
        {"operation": "UPDATE"},  # a webhook that changes updates is known to stop Jobs from ending
        {"operation": "DELETE", "object": None},
        {"subResource": "status"},
        {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}},
        {"namespace": "kube-system"},
        {"object": None},
    ],
    ids=str,
)
def test_everything_else_is_allowed_as_it_is(request_of: Json) -> None:
    assert operations(webhook.answer(review(CASES[0].pod(), **request_of), TARGET)) == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"request": []},
        {**review({}), "apiVersion": "admission.k8s.io/v1beta1"},
        {**review({}), "kind": "Pod"},
        {**review({}), "request": {"uid": 7}},
    ],
    ids=str,
)
def test_what_is_no_review_is_refused(body: object) -> None:
    with pytest.raises(webhook.BadReview):
        webhook.answer(body, TARGET)


# --- the server ---


@pytest.fixture
async def server() -> AsyncIterator[tuple[WebhookServer, WebhookCertificate]]:
    made = WebhookServer("127.0.0.1:0", TARGET)
    await made.start()
    certificate = issue(["127.0.0.1"], datetime.now(UTC))
    made.serve_with(certificate)
    yield made, certificate
    await made.stop()


def trusting(certificate: WebhookCertificate) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=certificate.authorities.decode())
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


async def test_it_answers_over_tls(server: tuple[WebhookServer, WebhookCertificate]) -> None:
    webhook_server, certificate = server
    url = f"https://127.0.0.1:{webhook_server.port}"
    async with trusting(certificate) as session:
        async with session.post(f"{url}/place", json=review(CASES[0].pod())) as answer:
            assert operations(await answer.json()) == patch(CASES[0].pod(), TARGET)
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        async with session.get(f"{url}/place") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no JSON", 400),
        (b"{}", 400),
        (b"[" * 100_000, 400),
        (b" " * (bounds.MOST_REVIEW + 1), 413),
    ],
    ids=["no-json", "empty", "deep", "long"],
)
async def test_strangers_get_a_refusal(
    server: tuple[WebhookServer, WebhookCertificate], body: bytes, status: int
) -> None:
    webhook_server, certificate = server
    url = f"https://127.0.0.1:{webhook_server.port}/place"
    async with trusting(certificate) as session, session.post(url, data=io.BytesIO(body)) as answer:
        assert answer.status == status


async def test_a_renewed_certificate_is_served_to_new_connections_and_the_standing_ones_go_on(
    server: tuple[WebhookServer, WebhookCertificate],
) -> None:
    webhook_server, before = server
    url = f"https://127.0.0.1:{webhook_server.port}/healthz"
    after = issue(["127.0.0.1"], datetime.now(UTC))
    async with trusting(before) as standing, trusting(after) as newer, trusting(before) as late:
        async with standing.get(url):
            pass
        webhook_server.serve_with(after)
        async with standing.get(url) as answer:
            assert answer.status == 200
        async with newer.get(url) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await late.get(url)


async def test_an_address_that_is_taken_is_a_fault_of_the_settings(
    server: tuple[WebhookServer, WebhookCertificate],
) -> None:
    with pytest.raises(ConfigError, match="--webhook-address"):
        await WebhookServer(f"127.0.0.1:{server[0].port}", TARGET).start()


async def test_without_a_certificate_nobody_is_served() -> None:
    made = WebhookServer("127.0.0.1:0", TARGET)
    await made.start()
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(5):
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://127.0.0.1:{made.port}/healthz", ssl=False)
    finally:
        await made.stop()
