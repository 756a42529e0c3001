"""The whole provider against an API server that refuses the watch of pods: alive, and not well wherever one looks."""

import asyncio

import aiohttp
import yaml

from tests.kube.apiserver import Answer, refuse, running, serving, until
from vk_provider import app, config

NODE = {
    "kind": "Node",
    "metadata": {
        "name": "vk",
        "uid": "n-1",
        "annotations": {"vk-provider.io/identity": "cluster-1/vk"},
        "resourceVersion": "1",
    },
    "status": {},
}


async def test_a_provider_whose_watch_is_forbidden_is_not_well_and_does_not_restart_for_it(tmp_path, unused_tcp_port):
    async with serving() as (server, _):
        server.on("GET", "/version", {"gitVersion": "v1.30.0"})
        system = {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "cluster-1", "resourceVersion": "1"}}
        server.on("GET", "/api/v1/namespaces/kube-system", system)
        server.on("GET", "/api/v1/nodes/vk", NODE)
        server.on("PATCH", "/api/v1/nodes/vk", NODE)
        server.on("PATCH", "/api/v1/nodes/vk/status", lambda seen: NODE)
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        server.on("POST", leases, lambda seen: seen.body)
        server.on("PUT", f"{leases}/vk", lambda seen: seen.body)
        server.on("POST", "/api/v1/namespaces/default/events", lambda seen: Answer(201, seen.body))
        server.on("GET", "/api/v1/pods", refuse(403, reason="Forbidden", message="pods is forbidden"))
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                    "clusters": [{"name": "c", "cluster": {"server": server.url}}],
                    "users": [],
                }
            )
        )
        flags = {
            "kubeconfig": str(kubeconfig),
            "cluster_name": "c",
            "node_name": "vk",
            "node_ip": "127.0.0.1",
            "kubelet_port": "0",
            "kubelet_bind": "127.0.0.1",
            "health_address": f"127.0.0.1:{unused_tcp_port}",
            "insecure_kubelet_api": "true",
            "serving_certificate": "self-signed",
            "eci_endpoint": "http://127.0.0.1:1",
            "eci_access_key": "testid",
            "eci_secret_key": "testsecret",
            "eci_profile": "",
        }
        async with running(app.run(config.parse(flags=flags, env={}))) as task, aiohttp.ClientSession() as session:
            door = f"http://127.0.0.1:{unused_tcp_port}"
            text = await _when(task, session, f"{door}/readyz", "403")
            assert "[-]syncloop failed: /api/v1/pods cannot be watched since " in text
            assert "pods is forbidden" in text
            async with session.get(f"{door}/livez") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            port = await _kubelet_port(server)
            kubelet = f"https://127.0.0.1:{port}"
            async with session.get(f"{kubelet}/healthz", ssl=False) as answer:
                assert answer.status == 500
                assert "syncloop failed: /api/v1/pods cannot be watched" in await answer.text()
            async with session.get(f"{kubelet}/metrics", ssl=False) as answer:
                metrics = await answer.text()
            assert 'vk_healthy{check="syncloop"} 0.0' in metrics
            assert 'vk_healthy{check="lease"} 1.0' in metrics
            assert "vk_events_waiting " in metrics
            condition = await _condition(server)
            assert condition["status"] == "True", "a passing trouble is not shown on the Node"


async def test_who_has_not_reached_the_api_server_yet_is_not_ready_from_the_first_moment_on(tmp_path, unused_tcp_port):
    """Else a roll-out ends the leader while nobody can follow it."""
    slow = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sleep",
        "args": ["0.5"],
        "interactiveMode": "Never",
    }
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"exec": slow}}],
            }
        )
    )
    flags = {
        "kubeconfig": str(kubeconfig),
        "health_address": f"127.0.0.1:{unused_tcp_port}",
        "node_ip": "127.0.0.1",
        "eci_endpoint": "http://127.0.0.1:1",
        "eci_access_key": "testid",
        "eci_secret_key": "testsecret",
    }
    task = asyncio.create_task(app.run(config.parse(flags=flags, env={})))
    try:
        async with aiohttp.ClientSession() as session:
            text = await _first(session, f"http://127.0.0.1:{unused_tcp_port}/readyz")
        assert "[-]cluster failed: " in text
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(session, url):
    """What is answered to whoever comes first."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(url) as answer:
                    return await answer.text()
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)


async def _when(task, session, url, part):
    async with asyncio.timeout(60):
        while True:
            assert not task.done()
            try:
                async with session.get(url) as answer:
                    if part in (text := await answer.text()):
                        assert answer.status == 500
                        return text
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def _statuses(server):
    await until(lambda: server.of("PATCH", "/api/v1/nodes/vk/status"), within_s=60)
    return server.of("PATCH", "/api/v1/nodes/vk/status")[-1].body["status"]


async def _kubelet_port(server):
    return (await _statuses(server))["daemonEndpoints"]["kubeletEndpoint"]["Port"]


async def _condition(server):
    [found] = [each for each in (await _statuses(server))["conditions"] if each["type"] == "ProviderHealthy"]
    return found
