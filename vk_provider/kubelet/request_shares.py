"""How many requests about one pod, and about the pods of one namespace, may be under way: followed logs, terminals,
forwarded ports. Each holds a descriptor or more, of which there are so many; nobody's may be all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from vk_provider.kubelet.http_errors import HttpError

MOST_REQUESTS = 8_000  # however many files the process may have open: each has buffers, a followed log also calls
_LEAST = 8  # of a namespace, however few files the process may have open


class RequestShares:
    """Of `most` in all a namespace may have half, and a pod a quarter. Without a namespace a request is not counted."""

    def __init__(self, most: int) -> None:
        self._of_namespace = max(_LEAST, most // 2)
        self._of_pod = max(_LEAST // 2, most // 4)
        self._under_way: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def held(self, namespace: str, pod: str) -> Iterator[None]:
        """For as long as it lasts. Raises HttpError where there are too many."""
        if not namespace:
            yield
            return
        shares = {(namespace, ""): self._of_namespace, (namespace, pod): self._of_pod}
        for (_, name), most in shares.items():
            if self._under_way[namespace, name] >= most:
                what = f"pod {name}" if name else f"namespace {namespace}"
                text = (
                    f"{most} logs, terminals and ports of {what} are open already, which is all that it may have here"
                )
                raise HttpError(500, f"{text}: close some of them")
        self._under_way.update(shares.keys())
        try:
            yield
        finally:
            self._under_way -= Counter(shares.keys())
