"""The stand-in's own dials over HTTP: compaction, bookmarks, streaming lists, event life, tokens, its files."""

import asyncio
import io
import json
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fakes.kube.cluster import Running, Settings, running

CLUSTER = "/api/v1/namespaces/default"


class Door:
    """A client with a static administrator's token."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Running) -> None:
        self._session = session
        self.cluster = cluster
        self.api = cluster.api

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        url = self.cluster.server + path
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def lines(self, path: str) -> AsyncIterator[dict[str, Any]]:
        async with self._session.get(self.cluster.server + path) as answer:
            assert answer.status == 200
            async for line in answer.content:
                yield json.loads(line)


def settings(folder: Path, **dials: Any) -> Settings:
    tokens = {"admin": ("admin", ("system:masters",)), "guest": ("guest", ())}
    return Settings(
        directory=folder, kubeconfig=folder / "kubeconfig", controllers=False, static_tokens=tokens, **dials
    )


@pytest.fixture
async def door(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    dials = getattr(request, "param", {})
    async with running(settings(tmp_path, **dials)) as cluster:
        tls = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer admin"}) as session:
            yield Door(session, cluster)


async def until(condition: Callable[[], Any]) -> Any:
    """The first true answer. Fails after some seconds."""
    async with asyncio.timeout(10):
        while True:
            if found := condition():
                return found
            await asyncio.sleep(0.01)


def churn(door: Door, times: int) -> None:
    door.api.create("configmaps", {"metadata": {"name": "busy"}}, "default")
    for number in range(times):
        door.api.patch("configmaps", "busy", "default", {"data": {"n": str(number)}}, kind="merge")


@pytest.mark.parametrize("door", [{"keep": 20}], indirect=True)
async def test_history_that_is_gone_answers_410(door: Door) -> None:
    _, body = await door.send("GET", "/api/v1/configmaps?limit=1")
    churn(door, 100)
    old = body["metadata"]
    status, page = await door.send("GET", f"/api/v1/configmaps?limit=1&continue={old['continue']}")
    assert (status, page["reason"]) == (410, "Expired")
    status, refused = await door.send(
        "GET", f"{CLUSTER}/configmaps?watch=true&resourceVersion={old['resourceVersion']}"
    )
    assert (status, refused["reason"]) == (410, "Expired")


@pytest.mark.parametrize("door", [{"keep": 20}], indirect=True)
async def test_a_watcher_that_fell_behind_is_told_in_its_stream(door: Door) -> None:
    stream = door.lines(f"{CLUSTER}/configmaps?watch=true&resourceVersion={door.api.store.revision}")
    first = asyncio.create_task(anext(stream))
    door.api.create("configmaps", {"metadata": {"name": "a"}}, "default")
    await first
    churn(door, 100)  # all at once, so the stream never gets to run in between
    event = await anext(stream)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize("door", [{"keep": 20}], indirect=True)
async def test_the_servers_own_controllers_survive_compaction(door: Door) -> None:
    owner = door.api.create("configmaps", {"metadata": {"name": "owner"}}, "default")["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    child = {"metadata": {"name": "child", "ownerReferences": [reference]}}
    door.api.create("configmaps", child, "default")
    door.api.create("namespaces", {"metadata": {"name": "doomed"}})
    churn(door, 100)
    door.api.delete("configmaps", "owner", "default")
    door.api.delete("namespaces", "doomed")
    for number in range(100):
        door.api.patch("configmaps", "busy", "default", {"data": {"n": f"again {number}"}}, kind="merge")
    await until(lambda: door.api.store.get("configmaps", "default", "child") is None)
    await until(lambda: door.api.store.get("namespaces", "", "doomed") is None)


async def test_versions_of_the_future(door: Door) -> None:
    status, body = await door.send("GET", f"{CLUSTER}/configmaps?resourceVersion=999999")
    assert (status, body["reason"]) == (504, "Timeout")
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_exact_list_of_the_past(door: Door) -> None:
    door.api.create("configmaps", {"metadata": {"name": "a"}}, "default")
    then = door.api.store.revision
    door.api.delete("configmaps", "a", "default")
    query = f"resourceVersion={then}&resourceVersionMatch=Exact"
    _, body = await door.send("GET", f"{CLUSTER}/configmaps?{query}")
    assert "a" in [item["metadata"]["name"] for item in body["items"]]


@pytest.mark.parametrize("door", [{"bookmark_s": 0.05}], indirect=True)
async def test_bookmarks_follow_the_whole_log(door: Door) -> None:
    stream = door.lines(
        f"{CLUSTER}/secrets?watch=true&allowWatchBookmarks=true&resourceVersion={door.api.store.revision}"
    )
    first = asyncio.create_task(anext(stream))
    churn(door, 5)
    seen = [await first]
    while int(seen[-1]["object"]["metadata"]["resourceVersion"]) < door.api.store.revision:
        seen.append(await anext(stream))
    assert {event["type"] for event in seen} == {"BOOKMARK"}
    await stream.aclose()


async def test_streamed_list_ends_with_a_marked_bookmark(door: Door) -> None:
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    stream = door.lines(f"/api/v1/namespaces?{query}")
    seen = []
    while not seen or seen[-1]["type"] != "BOOKMARK":
        seen.append(await anext(stream))
    assert [event["type"] for event in seen[:-1]] == ["ADDED"] * 4
    assert seen[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await stream.aclose()


async def test_watch_sees_writes_of_others(door: Door) -> None:
    stream = door.lines(f"{CLUSTER}/pods?watch=true&resourceVersion={door.api.store.revision}")
    first = asyncio.create_task(anext(stream))
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    status, made = await door.send("POST", f"{CLUSTER}/pods", body)
    assert status == 201
    assert (await first)["object"] == made
    await stream.aclose()


@pytest.mark.parametrize("door", [{"event_ttl_s": 0.2}], indirect=True)
async def test_events_are_forgotten(door: Door) -> None:
    pod = {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}
    door.api.record_event(pod, type="Normal", reason="A", message="m", component="c")
    assert door.api.list("events")[0]
    await until(lambda: not door.api.list("events")[0])


async def test_repeated_events_are_counted_until_they_are_gone(door: Door) -> None:
    pod = {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}
    for _ in range(3):
        door.api.record_event(pod, type="Normal", reason="A", message="m", component="kubelet", host="eci")
    (event,) = door.api.list("events")[0]
    assert (event["count"], event["source"]) == (3, {"component": "kubelet", "host": "eci"})
    door.api.delete("events", event["metadata"]["name"], "default")
    door.api.record_event(pod, type="Normal", reason="A", message="m", component="kubelet", host="eci")
    assert [item["count"] for item in door.api.list("events")[0]] == [1]


async def test_events_in_the_words_of_their_own_group(door: Door) -> None:
    pod = {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}
    door.api.record_event(pod, type="Normal", reason="A", message="m", component="c")
    _, body = await door.send("GET", "/apis/events.k8s.io/v1/namespaces/default/events")
    (item,) = body["items"]
    assert (item["note"], item["regarding"]["name"], item["reportingController"]) == ("m", "p", "c")
    assert "message" not in item


async def test_strict_requests_are_refused_unknown_fields(door: Door) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a", "imagee": "b"}]}, "extra": 1}
    status, refused = await door.send("POST", f"{CLUSTER}/pods?fieldValidation=Strict", body)
    assert status == 400
    assert 'unknown field "spec.containers[0].imagee"' in refused["message"]
    assert 'unknown field "extra"' in refused["message"]


async def test_static_tokens(door: Door) -> None:
    status, body = await door.send("GET", f"{CLUSTER}/pods", Authorization="Bearer guest")
    assert (status, body["message"].startswith('pods is forbidden: User "guest" cannot list resource "pods"')) == (
        403,
        True,
    )
    status, _ = await door.send("GET", f"{CLUSTER}/pods", Authorization="Bearer nobody")
    assert status == 401
    review = {"spec": {"token": "guest"}}
    _, body = await door.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert body["status"]["user"]["username"] == "guest"


async def test_service_addresses(door: Door) -> None:
    made = []
    for name, kind in (("a", "ClusterIP"), ("b", "NodePort"), ("c", "LoadBalancer")):
        spec = {"type": kind, "ports": [{"port": 80}]}
        made.append(
            (await door.send("POST", f"{CLUSTER}/services", {"metadata": {"name": name}, "spec": spec}))[1]["spec"]
        )
    assert len({spec["clusterIP"] for spec in made}) == 3
    assert made[0]["ports"][0].get("nodePort") is None
    assert made[1]["ports"][0]["nodePort"] != made[2]["ports"][0]["nodePort"]
    taken = {"clusterIP": made[0]["clusterIP"], "ports": [{"port": 80}]}
    status, _ = await door.send("POST", f"{CLUSTER}/services", {"metadata": {"name": "d"}, "spec": taken})
    assert status == 422
    headless = {"clusterIP": "None", "ports": [{"port": 80}]}
    _, body = await door.send("POST", f"{CLUSTER}/services", {"metadata": {"name": "e"}, "spec": headless})
    assert body["spec"]["clusterIPs"] == ["None"]


async def test_a_large_body_is_refused(door: Door) -> None:
    body = {"metadata": {"name": "c"}, "data": {f"k{number}": "x" * 1024 for number in range(3 * 1024)}}
    status, refused = await door.send("POST", f"{CLUSTER}/configmaps", body)
    assert (status, refused["reason"]) == (413, "RequestEntityTooLarge")


async def test_deleted_furniture_comes_back(door: Door) -> None:
    old = door.api.get("serviceaccounts", "default", "default")["metadata"]["uid"]
    await door.send("DELETE", f"{CLUSTER}/serviceaccounts/default")
    found = await until(lambda: door.api.store.get("serviceaccounts", "default", "default"))
    assert found.object["metadata"]["uid"] != old


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_permanent_namespaces(door: Door, name: str) -> None:
    status, body = await door.send("DELETE", f"/api/v1/namespaces/{name}")
    assert (status, body["message"]) == (403, f'namespaces "{name}" is forbidden: this namespace may not be deleted')


async def test_openapi_names_how_lists_merge(door: Door) -> None:
    _, body = await door.send("GET", "/openapi/v2")
    containers = body["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert (containers["x-kubernetes-patch-merge-key"], containers["x-kubernetes-patch-strategy"]) == ("name", "merge")
    _, index = await door.send("GET", "/openapi/v3")
    for entry in index["paths"].values():
        status, part = await door.send("GET", entry["serverRelativeURL"])
        assert status == 200
        text = json.dumps(part)
        names = {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}
        assert names <= set(part["components"]["schemas"])


async def test_aggregated_discovery_says_the_same_as_the_classic(door: Door) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, body = await door.send("GET", "/apis", Accept=accept)
    for item in body["items"]:
        for version in item["versions"]:
            path = f"/apis/{item['metadata']['name']}/{version['version']}"
            _, classic = await door.send("GET", path)
            names = {entry["name"] for entry in classic["resources"] if "/" not in entry["name"]}
            assert names == {entry["resource"] for entry in version["resources"]}


async def test_as_a_process(tmp_path: Path) -> None:
    """The command line: its banner, its files, and that it goes when told to."""
    config, ready = tmp_path / "kubeconfig", tmp_path / "ready.json"
    command = [
        "-m",
        "fakes",
        "kube",
        "--port",
        "0",
        "--kubeconfig",
        str(config),
        "--ready-file",
        str(ready),
        "--nodes",
        "3",
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            banner = (await process.stdout.readline()).decode()
            address = (await process.stdout.readline()).decode()
        await until(ready.exists)
        assert "stand-in" in banner.lower()
        assert "local use" in banner
        told = json.loads(ready.read_text())
        assert told["server"] in address
        assert told["kubeconfig"] == str(config)
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 10)


_HOOKS = "/apis/admissionregistration.k8s.io/v1"


@pytest.mark.parametrize(
    ("path", "spec", "text"),
    [
        (f"{CLUSTER}/resourcequotas", {"hard": {"pods": "1"}}, "does not enforce ResourceQuotas"),
        (f"{CLUSTER}/limitranges", {"limits": []}, "does not apply LimitRanges"),
        (f"{_HOOKS}/mutatingwebhookconfigurations", None, "calls no webhooks"),
        (f"{_HOOKS}/validatingwebhookconfigurations", None, "calls no webhooks"),
        (
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            {"request": "YQ==", "signerName": "a.b/c", "usages": ["client auth"]},
            "signs no certificates",
        ),
    ],
)
async def test_what_is_stored_only_is_warned_of(door: Door, path: str, spec: Any, text: str) -> None:
    body = {"metadata": {"name": "a"}} | ({"spec": spec} if spec else {})
    async with door._session.post(door.cluster.server + path, json=body) as answer:
        assert answer.status == 201
        assert answer.headers.getall("Warning") == [f'299 - "this stand-in cluster {text}"']
