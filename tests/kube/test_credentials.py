"""Being let in: kubeconfig faults by name, tokens that change, plugins, and TLS with the CAs that clusters have."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vk_provider.errors import ConfigError, KubeUnavailable
from vk_provider.kube.client import KubeClient
from vk_provider.kube.credentials import InClusterCredentials, KubeconfigCredentials, shown
from vk_provider.kube.kubeconfig import read_target


def config(user=None, cluster=None, **more):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }


def written(directory: Path, content, name="config") -> str:
    file = directory / name
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("a: [", "is not YAML", id="no YAML"),
        pytest.param("just text", "no mapping at the top", id="no mapping"),
        pytest.param(config(**{"current-context": ""}), "current-context is not set", id="no context"),
        pytest.param(
            config(**{"current-context": "x"}), "contexts has no entry named 'x' (there are: here)", id="context"
        ),
        pytest.param(config(clusters=[]), "clusters has no entry named 'c'", id="no cluster"),
        pytest.param(config(users=[]), "users has no entry named 'u'", id="no user"),
        pytest.param(config(users=[{"user": {}}]), "users has an entry without a name", id="nameless"),
        pytest.param(config(cluster={"server": ""}), "clusters[c].cluster.server must be a URL", id="no server"),
        pytest.param(
            config(cluster={"server": "https://a:b@h"}), "server holds credentials", id="a password in the URL"
        ),
        pytest.param(
            config({"client-key-data": "eA=="}), "users[u].user.client-certificate is missing", id="half a pair"
        ),
        pytest.param(
            config(cluster={"certificate-authority-data": "§"}), "certificate-authority-data is not base64", id="CA"
        ),
        pytest.param(config(cluster={"certificate-authority": "no.crt"}), "no.crt cannot be read", id="no CA file"),
        pytest.param(config({"tokenFile": "no.token"}), "users[u].user.tokenFile", id="no token file"),
        pytest.param(config({"auth-provider": {"name": "azure"}}), "'azure' is not supported", id="provider"),
        pytest.param(
            config(cluster={"certificate-authority-data": "eA=="}),
            "certificate-authority, client-",
            id="a CA that is none",
        ),
        pytest.param(
            config({"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "no-such-plugin"}}),
            "cannot be authenticated",
            id="no plugin",
        ),
    ],
)
async def test_faults_name_file_and_field(tmp_path, content, told):
    file = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        await KubeClient.connect(kubeconfig=file, user_agent="x")
    assert told in str(caught.value)
    assert file in str(caught.value)


async def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such file"):
        await KubeClient.connect(kubeconfig=str(tmp_path / "nowhere"), user_agent="x")


async def test_an_unreachable_server_is_no_error_yet(tmp_path):
    client = await KubeClient.connect(kubeconfig=written(tmp_path, config({"token": "t"})), user_agent="x")
    assert client.server == "https://10.0.0.1:6443"
    await client.close()


async def headers(credentials):
    return dict((await credentials.access()).headers)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"token": "abc"}, {"Authorization": "Bearer abc"}),
        ({"username": "u", "password": "p"}, {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}),
        ({}, {}),
        ({"token": "t", "as": "joe"}, {"Authorization": "Bearer t", "Impersonate-User": "joe"}),
    ],
)
async def test_users(tmp_path, user, expected):
    credentials = KubeconfigCredentials(written(tmp_path, config(user)), None, {})
    await credentials.start()
    assert await headers(credentials) == expected


async def test_a_token_file_beside_the_kubeconfig_is_read_again_when_refused(tmp_path):
    (tmp_path / "token").write_text("first\n")
    credentials = KubeconfigCredentials(written(tmp_path, config({"tokenFile": "token"})), None, {})
    await credentials.start()
    refused = await credentials.access()
    assert dict(refused.headers) == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert await credentials.access() is refused, "fresh enough"
    assert dict((await credentials.renew(refused)).headers) == {"Authorization": "Bearer second"}
    renewed = await credentials.access()
    assert await credentials.renew(refused) is renewed, "somebody else renewed it already"
    assert await credentials.renew(renewed) is renewed, "not at once again"


async def test_a_plugin_is_asked_again_only_when_refused(tmp_path):
    calls = tmp_path / "calls"
    calls.write_text("")
    answer = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}
    program = f"""
