"""The HTTP side of reading and writing objects: parameters in, encoded objects out."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fakes.kube import definitions, errors, objectmeta, scale, strictness
from fakes.kube.api import Api, PatchKind, Writer, parse_revision, too_large
from fakes.kube.content import answer, delete_options, integer, is_dry, json_object, parse_json, parse_yaml
from fakes.kube.deletion import Deletion, Precondition
from fakes.kube.errors import Fault
from fakes.kube.requests import Asked, is_true
from fakes.kube.resources import Resource
from fakes.kube.store import Snapshot, encode
from fakes.kube.tables import table
from fakes.kube.views import Form, View, accepted, partial

Json = dict[str, Any]

_PATCHES: dict[str, PatchKind] = {
    "application/strategic-merge-patch+json": "strategic",
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
}
_APPLY = "application/apply-patch+yaml"
_UPSERTED = frozenset({"leases.coordination.k8s.io", "endpoints", "events", "endpointslices.discovery.k8s.io"})
"""Resources a PUT creates when they are not there."""
_LONGEST_MANAGER = 128


@dataclass(frozen=True)
class Call:
    """A request for a resource that is served."""

    asked: Asked
    row: Resource
    view: View
    form: Form
    query: Mapping[str, str]

    @property
    def target(self) -> "str | Resource":
        """What to write to: of a custom resource, the version asked for, which has a schema of its own."""
        return self.row if self.row.custom is not None else self.row.key_of_store

    @property
    def namespace(self) -> str | None:
        return self.asked.namespace or None if self.row.namespaced else None


def call_of(asked: Asked, row: Resource, request: web.Request) -> Call:
    """Raises ApiError 406 when nothing the client accepts can be made."""
    form = accepted(request.headers.get("Accept", ""))
    if form is None:
        message = "only the following media types are accepted: application/json, application/yaml"
        raise errors.ApiError(406, "NotAcceptable", message)
    return Call(asked, row, View(row, asked.version), form, request.query)


class Objects:
    """get, list, create, update, patch, delete and deletecollection of every stored resource."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def serve(self, call: Call, request: web.Request) -> web.Response:
        """Answer one request. Raises ApiError."""
        if call.asked.subresource == "scale":
            return await self._scale(call, request)
        match call.asked.verb:
            case "get":
                return self.shown(call, self._api.snapshot(call.row.key, call.asked.name, call.namespace))
            case "list":
                return self._list(call)
            case "create":
                return await self._create(call, request)
            case "update":
                return await self._update(call, request)
            case "patch":
                return await self._patch(call, request)
            case "delete":
                return await self._delete(call, request)
            case "deletecollection":
                return await self._delete_collection(call, request)
            case _:
                raise errors.method_not_allowed()

    def shown(self, call: Call, snapshot: Snapshot, status: int = 200) -> web.Response:
        """One object in the form asked for."""
        if call.form.shape == "Table":
            meta = {"resourceVersion": snapshot.object["metadata"].get("resourceVersion", "")}
            return answer(self._table(call, [snapshot.object], meta), status)
        if call.form.shape == "PartialObjectMetadata":
            return answer(partial(snapshot.object, call.form.version), status)
        return answer(call.view.whole(snapshot), status)

    def _table(self, call: Call, found: Sequence[Json], metadata: Json) -> Json:
        include = call.query.get("includeObject", "Metadata")
        return table(
            call.row,
            found,
            self._api.clock(),
            version=call.form.version,
            include=include,
            metadata=metadata,
            head=True,
        )

    def _list(self, call: Call) -> web.Response:
        query = call.query
        limit, start, at = integer(query, "limit") or 0, ("", ""), self._revision(query)
        if query.get("continue"):
            at, start = _unfold(query["continue"])
        page = self._api.page(
            call.row.key,
            call.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            at=at,
        )
        items = [item for item in page.items if _place(item) >= start] if start != ("", "") else page.items
        meta: Json = {"resourceVersion": str(page.revision)}
        if limit and len(items) > limit:
            meta["continue"] = _fold(page.revision, _place(items[limit]))
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        return answer(self._listed(call, items, meta))

    def _revision(self, query: Mapping[str, str]) -> int | None:
        """The past revision a list insists on, None for the present."""
        wanted, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
        if match and not wanted:
            fault = Fault.forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
            raise errors.invalid("ListOptions", "meta.k8s.io", "", [fault])
        if not wanted:
            return None
        revision = parse_revision(wanted)
        if revision > self._api.store.revision:
            raise too_large(revision, self._api.store.revision)
        return revision if match == "Exact" else None

    def _listed(self, call: Call, items: Sequence[Snapshot], meta: Json) -> bytes:
        if call.form.shape == "Table":
            return encode(self._table(call, [item.object for item in items], meta))
        if call.form.shape == "PartialObjectMetadata":
            shown = [partial(item.object, call.form.version) for item in items]
            version = f"meta.k8s.io/{call.form.version}"
            return encode(
                {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": meta, "items": shown}
            )
        head = encode({"kind": f"{call.row.kind}List", "apiVersion": call.view.api_version, "metadata": meta})
        return head[:-1] + b',"items":[' + b",".join(call.view.item(item) for item in items) + b"]}"

    async def _create(self, call: Call, request: web.Request) -> web.Response:
        body = call.view.stored(await json_object(request))
        warnings = strictness.check(call.row, body, call.query.get("fieldValidation", ""))
        made = self._api.create(
            call.target,
            body,
            call.asked.namespace or None,
            dry_run=is_dry(call.query),
            writer=_writer(call, request),
        )
        warnings += definitions.warnings(made) if call.row.key == definitions.KEY else []
        return warned(self.shown(call, Snapshot(made), 201), [*warnings, call.row.unheeded])

    async def _update(self, call: Call, request: web.Request) -> web.Response:
        body = call.view.stored(await json_object(request))
        warnings = strictness.check(call.row, body, call.query.get("fieldValidation", ""))
        _check_names(call, body)
        dry = is_dry(call.query)
        key = call.row.key_of_store
        if key in _UPSERTED and not self._api.store.get(key, call.namespace or "", call.asked.name):
            made = self._api.create(key, body, call.namespace, dry_run=dry, writer=_writer(call, request))
            return self.shown(call, Snapshot(made), 201)
        writer = _writer(call, request)
        made = self._api.update(call.target, body, subresource=call.asked.subresource, dry_run=dry, writer=writer)
        return warned(self.shown(call, Snapshot(made)), warnings)

    async def _patch(self, call: Call, request: web.Request) -> web.Response:
        media = request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media == _APPLY:
            return await self._apply(call, request)
        kind = _PATCHES.get(media)
        if kind is None or (kind == "strategic" and call.row.custom is not None):
            known = [name for name, one in _PATCHES.items() if one != "strategic" or call.row.custom is None]
            raise errors.unsupported_media_type(", ".join(sorted([*known, _APPLY])))
        if "force" in call.query:
            raise _bad_options(Fault.forbidden("force", "may not be specified for non-apply patch"))
        body = parse_json(await request.read())
        if isinstance(body, dict) and call.row.stored_as:
            body = {key: value for key, value in call.view.stored(body).items() if key not in ("kind", "apiVersion")}
        made = self._api.patch(
            call.target,
            call.asked.name,
            call.namespace,
            body,
            kind=kind,
            subresource=call.asked.subresource,
            dry_run=is_dry(call.query),
            strict=call.query.get("fieldValidation", ""),
            writer=_writer(call, request),
        )
        return self.shown(call, Snapshot(made))

    async def _apply(self, call: Call, request: web.Request) -> web.Response:
        """Server-side apply; it creates what is not there."""
        writer = _writer(call, request)
        if not writer.stated:
            raise _bad_options(Fault.required("fieldManager", "is required for apply patch"))
        if call.row.stored_as:
            raise errors.unsupported_media_type(", ".join(sorted(_PATCHES)))
        config = call.view.stored(_configuration(call, parse_yaml(await request.read())))
        made, new = self._api.apply(
            call.target,
            call.asked.name,
            call.namespace,
            config,
            writer=writer,
            force=is_true(call.query, "force"),
            subresource=call.asked.subresource,
            dry_run=is_dry(call.query),
        )
        return warned(self.shown(call, Snapshot(made), 201 if new else 200), [call.row.unheeded] if new else ())

    async def _delete(self, call: Call, request: web.Request) -> web.Response:
        options = await delete_options(request)
        outcome = self._api.remove(
            call.row.key_of_store,
            call.asked.name,
            call.namespace,
            grace_seconds=options.grace_seconds,
            precondition=Precondition(options.uid, options.resource_version),
            propagation=options.propagation,
            dry_run=options.dry_run,
        )
        status = 202 if not outcome.gone and options.propagation == "Foreground" else 200
        if not outcome.gone or call.row.returns_deleted:
            return self.shown(call, Snapshot(outcome.object), status)
        return answer(_deleted(call.row, outcome))

    async def _delete_collection(self, call: Call, request: web.Request) -> web.Response:
        options = await delete_options(request)
        query = call.query
        page = self._api.page(
            call.row.key,
            call.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
        )
        for item in page.items:
            meta = item.object["metadata"]
            self._api.remove(
                call.row.key_of_store,
                meta["name"],
                meta.get("namespace"),
                grace_seconds=options.grace_seconds,
                propagation=options.propagation,
                dry_run=options.dry_run,
            )
        return answer(self._listed(call, page.items, {"resourceVersion": str(page.revision)}))

    async def _scale(self, call: Call, request: web.Request) -> web.Response:
        old = self._api.get(call.row.key, call.asked.name, call.namespace)
        paths = scale.paths_of(call.row)
        if call.asked.verb == "get":
            return answer(scale.of(old, paths))
        if call.asked.verb == "update":
            wanted = await json_object(request)
        elif call.asked.verb == "patch":
            wanted = scale.patched(old, paths, parse_json(await request.read()))
        else:
            raise errors.method_not_allowed()
        made = scale.applied(old, paths, wanted)
        if not is_dry(call.query):
            made = self._api.update(call.target, made, writer=_writer(call, request))
        return answer(scale.of(made, paths))


def _writer(call: Call, request: web.Request) -> Writer:
    """The field manager a write is by: the one it names, or else the client's program. Raises ApiError 422."""
    stated = call.query.get("fieldManager", "")
    if len(stated) > _LONGEST_MANAGER:
        raise _bad_options(
            Fault("fieldManager", "FieldValueTooLong", f"Too long: may not be more than {_LONGEST_MANAGER} bytes")
        )
    program = request.headers.get("User-Agent", "").partition("/")[0][:_LONGEST_MANAGER] or "unknown"
    return Writer(stated or program, bool(stated), call.view.api_version)


def _bad_options(fault: Fault) -> errors.ApiError:
    return errors.invalid("PatchOptions", "meta.k8s.io", "", [fault])


def _configuration(call: Call, config: Any) -> Json:
    """What an apply states, checked. Raises ApiError 400, or 500 for fields that are none (as a real server does)."""
    row, name = call.row, call.asked.name
    if not isinstance(config, dict) or not isinstance(config.get("metadata", {}), dict):
        raise errors.bad_request("error decoding YAML: the configuration is no object")
    if config.get("apiVersion") != call.view.api_version or config.get("kind") != row.kind:
        wrong = f"{config.get('apiVersion')}, Kind={config.get('kind')}"
        raise errors.bad_request(f"{wrong} cannot be applied to {call.view.api_version}, Kind={row.kind}")
    meta = config.setdefault("metadata", {})
    if meta.get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    _check_names(call, config)
    unknown = strictness.check(row, config, "Warn")
    if unknown:
        where = f"{meta.get('namespace', '')}/{name}; {call.view.api_version}, Kind={row.kind}"
        field = unknown[0].partition('"')[2].rstrip('"')
        why = f"failed to create typed patch object ({where}): .{field}: field not declared in schema"
        raise errors.ApiError(500, "", why)
    objectmeta.check_shape(row, config)
    return config


def warned(response: web.Response, warnings: Sequence[str]) -> web.Response:
    for text in filter(None, warnings):
        response.headers.add("Warning", f'299 - "{text}"'.replace("\n", " "))
    return response


def _check_names(call: Call, body: Json) -> None:
    """A replacement must be for the object the URL names. Raises ApiError 400."""
    meta = body.setdefault("metadata", {})
    name = meta.setdefault("name", call.asked.name)
    if name != call.asked.name:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({call.asked.name})"
        )
    if call.row.namespaced and meta.setdefault("namespace", call.asked.namespace) != call.asked.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _deleted(row: Resource, outcome: Deletion) -> Json:
    meta = outcome.object["metadata"]
    details = (
        {"name": meta["name"]} | ({"group": row.group} if row.group else {}) | {"kind": row.plural, "uid": meta["uid"]}
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _place(item: Snapshot) -> tuple[str, str]:
    meta = item.object["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _fold(revision: int, place: tuple[str, str]) -> str:
    """A continue token: opaque to clients, the revision and the first place not yet sent."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": "/".join(place)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _unfold(token: str) -> tuple[int, tuple[str, str]]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = found["start"].partition("/")
        return int(found["rv"]), (namespace, name)
    except (ValueError, KeyError, TypeError, AttributeError) as bad:
        raise errors.bad_request(f"continue key is not valid: {bad}") from bad
