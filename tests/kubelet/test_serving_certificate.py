"""A serving certificate signed by the cluster: what is asked, when, and what is served meanwhile, on virtual time."""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kube.apiserver import refuse, running, serving, until
from tests.kube.virtual import virtual_time
from vk_provider.kubelet import csr
from vk_provider.kubelet.certificates import KeyPair
from vk_provider.kubelet.csr import Outcome, Verdict
from vk_provider.kubelet.serving_certificate import ISSUED, NOT_ISSUED, ServingCertificate

from .world import DEADLINE_S, World, client_context, container_status, instance_of_pod, pod_named

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
REQUEST = f"{REQUESTS}/kubelet-serving-vk"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAND_IN = KeyPair(b"self-signed", b"its key")
DAY = timedelta(days=1)


def now() -> datetime:
    return START + timedelta(seconds=asyncio.get_running_loop().time())


class Signer:
    """One request as an API server keeps it, which takes only what the signer kubernetes.io/kubelet-serving takes."""

    def __init__(self, server, *, approves=False, authority=None, life=DAY):
        self.server = server
        self.stored = None
        self.approves = approves  # at once, and so signs
        self.life = life
        self.wall = now
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
        self.numbers = itertools.count(1)
        server.on("POST", REQUESTS, self.post)
        server.on("GET", REQUEST, self.get)
        server.on("DELETE", REQUEST, self.delete)
        server.on("PUT", f"{REQUEST}/approval", self.put_approval)

    @property
    def asked(self):
        """When requests were taken, in seconds."""
        return [round(seen.at) for seen in self.server.of("POST", REQUESTS) if seen.body["metadata"].get("taken")]

    def post(self, seen):
        if self.stored is not None:
            return refuse(409, reason="AlreadyExists", message="there is one")
        if fault := fault_of(seen.body):
            return refuse(422, reason="Invalid", message=fault)
        seen.body["metadata"]["taken"] = True
        number = str(next(self.numbers))
        meta = {"name": seen.body["metadata"]["name"], "uid": f"uid-{number}", "resourceVersion": number}
        self.stored = {**seen.body, "metadata": meta, "status": {}}
        answer = dict(self.stored)
        if self.approves:
            self.approve()
        return answer

    def get(self, seen):
        return self.stored or refuse(404, reason="NotFound", message="no such request")

    def delete(self, seen):
        if self.stored is None:
            return refuse(404, reason="NotFound")
        if any(self.stored["metadata"][key] != value for key, value in seen.body["preconditions"].items()):
            return refuse(409, reason="Conflict", message="it changed")
        self.stored = None
        return {}

    def put_approval(self, seen):
        if seen.body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            return refuse(409, reason="Conflict", message="it changed")
        self.approve(**seen.body["status"]["conditions"][-1])
        return self.stored

    def condition(self, type_, **more):
        conditions = [*self.stored["status"].get("conditions", ()), {"type": type_, "status": "True", **more}]
        self.changed(conditions=conditions)

    def approve(self, **condition):
        self.condition(type_=condition.pop("type", "Approved"), **condition)
        self.sign()

    def sign(self, *, key=None):
        request = x509.load_pem_x509_csr(base64.b64decode(self.stored["spec"]["request"]))
        since = self.wall() - timedelta(minutes=5)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.name)
            .public_key(key or request.public_key())
            .serial_number(next(self.numbers))
            .not_valid_before(since)
            .not_valid_after(since + self.life)
            .add_extension(names.value, critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.changed(certificate=base64.b64encode(pem).decode())

    def changed(self, **status):
        number = str(next(self.numbers))
        meta = {**self.stored["metadata"], "resourceVersion": number}
        self.stored = {**self.stored, "metadata": meta, "status": {**self.stored["status"], **status}}


def fault_of(body):
    """Why a signer would not take it; empty if it would. Written after the API's documentation of the signer."""
    spec = body["spec"]
    request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    subject = {each.oid: each.value for each in request.subject}
    if body["apiVersion"] != "certificates.k8s.io/v1" or spec["signerName"] != "kubernetes.io/kubelet-serving":
        return "another signer"
    if not request.is_signature_valid:
        return "signature"
    if subject.get(NameOID.ORGANIZATION_NAME) != "system:nodes" or len(subject) != 2:
        return "organization"
    if not str(subject.get(NameOID.COMMON_NAME)).startswith("system:node:"):
        return "common name"
    if not len(names) or not all(isinstance(each, (x509.DNSName, x509.IPAddress)) for each in names):
        return "names"
    # What 1.20 demands; since 1.27 it may also be without key encipherment.
    return "" if sorted(spec["usages"]) == ["digital signature", "key encipherment", "server auth"] else "usages"


class Story:
    """What a test sees: the certificate's keeper, what it told the node, how often it changed."""

    def __init__(self, client, *, addresses=("10.0.0.1",), jitter=lambda: 0.5, **more):
        self.addresses = list(addresses)
        self.told = []
        self.changes = []
        self.keeper = ServingCertificate(
            client,
            "vk",
            addresses=lambda: self.addresses,
            stand_in=lambda: STAND_IN,
            jitter=jitter,
            clock=more.pop("clock", now),
            **more,
        )

    def serial(self):
        """0: the stand-in."""
        current = self.keeper.current()
        return 0 if current is STAND_IN else x509.load_pem_x509_certificate(current.certificate).serial_number

    def run(self):
        return self.keeper.run(
            changed=lambda: self.changes.append(round(asyncio.get_running_loop().time())),
            tell=lambda kind, reason, message: self.told.append((kind, reason, message)),
        )


@asynccontextmanager
async def playing(*, approves=False, life=DAY, **more):
    async with serving() as (server, client):
        signer = Signer(server, approves=approves, life=life)
        story = Story(client, **more)
        async with running(story.run()):
            yield server, signer, story


# --- asking ----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_the_stand_in_serves_until_a_person_approves_and_the_key_fits():
    async with playing(addresses=["10.0.0.1", "fd00::1", "node.example"]) as (server, signer, story):
        await asyncio.sleep(300)
        assert (story.serial(), story.changes, signer.asked) == (0, [], [0])
        assert [(kind, reason) for kind, reason, _ in story.told] == [("Warning", NOT_ISSUED)]
        assert "kubectl certificate approve kubelet-serving-vk" in story.told[0][2]
        signer.approve()
        await until(lambda: story.changes, within_s=12)
        pair = story.keeper.current()
        leaf = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        assert leaf.public_key() == key.public_key()
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
        assert leaf.subject.rfc4514_string() == "CN=system:node:vk,O=system:nodes"
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["node.example"]
        assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]
        assert story.told[1:] == [
            ("Normal", ISSUED, "The cluster has signed the serving certificate of the kubelet API.")
        ]
        assert not server.of("PUT"), "it approved its own request unasked"


