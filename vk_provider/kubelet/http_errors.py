"""What this API answers instead of doing what was asked: a status and one plain line.

The API server shows the text of a 400 or a 500 to the user and replaces that of any other code by words of its own
(kubelet.md H2). So whatever a person must read is one of those two, also where another code would fit better.
"""

from __future__ import annotations

from vk_provider.cloud.base import describe_error
from vk_provider.errors import CloudError, CloudRefused, InstanceGone, ProviderError


class HttpError(ProviderError):
    """The request cannot be carried out as it stands. status: HTTP; the message is the body."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def to_status_and_text(error: Exception) -> tuple[int, str]:
    """Status and one line for any error that comes out of a handler. Says nothing of errors that are our own fault."""
    match error:
        case HttpError():
            return error.status, _one_line(str(error))
        case InstanceGone():
            return 400, _one_line(f"the cloud no longer has the instance of this pod: {describe_error(error)}")
        case CloudRefused():
            return 400, _one_line(describe_error(error))
        case CloudError():
            return 500, _one_line(f"the cloud did not answer as it should: {describe_error(error)}")
        case ProviderError():
            return 500, _one_line(str(error))
        case TimeoutError():
            return 500, "the cloud or the API server took too long to answer; try again"
        case _:
            return 500, "Internal error; the log of the virtual node has the details"


def _one_line(text: str) -> str:
    return " ".join(text.split())
