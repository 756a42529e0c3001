"""The one exception of the stand-in API server, and the wording Kubernetes gives each refusal.

Every function here only builds an error; the caller raises it. Messages follow k8s.io/apimachinery's
`api/errors` and `util/validation/field`, since people and tools match on them.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal as a client sees it: becomes a metav1.Status body with the HTTP code `code`."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Json:
        """The metav1.Status object."""
        body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one field (`field.Error` in Kubernetes)."""

    field: str
    reason: str
    body: str

    @classmethod
    def required(cls, field: str, detail: str = "") -> Self:
        return cls(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> Self:
        return cls(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}")

    @classmethod
    def unsupported(cls, field: str, value: object, supported: tuple[str, ...]) -> Self:
        names = ", ".join(json.dumps(name) for name in sorted(supported))
        return cls(field, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {names}")

    @classmethod
    def forbidden(cls, field: str, detail: str) -> Self:
        return cls(field, "FieldValueForbidden", f"Forbidden: {detail}")

    @classmethod
    def duplicate(cls, field: str, value: object) -> Self:
        return cls(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")

    @classmethod
    def not_found(cls, field: str, value: object) -> Self:
        return cls(field, "FieldValueNotFound", f"Not found: {_shown(value)}")

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False)


def qualified(plural: str, group: str) -> str:
    """`pods`, `jobs.batch`: how a resource is named in messages and in this package's own keys."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, **more: Any) -> Json:
    details: Json = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details | more


def not_found(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(name, group, plural))


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


def modified(plural: str, group: str, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(plural, group, name, why)


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    shown = f' "{name}"' if name else ""
    message = f"{qualified(plural, group)}{shown} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, _details(name, group, plural))


def invalid(kind: str, group: str, name: str, faults: list[Fault]) -> ApiError:
    texts = [str(fault) for fault in faults]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    shown = qualified(kind, group)
    causes = [{"reason": fault.reason, "message": fault.body, "field": fault.field} for fault in faults]
    return ApiError(
        422, "Invalid", f'{shown} "{name}" is invalid: {joined}', _details(name, group, kind, causes=causes)
    )


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(supported: str) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + supported
    return ApiError(415, "UnsupportedMediaType", message)