import json, pathlib
calls = pathlib.Path({str(calls)!r})
count = len(calls.read_text())
calls.write_text("x" * (count + 1))
print(json.dumps({{**{answer!r}, "status": {{"token": f"token-{{count}}"}}}}))
"""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": sys.executable,
        "args": ["-c", program],
    }
    credentials = KubeconfigCredentials(written(tmp_path, config({"exec": plugin})), None, {})
    await credentials.start()
    first = await credentials.access()
    assert dict(first.headers) == {"Authorization": "Bearer token-0"}
    assert dict((await credentials.renew(first)).headers) == {"Authorization": "Bearer token-1"}
    calls.unlink()
    credentials._renewed_at = float("-inf")
    with pytest.raises(KubeUnavailable, match="cannot be renewed"):
        await credentials.renew(await credentials.access())


def test_the_first_of_several_files_wins_and_paths_are_relative_to_their_own(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.crt").write_text(name)
    one = config(cluster={"certificate-authority": "ca.crt"}, users=[])
    two = config({"token": "t"}, cluster={"server": "https://other"}, **{"current-context": "there"})
    paths = ":".join([written(tmp_path / "one", one), str(tmp_path / "absent"), written(tmp_path / "two", two)])
    target = read_target(paths)
    assert (target.server, target.tls.ca, target.user) == ("https://10.0.0.1:6443", b"one", {"token": "t"})


async def test_outside_a_pod_that_is_what_is_told():
    with pytest.raises(ConfigError, match="this is no pod"):
        await InClusterCredentials({}).start()


async def test_a_pod_without_its_token_is_told_so(tmp_path):
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        await InClusterCredentials(environ, tmp_path).start()


def certificate(name, *, issuer=None, alternative=None):
    """A certificate as careless CAs make them: no key identifiers; basicConstraints not critical."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=False)
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(pair):
    made, key = pair
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def encoded(data):
    return base64.b64encode(data).decode()


