"""The admin API: what a test or a demo does to the service behind its back. JSON, unsigned, from this machine only.

| call                        | body                                | does                                           |
|-----------------------------|-------------------------------------|------------------------------------------------|
| GET /_admin/runtime         |                                     | how containers are run, for people             |
| GET /_admin/state           |                                     | groups with their bills, quota, clock, faults  |
| GET /_admin/journal[?since] |                                     | calls and status changes after entry `since`   |
| GET /_admin/bill[?group]    |                                     | bills of all groups ever, or of one; their sum |
| POST /_admin/faults         | a rule or a list; see `faults`      | adds them                                      |
| DELETE /_admin/faults       |                                     | removes faults, outage and lack of stock       |
| POST /_admin/nostock        | {on, zone, size}; "2-4" is 2c4g     | marks a zone, a size or all sold out, or not   |
| POST /_admin/vanish         | {id}                                | the group is gone without a trace              |
| POST /_admin/twin           | {id}                                | makes a second group with the same spec, tags  |
| POST /_admin/expire         | {id, notice_s=0}                    | a spot group is reclaimed, status Expired      |
| POST /_admin/quota          | {cpu}                               | sets the vCPU quota                            |
| POST /_admin/load           | {cpu}, a number or a series         | vCPU that others of the account hold of it     |
| POST /_admin/market         | {zone, size, price, stock, closed,  | sets prices and stock of spot instances, as    |
|                             | notice_s, check_every_s, announces} | numbers or series; see `market`, `series`      |
| POST /_admin/clock          | {advance} and/or {speed}            | moves the service's clock, or sets its pace    |
| POST /_admin/outage         | {on}                                | answers every call 503, or no more             |
| POST /_admin/rate-limits    | {on}                                | switches the limits per minute                 |
| POST /_admin/credentials    | {access_key_id, access_key_secret,  | makes a key known; with a token, one of STS    |
|                             | security_token, expires_in_s}       |                                                |
"""

import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from fakes.cloud import billing, series
from fakes.cloud.clock import iso_time
from fakes.cloud.errors import ApiError
from fakes.cloud.group import Group
from fakes.cloud.parameters import Json
from fakes.cloud.server import Server
from fakes.cloud.signature import Credential

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Change = Callable[["Admin", Any], Json]


