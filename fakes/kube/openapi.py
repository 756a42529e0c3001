"""The schemas of what is served, for clients that read them: OpenAPI v2 (JSON and protobuf) and v3 by group."""

import hashlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

from fakes.kube import errors, openapi_proto
from fakes.kube.catalog import Catalog
from fakes.kube.resources import Resource
from fakes.kube.schema import TYPES, Field, Type, fields_of
from fakes.kube.seed import VERSION
from fakes.kube.store import encode
from fakes.kube.versions import Version

Json = dict[str, Any]

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Asked for with an @ before the v, answered without: an @ is no part of a media type, and clients check the answer."""
_RETAIN_KEYS = frozenset({("PodSpec", "volumes"), ("DeploymentSpec", "strategy")})
_SCALARS: dict[str, Json] = {
    "s": {"type": "string"},
    "t": {"type": "string", "format": "date-time"},
    "y": {"type": "string", "format": "byte"},
    "i": {"type": "integer", "format": "int64"},
    "n": {"type": "number", "format": "double"},
    "b": {"type": "boolean"},
    "q": {"type": "string"},
    "x": {"type": "string", "format": "int-or-string"},
    "j": {"type": "object"},
}
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


class Schemas:
    """The documents about what one server serves, each made once for every change of that."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._made: dict[str, bytes] = {}
        self._generation = catalog.generation

    def serve(self, path: str, accept: str) -> web.Response:
        """Answer under /openapi. Raises ApiError 404."""
        if self._generation != self._catalog.generation:
            self._made.clear()
            self._generation = self._catalog.generation
        if path == "/openapi/v2":
            if "proto-openapi.spec.v2" in accept:
                body = self._once("v2 protobuf", lambda: openapi_proto.document(v2(self._rows())))
                return web.Response(body=body, headers={"Content-Type": PROTOBUF})
            return web.Response(
                body=self._once("v2", lambda: encode(v2(self._rows()))), content_type="application/json"
            )
        if path == "/openapi/v3":
            return web.Response(body=encode(self._index()), content_type="application/json")
        wanted = path.removeprefix("/openapi/v3/")
        if wanted in v3_paths(self._rows()):
            return web.Response(body=self._v3(wanted), content_type="application/json")
        raise errors.no_such_path()

    def _rows(self) -> list[tuple[Resource, str]]:
        """Each resource with each version; a custom resource's versions have schemas of their own."""
        return [
            (row, version)
            for row in self._catalog.versions()
            for version in ((row.version,) if row.custom is not None else (row.version, *row.older))
        ]

    def _once(self, name: str, make: Callable[[], bytes]) -> bytes:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _v3(self, path: str) -> bytes:
        return self._once(path, lambda: encode(v3(v3_paths(self._rows())[path])))

    def _index(self) -> Json:
        paths = {}
        for path in v3_paths(self._rows()):
            digest = hashlib.sha256(self._v3(path)).hexdigest()[:32].upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": paths}


def _name(row: Resource, version: str) -> str:
    if row.custom is not None:
        return ".".join([*reversed(row.group.split(".")), version, row.kind])
    return f"io.k8s.api.{row.group.partition('.')[0] or 'core'}.{version}.{row.kind}"


def _inner(name: str) -> str:
    return f"io.k8s.api.core.v1.{name}" if name != "ObjectMeta" else "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _schema(wanted: Type, prefix: str) -> Json:
    match wanted.kind:
        case "list" if wanted.inner is not None:
            made: Json = {"type": "array", "items": _schema(wanted.inner, prefix)}
            if wanted.merge_key is not None:
                made["x-kubernetes-patch-strategy"] = "merge"
            if wanted.merge_key:
                made["x-kubernetes-patch-merge-key"] = wanted.merge_key
            return made
        case "map" if wanted.inner is not None:
            return {"type": "object", "additionalProperties": _schema(wanted.inner, prefix)}
        case "object":
            return {"$ref": prefix + _inner(wanted.name)}
        case letter:
            return dict(_SCALARS[letter])