@virtual_time
async def test_where_somebody_approves_at_once_nothing_is_told():
    async with playing(approves=True) as (_, _, story):
        await until(lambda: story.serial())
        assert (story.changes, story.told) == ([1], [])


@virtual_time
async def test_it_approves_its_own_only_when_told_to():
    async with playing(approve_own=True) as (server, _, story):
        await until(lambda: story.serial())
        [approval] = server.of("PUT")
        [condition] = approval.body["status"]["conditions"]
        assert condition["type"] == "Approved"
        assert condition["status"] == "True"
        assert "vk" in condition["message"]
        assert not story.told


@virtual_time
async def test_without_the_right_to_approve_it_says_so_and_waits_for_a_person():
    async with playing(approve_own=True) as (server, signer, story):
        server.forget("PUT", f"{REQUEST}/approval")
        server.on("PUT", f"{REQUEST}/approval", refuse(403, reason="Forbidden", message="not allowed to approve"))
        await asyncio.sleep(30)
        assert "not allowed to approve" in story.told[0][2]
        signer.approve()
        await until(lambda: story.serial(), within_s=12)


@virtual_time
async def test_a_request_of_a_former_life_is_replaced_so_that_crashes_leave_no_pile():
    async with serving() as (server, client):
        signer = Signer(server)
        for life in range(1, 6):
            async with running(Story(client).run()):
                await until(lambda life=life: len(signer.asked) == life)
                await asyncio.sleep(5)
        story = Story(client)
        async with running(story.run()):
            await until(lambda: len(signer.asked) == 6)
            signer.approve()
            await until(lambda: story.serial())
        keys = {seen.body["spec"]["request"] for seen in server.of("POST") if seen.body["metadata"].get("taken")}
        assert len(keys) == 6


