"""The HTTP face of the service: one path, `/`, where the action is a parameter; plus `/exec/` and `/_admin/`.

Both signature schemes are verified, then limits and faults apply, then the call is made. Answers are always JSON, also
where a client asks for XML or nothing, which the real gateway would answer in XML.
"""

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from fakes.cloud.errors import ApiError, missing
from fakes.cloud.faults import MALFORMED, Fault, Faults, thin_out
from fakes.cloud.limits import RateLimits
from fakes.cloud.parameters import Json, first_values
from fakes.cloud.queries import Queries
from fakes.cloud.service import Service
from fakes.cloud.signature import Call, Verifier
from fakes.cloud.terminal import Terminals

VERSION = "2018-08-08"
MAX_LINE_BYTES = 4 << 20  # a pod with files makes a request line of hundreds of kilobytes
MAX_BODY_BYTES = 8 << 20
MAX_PARAMETERS = 20_000
_log = logging.getLogger(__name__)
Action = Callable[[Mapping[str, str]], Json]
Question = tuple[tuple[str, str], ...]
REMEMBERED = 64
OF_ONE_CALL = frozenset({"Signature", "SignatureNonce", "Timestamp"})


class Server:
    """Answers requests. `outage`: while set, every call is answered 503."""

    def __init__(
        self, service: Service, verifier: Verifier, *, limits: RateLimits, faults: Faults, host_id: str = ""
    ) -> None:
        self.service = service
        self.verifier = verifier
        self.limits = limits
        self.faults = faults
        self.outage = False
        self._earlier: OrderedDict[Question, Json] = OrderedDict()
        self._created = ""  # the id of the newest instance
        self._host_id = host_id or f"eci.{service.region}.aliyuncs.com"
        self._terminals = Terminals(service)
        queries = Queries(service)
        self._actions: dict[str, Action] = {
            "CreateContainerGroup": service.create,
            "DeleteContainerGroup": service.delete,
            "DeleteContainerGroups": service.delete_many,
            "RestartContainerGroup": service.restart,
            "UpdateContainerGroup": service.update,
            "TagResources": service.tag,
            "UntagResources": service.untag,
            "DescribeContainerGroups": queries.groups,
            "DescribeContainerGroupStatus": queries.statuses,
            "DescribeContainerGroupEvents": queries.events,
            "DescribeContainerLog": queries.log,
            "DescribeContainerGroupMetric": queries.metric,
            "DescribeMultiContainerGroupMetric": queries.multi_metric,
            "DescribeContainerGroupPrice": queries.price,
            "ListUsage": queries.usage,
            "DescribeRegions": queries.regions,
            "DescribeAvailableResource": queries.stock,
            "ListTagResources": queries.tags,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.handle),
            web.post("/", self.handle),
            web.get("/exec/", self._terminals.connect),
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One API call, from the wire to the journal."""
        request_id = str(uuid.uuid4()).upper()
        call = await _read(request)
        flat = first_values([*call.query, *call.form])
        flat.setdefault("Action", call.headers.get("x-acs-action", ""))
        action, status, fault = flat["Action"], 200, None
        try:
            key_id = self._admit(call, flat)
            fault = self.faults.take(action)
            answer = await self._act(action, flat, request, fault, key_id)
        except ApiError as error:
            answer, status = self._error_body(error), error.status
        except Exception:
            _log.exception("action=%s request_id=%s failed", action, request_id)
            unknown = ApiError("InternalError", "The request processing has failed due to some unknown error.", 500)
            answer, status = self._error_body(unknown), unknown.status
        self.service.journal.call(
            action,
            request_id=request_id,
            code=answer.get("Code", "OK") if status != 200 else "OK",
            http_status=status,
            group_id=answer.get("ContainerGroupId", flat.get("ContainerGroupId", "")),
        )
        if fault is not None and fault.kind.startswith("lose-") and request.transport is not None:
            request.transport.abort()
        body = msgspec.json.encode({"RequestId": request_id, **answer})
        return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")

    def _admit(self, call: Call, flat: Mapping[str, str]) -> str:
        """The caller's key id, once the call is one this service knows and signed well. Raises ApiError."""
        if self.outage:
            raise ApiError("ServiceUnavailable", "The request has failed due to a temporary failure.", 503)
        if not flat["Action"]:
            raise missing("Action")
        if flat.get("Version", call.headers.get("x-acs-version")) != VERSION:
            raise ApiError("InvalidVersion", "Specified parameter Version is not valid.")
        if flat["Action"] not in self._actions and flat["Action"] != "ExecContainerCommand":
            message = "Specified api is not found, please check your url and method."
            raise ApiError("InvalidAction.NotFound", message, 404)
        return self.verifier.verify(call, time.time())

    async def _act(
        self, action: str, flat: Mapping[str, str], request: web.Request, fault: Fault | None, key_id: str
    ) -> Json:
        self.limits.take(key_id, action, time.monotonic())
        if fault is not None:
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            if fault.kind == "lose-request":
                return {}
            if fault.refusal is not None:
                raise fault.refusal
        if action == "ExecContainerCommand":
            return await self._terminals.exec(flat, request.host)
        if fault is not None and fault.kind == "stale-answer" and (before := self._earlier.get(_question(flat))):
            return before
        answer = self._actions[action](flat)
        if action.startswith("Describe"):
            self._remember(_question(flat), answer)
        if fault is not None and fault.kind in ("empty-list", "partial-list"):
            answer = thin_out(answer, fault.kind)
        if fault is not None and fault.kind == "malformed-answer":
            return dict(MALFORMED)
        if action == "CreateContainerGroup":
            earlier, self._created = self._created, str(answer["ContainerGroupId"])
            if fault is not None and fault.kind == "foreign-id" and earlier:
                return {**answer, "ContainerGroupId": earlier}
        return answer

    def _remember(self, question: Question, answer: Json) -> None:
        """Kept as long as the same is asked on: each time the one before, for `stale-answer`."""
        self._earlier[question] = answer
        self._earlier.move_to_end(question)
        if len(self._earlier) > REMEMBERED:
            self._earlier.popitem(last=False)

    def _error_body(self, error: ApiError) -> Json:
        search = f"https://error-center.aliyun.com/status/search?Keyword={error.code}&source=PopGw"
        return {"HostId": self._host_id, "Code": error.code, "Message": error.message, "Recommend": search}


async def _read(request: web.Request) -> Call:
    """The request as a signature covers it. Names and values are decoded; their order is kept."""
    path, _, query = request.raw_path.partition("?")
    body = await request.read()
    is_form = request.content_type == "application/x-www-form-urlencoded"
    headers = {name.lower(): value for name, value in request.headers.items()}
    form = _pairs(body.decode(errors="replace")) if is_form else []
    return Call(request.method, path, _pairs(query), form, headers, body)


def _question(flat: Mapping[str, str]) -> Question:
    return tuple(sorted((name, value) for name, value in flat.items() if name not in OF_ONE_CALL))


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return []  # no parameters, so the call fails for the lack of an action