def _object(owner: str, fields: dict[str, Field] | None, prefix: str) -> Json:
    if fields is None:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {}
    for name, field in fields.items():
        made = _schema(field.type, prefix)
        if (owner, name) in _RETAIN_KEYS:
            strategy = made.get("x-kubernetes-patch-strategy")
            made["x-kubernetes-patch-strategy"] = f"{strategy},retainKeys" if strategy else "retainKeys"
        properties[name] = made
    required = [name for name, field in fields.items() if field.required]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _definitions(rows: list[tuple[Resource, str]], prefix: str) -> Json:
    """The schemas of some kinds and of everything they are made of."""
    made: Json = {}
    todo: list[str] = ["ObjectMeta"]
    for row, version in rows:
        fields = fields_of(row.native, top=True) if row.custom is None else {}
        schema = _object(row.kind, fields, prefix) if row.custom is None else _custom(row.custom, prefix)
        kind = {"group": row.group, "version": version, "kind": row.kind}
        schema["description"] = schema.get("description") or f"{row.kind}, as far as this stand-in serves it."
        schema["x-kubernetes-group-version-kind"] = [kind]
        made[_name(row, version)] = schema
        todo += _references(fields)
    while todo:
        name = todo.pop()
        if _inner(name) not in made:
            fields = TYPES.get(name)
            made[_inner(name)] = _object(name, fields, prefix)
            todo += _references(fields)
    return made


def _custom(said: Version, prefix: str) -> Json:
    """A definition's own schema, with what every object has."""
    own = said.schema.get("properties") or {}
    properties = {
        **own,
        "apiVersion": own.get("apiVersion", dict(_SCALARS["s"])),
        "kind": own.get("kind", dict(_SCALARS["s"])),
        "metadata": {"$ref": prefix + _inner("ObjectMeta")},
    }
    return {**said.schema, "properties": properties}


def _references(fields: dict[str, Field] | None) -> list[str]:
    found = []
    for field in (fields or {}).values():
        wanted: Type | None = field.type
        while wanted is not None:
            if wanted.kind == "object":
                found.append(wanted.name)
            wanted = wanted.inner
    return found


def _base(row: Resource, version: str) -> str:
    return f"apis/{row.group}/{version}" if row.group else f"api/{version}"


def _paths(rows: list[tuple[Resource, str]], *, v3_form: bool) -> Json:
    paths: Json = {}
    for row, version in rows:
        kind = {"group": row.group, "version": version, "kind": row.kind}
        space = "namespaces/{namespace}/" if row.namespaced else ""
        base = f"/{_base(row, version)}/{space}{row.plural}"
        if "list" in row.verbs:
            paths[base] = {"get": _operation("list", kind, v3_form=v3_form)}
        if "create" in row.verbs:
            paths.setdefault(base, {})["post"] = _operation("post", kind, v3_form=v3_form)
        if "get" in row.verbs:
            paths[base + "/{name}"] = {verb: _operation(verb, kind, v3_form=v3_form) for verb in ("get", "patch")}
    return paths


def _operation(action: str, kind: Json, *, v3_form: bool) -> Json:
    typed: Json = {"schema": {"type": "string"}} if v3_form else {"type": "string"}
    names = _WRITE_PARAMETERS if action in ("post", "patch") else ()
    parameters = [{"name": name, "in": "query", **typed} for name in names]
    return {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    }


def v2(rows: list[tuple[Resource, str]]) -> Json:
    """The whole OpenAPI v2 document."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes stand-in", "version": VERSION},
        "paths": _paths(rows, v3_form=False),
        "definitions": _definitions(rows, "#/definitions/"),
    }


def v3_paths(rows: list[tuple[Resource, str]]) -> dict[str, list[tuple[Resource, str]]]:
    """What is documented together, by "api/v1" or "apis/batch/v1"."""
    found: dict[str, list[tuple[Resource, str]]] = {}
    for row, version in rows:
        found.setdefault(_base(row, version), []).append((row, version))
    return found


def v3(rows: list[tuple[Resource, str]]) -> Json:
    """The OpenAPI v3 document of one group and version."""
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes stand-in", "version": VERSION},
        "paths": _paths(rows, v3_form=True),
        "components": {"schemas": _definitions(rows, "#/components/schemas/")},
    }