class Admin:
    """containers: for people, how containers are run."""

    def __init__(self, server: Server, containers: str) -> None:
        self._server = server
        self._containers = containers
        self._service = server.service

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_admin/runtime", self._local(self._runtime)),
            web.get("/_admin/state", self._local(self._state)),
            web.get("/_admin/journal", self._local(self._journal)),
            web.get("/_admin/bill", self._local(self._bill)),
            web.delete("/_admin/faults", self._local(self._reset)),
            *(web.post(f"/_admin/{name}", self._local(self._changing(change))) for name, change in _CHANGES.items()),
        ]

    def _local(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:
                raise web.HTTPForbidden(text="the admin API is for this machine only")
            return await handler(request)

        return guarded

    def _changing(self, change: Change) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                return web.json_response(change(self, await request.json()))
            except KeyError as error:
                return web.json_response({"error": f"the body lacks {error}"}, status=400)
            except (ValueError, TypeError, AttributeError) as error:
                return web.json_response({"error": str(error)}, status=400)
            except ApiError as error:
                return web.json_response({"error": error.message}, status=error.status)

        return handler

    async def _runtime(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"containers": self._containers})

    async def _state(self, _: web.Request) -> web.StreamResponse:
        now = self._service.clock.now()
        self._service.lifecycle.retire(now)
        return web.json_response(
            {
                "now": iso_time(now),
                "speed": self._service.clock.speed,
                "quota": {"used_cpu": round(self._service.used_cpu, 3), "max_cpu": self._service.quota_cpu},
                "load": self._service.others.described(),
                "market": self._service.market.described(now),
                "outage": self._server.outage,
                "faults": self._server.faults.listed(),
                "groups": [billing.entry(group, now) for group in self._service.store],
            }
        )

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        since = request.query.get("since", "0")
        if not since.isdecimal():
            return web.json_response({"error": "since is the number of an entry"}, status=400)
        return web.json_response({"entries": self._service.journal.since(int(since))})

    async def _bill(self, request: web.Request) -> web.StreamResponse:
        now = self._service.clock.now()
        entries = [*self._service.ledger.entries(), *(billing.entry(group, now) for group in self._service.store)]
        wanted = request.query.get("group")
        if wanted is not None:
            entries = [entry for entry in entries if wanted in (entry["id"], entry["name"])]
        return web.json_response(
            {
                "currency": billing.CURRENCY,
                "billed_seconds": sum(entry["billed_seconds"] for entry in entries),
                "cost": round(sum(entry["cost"] for entry in entries), 8),
                "cost_on_demand": round(sum(entry["cost_on_demand"] for entry in entries), 8),
                "groups": entries,
            }
        )

    async def _reset(self, _: web.Request) -> web.StreamResponse:
        self._server.faults.clear()
        self._server.outage = False
        stock = self._service.stock
        stock.all = False
        stock.zones.clear()
        stock.sizes.clear()
        self._service.market.reset()
        return web.json_response({})

    def _group(self, body: Json) -> Group:
        group = self._service.store.get(body["id"])
        if group is None:
            raise ApiError("NotFound", f"no group {body['id']!r}", 404)
        return group

    def faults(self, body: Any) -> Json:
        for rule in body if isinstance(body, list) else [body]:
            self._server.faults.add(rule)
        return {"faults": self._server.faults.listed()}

    def nostock(self, body: Json) -> Json:
        on, stock = bool(body.get("on", True)), self._service.stock
        for name, known in (("zone", stock.zones), ("size", stock.sizes)):
            if name in body:
                (known.add if on else known.discard)(str(body[name]))
        if not {"zone", "size"} & set(body):
            stock.all = on
        return {"all": stock.all, "zones": sorted(stock.zones), "sizes": sorted(stock.sizes)}

    def vanish(self, body: Json) -> Json:
        self._service.lifecycle.vanish(self._group(body), self._service.clock.now())
        return {}

    def twin(self, body: Json) -> Json:
        return {"id": self._service.twin(self._group(body)).id}

    def expire(self, body: Json) -> Json:
        notice = float(body.get("notice_s", 0))
        self._service.lifecycle.reclaim(self._group(body), self._service.clock.now(), notice_s=notice)
        return {}

    def quota(self, body: Json) -> Json:
        self._service.quota_cpu = float(body["cpu"])
        return {"cpu": self._service.quota_cpu}

    def load(self, body: Json) -> Json:
        now = self._service.clock.now()
        self._service.others = series.parse(body["cpu"], now)
        return {"cpu": self._service.others.at(now)}

    def market(self, body: Json) -> Json:
        now = self._service.clock.now()
        self._service.market.change(body, now)
        return self._service.market.described(now)

    def clock(self, body: Json) -> Json:
        clock = self._service.clock
        if "speed" in body:
            clock.set_speed(float(body["speed"]))
        clock.advance(float(body.get("advance", 0)))
        self._service.timers.wake()
        return {"now": iso_time(clock.now()), "speed": clock.speed}

    def outage(self, body: Json) -> Json:
        self._server.outage = bool(body["on"])
        return {"on": self._server.outage}

    def rate_limits(self, body: Json) -> Json:
        self._server.limits.enabled = bool(body["on"])
        return {"on": self._server.limits.enabled}

    def credentials(self, body: Json) -> Json:
        expires = body.get("expires_in_s")
        self._server.verifier.register(
            Credential(
                str(body["access_key_id"]),
                str(body["access_key_secret"]),
                str(body.get("security_token", "")),
                None if expires is None else time.time() + float(expires),
            )
        )
        return {}


_CHANGES: dict[str, Change] = {
    "faults": Admin.faults,
    "nostock": Admin.nostock,
    "vanish": Admin.vanish,
    "twin": Admin.twin,
    "expire": Admin.expire,
    "quota": Admin.quota,
    "load": Admin.load,
    "market": Admin.market,
    "clock": Admin.clock,
    "outage": Admin.outage,
    "rate-limits": Admin.rate_limits,
    "credentials": Admin.credentials,
}
