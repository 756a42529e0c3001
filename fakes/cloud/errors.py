"""The one exception of the API: a code, an HTTP status and a message, as the real service answers them.

Everything under the HTTP layer raises `ApiError`; only `server` turns it into a response body.
"""


class ApiError(Exception):
    """A refusal the caller of the API sees.

    code: the documented error code, e.g. `InvalidParameter.CPU.Memory`.
    status: the HTTP status that code has.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def not_found(what: str, name: str) -> ApiError:
    """The 404 for an object the call names and the service does not have."""
    return ApiError("InvalidParameter.NotFound", f"The specified {what} {name!r} does not exist.", 404)


def missing(name: str) -> ApiError:
    return ApiError("MissingParameter", f"The input parameter {name!r} that is mandatory for this request is missing.")


def invalid(name: str, why: str) -> ApiError:
    return ApiError("InvalidParameter", f"The specified parameter {name!r} is not valid: {why}.")


def too_long(name: str, limit: object) -> ApiError:
    return ApiError("InvalidParameter.LengthExceeded", f"The parameter {name!r} exceeds its limit of {limit}.")


def out_of_range(name: str, why: str) -> ApiError:
    return ApiError("InvalidParameter.ValueExceeded", f"The value of {name!r} is out of range: {why}.")
