"""Every error this program raises, in one tree: the class says what happens next, the message what a person can do.

Foreign exceptions (aiohttp's, the cloud vendor's) are mapped onto these once, at the call, with `from`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vk_provider import bounds


class ProviderError(Exception):
    """Root of the tree. The message goes into logs, events and statuses, and others' words are in it, so its length is
    bounded.

    retryable: whether the very same call may be sent again in a moment, since what was wrong passes by itself.
    again_s: how long whoever has to keep at it all the same waits before looking again, in seconds: after the first
    failure, and at the most.
    """

    retryable: ClassVar[bool] = False
    again_s: ClassVar[tuple[float, float]] = (0.5, 60.0)

    def __init__(self, message: str = "") -> None:
        super().__init__(bounds.shortened(message, bounds.MOST_MESSAGE))


class ConfigError(ProviderError):
    """The settings are wrong; the process ends with exit code 2. `faults` holds one line per fault, all of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        Exception.__init__(self, "\n".join(self.faults))  # the operator's own words, and all of them


class ManifestError(ProviderError):
    """Files given to `vk-provider show` are no manifests; exit code 2. `faults`: one line each, all of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class LeadershipLost(ProviderError):
    """Another process may serve the node by now: nothing more may be written, and this one becomes a follower."""


# --- pods -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing in a pod that cannot be carried out: where it stands and why. What is very long of it is cut."""

    field: str  # path in the pod, as `spec.volumes[2].hostPath`
    reason: str  # for people; says what to do instead where there is something
    kubelets: str = ""  # the reason that a kubelet gives of a pod that it refuses for the same, for programs

    def __post_init__(self) -> None:
        if len(self.field) > bounds.MOST_FIELD:
            object.__setattr__(self, "field", bounds.shortened(self.field, bounds.MOST_FIELD))
        if len(self.reason) > bounds.MOST_REASON:
            object.__setattr__(self, "reason", bounds.shortened(self.reason, bounds.MOST_REASON))

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


_KUBELETS_REASONS = {"spec.os.": "PodOSNotSupported", "spec.securityContext.sysctls[": "SysctlForbidden"}


class UnsupportedPod(ProviderError):
    """The pod says something that this cloud can never do; the pod ends Failed and is not tried again."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__(_listed(self.refusals))

    @property
    def reason(self) -> str:
        """Of the pod's status and event: the one that kubelets give for it, where they refuse it too (P7)."""
        if reported := next((refusal.kubelets for refusal in self.refusals if refusal.kubelets), ""):
            return reported
        for start, reason in _KUBELETS_REASONS.items():
            if any(refusal.field.startswith(start) for refusal in self.refusals):
                return reason
        return "UnsupportedPod"


def _listed(refusals: Sequence[Refusal]) -> str:
    """As many of them as a message holds, and how many more there are."""
    reported: list[str] = []
    left = bounds.MOST_MESSAGE - len("; and 20,000 more")
    for refusal in refusals:
        text = str(refusal)
        left -= len(text) + len("; ")
        if left < 0:
            return "; ".join([*reported, f"and {len(refusals) - len(reported):,} more"])
        reported.append(text)
    return "; ".join(reported)


class PodNotReady(ProviderError):
    """Something the pod names is not there yet; the pod stays Pending and is looked at again.

    event_reason: `FailedMount` for a volume, `Failed` for a container's environment.
    waiting_reason: what the container shows meanwhile, `CreateContainerConfigError` or `ContainerCreating`.
    container: the container it concerns; empty for a volume.
    Source: kubelet.md c.2, S12.
    """

    retryable = True

    def __init__(self, message: str, *, event_reason: str, waiting_reason: str, container: str = "") -> None:
        self.event_reason = event_reason
        self.waiting_reason = waiting_reason
        self.container = container
        super().__init__(message)


# --- the API server -------------------------------------------------------------------------------------------------


class KubeError(ProviderError):
    """The API server refused or did not answer. status: HTTP code, 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after_s: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(message)

    @property
    def unanswered(self) -> bool:
        return self.status == 0


class KubeUnavailable(KubeError):
    """No answer, 429 or 5xx: try again after `retry_after_s` or by back-off."""

    retryable = True


MALFORMED = "MalformedAnswer"  # a reason of ours


class MalformedAnswer(KubeUnavailable):
    """What came is not what the API promises: it proves nothing, and asking again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=MALFORMED)


class VersionsWentBack(KubeUnavailable):
    """What came is older than what the server has told before: it lags behind, or was restored from a backup."""


class AnswerTooLong(KubeUnavailable):
    """Longer than is ever read: the same again is no better, but a page of fewer objects is."""

    retryable = False


class NotFound(KubeError):
    """404: the object is gone."""


class Conflict(KubeError):
    """409: another uid or resourceVersion, or it exists already. Read again before anything else."""


class Gone(KubeError):
    """410: the resourceVersion is too old. List again."""


# --- the cloud ------------------------------------------------------------------------------------------------------


class CloudError(ProviderError):
    """The cloud refused or failed. code: the cloud's own, or empty; request_id: what its support asks for."""

    def __init__(self, message: str, *, code: str = "", request_id: str = "") -> None:
        self.code = code
        self.request_id = request_id
        super().__init__(message)


class CloudUnavailable(CloudError):
    """No answer, time-out, 5xx. The call may or may not have acted."""

    retryable = True


class CloudAnswerTooLong(CloudUnavailable):
    """Longer than is ever read: the same again at once is no better; fewer instances in one answer are."""

    retryable = False


class Throttled(CloudError):
    """Too many calls. retry_after_s: what the cloud asked for, if it did."""

    retryable = True

    def __init__(
        self, message: str, *, code: str = "", request_id: str = "", retry_after_s: float | None = None
    ) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message, code=code, request_id=request_id)


class OutOfCapacity(CloudError):
    """No stock, quota used up, no address left: looked at again slowly, shown on the pod meanwhile.

    next_attempt: another way to carry the pod that is worth trying at once; None = none is. retry_after_s: how long
    asking again makes no sense. is_known: nobody was asked, for the answer was heard a moment ago.
    """

    again_s = (2.0, 120.0)

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        request_id: str = "",
        next_attempt: int | None = None,
        retry_after_s: float | None = None,
        is_known: bool = False,
    ) -> None:
        self.next_attempt = next_attempt
        self.retry_after_s = retry_after_s
        self.is_known = is_known
        super().__init__(message, code=code, request_id=request_id)


class CloudDenied(CloudError):
    """Credentials or permissions are wrong: nothing works until somebody mends them. Shown on the node and the pod."""

    again_s = (2.0, 120.0)  # a person may mend it while we run


class CloudRefused(CloudError):
    """Our request is wrong for this cloud, or for the state in which an instance is.

    A create is never sent again: the pod ends Failed. What cannot be given up, as a deletion, is tried again, but
    slowly, and the pod's owner is told.
    """

    again_s = (10.0, 300.0)


class InstanceGone(CloudError):
    """The instance is not there (any more), by an answer about its very id. For a delete this is success; whatever else
    was to be done with it is not tried again."""