def verifying_clients(ca):
    """A server's context that takes a careless CA too, as Go's servers do; Python's own refuse it since 3.13."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def serve_tls(tmp_path, authority, alternative):
    """A server that tells who its client is, by certificate and by token."""
    for name, data in zip(
        ("s.crt", "s.key"), pem(certificate("server", issuer=authority, alternative=alternative)), strict=True
    ):
        (tmp_path / name).write_bytes(data)
    context = verifying_clients(pem(authority)[0].decode())
    context.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    context.verify_mode = ssl.CERT_OPTIONAL

    async def who(request):
        peer = request.transport.get_extra_info("peercert")
        name = peer["subject"][0][0][1] if peer else None
        return web.Response(text=json.dumps({"name": name, "token": request.headers.get("Authorization")}))

    app = web.Application()
    app.router.add_get("/version", who)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, runner.addresses[0][1]


LOOPBACK = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


async def test_a_client_certificate_and_a_careless_authority(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    authority = certificate("kubernetes")
    runner, port = await serve_tls(tmp_path, authority, LOOPBACK)
    chain, key = pem(certificate("admin", issuer=authority))
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": encoded(pem(authority)[0])}
    user = {"client-certificate-data": encoded(chain), "client-key-data": encoded(key)}
    client = await KubeClient.connect(kubeconfig=written(tmp_path, config(user, cluster)), user_agent="x")
    assert list(scratch.iterdir()) == [], "no key stays in a file"
    assert await client.get("/version") == {"name": "admin", "token": None}
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("cluster", "works"),
    [
        pytest.param({}, False, id="the name does not match"),
        pytest.param({"tls-server-name": "kube.internal"}, True, id="another name is asked for"),
        pytest.param({"insecure-skip-tls-verify": True, "certificate-authority-data": ""}, True, id="unverified"),
        pytest.param({"certificate-authority-data": "other"}, False, id="an authority that did not sign it"),
    ],
)
async def test_verification(tmp_path, cluster, works):
    authority = certificate("kubernetes")
    runner, port = await serve_tls(tmp_path, authority, [x509.DNSName("kube.internal")])
    known = {"certificate-authority-data": encoded(pem(authority)[0]), **cluster}
    if known["certificate-authority-data"] == "other":
        known["certificate-authority-data"] = encoded(pem(certificate("other"))[0])
    content = config({"token": "t"}, {"server": f"https://127.0.0.1:{port}", **known})
    client = await KubeClient.connect(kubeconfig=written(tmp_path, content), user_agent="x")
    try:
        if works:
            assert await client.get("/version") == {"name": None, "token": "Bearer t"}
        else:
            with pytest.raises(KubeUnavailable, match="certificate"):
                await client.get("/version")
    finally:
        await client.close()
        await runner.cleanup()


async def test_in_a_pod_the_service_account_is_used(tmp_path):
    authority = certificate("kubernetes")
    runner, port = await serve_tls(tmp_path, authority, LOOPBACK)
    (tmp_path / "ca.crt").write_bytes(pem(authority)[0])
    (tmp_path / "token").write_text("first\n")
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    credentials = InClusterCredentials(environ, tmp_path)
    await credentials.start()
    client = KubeClient(credentials, await credentials.access(), user_agent="x")
    assert await client.get("/version") == {"name": None, "token": "Bearer first"}
    (tmp_path / "token").write_text("second")
    refused = await credentials.access()
    renewed = await credentials.renew(refused)
    assert dict(renewed.headers) == {"Authorization": "Bearer second"}
    assert renewed.tls is refused.tls, "open connections stay in use"
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("server", "expected"),
    [("https://a:b@h:1/x", "https://h:1/x"), ("https://[::1]:6443", "https://[::1]:6443"), ("http://h", "http://h")],
)
def test_a_shown_server_holds_no_credentials(server, expected):
    assert shown(server) == expected


async def test_nothing_secret_is_in_a_representation(tmp_path):
    credentials = KubeconfigCredentials(written(tmp_path, config({"token": "hush"})), None, {})
    await credentials.start()
    assert "hush" not in repr(await credentials.access())
    assert "hush" not in repr(read_target(written(tmp_path, config({"token": "hush"}))))


# --- certificates that are replaced while we run


class Moving:
    """An API server that goes over to another CA at the same port, with everybody who trusted the old one."""

    def __init__(self, tmp_path, *, wants_client=False):
        self.directory, self.wants_client = tmp_path, wants_client
        self.port = 0
        self.runner = None
        self.requests = []

    async def start(self, authority, *, clients=None):
        made = pem(certificate("server", issuer=authority, alternative=LOOPBACK))
        for name, data in zip(("s.crt", "s.key"), made, strict=True):
            (self.directory / name).write_bytes(data)
        context = verifying_clients(pem(clients or authority)[0].decode())
        context.load_cert_chain(self.directory / "s.crt", self.directory / "s.key")
        context.verify_mode = ssl.CERT_REQUIRED if self.wants_client else ssl.CERT_NONE

        async def answer(request):
            self.requests.append(request.method)
            return web.Response(text='{"kind": "Status", "status": "Success"}\n')

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=context, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]

    async def move(self, authority, **more):
        await self.runner.cleanup()
        await self.start(authority, **more)


@pytest.mark.parametrize("with_client_certificate", [False, True], ids=["the CA", "the CA and our certificate"])
@pytest.mark.parametrize("call", ["get", "post", "patch", "delete"])
async def test_a_ca_file_that_is_replaced_is_followed_and_no_request_fails(tmp_path, call, with_client_certificate):
    server = Moving(tmp_path, wants_client=with_client_certificate)
    old, new = certificate("old"), certificate("new")

    def write(authority):
        (tmp_path / "ca.crt").write_bytes(pem(authority)[0])
        chain, key = pem(certificate("admin", issuer=authority))
        (tmp_path / "me.crt").write_bytes(chain)
        (tmp_path / "me.key").write_bytes(key)

    write(old)
    await server.start(old)
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": "ca.crt"}
    user = {"client-certificate": "me.crt", "client-key": "me.key"} if with_client_certificate else {"token": "t"}
    client = await KubeClient.connect(kubeconfig=written(tmp_path, config(user, cluster)), user_agent="x")
    try:
        await client.get("/version")
        write(new)
        await server.move(new)
        body = {} if call in ("post", "patch") else None
        await (getattr(client, call)("/x") if body is None else getattr(client, call)("/x", body))
        assert server.requests == ["GET", call.upper()]
        async with client.stream("/watch", timeout_s=10) as lines:
            assert len([line async for line in lines]) == 1
    finally:
        await client.close()
        await server.runner.cleanup()


async def test_a_client_certificate_that_the_server_takes_no_more_is_read_again(tmp_path):
    """In TLS 1.3 the refusal comes after the handshake, and may look like a connection that broke: what was asked may
    have been done then, so it fails once, and the files are read within the minute."""
    server = Moving(tmp_path, wants_client=True)
    authority, new = certificate("servers"), certificate("new clients")

    def write(issuer):
        chain, key = pem(certificate("admin", issuer=issuer))
        (tmp_path / "me.crt").write_bytes(chain)
        (tmp_path / "me.key").write_bytes(key)

    (tmp_path / "ca.crt").write_bytes(pem(authority)[0])
    write(authority)
    await server.start(authority)
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": "ca.crt"}
    user = {"client-certificate": "me.crt", "client-key": "me.key"}
    credentials = KubeconfigCredentials(written(tmp_path, config(user, cluster)), None)
    await credentials.start()
    client = KubeClient(credentials, await credentials.access(), user_agent="x")
    try:
        await client.get("/version")
        await server.move(authority, clients=new)
        write(new)
        with suppress(KubeUnavailable):
            await client.get("/version")
        server.requests[1:] = []
        credentials._look_again_at = 0.0  # a minute later
        await client.post("/x", {})
        assert server.requests == ["GET", "POST"]
    finally:
        await client.close()
        await server.runner.cleanup()


async def test_a_ca_file_that_is_replaced_after_the_server_has_moved_is_followed_too(tmp_path):
    server = Moving(tmp_path)
    old, new = certificate("old"), certificate("new")
    (tmp_path / "ca.crt").write_bytes(pem(old)[0])
    await server.start(old)
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": "ca.crt"}
    credentials = KubeconfigCredentials(written(tmp_path, config({"token": "t"}, cluster)), None)
    await credentials.start()
    client = KubeClient(credentials, await credentials.access(), user_agent="x")
    try:
        await client.get("/version")
        await server.move(new)
        for _ in range(2):
            with pytest.raises(KubeUnavailable, match=r"certificate of 127.0.0.1:[0-9]+ is not trusted: .*certificate"):
                await client.get("/version")
        (tmp_path / "ca.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf of i")
        credentials._renewed_at = float("-inf")  # ten seconds later
        with pytest.raises(KubeUnavailable):
            await client.get("/version")
        (tmp_path / "ca.crt").write_bytes(pem(new)[0])
        credentials._renewed_at = float("-inf")
        await client.get("/version")
    finally:
        await client.close()
        await server.runner.cleanup()


async def test_certificate_files_are_looked_at_again_every_minute(tmp_path):
    """Before the old CA's last certificate ends, most replace the file: nothing need fail first."""
    (tmp_path / "ca.crt").write_bytes(pem(certificate("old"))[0])
    credentials = KubeconfigCredentials(written(tmp_path, config({}, {"certificate-authority": "ca.crt"})), None)
    await credentials.start()
    first = await credentials.access()
    credentials._look_again_at = 0.0
    assert (await credentials.access()).tls is first.tls, "the same certificate keeps the open connections"
    (tmp_path / "ca.crt").write_bytes(pem(certificate("new"))[0])
    assert (await credentials.access()).tls is first.tls
    credentials._look_again_at = 0.0
    assert (await credentials.access()).tls is not first.tls


