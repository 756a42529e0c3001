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
ASSUMED_PER_MINUTE = 1000  # for the APIs that the vendor's table leaves out


class RateLimits:
    """One bucket per key and API, as large as a minute's calls and refilled evenly."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, key_id: str, action: str, now: float) -> None:
        """Count one call at monotonic second `now`. Raises ApiError `Throttling`."""
        if not self.enabled:
            return
        limit = PER_MINUTE.get(action, ASSUMED_PER_MINUTE)
        left, before = self._buckets.get((key_id, action), (float(limit), now))
        left = min(float(limit), left + (now - before) * limit / 60)
        if left < 1:
            self._buckets[key_id, action] = (left, now)
            raise throttled()
        self._buckets[key_id, action] = (left - 1, now)


def throttled() -> ApiError:
    return ApiError("Throttling", "Request was denied due to request throttling.")
