"""Our serving certificate, signed by the cluster: asked for, waited for, renewed in time.

There is something to serve with at every moment: what an earlier life of ours has kept (`certificate_store`), else a
self-signed stand-in until the first certificate is issued, then the newest that was. Keys are made here, one for each
request; where nothing is kept, they never leave the memory.
Source: kubelet.md A8, A9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from vk_provider.errors import Conflict, KubeError, KubeUnavailable, NotFound, ProviderError
from vk_provider.kube import objects, paths
from vk_provider.kube.api import KubeApi
from vk_provider.kubelet import csr
from vk_provider.kubelet.certificate_store import CertificateStore, Issued
from vk_provider.kubelet.certificates import KeyPair, KeyPairSource
from vk_provider.kubelet.csr import Outcome, Verdict
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

Json = dict[str, Any]
Tell = Callable[[str, str, str], None]  # an event on the node: (type, reason, message)

NOT_ISSUED, ISSUED = "ServingCertificateNotIssued", "ServingCertificateIssued"
TELL_AFTER_S = 60.0  # an approver that is there needs seconds; a person must be told
PATIENCE = Backoff(first_s=900.0, most_s=4 * 3600.0, spread=0.0)  # then the request is made anew
CHECKS = Backoff(first_s=1.0, most_s=10.0, spread=0.1)
REFUSED_CHECK_S = 60.0  # nothing changes but that somebody deletes the request
RETRY = Backoff(first_s=1.0, most_s=300.0)
LOOK_AT_CLOCK_S = 60.0  # the wall clock may be set, and a machine may sleep
LEAST_REST_S = 30.0  # even if a certificate has ended when it comes, as a wrong clock makes it look
_IDENTITY = ("uid", "resourceVersion")
_REFUSED = (Verdict.DENIED, Verdict.FAILED)
EARLIEST, LATEST = 0.7, 0.9  # of its life; between them at random, so that nodes made together do not renew together


class _NotIssued(ProviderError):
    """Asked for anew. Without a message: not signed in time, or the request was removed."""


class ServingCertificate:
    """Keeps a certificate of the signer kubernetes.io/kubelet-serving; `current` is what to serve with now.

    addresses: where the API server dials us, asked again at each check. stand_in: until the first is issued.
    store: where certificates are kept; None = in memory only.
    approve_own: approve our own requests, which takes rights that are not ours by default (A8).
    jitter: in [0, 1). clock: for the life of certificates only; waits are timed by the loop.
    """

    def __init__(
        self,
        client: KubeApi,
        node: str,
        *,
        addresses: Callable[[], Sequence[str]],
        stand_in: KeyPairSource,
        store: CertificateStore | None = None,
        approve_own: bool = False,
        jitter: Callable[[], float],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._node = node
        self._name = csr.name_of(node)
        self._addresses = addresses
        self._stand_in = stand_in
        self._store = store
        self._was_restored = store is None
        self._approve_own = approve_own
        self._jitter = jitter
        self._clock = clock
        self._issued: Issued | None = None
        self._told = ""
        self._log = ThrottledLog(log)

    def current(self) -> KeyPair:
        return self._issued.pair if self._issued is not None else self._stand_in()

    async def run(self, *, changed: Callable[[], None], tell: Tell) -> None:
        """Get one and renew it, for ever. changed: called when `current` is another."""
        attempts = 0  # since the last one that was issued

        async def attempt() -> None:
            nonlocal attempts
            if not self._was_restored and await self._restored():
                changed()
                await self._until_due(least_s=0.0)
            patience_s, attempts = PATIENCE.delay(attempts), attempts + 1
            try:
                issued = await self._attempt(patience_s, tell)
            except ValueError as error:
                raise _NotIssued(f"cannot get a serving certificate: {error}") from error
            if issued is None:
                raise _NotIssued
            attempts = 0
            self._take(issued, tell)
            changed()
            if self._store is not None:
                await self._store.save(issued)
            await self._until_due()

        def failed(error: Exception, _: float) -> None:
            if isinstance(error, KubeUnavailable):
                self._log.warning(type(error).__name__, "cannot ask for a serving certificate now: %s", error)
            elif isinstance(error, _NotIssued):
                if str(error):
                    self._complain(tell, str(error))
            else:
                self._complain(tell, f"cannot get a serving certificate: {error or type(error).__name__}")

        await retry_loop(attempt, name="serving certificate", backoff=RETRY, jitter=self._jitter, on_failure=failed)

    async def _restored(self) -> bool:
        """Whether there is one from an earlier life. Raises KubeUnavailable."""
        if self._store is not None:
            self._issued = await self._store.load(self._addresses())
        self._was_restored = True
        if self._issued is not None:
            log.info("going on with the serving certificate until=%s", self._issued.until.isoformat())
        return self._issued is not None

    async def _attempt(self, patience_s: float, tell: Tell) -> Issued | None:
        """Ask, and wait. None: not signed in time, or the request was removed. Raises KubeError, ValueError."""
        key, addresses = csr.new_key(), tuple(self._addresses())
        created = await self._create(csr.body(self._node, addresses, key))
        request = objects.checked_object(created, f"request {self._name}")
        log.info("asked for a serving certificate request=%s addresses=%s", self._name, ",".join(addresses))
        if self._approve_own:
            await self._approve(request, tell)
        return await self._answer(request, key, addresses, patience_s, tell)

    async def _create(self, body: Json) -> Json:
        """In the place of an older one of ours, whose key nobody has any more."""
        try:
            return await self._client.post(paths.certificate_signing_requests(), body)
        except Conflict:
            await self._remove_older()
            return await self._client.post(paths.certificate_signing_requests(), body)

    async def _remove_older(self) -> None:
        path = paths.certificate_signing_request(self._name)
        try:
            found = objects.checked_object(await self._client.get(path), f"request {self._name}", needs=_IDENTITY)
            meta = found["metadata"]
            same = {key: meta[key] for key in _IDENTITY}  # not one that was approved this moment
            await self._client.delete(path, body={"preconditions": same})
        except NotFound:
            return

    async def _approve(self, request: Json, tell: Tell) -> None:
        body = csr.approved(request, by=f"the provider of node {self._node}")
        try:
            await self._client.put(paths.certificate_signing_request_approval(self._name), body)
        except KubeError as error:
            self._complain(tell, f"cannot approve the serving certificate's request {self._name}: {error}")

    async def _answer(
        self,
        request: Json,
        key: ec.EllipticCurvePrivateKey,
        addresses: tuple[str, ...],
        patience_s: float,
        tell: Tell,
    ) -> Issued | None:
        loop = asyncio.get_running_loop()
        asked_at, checks, before = loop.time(), 0, Verdict.PENDING
        while (waited_s := loop.time() - asked_at) < patience_s:
            await asyncio.sleep(_pause_s(before, checks, self._jitter()))
            try:
                outcome = await self._check(request)
            except KubeUnavailable as error:
                log.warning("cannot read the certificate request=%s: %s", self._name, error)
                checks += 1
                continue
            if outcome.verdict is Verdict.REMOVED:
                log.info("somebody removed the certificate request=%s, asking anew", self._name)
                return None
            if outcome.verdict is Verdict.ISSUED:
                since, until = csr.lifetime(outcome.certificate, key)
                pair = KeyPair(outcome.certificate, csr.key_pem(key))
                return Issued(pair, since, until, addresses)
            if outcome.verdict in _REFUSED or waited_s >= TELL_AFTER_S:
                self._complain(tell, _advice(outcome, self._name))
            checks = checks + 1 if outcome.verdict is before else 0
            before = outcome.verdict
        return None

    async def _check(self, request: Json) -> Outcome:
        try:
            answer = await self._client.get(paths.certificate_signing_request(self._name))
            found = objects.checked_object(answer, f"request {self._name}")
        except NotFound:
            return Outcome(Verdict.REMOVED)
        if found["metadata"]["uid"] != request["metadata"]["uid"]:
            return Outcome(Verdict.REMOVED)
        return csr.outcome_of(found)

    async def _until_due(self, least_s: float = LEAST_REST_S) -> None:
        issued = self._issued
        if issued is None:
            return
        share = EARLIEST + (LATEST - EARLIEST) * self._jitter()
        due = issued.since + (issued.until - issued.since) * share
        log.info("the serving certificate will be renewed at=%s", due.isoformat(timespec="seconds"))
        while True:
            left_s = (due - self._clock()).total_seconds()
            await asyncio.sleep(min(max(left_s, least_s), LOOK_AT_CLOCK_S))
            if self._clock() >= due or tuple(self._addresses()) != issued.addresses:
                return

    def _take(self, issued: Issued, tell: Tell) -> None:
        self._issued = issued
        log.info("serving certificate issued request=%s until=%s", self._name, issued.until.isoformat())
        if self._told:
            tell("Normal", ISSUED, "The cluster has signed the serving certificate of the kubelet API.")
        self._told = ""

    def _complain(self, tell: Tell, message: str) -> None:
        """Once for each thing that is wrong, however often it is found."""
        if message == self._told:
            return
        self._told = message
        serving = "self-signed" if self._issued is None else f"the one until {self._issued.until:%Y-%m-%d %H:%M}Z"
        log.warning("%s (serving with: %s)", message, serving)
        tell("Warning", NOT_ISSUED, message)


def _pause_s(verdict: Verdict, checks: int, jitter: float) -> float:
    return REFUSED_CHECK_S if verdict in _REFUSED else CHECKS.delay(checks, jitter=jitter)


def _advice(outcome: Outcome, name: str) -> str:
    approve = f"kubectl certificate approve {name}"
    match outcome.verdict:
        case Verdict.APPROVED:
            return (
                f"request {name} is approved, but nobody signs it: the controller manager needs"
                " --cluster-signing-cert-file and --cluster-signing-key-file"
            )
        case Verdict.DENIED | Verdict.FAILED as verdict:
            text = f" ({outcome.message})" if outcome.message else ""
            return (
                f"request {name} for a serving certificate: {verdict.value}{text}; to have it made anew:"
                f" kubectl delete csr {name}, and then: {approve}"
            )
        case _:
            return f"request {name} for a serving certificate awaits approval: {approve}"
