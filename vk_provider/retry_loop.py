"""The one loop that everything which runs for ever is made of: it outlives whatever a round of it raises.

Servers send what nobody foresaw, and a provider that ends because of one object cannot carry the others. So a round
that fails is logged and tried again later, longer each time. Only two things end a loop: being cancelled, and
ConfigError, which nothing but other settings can mend. `tests/test_loops.py` finds loops that are made otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from vk_provider.errors import ConfigError, ProviderError
from vk_provider.pacing.backoff import Backoff
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

BACKOFF = Backoff(first_s=0.5, most_s=60.0, spread=0.5)
MOST_ASKED_S = 300.0  # of what a server asks us to wait (Retry-After)

unforeseen: Counter[str] = Counter()  # by loop, for metrics: rounds that failed with what is no ProviderError


async def retry_loop(
    step: Callable[[], Awaitable[object]],
    *,
    name: str,
    backoff: Backoff = BACKOFF,
    jitter: Callable[[], float] = random.random,
    rest: Callable[[], Awaitable[object]] | None = None,
    rest_first: bool = False,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    calm_s: float = 0.0,
    on_failure: Callable[[Exception, float], object] | None = None,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Call `step` again and again; returns only once `until` is true.

    rest: what comes before each further round after one that went well, and before the first with `rest_first`; part of
    the round as far as failures go.
    pause: how the seconds after a failure are waited. jitter: in [0, 1).
    calm_s: a failure counts as one more in a row when it comes within so long of the last one's pause.
    on_failure: told of the error and the seconds until the next try. It stands in for the log of a ProviderError;
    anything else is logged here in any case, with its traceback.
    Raises ConfigError, alone or out of a group.
    """
    loop, repeats = asyncio.get_running_loop(), ThrottledLog(log)
    failures, failed_at, resting = 0, float("-inf"), rest_first
    while not until():
        try:
            if resting and rest is not None:
                await rest()
            resting = True
            await step()
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            # What the step waited for was cancelled, not we: without this the loop would end without a word.
            failed: Exception = RuntimeError(f"what it waited for was cancelled ({error!r})")
        except Exception as error:
            raise_if_fatal(error)
            failed = error
        else:
            if loop.time() - failed_at >= calm_s:
                failures = 0
            continue
        if loop.time() - failed_at > calm_s > 0:
            failures = 0
        asked_s = min(MOST_ASKED_S, getattr(failed, "retry_after_s", None) or 0.0)
        delay_s = max(backoff.delay(failures, jitter=jitter()), asked_s)
        failures, failed_at, resting = failures + 1, loop.time() + delay_s, False
        _report(failed, delay_s, name, on_failure, repeats)
        await pause(delay_s)


def reported_elsewhere(error: Exception, delay_s: float) -> None:
    """An `on_failure` for steps that tell of their failures themselves."""


def raise_if_fatal(error: Exception) -> None:
    """Raise the ConfigError that this is or holds, if it does."""
    found: BaseException | None = error
    if isinstance(error, ExceptionGroup):
        found = error.subgroup(ConfigError)
        while isinstance(found, ExceptionGroup):
            found = found.exceptions[0]
    if isinstance(found, ConfigError):
        raise found


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _kind_of(error: Exception) -> tuple[object, ...]:
    """What makes two failures the same to a reader of the log; their words may differ each time."""
    return type(error), getattr(error, "status", 0), getattr(error, "code", "")


def _report(
    failed: Exception,
    delay_s: float,
    name: str,
    on_failure: Callable[[Exception, float], object] | None,
    repeats: ThrottledLog,
) -> None:
    if isinstance(failed, ProviderError):
        if on_failure is None:
            repeats.warning(_kind_of(failed), "loop=%s failed and goes on in_s=%.1f: %s", name, delay_s, failed)
    else:
        unforeseen[name] += 1
        words = "loop=%s failed unexpectedly and goes on in_s=%.1f: %r"
        repeats.warning(_kind_of(failed), words, name, delay_s, failed, exc_info=failed)
    if on_failure is None:
        return
    try:
        on_failure(failed, delay_s)
    except Exception:
        log.exception("loop=%s: its on_failure failed", name)
