"""The kubelet API over real TLS: who gets in, what each path answers, what an error looks like."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from datetime import timedelta

import aiohttp
import pytest

from vk_provider.errors import ConfigError, KubeUnavailable
from vk_provider.kubelet import about
from vk_provider.kubelet.auth import Anybody
from vk_provider.kubelet.certificates import ServingTls
from vk_provider.kubelet.server import KubeletServer
from vk_provider.metrics import Registry

from .world import RUNNING, TERMINATED, Authority, SmallCloud, World, client_context, instance_of_pod, pod_named

EVERY_PATH = [
    "/healthz",
    "/pods",
    "/runningpods/",
    "/containerLogs/web/api-0/app",
    "/metrics",
    "/exec/web/api-0/app",
    "/portForward/web/api-0",
    "/stats/summary",
    "/no/such/path",
]


async def answer(session: aiohttp.ClientSession, path: str, method: str = "GET") -> tuple[int, str]:
    async with session.request(method, path) as response:
        return response.status, await response.text()


# --- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY_PATH)
async def test_a_stranger_gets_401_at_every_path(world: World, path: str) -> None:
    async with world.serving(), world.client() as stranger, world.client(token="bad") as pretender:
        assert await answer(stranger, path) == (401, "Unauthorized")
        assert await answer(pretender, path) == (401, "Unauthorized")
    assert world.cloud.streams == []


@pytest.mark.parametrize("path", EVERY_PATH)
async def test_who_may_not_gets_403_at_every_path(world: World, path: str) -> None:
    world.add(pod := pod_named(), instance_of_pod(pod))
    async with world.serving(), world.client(world.client_ca.issue("eve")) as eve:
        status, text = await answer(eve, path)
    assert status == 403
    assert text.startswith("Forbidden (user=eve, verb=")
    assert world.cloud.streams == []


async def test_403_names_all_that_would_have_done(world: World) -> None:
    async with world.serving(), world.client(world.client_ca.issue("eve")) as eve:
        assert await answer(eve, "/pods") == (
            403,
            "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[pods proxy])",
        )


async def test_client_certificate(world: World) -> None:
    world.review.allowed = {("alice", "get", "healthz")}
    async with world.serving(), world.client(world.client_ca.issue("alice", ["ops", "dev"])) as alice:
        assert await answer(alice, "/healthz") == (200, "ok")
    (_, spec) = world.review.asked[0]
    assert (spec["user"], spec["groups"]) == ("alice", ["ops", "dev", "system:authenticated"])


async def test_bearer_token(world: World) -> None:
    world.review.tokens = {"t": {"username": "system:serviceaccount:monitoring:prometheus", "groups": ["sa"]}}
    world.review.allowed = {("system:serviceaccount:monitoring:prometheus", "get", "metrics")}
    async with world.serving(), world.client(token="t") as prometheus:
        assert (await answer(prometheus, "/metrics"))[0] == 200
        assert (await answer(prometheus, "/pods"))[0] == 403
    assert world.review.count("TokenReview") == 1


async def test_certificate_of_another_authority_never_gets_in(world: World) -> None:
    world.review.allowed = {("alice", "get", "healthz")}
    async with world.serving(), world.client(Authority("other").issue("alice")) as alice:
        assert await answer(alice, "/healthz") == (401, "Unauthorized")
    assert world.review.asked == []


async def test_ended_certificate_never_gets_in(world: World) -> None:
    pair = world.client_ca.issue("alice", valid_for=timedelta(minutes=-1))
    async with world.serving(), world.client(pair) as alice:
        assert await answer(alice, "/healthz") == (401, "Unauthorized")


async def test_websocket_exec_needs_create_unless_the_api_server_asks(world: World) -> None:
    for name in ("reader", "kube-apiserver-kubelet-client"):
        world.review.allowed.add((name, "get", "proxy"))
    async with (
        world.serving(),
        world.client(world.client_ca.issue("reader")) as reader,
        world.client(world.client_ca.issue("kube-apiserver-kubelet-client")) as api_server,
    ):
        assert await answer(reader, "/exec/web/api-0/app") == (
            403,
            "Forbidden (user=reader, verb=create, resource=nodes, subresource(s)=[proxy])",
        )
        assert await answer(api_server, "/exec/web/api-0/app?output=1") == (404, "pod does not exist")


async def test_without_an_authorizer_nothing_is_done(world: World) -> None:
    world.review.failure = KubeUnavailable("no answer")
    async with world.serving(), world.client(world.client_ca.issue("alice")) as alice:
        assert await answer(alice, "/pods") == (
            500,
            "Authorization error (user=alice, verb=get, resource=nodes, subresource=pods)",
        )


async def test_the_open_mode_is_open_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    own = world.server_ca.issue("node", server=True)
    server = KubeletServer(
        pods=world.find,
        all_pods=list,
        instance_of=lambda _: None,
        cloud=SmallCloud(),
        authenticator=Anybody(),
        authorizer=Anybody(),
        tls=ServingTls(lambda: own),
        registry=Registry(),
        host="127.0.0.1",
        port=0,
    )
    await server.start()
    try:
        connector = aiohttp.TCPConnector(ssl=client_context(world.folder, world.server_ca.pem))
        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as anybody:
            assert await answer(anybody, "/healthz") == (200, "ok")
    finally:
        await server.stop()
    assert any(record.levelno == logging.WARNING and "INSECURE" in record.message for record in caplog.records)


# --- what paths answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "404 page not found\n")),
        ("GET", "/execs", (404, "404 page not found\n")),
        ("GET", "/stats/summary", (403, None)),
        ("GET", "/containerLogs/web/api-0", (404, "404: Page Not Found")),
        ("GET", "/containerLogs/web/api-0/app/more", (404, "404: Page Not Found")),
        ("POST", "/containerLogs/web/api-0/app", (405, "405: Method Not Allowed")),
    ],
)
async def test_unknown_path_or_method(world: World, method: str, path: str, expected: tuple[int, str | None]) -> None:
    async with world.serving(), world.api_server() as api_server:
        status, text = await answer(api_server, path, method)
    assert status == expected[0]
    assert expected[1] in (text, None)


async def test_healthz(world: World) -> None:
    sick = {"ping": "", "syncloop": ""}
    world.checks = {name: (lambda name=name: sick[name]) for name in sick}
    world.review.allowed = {("alice", "get", "proxy")}
    async with world.serving(), world.client(world.client_ca.issue("alice")) as alice:
        assert await answer(alice, "/healthz") == (200, "ok")
        assert await answer(alice, "/healthz/syncloop") == (200, "ok")
        assert await answer(alice, "/healthz?verbose") == (200, "[+]ping ok\n[+]syncloop ok\nhealthz check passed")
        sick["syncloop"] = "no pass for 300 s"
        assert await answer(alice, "/healthz") == (500, "syncloop failed: no pass for 300 s")
        assert await answer(alice, "/healthz/syncloop") == (500, "syncloop failed: no pass for 300 s")
        assert await answer(alice, "/healthz/ping") == (200, "ok")
        assert (await answer(alice, "/healthz/nothing"))[0] == 404


async def test_pods_is_a_pod_list_in_whole(world: World) -> None:
    world.pods = [pod_named(f"api-{n}", status={"phase": "Running"}) for n in range(123)]
    async with world.serving(), world.api_server() as api_server, api_server.get("/pods") as response:
        assert response.content_type == "application/json"
        assert await response.json() == {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": world.pods}


async def test_no_pods_is_an_empty_list(world: World) -> None:
    async with world.serving(), world.api_server() as api_server:
        for path in ("/pods", "/pods/", "/runningpods/"):
            assert json.loads((await answer(api_server, path))[1])["items"] == []


async def test_a_folder_without_its_slash_is_named_as_it_should_be(world: World) -> None:
    world.review.allowed |= {("kube-apiserver-kubelet-client", "get", each) for each in ("log", "stats")}
    async with world.serving(), world.api_server() as api_server:
        for path in ("/runningpods", "/logs", "/stats"):
            async with api_server.get(path, allow_redirects=False) as response:
                assert (response.status, response.headers.get("Location")) == (307, f"{path}/")


async def test_runningpods_has_what_really_runs(world: World) -> None:
    for name, state in (("on", RUNNING), ("off", TERMINATED)):
        world.add(pod := pod_named(name), instance_of_pod(pod, state))
    world.add(pod_named("unstarted"))
    leaving = pod_named("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    world.add(leaving, instance_of_pod(leaving, RUNNING))
    async with world.serving(), world.api_server() as api_server:
        items = json.loads((await answer(api_server, "/runningpods/"))[1])["items"]
    assert items == [
        {
            "metadata": {"name": "on", "namespace": "web", "uid": "uid-on"},
            "spec": {"containers": [{"name": "app", "image": "busybox"}]},
            "status": {},
        }
    ]


async def test_metrics_count_the_requests(world: World) -> None:
    async with world.serving(), world.api_server() as api_server:
        await answer(api_server, "/containerLogs/web/nobody/app")
        await answer(api_server, "/nowhere/123")
        async with api_server.get("/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            lines = (await response.text()).splitlines()
    assert 'vk_kubelet_http_requests_total{code="404",method="GET",path="/containerLogs"} 1.0' in lines
    assert 'vk_kubelet_http_requests_total{code="404",method="GET",path="other"} 1.0' in lines
    assert "vk_kubelet_http_open_requests 1.0" in lines


async def test_logs_hold_no_query_and_no_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with world.serving(), world.api_server() as api_server, world.client(token="s3cret-token") as stranger:
        await answer(api_server, "/exec/web/api-0/app?command=s3cret-word")
        await answer(stranger, "/pods?x=s3cret-word")
    assert "/exec/web/api-0/app" in caplog.text
    assert "s3cret" not in caplog.text


async def test_what_is_no_http_leaves_no_trace_and_no_harm(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    context = client_context(world.folder, world.server_ca.pem)
    async with world.serving(), world.api_server() as api_server:
        for garbage in (b"GET / HTTP/1.1\r\nAuthorization: s3cret\x00\r\n\r\n", b"\x16\x03s3cret\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
            writer.write(garbage)
            assert (await reader.read()).startswith(b"HTTP/1.")
            writer.close()
        assert (await answer(api_server, "/healthz"))[0] == 200
    assert "s3cret" not in caplog.text


async def test_a_taken_port_is_said(world: World) -> None:
    async with world.serving():
        own = world.server_ca.issue("node", server=True)
        second = KubeletServer(
            pods=world.find,
            all_pods=list,
            instance_of=lambda _: None,
            cloud=SmallCloud(),
            authenticator=Anybody(),
            authorizer=Anybody(),
            tls=ServingTls(lambda: own),
            registry=Registry(),
            host="127.0.0.1",
            port=world.port,
        )
        with pytest.raises(ConfigError, match=f"cannot listen at port {world.port} of 127.0.0.1"):
            await second.start()


async def test_a_thousand_malformed_requests_leave_the_server_up(world: World) -> None:
    context = client_context(world.folder, world.server_ca.pem)
    dice = random.Random(7)
    good = b"GET /containerLogs/web/api-0/app?follow=true HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer x\r\n\r\n"

    async def send_broken(request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
        writer.write(request)
        writer.write_eof() if writer.can_write_eof() else writer.write(b"\r\n\r\n")
        assert b"HTTP/1.1 200" not in await reader.read(100)
        writer.close()

    async with world.serving(), world.api_server() as api_server, asyncio.timeout(120):
        for _ in range(50):
            broken = [bytearray(good) for _ in range(20)]
            for request in broken:
                for _ in range(dice.randint(1, 6)):
                    request[dice.randrange(len(request))] = dice.randrange(256)
            await asyncio.gather(*(send_broken(bytes(request)) for request in broken))
        assert await answer(api_server, "/healthz") == (200, "ok")
        assert len([task for task in asyncio.all_tasks() if not task.done()]) < 20
    assert world.cloud.streams == []


# --- as a kubelet, where there is nothing of a machine ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/healthz", 200, "ok"),
        ("HEAD", "/healthz", 200, ""),
        ("POST", "/healthz", 200, "ok"),
        ("OPTIONS", "/healthz/ping", 200, "ok"),
        ("GET", "/flagz", 200, "kubelet flagz"),
        ("GET", "/statusz", 200, "kubelet statusz"),
        ("GET", "/logs/", 200, "<pre>"),
        ("GET", "/logs/nope", 404, "404 page not found\n"),
        ("POST", "/checkpoint/web/api-0/app", 500, "checkpointing of web/api-0/app failed (this node's cloud"),
        ("POST", "/checkpoint/web/nope/app", 404, "pod does not exist"),
        ("GET", "/checkpoint/web/api-0/app", 405, "405: Method Not Allowed"),
    ],
)
async def test_pages_of_a_kubelet(world: World, method: str, path: str, status: int, text: str) -> None:
    world.add(pod := pod_named(), instance_of_pod(pod))
    world.pages = [("GET", "/flagz", about.flagz({"port": 10250, "authentication": {}}))]
    name = "kube-apiserver-kubelet-client"
    subresources = ("healthz", "configz", "statusz", "log", "checkpoint")
    world.review.allowed |= {(name, verb, part) for verb in ("", "get", "create") for part in subresources}
    async with world.serving(), world.client(world.client_ca.issue(name, ["system:masters"])) as api_server:
        got = await answer(api_server, path, method)
    assert (got[0], text in got[1]) == (status, True)


async def test_logs_of_a_machine_are_at_their_folder(world: World) -> None:
    world.review.allowed = {("alice", "get", "log")}
    async with (
        world.serving(),
        world.client(world.client_ca.issue("alice")) as alice,
        alice.get("/logs", allow_redirects=False) as response,
    ):
        assert (response.status, response.headers["Location"]) == (307, "/logs/")


@pytest.mark.parametrize("path", ["/flagz", "/statusz", "/logs/", "/checkpoint/web/api-0/app"])
async def test_these_too_are_for_whoever_may(world: World, path: str) -> None:
    method = "POST" if path.startswith("/checkpoint") else "GET"
    async with world.serving(), world.client() as stranger, world.client(world.client_ca.issue("eve")) as eve:
        assert (await answer(stranger, path, method))[0] == 401
        assert (await answer(eve, path, method))[0] == 403
