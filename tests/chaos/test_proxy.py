"""The proxy between the provider and the API server goes over to another CA, and the provider's client follows."""

import asyncio
import ssl

import pytest
from aiohttp import web

from tests.chaos.proxy import Proxy
from vk_provider.errors import KubeError
from vk_provider.kube.client import KubeClient

WITHIN_S = 120.0


async def test_a_ca_that_changes_is_met_at_once_and_believed_once_its_file_is_there(tmp_path):
    async def answer(request):
        return web.json_response({"kind": "Status", "status": "Success"})

    app = web.Application()
    app.router.add_get("/version", answer)
    upstream = web.AppRunner(app)
    await upstream.setup()
    await web.TCPSite(upstream, "127.0.0.1", 0).start()
    proxy = Proxy(f"http://127.0.0.1:{upstream.addresses[0][1]}", ssl.create_default_context(), directory=tmp_path)
    async with proxy.serving(), asyncio.timeout(WITHIN_S):
        (tmp_path / "kubeconfig").write_text(proxy.kubeconfig)
        client = await KubeClient.connect(kubeconfig=str(tmp_path / "kubeconfig"), user_agent="test")
        try:
            assert (await client.get("/version"))["status"] == "Success"
            proxy.change_ca()
            await client.get("/version")  # on the connection that is there, which ends with it
            with pytest.raises(KubeError, match="certificate"):
                await client.get("/version")
            proxy.write_ca()
            while not await _answers(client):  # noqa: ASYNC110 - the file is read again now and then only
                await asyncio.sleep(0.5)
        finally:
            await client.close()
            await upstream.cleanup()


async def _answers(client):
    try:
        await client.get("/version")
    except KubeError:
        return False
    return True
