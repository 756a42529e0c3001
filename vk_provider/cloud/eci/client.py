"""Signs a call, sends it, and turns every way it can fail into one of our errors.

Retries live here: each try has a new nonce, time and signature, but the same words, so that with its ClientToken a
create that was answered too late is found again instead of made twice. No body, signature or key is ever logged or
put into a message.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import tenacity
from yarl import URL

from vk_provider import bodies, bounds, jsontext
from vk_provider.cloud.eci import error_codes, sign
from vk_provider.cloud.eci.credentials import Credentials, CredentialSource
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import (
    CloudAnswerTooLong,
    CloudDenied,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    InstanceGone,
    Throttled,
)
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.callers import caller
from vk_provider.pacing.sliding_window import Limits, RetryBudget, SlidingWindowLimiter

Observe = Callable[[str, str, float], None]
Heard = Callable[[CloudError | None, float], None]

# Calls per minute; source: eci.md 1.10. The calls it does not name get UNPUBLISHED.
PER_MINUTE = {
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
UNPUBLISHED = 500
BY_PEOPLE = frozenset({"DescribeContainerLog", "DescribeContainerGroups", "ExecContainerCommand"})

ONCE_S = 6.0
_LONGEST_WAIT_S = 15.0  # asked to wait longer, the caller is told and can do something else meanwhile
_MAX_MESSAGE = 500
_LARGE = 64 * 1024  # characters of a body: they take 4 ms to be encoded
_FORM = "application/x-www-form-urlencoded"


def _unobserved(action: str, code: str, seconds: float) -> None:
    """For callers without metrics."""


def _unnoticed(unanswered: CloudError | None, seconds: float) -> None:
    """For callers whom it does not concern whether the cloud answers."""


class EciClient:
    """One region of ECI. Every try passes its call's rate limit first; connections are pooled and bounded.

    observe: told of each try: action, code (`OK`, the cloud's, or the error class), seconds without queueing.
    heard: told after each try how long it took, and of its error if nobody answered it; None = ECI did, maybe by an
    error.
    now, new_nonce, jitter: the wall clock, fresh nonces and randomness in [0, 1).
    first_pause_s: before the second try; it doubles with each further one.
    """

    def __init__(
        self,
        settings: EciSettings,
        credentials: CredentialSource,
        *,
        observe: Observe = _unobserved,
        heard: Heard = _unnoticed,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_nonce: Callable[[], str] = lambda: uuid.uuid4().hex,
        jitter: Callable[[], float] = random.random,
        first_pause_s: float = 0.5,
    ) -> None:
        self._settings = settings
        self._backoff = Backoff(first_s=first_pause_s, most_s=8.0)
        self._credentials = credentials
        self._observe = observe
        self._heard = heard
        self._now = now
        self._new_nonce = new_nonce
        self._jitter = jitter
        self._limits = Limits({**PER_MINUTE, **settings.per_minute}, default=UNPUBLISHED, by_people=BY_PEOPLE)
        self._budget = RetryBudget()
        self._session: aiohttp.ClientSession | None = None

    @property
    def settings(self) -> EciSettings:
        return self._settings

    async def once(self, request: EciRequest) -> Mapping[str, Any]:
        """As `call`, without a second try: for people who wait and want to know how it stands."""
        async with asyncio.timeout(ONCE_S):
            return await self._tried(request)

    async def credentials(self) -> Credentials:
        """Those to sign with now. Raises CloudDenied."""
        return await self._credentials.get()

    def call_budgets(self) -> Mapping[str, tuple[int, int]]:
        """By call name: calls of the last minute, and how many are allowed."""
        return self._limits.used()

    async def call(self, request: EciRequest) -> Mapping[str, Any]:
        """The answer's JSON object; of a listing, with items that are unread.

        Raises CloudError of the kind `codes` gives, after the tries are used up.
        """
        failures: list[CloudError] = []
        try:
            async with asyncio.timeout(self._settings.call_deadline_s):
                try:
                    return await self._tried(request)
                except CloudError as error:
                    failures.append(error)
                return await self._tried_again(request, failures)
        except TimeoutError as error:
            raise (failures[-1] if failures else self._too_late(request)) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- retries ------------------------------------------------------------------------------------------------------

    async def _tried(self, request: EciRequest) -> Mapping[str, Any]:
        answer = await self._fresh(request)
        self._budget.succeeded(caller())
        return answer

    async def _tried_again(self, request: EciRequest, failures: list[CloudError]) -> Mapping[str, Any]:
        """failures: the first try's, to which those of the others are added.

        The first try is made without tenacity and is only told to it here: a loop of its leaves thirty objects in a
        ring, which lie about in a burst until the collector comes.
        """
        untold = failures[:]
        async for attempt in self._tries():
            with attempt:
                if untold:
                    raise untold.pop()
                try:
                    return await self._tried(request)
                except CloudError as error:
                    failures.append(error)
                    raise
        raise AssertionError("tenacity ends with a result or an exception")

    def _tries(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._settings.max_attempts),
            retry=tenacity.retry_if_exception(self._is_worth_a_retry),
            wait=self._wait_s,
            sleep=asyncio.sleep,
            reraise=True,
        )

    def _is_worth_a_retry(self, error: BaseException) -> bool:
        """What takes longer to pass, as missing stock, quota and rights, is the caller's business."""
        if isinstance(error, Throttled) and (error.retry_after_s or 0.0) > _LONGEST_WAIT_S:
            return False
        return isinstance(error, CloudError) and error.retryable and self._budget.try_acquire(caller())

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, Throttled) else None
        if isinstance(error, CloudError) and error.code == error_codes.NONCE_USED:
            return 0.0
        return max(asked_s or 0.0, self._backoff.delay(state.attempt_number - 1, jitter=self._jitter()))

    async def _fresh(self, request: EciRequest) -> Mapping[str, Any]:
        """One try; two when the credentials turn out to have just expired, or to have been rotated."""
        credentials = await self._credentials.get()
        try:
            return await self._once(request, credentials)
        except CloudDenied as error:
            if not error.code.startswith(error_codes.KEY_REFUSED):
                raise
            self._credentials.forget()
            renewed = await self._credentials.get()
            if renewed == credentials and error.code != error_codes.TOKEN_EXPIRED:
                raise
        return await self._once(request, renewed)

    def _too_late(self, request: EciRequest) -> CloudError:
        """No try came to an end. A try is bounded by its own time-outs, so it was the queue that took so long."""
        limit_s = self._settings.call_deadline_s
        return Throttled(f"{request.action} was not done in {limit_s:g} s, mostly waiting its turn under ECI's limits")

    # --- one try ------------------------------------------------------------------------------------------------------

    async def _once(self, request: EciRequest, credentials: Credentials) -> Mapping[str, Any]:
        bucket = self._limits.bucket(request.action)
        await bucket.acquire(caller())
        sent = await _encoded(request.body)
        common = sign.common_parameters(
            action=request.action,
            region=self._settings.region,
            access_key_id=credentials.access_key_id,
            security_token=credentials.security_token,
            now=self._now(),
            nonce=self._new_nonce(),
        )
        queried = sign.pairs({**request.query, **common})
        query, body = sign.signed_pairs(request.method, queried, sent, credentials.access_key_secret)
        return await self._observed(request, query, body, bucket)

    async def _observed(
        self, request: EciRequest, query: str, body: str, bucket: SlidingWindowLimiter
    ) -> Mapping[str, Any]:
        clock = asyncio.get_running_loop().time
        began, code = clock(), "given up"
        try:
            answer = await self._send(request, query, body)
        except CloudError as error:
            code = error.code or type(error).__name__
            is_unanswered = isinstance(error, CloudUnavailable) and not error.code
            self._heard(error if is_unanswered else None, clock() - began)
            if isinstance(error, Throttled):
                bucket.slow_down()
            raise
        else:
            code = "OK"
            self._heard(None, clock() - began)
            return answer
        finally:
            self._observe(request.action, code, clock() - began)

    async def _send(self, request: EciRequest, query: str, body: str) -> Mapping[str, Any]:
        url = URL(f"{self._settings.base_url}/?{query}", encoded=True)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": bodies.ACCEPTED,
            "x-acs-action": request.action,
            "x-acs-version": sign.VERSION,
        }
        if body:
            headers["Content-Type"] = _FORM
        data = body.encode() or None
        try:
            async with (
                asyncio.timeout(request.permit() if request.permit is not None else None),
                self._opened().request(
                    request.method, url, data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                async with asyncio.timeout(self._settings.answer_timeout_s):
                    content = await bodies.read(response, bounds.MOST_CLOUD_ANSWER)
                return _judge(request, response.status, response.headers, content)
        except bodies.Overlong as error:
            raise CloudAnswerTooLong(f"{request.action}: {error}") from error
        except bodies.Unreadable as error:
            raise CloudUnavailable(f"{request.action}: the answer cannot be read: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request.action, error) from error

    def _unreachable(self, action: str, error: Exception) -> CloudUnavailable:
        """The foreign error's text may hold the URL, and with it a signature: only its kind is named."""
        return CloudUnavailable(
            f"{action}: no answer from {self._settings.base_url} ({type(error).__name__}): "
            "check --eci-endpoint and the network"
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=settings.max_connections),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),  # the API has none, and to look for them costs a third of a call
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.read_timeout_s
                ),
            )
        return self._session