# --- answers that are none -------------------------------------------------------------------------------------------


@virtual_time
async def test_a_request_that_nobody_answers_is_made_anew_less_and_less_often():
    async with playing() as (_, signer, story):
        await asyncio.sleep(6400)
        gaps = [after - before for before, after in itertools.pairwise(signer.asked)]
        assert gaps == pytest.approx([900, 1800, 3600], abs=20)
        assert len(story.told) == 1, "the same thing is told once"
        signer.approve()
        await until(lambda: story.serial(), within_s=12)


@virtual_time
@pytest.mark.parametrize("type_", ["Denied", "Failed"])
async def test_a_refusal_is_told_with_what_to_do_and_ends_when_the_request_is_deleted(type_):
    async with playing() as (_, signer, story):
        await until(lambda: signer.stored)
        signer.condition(type_, reason="Policy", message="not this one")
        await asyncio.sleep(60)
        assert story.serial() == 0
        [(kind, reason, message)] = story.told
        assert (kind, reason) == ("Warning", NOT_ISSUED)
        assert f"{type_.lower()} (Policy: not this one)" in message
        assert "kubectl delete csr kubelet-serving-vk" in message
        await asyncio.sleep(300)
        assert len(signer.asked) == 1
        signer.stored = None  # as a person does then
        await until(lambda: len(signer.asked) == 2, within_s=65)
        signer.approve()
        await until(lambda: story.serial(), within_s=12)
        assert story.told[1][1] == ISSUED


@virtual_time
async def test_a_request_replaced_by_another_is_not_ours():
    async with playing() as (_, signer, _story):
        await until(lambda: signer.stored)
        signer.stored = {**signer.stored, "metadata": {**signer.stored["metadata"], "uid": "another"}}
        await until(lambda: len(signer.asked) == 2, within_s=20)


@virtual_time
async def test_approved_and_not_signed_names_the_controller_manager():
    async with playing() as (_, signer, story):
        await until(lambda: signer.stored)
        signer.condition("Approved")
        await asyncio.sleep(90)
        assert [("--cluster-signing-cert-file" in message) for _, _, message in story.told] == [True]
        signer.sign()
        await until(lambda: story.serial(), within_s=12)


@virtual_time
async def test_a_certificate_for_another_key_is_not_served():
    async with playing() as (_, signer, story):
        await until(lambda: signer.stored)
        signer.condition("Approved")
        signer.sign(key=ec.generate_private_key(ec.SECP256R1()).public_key())
        await until(lambda: len(signer.asked) == 2)
        assert story.serial() == 0
        assert "another key" in story.told[0][2]


@virtual_time
@pytest.mark.parametrize(("status", "told"), [(403, True), (503, False), (404, True)])
async def test_a_request_that_is_not_taken_is_tried_again_ever_more_slowly(status, told):
    async with serving() as (server, client):
        refusal = refuse(status, message="certificatesigningrequests is not for you")
        server.on("POST", REQUESTS, refusal)
        story = Story(client)
        async with running(story.run()):
            await asyncio.sleep(3600)
            tries = [seen.at for seen in server.of("POST")]
            assert 10 < len(tries) < 25
            assert max(after - before for before, after in itertools.pairwise(tries)) < 601
            assert bool(story.told) == told, "an outage is not a fault of the node"
            server.forget("POST", REQUESTS)
            signer = Signer(server, approves=True)
            await until(lambda: story.serial(), within_s=610)
            assert len(signer.asked) == 1


@virtual_time
async def test_an_outage_while_waiting_loses_nothing():
    async with playing() as (server, signer, story):
        await until(lambda: signer.stored)
        server.forget("GET", REQUEST)
        server.on("GET", REQUEST, refuse(500, message="down"))
        await asyncio.sleep(300)
        signer.approve()
        server.forget("GET", REQUEST)
        server.on("GET", REQUEST, signer.get)
        await until(lambda: story.serial(), within_s=12)
        assert (len(signer.asked), story.told) == (1, [])


