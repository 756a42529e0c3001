"""The official SDKs as clients of a fake cloud. Both are synchronous, so every call runs in a thread."""

import asyncio
import json

from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import RpcRequest


class Acs:
    """The older SDK: signature version 1.0. Answers are dicts; errors its own ServerException."""

    def __init__(self, endpoint, key="testid", secret="testsecret", credential=None):
        self._address = endpoint.removeprefix("http://")
        keys = {"credential": credential} if credential else {"ak": key, "secret": secret}
        self._client = AcsClient(region_id="cn-hangzhou", **keys)

    async def call(self, request):
        request.set_endpoint(self._address)
        return json.loads(await asyncio.to_thread(self._client.do_action_with_exception, request))

    async def action(self, name, *, method="POST", version="2018-08-08", body=None, **parameters):
        """Any action, without a request class; `__` in names is a dot. body: parameters for a form."""
        request = RpcRequest("Eci", version, name, "eci")
        request.set_method(method)
        for key, value in parameters.items():
            request.add_query_param(key.replace("__", "."), value)
        for key, value in (body or {}).items():
            request.add_body_params(key, value)
        return await self.call(request)

    async def group(self, group_id):
        answer = await self.action("DescribeContainerGroups", ContainerGroupIds=json.dumps([group_id]), WithEvent=True)
        return answer["ContainerGroups"][0] if answer["ContainerGroups"] else None

    async def log(self, group_id, container="main", **options):
        answer = await self.action(
            "DescribeContainerLog", ContainerGroupId=group_id, ContainerName=container, **options
        )
        return answer["Content"]

    async def until(self, group_id, *statuses, within=90):
        """The group once it has one of the statuses; None counts as gone."""
        group = None

        async def reached():
            nonlocal group
            group = await self.group(group_id)
            return (group["Status"] if group else None) in statuses

        await eventually(reached, within=within)
        return group

    async def until_container(self, group_id, within=90, **wanted):
        """The group once its first container's current state has these members."""
        group = None

        async def reached():
            nonlocal group
            group = await self.group(group_id)
            state = group["Containers"][0]["CurrentState"]
            return all(state.get(name) == value for name, value in wanted.items())

        await eventually(reached, within=within)
        return group

    async def until_log(self, group_id, text, within=90, **options):
        content = ""

        async def reached():
            nonlocal content
            content = await self.log(group_id, **options)
            return text in content

        await eventually(reached, within=within)
        return content


async def eventually(check, within=60):
    """Wait until an awaitable check says so; TimeoutError if it does not."""
    async with asyncio.timeout(within):
        pause_s = 0.03
        while not await check():
            await asyncio.sleep(pause_s)
            pause_s = min(0.25, pause_s * 1.2)  # a long wait stays within the fake cloud's limits of calls
