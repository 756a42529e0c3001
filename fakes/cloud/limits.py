"""How many calls a minute the service takes, per key and API. Source: the vendor's page of limits.

The clock is the machine's, not the service's: clients live in real time.
"""

from fakes.cloud.errors import ApiError

PER_MINUTE: dict[str, int] = {
    "DescribeContainerGroups": 2000,
    "DescribeContainerGroupMetric": 2000,
    "CreateContainerGroup": 1000,
    "DeleteContainerGroup": 1000,
    "DescribeContainerGroupPrice": 1000,
    "ExecContainerCommand": 500,
    "DescribeContainerLog": 500,
    "RestartContainerGroup": 500,
    "UpdateContainerGroup": 500,
    "DescribeMultiContainerGroupMetric": 500,
}
WINDOW_S = 60.0
ASSUMED_PER_MINUTE = 1000  # for the APIs that the vendor's table leaves out


class RateLimits:
    """One count per key and API, begun anew by the first call a minute after the one that began it."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, key_id: str, action: str, now: float) -> None:
        """Count one call at monotonic second `now`. Raises ApiError `Throttling`."""
        if not self.enabled:
            return
        limit = PER_MINUTE.get(action, ASSUMED_PER_MINUTE)
        began, count = self._counts.get((key_id, action), (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count >= limit:
            raise throttled()
        self._counts[key_id, action] = (began, count + 1)


def throttled() -> ApiError:
    return ApiError("Throttling", "Request was denied due to request throttling.")
