"""Bodies in and out: JSON, YAML or protobuf in, JSON out, and the options of a write."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from fakes.kube import errors, protobuf
from fakes.kube.errors import ApiError, Fault
from fakes.kube.store import encode

Json = dict[str, Any]

_JSON = ("application/json", "", "application/octet-stream", "text/plain")
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


def answer(body: bytes | Json, status: int = 200) -> web.Response:
    raw = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=raw, status=status, content_type="application/json")


def refusal(error: ApiError) -> web.Response:
    response = answer(error.status(), error.code)
    if retry := error.details.get("retryAfterSeconds"):
        response.headers["Retry-After"] = str(retry)
    return response


async def document(request: web.Request) -> Any:
    """The body as data. Raises ApiError 400 or 415."""
    raw = await request.read()
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _YAML:
        return parse_yaml(raw)
    if kind == protobuf.MEDIA_TYPE:
        return _protobuf(raw)
    if kind not in _JSON:
        raise errors.unsupported_media_type(f"application/json, application/yaml, {protobuf.MEDIA_TYPE}")
    return parse_json(raw)


def parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError as bad:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {bad}") from bad


def parse_yaml(raw: bytes) -> Any:
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as bad:
        raise errors.bad_request(f"couldn't get version/kind; yaml parse error: {bad}") from bad


def _protobuf(raw: bytes) -> Any:
    try:
        return protobuf.decode(raw)
    except protobuf.Malformed as bad:
        raise errors.bad_request(f"the object provided is unrecognized: {bad}") from bad


async def json_object(request: web.Request) -> Json:
    body = await document(request)
    if not isinstance(body, dict):
        raise errors.bad_request("the body of the request is no object")
    return body


def is_dry(query: Mapping[str, str], body: Json | None = None) -> bool:
    """Whether nothing is to be stored. Raises ApiError 422 for anything but "All"."""
    asked = [query["dryRun"]] if query.get("dryRun") else list((body or {}).get("dryRun") or ())
    if any(value != "All" for value in asked):
        fault = Fault.unsupported("dryRun", asked, ("All",))
        raise errors.invalid("CreateOptions", "meta.k8s.io", "", [fault])
    return bool(asked)


def integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as bad:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from bad


@dataclass(frozen=True)
class DeleteOptions:
    """What a DELETE says, in its body or its query."""

    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str | None = None
    dry_run: bool = False


async def delete_options(request: web.Request) -> DeleteOptions:
    body: Json = {}
    if request.can_read_body and await request.read():
        body = await document(request)
        if not isinstance(body, dict):
            raise errors.bad_request("the body of the request is no DeleteOptions")
    query = request.query
    grace = body.get("gracePeriodSeconds", integer(query, "gracePeriodSeconds"))
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy")
    if "orphanDependents" in body and propagation is None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    if propagation not in (None, "Orphan", "Background", "Foreground"):
        fault = Fault.unsupported("propagationPolicy", propagation, ("Foreground", "Background", "Orphan", "nil"))
        raise errors.invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    wanted = body.get("preconditions") or {}
    return DeleteOptions(grace, wanted.get("uid"), wanted.get("resourceVersion"), propagation, is_dry(query, body))
