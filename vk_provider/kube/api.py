"""What everybody but its maker knows of the API server's client: one call is one request, and fails as `errors` say.

`KubeClient` is one; `FencedApi` makes of any another whose writes end with the lease.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from vk_provider.fence import Fence

Json = dict[str, Any]
Answer = Coroutine[Any, Any, Json]

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Permit = Callable[[], float | None]
"""Asked right before each time that a write is sent, after all waiting for its turn: for how many seconds it may be
under way, None = as long as it takes. What it raises ends the call."""


class KubeApi(Protocol):
    """timeout_s bounds a call as a whole, waiting for its turn included. All raise KubeError."""

    @property
    def server(self) -> str:
        """Its address, for people."""
        ...

    def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Answer:
        """The `items` of a collection are read one by one, as they are gone through."""
        ...

    def post(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer: ...

    def put(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer: ...

    def patch(
        self,
        path: str,
        body: Json | list[Json],
        *,
        content_type: str = STRATEGIC,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        """content_type: STRATEGIC or MERGE with a mapping, JSON_PATCH with a list."""
        ...

    def delete(
        self,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        """body: DeleteOptions, as {"gracePeriodSeconds": 0, "preconditions": {"uid": …}}."""
        ...

    def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """The lines of a watch, as they come; see `KubeClient.stream`."""
        ...


class FencedApi:
    """The same API for one who may lose it: nothing is written once the fence is shut. Reads pass.

    A write raises LeadershipLost instead of being sent, and ends unanswered (KubeUnavailable) when the fence shuts
    while it is under way.
    """

    def __init__(self, api: KubeApi, fence: Fence) -> None:
        self._api = api
        self._permit = fence.permit
        self.get = api.get
        self.stream = api.stream

    @property
    def server(self) -> str:
        return self._api.server

    def post(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        return self._api.post(path, body, params=params, timeout_s=timeout_s, permit=self._both(permit))

    def put(
        self,
        path: str,
        body: Json,
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        return self._api.put(path, body, params=params, timeout_s=timeout_s, permit=self._both(permit))

    def patch(
        self,
        path: str,
        body: Json | list[Json],
        *,
        content_type: str = STRATEGIC,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        return self._api.patch(
            path, body, content_type=content_type, params=params, timeout_s=timeout_s, permit=self._both(permit)
        )

    def delete(
        self,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        permit: Permit | None = None,
    ) -> Answer:
        return self._api.delete(path, body=body, params=params, timeout_s=timeout_s, permit=self._both(permit))

    def _both(self, other: Permit | None) -> Permit:
        """Where one fence stands around another, both are asked."""
        own = self._permit
        if other is None:
            return own
        return lambda: min((left for left in (other(), own()) if left is not None), default=None)
