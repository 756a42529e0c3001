"""Who may have the live page, and what is sent: no browser needed."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import msgspec
import pytest

from vk_provider.config import parse
from vk_provider.dashboard import stream
from vk_provider.errors import ConfigError
from vk_provider.health import Fault

from .world import Node, serving


@pytest.mark.parametrize("address", ["0.0.0.0:80", "10.0.0.1:80", ":80", "example.com:80", "127.0.0.1"])
def test_it_listens_on_the_loopback_interface_only(address: str) -> None:
    with pytest.raises(ConfigError, match="--dashboard-address"):
        parse(flags={"dashboard_address": address}, env={}, with_cloud=False)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:10262", ""])
def test_addresses_of_this_machine(address: str) -> None:
    assert parse(flags={"dashboard_address": address}, env={}, with_cloud=False).dashboard_address == address


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/page.js", {}, 200),
        ("GET", "/snapshot", {}, 200),
        ("GET", "/snapshot", {"Host": "localhost:8001"}, 200),
        ("GET", "/snapshot", {"Host": "[::1]:8001"}, 200),
        ("GET", "/snapshot", {"Host": "evil.example"}, 421),
        ("GET", "/snapshot", {"Host": "127.0.0.1.evil.example"}, 421),
        ("GET", "/snapshot", {"Host": "localhost:80@evil.example"}, 421),
        ("GET", "/stream", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/snapshot", {}, 405),
        ("DELETE", "/", {}, 405),
        ("PUT", "/explain", {}, 405),
        ("GET", "/metrics", {}, 404),
        ("GET", "/explain?namespace=web&name=none", {}, 404),
    ],
)
async def test_what_is_given_to_whom(method: str, path: str, headers: dict, status: int) -> None:
    node = Node()
    node.put("pi-1")
    async with serving(node) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}{path}"
        async with session.request(method, url, headers=headers) as answer:
            assert answer.status == status
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_page_needs_nothing_of_anybody_else() -> None:
    from importlib import resources

    static = resources.files("vk_provider.dashboard").joinpath("static")
    for file in static.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "//cdn" not in text
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick"):
            assert word not in text, f"{file.name} has {word}"


async def messages(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, dict]]:
    found: list[tuple[str, dict]] = []
    name = ""
    async with asyncio.timeout(60):
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
                if len(found) == count:
                    break
    return found


async def test_a_viewer_gets_all_at_first_and_then_what_changes() -> None:
    node = Node()
    node.fill(600)
    async with serving(node) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/stream"
        async with session.get(url, read_bufsize=2**22) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            first = await messages(answer, 5)
            assert [name for name, _ in first] == ["snapshot", "history", "pods", "pods", "pods"]
            assert sum(len(part["rows"]) for name, part in first if name == "pods") == 600
            assert [part["reset"] for name, part in first if name == "pods"] == [True, False, False]
            node.put("new\n\nevent: pods")  # a name cannot begin an event of its own
            node.drop("pi-00001")
            async with asyncio.timeout(60):
                while True:
                    [(name, change)] = await messages(answer, 1)
                    if name == "pods":
                        break
            assert [row["name"] for row in change["rows"]] == ["new\n\nevent: pods"]
            assert change["gone"] == ["uid-pi-00001"]


async def test_no_environment_is_sent() -> None:
    node = Node()
    node.put("pi-1")
    async with serving(node) as server, aiohttp.ClientSession() as session:
        for path in ("/snapshot?pods=true", "/explain?namespace=web&name=pi-1"):
            async with session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
                text = await answer.text()
                assert "pi-1" in text
                assert "hunter2" not in text
                assert "PASSWORD" not in text


async def test_so_many_may_look_and_one_who_leaves_makes_room() -> None:
    node = Node()
    async with serving(node) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/stream"
        open_ones = [await session.get(url) for _ in range(stream.MOST_VIEWERS)]
        async with session.get(url) as refused:
            assert refused.status == 503
        for each in open_ones:
            each.close()
        async with asyncio.timeout(60):
            while server.viewers:  # noqa: ASYNC110 -- aiohttp says when it has noticed to nobody
                await asyncio.sleep(0.05)
        async with session.get(url) as answer:
            assert answer.status == 200
    assert node.index._changes == {}, "nobody is followed any more"


async def test_one_who_does_not_read_is_cut_off_and_others_go_on() -> None:
    node = Node()
    broadcaster = stream.Broadcaster(node.collector)
    slow, quick = broadcaster.join(), broadcaster.join()
    assert slow is not None
    assert quick is not None
    for _ in range(stream.MOST_UNREAD + 5):
        await broadcaster._tick()
        while not quick.messages.empty():
            quick.messages.get_nowait()
    assert broadcaster.viewers == 1
    assert slow.messages.get_nowait() is None


async def test_while_nothing_happens_nothing_is_counted_anew() -> None:
    node = Node()
    node.fill(100)
    first = node.collector.snapshot()
    assert node.collector.snapshot().pod_counts is first.pod_counts
    node.put("another")
    assert node.collector.snapshot().pod_counts.total == 101


async def test_a_failing_check_is_shown() -> None:
    node = Node()
    node.fault = Fault("WatchFailing", "403 for the pods", 31.0)
    shot = node.collector.snapshot()
    assert not shot.is_ready
    assert [each.message for each in shot.checks if not each.is_healthy] == ["403 for the pods"]


async def test_what_has_ended_has_no_price_an_hour_even_before_the_time_of_its_end_is_known() -> None:
    node = Node()
    node.put("pi-1")
    [row] = node.index
    assert node.collector.priced(row).per_hour > 0
    assert node.collector.priced(msgspec.structs.replace(row, instance_status="Succeeded")).per_hour == 0