async def test_in_a_pod_the_ca_is_followed(tmp_path):
    server = Moving(tmp_path)
    old, new = certificate("old"), certificate("new")
    (tmp_path / "ca.crt").write_bytes(pem(old)[0])
    (tmp_path / "token").write_text("t")
    await server.start(old)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    credentials = InClusterCredentials(environ, tmp_path)
    await credentials.start()
    client = KubeClient(credentials, await credentials.access(), user_agent="x")
    try:
        await client.get("/version")
        (tmp_path / "ca.crt").write_bytes(pem(new)[0])
        await server.move(new)
        await client.get("/version")
    finally:
        await client.close()
        await server.runner.cleanup()


@pytest.mark.parametrize(
    ("server", "words"),
    [
        pytest.param("https://127.0.0.1:1", "cannot connect to 127.0.0.1:1: Connection refused", id="refused"),
        pytest.param("https://no-such-host.invalid:6443", "no-such-host.invalid:6443: ", id="no such host"),
    ],
)
async def test_no_answer_is_told_in_plain_words(tmp_path, server, words):
    client = await KubeClient.connect(
        kubeconfig=written(tmp_path, config({"token": "t"}, {"server": server})), user_agent="x"
    )
    try:
        with pytest.raises(KubeUnavailable) as caught:
            await client.get("/version")
        assert words in str(caught.value)
        assert "object at 0x" not in str(caught.value)
    finally:
        await client.close()
