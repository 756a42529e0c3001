"""Whose client certificate is believed, and that TLS through pyOpenSSL is the TLS that asyncio and clients expect."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography import x509
from OpenSSL import SSL

from vk_provider.kubelet.certificates import KeyPair, self_signed
from vk_provider.kubelet.tls_context import ServerConnection, server_context

from .world import Authority, World, client_context, container_status, instance_of_pod, pod_named

PATHS = ("/healthz", "/pods", "/containerLogs/web/api-0/app", "/exec/web/api-0/app?command=id", "/nowhere")


NOISE = b"\x00\x00"  # no version of TLS: what might be a record would be waited for, for a minute


def kinds(world: World) -> dict[str, KeyPair]:
    """Certificates that are not to be believed."""
    stranger, namesake = Authority("stranger"), Authority("client-ca")
    return {
        "of an unknown issuer": stranger.issue("alice"),
        "of another issuer of the same name": namesake.issue("alice"),
        "ended": world.client_ca.issue("alice", valid_for=timedelta(seconds=-60)),
        "for a server": world.client_ca.issue("alice", server=True),
        "self-signed": self_signed("alice", [])(),
        "of an issuer that is none": KeyPair(*_issued_by_a_leaf(world)),
    }


def _issued_by_a_leaf(world: World) -> tuple[bytes, bytes]:
    """A chain that ends at the right CA, by way of a certificate that may issue nothing."""
    leaf = world.client_ca.issue("bob")
    forged = Authority("bob", key=leaf.key).issue("alice")
    return forged.certificate + leaf.certificate, forged.key


async def test_a_certificate_that_is_not_believed_is_answered_by_401(world: World) -> None:
    world.review.allowed = {("alice", verb, "proxy") for verb in ("get", "create")}
    world.review.tokens = {"good": {"username": "bob"}}
    world.review.allowed |= {("bob", "get", "healthz")}
    async with world.serving():
        for kind, pair in kinds(world).items():
            async with world.client(pair) as session:
                for path in PATHS:
                    async with session.get(path) as response:
                        assert (response.status, await response.text()) == (401, "Unauthorized"), (kind, path)
            async with world.client(pair, token="good") as session, session.get("/healthz") as response:
                assert response.status == 200, f"{kind}: the token should have counted"
        async with world.client(world.client_ca.issue("alice")) as session, session.get("/healthz") as response:
            assert response.status == 200


def test_a_key_of_another_certificate_is_told() -> None:
    authority = Authority()
    with pytest.raises(ValueError, match="cannot be used together"):
        server_context(authority.issue("a").certificate, authority.issue("b").key, [])


class Pair:
    """A server's side, and a client's that has shaken hands with it. piece: bytes that the server is handed at once."""

    def __init__(
        self,
        context: ssl.SSLContext,
        settings: SSL.Context,
        *,
        session: ssl.SSLSession | None = None,
        piece: int = 2**16,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._to_client, self._from_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._piece = piece
        self.server = ServerConnection(settings, self._incoming, self._outgoing)
        self.client = context.wrap_bio(self._to_client, self._from_client, server_hostname="127.0.0.1", session=session)
        self.until(lambda: self.client.do_handshake() is None, self.server.do_handshake)

    def until(self, client: Callable[[], bool], server: Callable[[], object]) -> None:
        """Let both go on until the client and then the server have done theirs."""
        finished = [False, False]
        while not all(finished):
            for number, side in enumerate((client, server)):
                with suppress(ssl.SSLWantReadError):
                    side()
                    finished[number] = True
            self._to_client.write(self._outgoing.read())
            self._incoming.write(self._from_client.read(self._piece))


def settings_of(world: World) -> SSL.Context:
    own = world.server_ca.issue("node", server=True)
    return server_context(own.certificate, own.key, x509.load_pem_x509_certificates(world.client_ca.pem.encode()))


def joined(world: World, pair: KeyPair | None = None, *, piece: int = 2**16) -> Pair:
    return Pair(client_context(world.folder, world.server_ca.pem, pair), settings_of(world), piece=piece)


@pytest.mark.parametrize("piece", [1, 7, 2**16])
def test_a_verified_certificate_looks_as_ssl_shows_it(world: World, piece: int) -> None:
    pair = world.client_ca.issue("alice", ["one", "two"])
    ends = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
    assert joined(world, pair, piece=piece).server.getpeercert() == {
        "subject": ((("organizationName", "one"),), (("organizationName", "two"),), (("commonName", "alice"),)),
        "notAfter": ends.strftime("%b %d %H:%M:%S %Y GMT"),
    }


def test_no_certificate_is_no_evidence(world: World) -> None:
    assert joined(world).server.getpeercert() is None
    assert joined(world, Authority("stranger").issue("alice")).server.getpeercert() is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed_so_that_nothing_is_believed_unseen(world: World, version: ssl.TLSVersion) -> None:
    settings = settings_of(world)
    context = client_context(world.folder, world.server_ca.pem, Authority("stranger").issue("alice"))
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(3):
        pair = Pair(context, settings, session=session)
        assert not pair.client.session_reused
        assert pair.server.getpeercert() is None
        session = pair.client.session


def test_http_1_1_is_chosen_and_anything_else_is_left_open(world: World) -> None:
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        context = client_context(world.folder, world.server_ca.pem)
        context.set_alpn_protocols(offered)
        assert Pair(context, settings_of(world)).client.selected_alpn_protocol() == chosen


def test_noise_is_an_ssl_error_and_silence_a_wish_to_read(world: World) -> None:
    own = world.server_ca.issue("node", server=True)
    settings = server_context(own.certificate, own.key, [])
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\x00\x05hello", b"\x80" * 100):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = ServerConnection(settings, incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            server.do_handshake()
        incoming.write(noise)
        with pytest.raises(ssl.SSLError) as caught:
            server.do_handshake()
        assert not isinstance(caught.value, ssl.SSLWantReadError)


async def test_megabytes_go_both_ways_and_the_end_is_seen(world: World) -> None:
    """Through asyncio's streams, since it is asyncio that calls these methods."""
    sent = os.urandom(8 * 2**20)
    async with world.serving():
        tls = world.tls

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while chunk := await reader.read(2**16):
                writer.write(chunk)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            context = client_context(world.folder, world.server_ca.pem)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
            writer.close()
            await writer.wait_closed()


async def test_a_log_stream_outlives_strangers_and_noise(world: World) -> None:
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    world.cloud.ends = False
    strange = client_context(world.folder, world.server_ca.pem, Authority("stranger").issue("alice"))
    async with (
        world.serving(),
        world.api_server() as api_server,
        api_server.get("/containerLogs/web/api-0/app?follow=true") as response,
    ):
        for _ in range(50):
            assert await first_bytes(world, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", strange) == b"HTTP/1.1 401"
            assert not (await first_bytes(world, NOISE + os.urandom(600), None)).startswith(b"HTTP")
        world.cloud.streams[0].put(b"still here\n")
        assert await response.content.readany() == b"still here\n"


async def first_bytes(world: World, sent: bytes, context: ssl.SSLContext | None) -> bytes:
    """Of the answer; empty when the connection was just ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
    writer.write(sent)
    answer = await reader.read(12)
    writer.close()
    return answer
