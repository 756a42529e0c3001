"""Who calls the kubelet API, and whether they may. Nothing is served without both answers.

A caller is known by a client certificate that TLS has verified, else by a bearer token that the API server reviews.
What they may do is always the API server's decision (kubelet.md e, A1 to A6). Neither tokens nor the text of a
review ever reach a log.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vk_provider.errors import KubeError, ProviderError
from vk_provider.kubelet.review_cache import ReviewCache

log = logging.getLogger(__name__)

Json = dict[str, Any]
Review = Callable[[str, Json], Awaitable[Json]]  # (kind, spec) → the object as the API server answers it

AUTHENTICATED = "system:authenticated"
API_SERVER_USERS = frozenset({"kube-apiserver-kubelet-client"})  # the name every common installer gives it (A6)

TOKEN_LIFETIME_S = 120.0
BAD_TOKEN_LIFETIME_S = 10.0
ALLOW_LIFETIME_S = 300.0
DENY_LIFETIME_S = 30.0
REVIEW_TIMEOUT_S = 10.0

_REVIEW_PATHS = {
    "TokenReview": ("authentication.k8s.io/v1", "/apis/authentication.k8s.io/v1/tokenreviews"),
    "SubjectAccessReview": ("authorization.k8s.io/v1", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
}
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("/stats", ("stats",)),
    ("/metrics", ("metrics",)),
    ("/logs", ("log",)),
    ("/checkpoint", ("checkpoint",)),
    ("/pods", ("pods", "proxy")),
    ("/runningpods", ("pods", "proxy")),
    ("/healthz", ("healthz", "proxy")),
    ("/configz", ("configz", "proxy")),
    ("/statusz", ("statusz",)),
    ("/flagz", ("configz",)),
)
_RUNS_SOMETHING = ("/exec", "/attach", "/run", "/portForward")


def reviewer(post: Callable[[str, Json], Awaitable[Json]]) -> Review:
    """Reviews made by `post(path, body)`, which creates an object at the API server and gives back its answer."""

    async def review(kind: str, spec: Json) -> Json:
        api_version, path = _REVIEW_PATHS[kind]
        return await post(path, {"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": spec})

    return review


# --- who -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """One caller. by_certificate: known by a verified client certificate rather than by a token."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by_certificate: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brings to be known by. certificate: as `ssl` describes one that it has verified; may be empty.
    authorization: the header, as it came."""

    certificate: Mapping[str, Any] | None = None
    authorization: str = ""


class Authenticator(Protocol):
    async def identify(self, credentials: Credentials) -> Identity | None:
        """None: not known, the answer is 401."""
        ...


class AuthorizationUnavailable(ProviderError):
    """The API server could not say whether a caller may: the answer is 500 and nothing is done."""

    retryable = True

    def __init__(self, subresource: str) -> None:
        self.subresource = subresource
        super().__init__(f"the API server did not answer for subresource {subresource}")


class Authorizer(Protocol):
    async def allows(self, identity: Identity, verb: str, subresources: Sequence[str]) -> bool:
        """Whether any of the subresources is allowed. Raises AuthorizationUnavailable."""
        ...


class ClusterAuthenticator:
    """Client certificates and bearer tokens, as a kubelet takes them."""

    def __init__(
        self,
        review: Review,
        *,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
        most: int = 2000,
    ) -> None:
        """clock: for lifetimes; epoch: seconds since 1970, for the end of a certificate."""
        self._review = review
        self._epoch = epoch
        self._tokens: ReviewCache[bytes, Identity | None] = ReviewCache(
            lifetime_s=lambda identity: BAD_TOKEN_LIFETIME_S if identity is None else TOKEN_LIFETIME_S,
            clock=clock,
            most=most,
        )

    async def identify(self, credentials: Credentials) -> Identity | None:
        identity = identity_of_certificate(credentials.certificate or {}, now=self._epoch())
        if identity is not None:
            return identity
        token = bearer_token(credentials.authorization)
        if not token:
            return None
        try:
            return await self._tokens.get(hashlib.sha256(token.encode()).digest(), lambda: self._authenticate(token))
        except (KubeError, TimeoutError) as error:
            log.warning("cannot have a token reviewed, so its bearer is refused: %s", error or "no answer in time")
            return None

    async def _authenticate(self, token: str) -> Identity | None:
        async with asyncio.timeout(REVIEW_TIMEOUT_S):
            answer = await self._review("TokenReview", {"token": token})
        return identity_of_review(answer)


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization` header; empty when it holds none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def identity_of_certificate(certificate: Mapping[str, Any], *, now: float) -> Identity | None:
    """CN is the user, each O a group. None without a CN or when the certificate has ended.

    A connection may outlive the certificate it began with, so the end is looked at again for each request.
    """
    ends = certificate.get("notAfter")
    if ends is None or ssl.cert_time_to_seconds(ends) < now:
        return None
    subject = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    names = [value for key, value in subject if key == "commonName"]
    if not names or not names[-1]:
        return None
    groups = [value for key, value in subject if key == "organizationName"]
    return Identity(names[-1], _with_authenticated(groups), by_certificate=True)


def identity_of_review(review: Mapping[str, Any]) -> Identity | None:
    """Whom an answered TokenReview names; None unless it says `authenticated`."""
    status = review.get("status") or {}
    user = status.get("user") or {}
    if status.get("authenticated") is not True or not user.get("username"):
        return None
    extra = tuple((key, tuple(values or ())) for key, values in sorted((user.get("extra") or {}).items()))
    return Identity(user["username"], _with_authenticated(user.get("groups") or ()), user.get("uid") or "", extra)


def _with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    return (*groups, *(() if AUTHENTICATED in groups else (AUTHENTICATED,)))


# --- may they --------------------------------------------------------------------------------------------------------


def attributes(method: str, path: str, *, from_api_server: bool = False) -> tuple[str, tuple[str, ...]]:
    """What a request needs: a verb, and subresources of the node of which any one will do, finest first (A5).

    A WebSocket opens by GET, and right to read is no right to run something: exec and its like need `create`, except
    from the API server, which has asked its own users already. An unknown method has the verb "", which no rule gives.
    """
    verb = _VERBS.get(method, "")
    if verb == "get" and not from_api_server and any(_is_under(path, prefix) for prefix in _RUNS_SOMETHING):
        verb = "create"
    for prefix, subresources in _SUBRESOURCES:
        if _is_under(path, prefix):
            return verb, subresources
    return verb, ("proxy",)


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def is_api_server(identity: Identity, names: frozenset[str] = API_SERVER_USERS) -> bool:
    """A certificate alone proves it: anybody who may create tokens could make one of any name."""
    return identity.by_certificate and identity.name in names


class ClusterAuthorizer:
    """Asks the API server, and remembers what it said: a yes for five minutes, a no for half a minute (A4)."""

    def __init__(
        self, review: Review, *, node_name: str, clock: Callable[[], float] = time.monotonic, most: int = 2000
    ) -> None:
        self._review = review
        self._node_name = node_name
        self._answers: ReviewCache[tuple[Identity, str, str], bool] = ReviewCache(
            lifetime_s=lambda allowed: ALLOW_LIFETIME_S if allowed else DENY_LIFETIME_S, clock=clock, most=most
        )

    async def allows(self, identity: Identity, verb: str, subresources: Sequence[str]) -> bool:
        for subresource in subresources:
            question = (identity, verb, subresource)
            try:
                allowed = await self._answers.get(question, lambda: self._authorize(*question))  # noqa: B023 -- awaited here
            except (KubeError, TimeoutError) as error:
                log.warning("cannot have a request of %r reviewed: %s", identity.name, error or "no answer in time")
                raise AuthorizationUnavailable(subresource) from error
            if allowed:
                return True
        return False

    async def _authorize(self, identity: Identity, verb: str, subresource: str) -> bool:
        spec = {
            "user": identity.name,
            "groups": list(identity.groups),
            "uid": identity.uid,
            "extra": {key: list(values) for key, values in identity.extra},
            "resourceAttributes": {
                "group": "",
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node_name,
                "verb": verb,
            },
        }
        async with asyncio.timeout(REVIEW_TIMEOUT_S):
            answer = await self._review("SubjectAccessReview", spec)
        return (answer.get("status") or {}).get("allowed") is True


# --- the open mode ---------------------------------------------------------------------------------------------------


class Anybody:
    """Authenticator and Authorizer of `--insecure-kubelet-api`: everybody is somebody and may do everything."""

    async def identify(self, credentials: Credentials) -> Identity | None:  # noqa: ARG002 -- nobody is asked
        return Identity("insecure:anybody")

    async def allows(self, identity: Identity, verb: str, subresources: Sequence[str]) -> bool:  # noqa: ARG002
        return True
