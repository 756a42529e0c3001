"""The metrics API: what is made of kubelets' pages, and from when on there is anything to say."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fakes.kube.api import Api, ApiError
from fakes.kube.metrics import Metrics, Point, read
from fakes.kube.objects import Call
from fakes.kube.requests import Asked
from fakes.kube.views import Form, View

START = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
EPOCH = START.timestamp()
PAGE = """# HELP node_cpu_usage_seconds_total CPU
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total {node} {at}
node_memory_working_set_bytes 3145728 {at}
container_cpu_usage_seconds_total{{container="c",namespace="default",pod="p"}} {cpu} {at}
container_memory_working_set_bytes{{container="c",namespace="default",pod="p"}} 2048 {at}
container_start_time_seconds{{container="c",namespace="default",pod="p"}} {started}
pod_cpu_usage_seconds_total{{namespace="default",pod="p"}} {cpu} {at}
resource_scrape_error 0
"""


def page(second: float, *, cpu: float, node: float = 0.0, started: float = -3600) -> str:
    return PAGE.format(cpu=cpu, node=node or cpu, at=int((EPOCH + second) * 1000), started=EPOCH + started)


class Pages:
    """Kubelets by the text they answer with; one without is down."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def text(self, node: Any, path: str) -> str:
        assert path == "/metrics/resource"
        if node["metadata"]["name"] not in self.texts:
            raise ApiError(503, "ServiceUnavailable", "down")
        return self.texts[node["metadata"]["name"]]


class Watched:
    """A cluster of one node and one pod, scraped every 15 s of virtual time."""

    def __init__(self, seconds: Any) -> None:
        self.api = Api(clock=lambda: START + timedelta(seconds=seconds()))
        self.kubelets = Pages()
        self.metrics = Metrics(self.api, self.kubelets, interval_s=15)  # type: ignore[arg-type]
        self.api.create("namespaces", {"metadata": {"name": "default"}})
        self.api.create("serviceaccounts", {"metadata": {"name": "default"}}, "default")
        for name, labels in (("n", {}), ("hollow", {"vk-provider.dev/hollow-node": "true"})):
            self.api.create("nodes", {"metadata": {"name": name, "labels": labels}})
        pod = {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"nodeName": "n"}}
        pod["spec"]["containers"] = [{"name": "c", "image": "a"}]
        self.api.create("pods", pod, "default")

    async def ask(self, plural: str, name: str = "", verb: str = "", namespace: str = "", **query: str) -> Any:
        row = self.api.catalog.route("metrics.k8s.io", "v1beta1", plural)
        assert row is not None
        verb = verb or ("get" if name else "list")
        asked = Asked(
            row=row,
            group=row.group,
            version=row.version,
            resource=plural,
            verb=verb,
            name=name,
            namespace=namespace or ("default" if row.namespaced else ""),
        )
        call = Call(asked, row, View(row, "v1beta1"), Form(), query)
        response = await self.metrics.serve(call, None)  # type: ignore[arg-type]
        return json.loads(response.body)  # type: ignore[attr-defined]


@pytest.fixture
async def watched(virtual_time: Any) -> Any:
    made = Watched(virtual_time)
    made.kubelets.texts["n"] = page(0, cpu=10)
    task = asyncio.create_task(made.metrics.run())
    await asyncio.sleep(1)
    yield made
    task.cancel()


async def test_two_samples_make_a_rate(watched: Watched) -> None:
    assert (await watched.ask("nodes"))["items"] == []
    with pytest.raises(ApiError) as missing:
        await watched.ask("pods", "p")
    assert missing.value.message == 'pods.metrics.k8s.io "default/p" not found'
    watched.kubelets.texts["n"] = page(15, cpu=13, node=16)
    await asyncio.sleep(15)
    (node,) = (await watched.ask("nodes"))["items"]
    assert (node["kind"], node["apiVersion"], node["metadata"]["name"]) == (
        "NodeMetrics",
        "metrics.k8s.io/v1beta1",
        "n",
    )
    assert node["usage"] == {"cpu": "400m", "memory": "3Mi"}
    assert (node["timestamp"], node["window"]) == ("2026-03-02T10:00:15Z", "15s")
    pod = await watched.ask("pods", "p")
    assert (pod["kind"], pod["metadata"]["namespace"], pod["metadata"]["labels"]) == (
        "PodMetrics",
        "default",
        {"a": "b"},
    )
    assert pod["containers"] == [{"name": "c", "usage": {"cpu": "200m", "memory": "2Ki"}}]


async def test_the_same_sample_again_changes_nothing(watched: Watched) -> None:
    watched.kubelets.texts["n"] = page(15, cpu=13)
    await asyncio.sleep(15)
    first = await watched.ask("pods", "p")
    await asyncio.sleep(30)
    again = await watched.ask("pods", "p")
    assert (again["containers"], again["timestamp"]) == (first["containers"], first["timestamp"])


async def test_a_young_container_is_measured_from_its_start(watched: Watched) -> None:
    watched.kubelets.texts["n"] = page(15, cpu=6, started=3)
    await asyncio.sleep(15)
    pod = await watched.ask("pods", "p")
    assert (pod["containers"][0]["usage"]["cpu"], pod["window"]) == ("500m", "12s")


async def test_a_container_that_started_anew_has_to_be_measured_twice(watched: Watched) -> None:
    watched.kubelets.texts["n"] = page(45, cpu=1, started=20)
    await asyncio.sleep(45)
    assert (await watched.ask("pods"))["items"] == []


async def test_a_kubelet_that_is_down_hides_no_other(watched: Watched) -> None:
    watched.api.create("nodes", {"metadata": {"name": "m"}})
    watched.kubelets.texts["n"] = page(15, cpu=13)
    await asyncio.sleep(15)
    assert [item["metadata"]["name"] for item in (await watched.ask("nodes"))["items"]] == ["n"]


async def test_selectors(watched: Watched) -> None:
    watched.kubelets.texts["n"] = page(15, cpu=13)
    await asyncio.sleep(15)
    assert len((await watched.ask("pods", labelSelector="a=b"))["items"]) == 1
    assert (await watched.ask("pods", labelSelector="a=c"))["items"] == []


async def test_it_can_only_be_read(watched: Watched) -> None:
    for verb in ("create", "watch", "delete"):
        with pytest.raises(ApiError) as refused:
            await watched.ask("nodes", "n", verb)
        assert refused.value.code == 405


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("", {}),
        ("node_cpu_usage_seconds_total 1.5\n", {}),
        ("node_cpu_usage_seconds_total 1.5\nnode_memory_working_set_bytes 7\n", {("n",): Point(99.0, 1.5, 7)}),
        (
            "node_cpu_usage_seconds_total 1e1 2000\nnode_memory_working_set_bytes 7 2000\n",
            {("n",): Point(2.0, 10.0, 7)},
        ),
        ("what is this\nnode_cpu_usage_seconds_total x\n", {}),
    ],
)
def test_pages(text: str, points: Any) -> None:
    assert read(text, "n", 99.0) == points
