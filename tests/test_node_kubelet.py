"""A node's kubelet API as it is put together: what is rotated is taken up at once, and no request fails for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp

from tests.kube.apiserver import lines, running, serving
from tests.kubelet.world import Authority, SmallCloud, client_context
from vk_provider import config
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.kube.store import Store
from vk_provider.kubelet.listener import Limits
from vk_provider.kubelet.usage_stats import UsageStats
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.node_kubelet import NodeKubelet, Served

CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
CLIENT_CA = f"{CONFIG_MAPS}/extension-apiserver-authentication"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SERVER = "kube-apiserver-kubelet-client"


def authority(*known: Authority, version: str):
    data = {"client-ca-file": "".join(each.pem for each in known)}
    return {"metadata": {"name": "extension-apiserver-authentication", "resourceVersion": version}, "data": data}


def kubelet_of(client, tmp_path, serving_pair) -> NodeKubelet:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(serving_pair.certificate)
    key.write_bytes(serving_pair.key)
    flags = {
        "node_name": "vk",
        "kubelet_port": "0",
        "kubelet_bind": "127.0.0.1",
        "tls_cert_file": str(certificate),
        "tls_key_file": str(key),
        "eci_endpoint": "http://127.0.0.1:1",
    }
    served = Served(
        pods=Store(key=pods.uid_of, version=lambda pod: pod["metadata"]["resourceVersion"]),
        instances=InstanceCache(lambda _: None),
        ended_logs=EndedLogs(),
        cloud=SmallCloud(),
        stats=UsageStats(clock=time.monotonic, wall=time.time),
        usage=None,
        registry=Registry(),
        checks={"ping": lambda: ""},
    )
    settings = config.parse(flags=flags, env={})
    return NodeKubelet(settings, client, served, address="127.0.0.1", limits=Limits.of(1024))


async def begun(kubelet: NodeKubelet) -> None:
    async with asyncio.TaskGroup() as tasks:
        kubelet.begin(tasks, lambda *_: None)


@asynccontextmanager
async def caller(kubelet: NodeKubelet, tmp_path, server_ca: Authority, client_ca: Authority):
    pair = client_ca.issue(SERVER, ["system:masters"])
    connector = aiohttp.TCPConnector(ssl=client_context(tmp_path, server_ca.pem, pair), force_close=True)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{kubelet.port}", connector=connector) as session:
        yield session


async def status(session: aiohttp.ClientSession) -> int:
    async with session.get("/pods") as answer:
        return answer.status


async def test_a_client_ca_that_is_rotated_is_believed_at_once_and_the_old_one_no_more(tmp_path):
    server_ca, old, new = Authority("server"), Authority("old"), Authority("new")
    rotated = asyncio.Event()

    async def watched(_):
        await rotated.wait()
        return lines(end="silence")

    async with serving() as (server, client):
        server.on("POST", REVIEWS, {"status": {"allowed": True}})
        server.on("GET", CLIENT_CA, authority(old, version="1"))
        server.on("WATCH", CONFIG_MAPS, watched)
        kubelet = kubelet_of(client, tmp_path, server_ca.issue("vk", server=True))
        await kubelet.start()
        try:
            async with (
                running(begun(kubelet)),
                caller(kubelet, tmp_path, server_ca, old) as before,
                caller(kubelet, tmp_path, server_ca, new) as after,
            ):
                assert (await status(before), await status(after)) == (200, 401)
                server.forget("GET", CLIENT_CA)
                server.on("GET", CLIENT_CA, authority(old, new, version="2"))
                rotated.set()
                async with asyncio.timeout(20):  # the next round would come after 30
                    while await status(after) != 200:
                        assert await status(before) == 200
                        await asyncio.sleep(0.05)
                assert await status(before) == 200
        finally:
            await kubelet.stop()
