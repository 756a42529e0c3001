"""Certificates may change while the API serves: new connections get the new ones, streams that stand are left alone."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from vk_provider.errors import ConfigError, KubeUnavailable
from vk_provider.kubelet.certificates import (
    KeyPair,
    ServingTls,
    client_ca_file,
    key_pair_files,
    self_signed,
)

from .world import Authority, World, client_context, container_status, instance_of_pod, pod_named


def lay(folder: Path, pair: KeyPair) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    return certificate, key


async def shown_by(world: World) -> bytes:
    """The certificate that a new connection is shown, as DER."""
    context = client_context(world.folder, world.server_ca.pem)
    _, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
    try:
        return bytes(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.close()
        await writer.wait_closed()


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


async def test_changed_files_are_taken_over_and_a_standing_stream_goes_on(world: World, tmp_path: Path) -> None:
    old, new = (world.server_ca.issue(name, server=True) for name in ("old", "new"))
    world.key_pair = key_pair_files(*lay(tmp_path, old))
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    world.cloud.ends = False
    async with world.serving(), world.api_server() as api_server:
        async with api_server.get("/containerLogs/web/api-0/app?follow=true") as response:
            assert await shown_by(world) == der(old)
            lay(tmp_path, new)
            assert await world.tls.refresh()
            assert await shown_by(world) == der(new)
            world.cloud.streams[0].put(b"still here\n")
            assert await response.content.readany() == b"still here\n"
        assert not await world.tls.refresh()


@pytest.mark.parametrize("broken", ["certificate", "key", "missing"])
async def test_files_that_do_not_fit_leave_the_old_in_place(
    world: World, tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (world.server_ca.issue(name, server=True) for name in ("old", "new"))
    world.key_pair = key_pair_files(*lay(tmp_path, old))
    async with world.serving():
        match broken:
            case "certificate":  # as between the two writes of a rotation
                lay(tmp_path, KeyPair(new.certificate, old.key))
            case "key":
                lay(tmp_path, KeyPair(old.certificate, b"no key"))
            case _:
                (tmp_path / "tls.key").unlink()
        assert not await world.tls.refresh()
        assert "keeping the certificates" in caplog.text
        assert await shown_by(world) == der(old)
        lay(tmp_path, new)
        assert await world.tls.refresh()
        assert await shown_by(world) == der(new)


async def test_nothing_to_begin_with_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"certificate or client CA cannot be used.*tls\.crt"):
        await ServingTls(key_pair_files(tmp_path / "tls.crt", tmp_path / "tls.key")).refresh()


async def test_a_client_ca_may_come_late_change_and_go(world: World) -> None:
    first, second = Authority("first"), Authority("second")
    current = ""

    async def read() -> str:
        return current

    world.read_client_ca = read
    world.review.allowed = {("alice", "get", "healthz")}

    async def status(pair: KeyPair) -> int:
        async with world.client(pair) as session, session.get("/healthz") as response:
            return response.status

    of_first, of_second = first.issue("alice"), second.issue("alice")
    async with world.serving():
        assert await status(of_first) == 401  # not even asked for a certificate
        current = first.pem
        assert await world.tls.refresh()
        assert await status(of_first) == 200
        current = first.pem + second.pem
        await world.tls.refresh()
        assert (await status(of_first), await status(of_second)) == (200, 200)
        current = second.pem
        await world.tls.refresh()
        assert await status(of_second) == 200
        assert await status(of_first) == 401
        current = ""
        await world.tls.refresh()
        assert await status(of_second) == 401


async def test_a_standing_connection_is_no_longer_believed_when_its_ca_is_gone(world: World) -> None:
    first, second = Authority("first"), Authority("second")
    current = first.pem

    async def read() -> str:
        return current

    world.read_client_ca = read
    world.review.allowed = {("alice", "get", "healthz")}
    async with world.serving(), world.client(first.issue("alice")) as session:
        statuses = []
        for current in (first.pem, first.pem + second.pem, second.pem):  # noqa: B007 -- read by the server
            await world.tls.refresh()
            async with session.get("/healthz") as response:
                statuses.append(response.status)
                await response.read()
        assert statuses == [200, 200, 401]


async def test_a_client_ca_that_cannot_be_read_leaves_the_old_in_place(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[str | Exception] = [world.client_ca.pem]

    async def read() -> str:
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    world.read_client_ca = read
    world.review.allowed = {("alice", "get", "healthz")}
    async with world.serving(), world.client(world.client_ca.issue("alice")) as alice:
        for trouble in (KubeUnavailable("no answer"), OSError("gone"), "-----BEGIN CERTIFICATE-----\nnonsense"):
            answers.append(trouble)
            assert not await world.tls.refresh()
            assert (await alice.get("/healthz")).status == 200
    assert "no answer" in caplog.text


async def test_client_ca_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(Authority().pem)
    assert await client_ca_file(file)() == file.read_text()
    with pytest.raises(FileNotFoundError):
        await client_ca_file(tmp_path / "none")()


async def test_self_signed_names_the_node_and_its_addresses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    source = self_signed("virtual-kubelet", ["127.0.0.1", "::1"])
    assert "self-signed" in caplog.text
    world.key_pair = source
    async with world.serving():
        context = client_context(world.folder, source().certificate.decode())  # trusted, so that names are checked
        connector = aiohttp.TCPConnector(ssl=context)
        url = f"https://127.0.0.1:{world.port}/healthz"
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
            assert response.status == 401
    names = x509.load_pem_x509_certificate(source().certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["virtual-kubelet"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_self_signed_is_made_anew_before_it_ends() -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    source = self_signed("n" * 100, [], now=lambda: now)  # a name longer than a CN may be
    first = source()
    now += timedelta(days=290)
    assert source() == first
    now += timedelta(days=5)
    assert source() != first


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(KeyPair(b"certificate", b"secret"))


@pytest.mark.parametrize(("version", "accepted"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)])
async def test_tls_1_2_is_the_oldest(world: World, version: ssl.TLSVersion, accepted: bool) -> None:
    context = client_context(world.folder, world.server_ca.pem)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this client itself would refuse to speak so old a version
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    async with world.serving():
        connector = aiohttp.TCPConnector(ssl=context, family=socket.AF_INET)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with session.get(f"https://127.0.0.1:{world.port}/healthz") as response:
                    seen = response.status == 401
            except aiohttp.ClientConnectorError:
                seen = False
    assert seen is accepted
