"""A small ECI over HTTP: it keeps groups and logs, checks signatures its own way, and fails on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict, deque
from typing import Any
from urllib.parse import parse_qsl, quote

from aiohttp import web

KEY, SECRET = "testid", "testsecret"
Json = dict[str, Any]


class Fault(Exception):
    """An answer of the cloud that is no success. body: sent as it is instead of an error object."""

    def __init__(self, status: int, code: str, *, headers: Json | None = None, body: str | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.headers, self.body = status, code, headers or {}, body


class EciServer:
    """`calls`: action and parameters of every call, those that failed included. `groups`: by id, in wire form."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.groups: dict[str, Json] = {}
        self.logs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)  # (time, text) of the current run
        self.previous_logs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        self.log_bytes = 1024 * 1024
        self.cut_log_at_end = True
        self.faults: dict[str, deque[Fault | str]] = defaultdict(deque)
        self.keys = {KEY: SECRET}
        self.nonces: set[str] = set()
        self.tokens: dict[str, tuple[str, str]] = {}
        self.short_pages = 0  # so many items are left out of every listing
        self.url = ""
        self._runner: web.AppRunner | None = None

    # --- what a test does to it ---------------------------------------------------------------------------------------

    def fail(self, action: str, status: int, code: str, times: int = 1, **kw: Any) -> None:
        self.faults[action].extend([Fault(status, code, **kw)] * times)

    def hang_up(self, action: str, times: int = 1, *, after_acting: bool = False) -> None:
        self.faults[action].extend(["hang up after acting" if after_acting else "hang up"] * times)

    def be_silent(self, action: str, times: int = 1, *, trickle: bool = False) -> None:
        self.faults[action].extend(["trickle" if trickle else "silence"] * times)

    def count(self, action: str) -> int:
        return Counter(action for action, _ in self.calls)[action]

    def last(self, action: str) -> Json:
        return next(parameters for name, parameters in reversed(self.calls) if name == action)

    def write(self, group_id: str, container: str, *lines: tuple[str, str]) -> None:
        self.logs[group_id, container].extend(lines)

    # --- serving ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        query = dict(parse_qsl(http.rel_url.raw_query_string, keep_blank_values=True))
        body = dict(parse_qsl((await http.read()).decode(), keep_blank_values=True))
        parameters = {**query, **body}
        action = query.get("Action", "")
        self.calls.append((action, parameters))
        try:
            self._authenticate(http.method, parameters)
            fault = self.faults[action].popleft() if self.faults[action] else None
            if isinstance(fault, Fault):
                raise fault
            if fault == "silence":
                await asyncio.sleep(3600)
            if fault == "trickle":
                return await self._trickle(http)
            if fault == "hang up":
                return await self._hang_up(http)
            answer = getattr(self, f"_{action}")(parameters)
            if fault == "hang up after acting":
                return await self._hang_up(http)
        except Fault as fault_:
            body_ = fault_.body or json.dumps(
                {"RequestId": "req-fault", "HostId": "eci", "Code": fault_.code, "Message": f"said {fault_.code}"}
            )
            return web.Response(status=fault_.status, text=body_, headers=fault_.headers)
        return web.json_response({"RequestId": "req-ok", **answer})

    async def _trickle(self, http: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(http)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async def _hang_up(self, http: web.Request) -> web.Response:
        assert http.transport is not None
        http.transport.close()
        await asyncio.sleep(0)
        return web.Response()

    def _authenticate(self, method: str, parameters: Json) -> None:
        rest = {name: value for name, value in parameters.items() if name != "Signature"}
        pairs = [f"{quote(name, safe='~')}={quote(rest[name], safe='~')}" for name in sorted(rest)]
        text = "&".join((method, quote("/", safe=""), quote("&".join(pairs), safe="~")))
        secret = self.keys.get(parameters.get("AccessKeyId", ""))
        if secret is None:
            raise Fault(404, "InvalidAccessKeyId.NotFound")
        digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
        if base64.b64encode(digest).decode() != parameters.get("Signature"):
            raise Fault(400, "SignatureDoesNotMatch")
        if parameters["SignatureNonce"] in self.nonces:
            raise Fault(400, "SignatureNonceUsed")
        self.nonces.add(parameters["SignatureNonce"])

    # --- the calls ----------------------------------------------------------------------------------------------------

    def _CreateContainerGroup(self, parameters: Json) -> Json:
        own = {name: value for name, value in parameters.items() if not name.startswith(("Signature", "Timestamp"))}
        words = json.dumps(own, sort_keys=True)
        token = parameters.get("ClientToken", "")
        if token in self.tokens:
            group_id, first_words = self.tokens[token]
            if first_words != words:
                raise Fault(400, "IdempotentParameterMismatch")
            return {"ContainerGroupId": group_id}
        group_id = f"eci-{len(self.tokens) + 1:04}"
        self.tokens[token] = (group_id, words)
        self.add_group(
            group_id,
            {value: parameters[f"{name[:-4]}.Value"] for name, value in parameters.items() if _is_tag_key(name)},
            Cpu=float(parameters["Cpu"]),
            Memory=float(parameters["Memory"]),
            Containers=[{"Name": parameters["Container.1.Name"], "CurrentState": {"State": "Waiting"}}],
        )
        return {"ContainerGroupId": group_id}

    def add_group(self, group_id: str, tags: Json, **members: Any) -> Json:
        self.groups[group_id] = {
            "ContainerGroupId": group_id,
            "Status": "Pending",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "Containers": [],
            "InitContainers": [],
            "Events": [],
            "CreationTime": "2024-01-02T03:04:05Z",
            **members,
        }
        return self.groups[group_id]

    def _DeleteContainerGroup(self, parameters: Json) -> Json:
        if self.groups.pop(parameters["ContainerGroupId"], None) is None:
            raise Fault(404, "InvalidParameter.NotFound")
        return {}

    def _UpdateContainerGroup(self, parameters: Json) -> Json:
        """Takes the parts of volumes and containers, and tags for the whole; says when there is nothing new in it."""
        group = self.groups.get(parameters["ContainerGroupId"])
        if group is None:
            raise Fault(404, "InvalidParameter.NotFound")
        if group["Status"] not in ("Pending", "Running"):
            raise Fault(400, "IncorrectStatus")
        volumes = {name: value for name, value in parameters.items() if name.startswith("Volume.")}
        told = {name: value for name, value in parameters.items() if name.startswith("Container.")}
        tags = [{"Key": v, "Value": parameters[f"{n[:-4]}.Value"]} for n, v in parameters.items() if _is_tag_key(n)]
        if (group.get("volumes", {}), group.get("told", {})) == (volumes, told) and tags in ([], group["Tags"]):
            raise Fault(400, "NoNeedUpdate")
        group["volumes"], group["told"], group["Tags"] = volumes, told, tags or group["Tags"]
        return {}

    def _selected(self, parameters: Json) -> list[Json]:
        ids = json.loads(parameters.get("ContainerGroupIds", "[]"))
        assert len(ids) <= 20
        tags = {value: parameters[f"{name[:-4]}.Value"] for name, value in parameters.items() if _is_tag_key(name)}
        return [
            group
            for group in self.groups.values()
            if (not ids or group["ContainerGroupId"] in ids)
            and tags.items() <= {tag["Key"]: tag["Value"] for tag in group["Tags"]}.items()
        ]

    def _page(self, parameters: Json, most: int, name: str, items: list[Json]) -> Json:
        limit, begin = int(parameters["Limit"]), int(parameters.get("NextToken", "0"))
        assert limit <= most
        end = begin + limit
        return {
            name: items[begin : max(begin, min(end, len(items)) - self.short_pages)],
            "TotalCount": len(items),
            "NextToken": str(end) if end < len(items) else "",
        }

    def _DescribeContainerGroups(self, parameters: Json) -> Json:
        return self._page(parameters, 20, "ContainerGroups", self._selected(parameters))

    def _DescribeContainerGroupStatus(self, parameters: Json) -> Json:
        assert 60 <= int(parameters.get("SinceSecond", "60")) <= 3600
        items = [
            {
                "containerGroupId": group["ContainerGroupId"],
                "status": group["Status"],
                "podStatus": {
                    "podIP": group.get("IntranetIp", ""),
                    "containerStatuses": [_status(one) for one in group["Containers"]],
                },
            }
            for group in self._selected(parameters)
        ]
        return self._page(parameters, 200, "Data", items)

    def _DescribeContainerGroupEvents(self, parameters: Json) -> Json:
        items = [
            {"containerGroupId": group["ContainerGroupId"], "events": group["Events"]}
            for group in self._selected(parameters)
            if group["Events"]
        ]
        return self._page(parameters, 200, "Data", items)

    def _DescribeContainerLog(self, parameters: Json) -> Json:
        key = parameters["ContainerGroupId"], parameters["ContainerName"]
        if key[0] not in self.groups:
            raise Fault(404, "InvalidParameter.NotFound")
        source = self.previous_logs if parameters.get("LastTime") == "true" else self.logs
        tail = int(parameters["Tail"])
        assert 1 <= tail <= 2000
        lines = [line for line in source[key] if line[0][:19] >= parameters.get("StartTime", "")[:19]][-tail:]
        content = "".join(f"{at} {text}\n" for at, text in lines).encode()
        cut = content[: self.log_bytes] if self.cut_log_at_end else content[-self.log_bytes :]
        return {"Content": cut.decode("utf-8", "ignore"), "ContainerName": key[1]}


def _is_tag_key(name: str) -> bool:
    return name.startswith("Tag.") and name.endswith(".Key")


def _status(container: Json) -> Json:
    """A container as the status call spells it."""
    state = container["CurrentState"]
    said = {
        "startedAt": state.get("StartTime", ""),
        "finishedAt": state.get("FinishTime", ""),
        "exitCode": state.get("ExitCode"),
        "reason": state.get("Reason", ""),
    }
    return {"name": container["Name"], "imageID": "image@sha256:1", "state": {state["State"].lower(): said}}