async def _encoded(body: Mapping[str, str]) -> Mapping[str, str]:
    """Its parameters as `sign.pairs` gives them; of a large one, which takes long, piece by piece: others come in
    between."""
    if sum(map(len, body.values())) <= _LARGE:
        return sign.pairs(body)
    sent: dict[str, str] = {}
    left = 0
    for name, text in body.items():
        left -= len(text)
        if left < 0:
            await asyncio.sleep(0)
            left = _LARGE
        sent |= sign.pairs({name: text})
    await asyncio.sleep(0)
    return sent


# --- answers ----------------------------------------------------------------------------------------------------------


def _judge(request: EciRequest, status: int, headers: Mapping[str, str], content: bytes) -> Mapping[str, Any]:
    """The answer's object, or the error it stands for."""
    answer = _object(content, jsontext.opened if request.is_listing else jsontext.loads)
    if answer is not None and (status < 300 or answer.get("Code") in error_codes.SUCCESSES):
        return answer
    raise _error(request, status, headers, answer or {})


def _error(request: EciRequest, status: int, headers: Mapping[str, str], answer: Mapping[str, Any]) -> CloudError:
    action, code, request_id = request.action, _word(answer, "Code"), _word(answer, "RequestId")
    kind = error_codes.error_class(action, code, status)
    if kind is InstanceGone and "ContainerName" in _word(answer, "Message"):
        kind = CloudRefused  # the container is not in the group; the group is there
    message = _message(action, status, code, request.without_secrets(_word(answer, "Message")))
    if issubclass(kind, Throttled):
        return kind(message, code=code, request_id=request_id, retry_after_s=_retry_after_s(headers))
    return kind(message, code=code, request_id=request_id)


def _object(content: bytes, read: Callable[[bytes], Any]) -> dict[str, Any] | None:
    try:
        answer = read(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _word(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _message(action: str, status: int, code: str, words: str) -> str:
    """For people. A known mistake gets our advice in place of the cloud's words, which for a bad signature repeat
    the whole request, secrets included."""
    if not code:
        return f"{action}: HTTP {status} and no ECI error in it: is the address (--eci-endpoint) really ECI's?"
    return f"{action}: {code}: {error_codes.hint(code) or words[:_MAX_MESSAGE]}"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Only the form in seconds; the cloud is not known to send a date."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None
