"""For whom a call to the cloud is made. What limits calls shares by it; see `limits`.

It goes with the task, in a context variable: everything between a loop and the wire would have to hand on an argument,
and where nobody has said anything the call counts as the provider's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """In the order in which calls that wait are served."""

    PERSON = "person"  # somebody waits at a terminal
    CONTROL = "control"  # pods' instances: create, delete, describe
    PROBE = "probe"
    BACKGROUND = "background"  # figures, prices, last words


@dataclass(frozen=True, slots=True)
class Caller:
    """namespace and pod: for whose sake; empty for the provider's own."""

    purpose: Purpose = Purpose.CONTROL
    namespace: str = ""
    pod: str = ""


OURSELVES = Caller()
_caller: ContextVar[Caller] = ContextVar("caller", default=OURSELVES)


def caller() -> Caller:
    return _caller.get()


@contextmanager
def calling_for(purpose: Purpose, namespace: str | None = None, pod: str | None = None) -> Iterator[None]:
    """None: for the same one as around this."""
    around = _caller.get()
    token = _caller.set(
        Caller(purpose, around.namespace if namespace is None else namespace, around.pod if pod is None else pod)
    )
    try:
        yield
    finally:
        _caller.reset(token)