def test_a_name_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="52 characters"):
        csr.body("n" * 53, ["10.0.0.1"], csr.new_key())
    assert csr.body("n" * 52, ["10.0.0.1"], csr.new_key())
    with pytest.raises(ValueError, match="no address"):
        csr.body("vk", [], csr.new_key())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        pytest.param({}, Outcome(Verdict.PENDING), id="new"),
        pytest.param({"certificate": "AAAA"}, Outcome(Verdict.PENDING), id="signed by whom, if nobody approved"),
        pytest.param({"conditions": [{"type": "Approved"}]}, Outcome(Verdict.APPROVED), id="not signed yet"),
        pytest.param(
            {"conditions": [{"type": "Approved"}], "certificate": "eA=="},
            Outcome(Verdict.ISSUED, certificate=b"x"),
            id="signed",
        ),
        pytest.param(
            {"conditions": [{"type": "Approved"}], "certificate": "?"},
            Outcome(Verdict.FAILED, "the certificate in its status is not base64"),
            id="nonsense",
        ),
        pytest.param(
            {"conditions": [{"type": "Approved"}, {"type": "Failed", "message": "no"}]},
            Outcome(Verdict.FAILED, "no"),
            id="approved and then failed",
        ),
        pytest.param({"conditions": [{"type": "Denied"}]}, Outcome(Verdict.DENIED), id="denied without a word"),
    ],
)
def test_outcomes(status, outcome):
    assert csr.outcome_of({"status": status}) == outcome


# --- renewal ---------------------------------------------------------------------------------------------------------


@virtual_time
@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.7), (0.5, 0.8), (0.999, 0.9)])
async def test_it_is_renewed_at_a_random_part_of_its_life_and_the_old_one_serves_meanwhile(jitter, share):
    async with playing(approves=True, jitter=lambda: jitter) as (_, signer, story):
        await until(lambda: story.serial())
        first = story.serial()
        signer.approves = False
        due_s = 86400 * share - 300  # it began five minutes ago
        await asyncio.sleep(due_s - 61)
        assert len(signer.asked) == 1
        await asyncio.sleep(122)
        assert len(signer.asked) == 2
        await asyncio.sleep(600)
        assert story.serial() == first
        signer.approve()
        await until(lambda: story.serial() != first, within_s=12)
        assert len(story.changes) == 2


@virtual_time
async def test_another_address_asks_for_another_certificate_within_a_minute():
    async with playing(approves=True) as (_, _, story):
        await until(lambda: story.serial())
        await asyncio.sleep(1000)
        story.addresses = ["10.0.0.2"]
        await until(lambda: len(story.changes) == 2, within_s=65)
        leaf = x509.load_pem_x509_certificate(story.keeper.current().certificate)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.2"]


@virtual_time
async def test_a_wall_clock_that_is_set_forward_renews_within_a_minute():
    ahead = timedelta()
    async with playing(approves=True, clock=lambda: now() + ahead) as (_, _, story):
        await until(lambda: story.serial())
        ahead = timedelta(hours=23)
        await until(lambda: len(story.changes) == 2, within_s=65)


@virtual_time
async def test_certificates_that_have_ended_when_they_come_are_no_storm():
    async with playing(approves=True, life=timedelta(minutes=1)) as (_, signer, _):
        await asyncio.sleep(600)
        assert 10 <= len(signer.asked) <= 20


# --- at the door -----------------------------------------------------------------------------------------------------


async def test_a_stream_outlives_the_rotation_from_self_signed_to_signed_and_on(world: World) -> None:
    """On real time: a keeper's pairs under a server with a stream that stands."""
    pairs = [world.server_ca.issue(name, server=True) for name in ("first", "second")]
    current = world.server_ca.issue("stand-in", server=True)
    world.key_pair = lambda: current
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    world.cloud.ends = False
    async with (
        world.serving(),
        world.api_server() as api_server,
        running(world.tls.run(interval_s=3600)),
        api_server.get("/containerLogs/web/api-0/app?follow=true") as response,
    ):
        for number, current in enumerate(pairs):
            world.tls.reload_now()
            await shown(world, current)
            world.cloud.streams[0].put(b"line %d\n" % number)
            assert await response.content.readany() == b"line %d\n" % number


async def shown(world: World, pair: KeyPair) -> None:
    """Wait until new connections are shown this certificate."""
    wanted = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    context = client_context(world.folder, world.server_ca.pem)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            await writer.wait_closed()
            if found == wanted:
                return
