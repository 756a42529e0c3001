"""Who sent a request: a client certificate of our own authority, a bearer token, or nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakes.kube.tokens import Tokens

Json = dict[str, Any]

AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class User:
    """The identity a request acts under."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Authenticator:
    """static: further tokens and the users they stand for, for tests and scripts."""

    def __init__(self, tokens: Tokens, static: Mapping[str, User]) -> None:
        self._tokens = tokens
        self._static = static

    def identify(self, certificate: Mapping[str, Any] | None, authorization: str) -> User | None:
        """The user; ANONYMOUS if nothing was shown; None if what was shown is not good."""
        if certificate:
            return certificate_user(certificate)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        return self.token_user(token.strip())

    def token_user(self, token: str, audiences: tuple[str, ...] = ()) -> User | None:
        if token in self._static:
            return self._static[token]
        bearer = self._tokens.check(token, audiences)
        return None if bearer is None else User(bearer.username, bearer.groups, bearer.uid, bearer.extra)

    def review(self, body: Json) -> Json:
        """The status of a TokenReview."""
        spec = body.get("spec") or {}
        audiences = tuple(spec.get("audiences") or ())
        token = spec.get("token", "")
        if token in self._static:
            return {"authenticated": True, "user": user_info(self._static[token])}
        bearer = self._tokens.check(token, audiences) if token else None
        if bearer is None:
            return {"user": {}, "error": "[invalid bearer token, token lookup failed]"}
        user = User(bearer.username, bearer.groups, bearer.uid, bearer.extra)
        return {"authenticated": True, "user": user_info(user), "audiences": list(bearer.audiences)}


def impersonated(headers: Mapping[str, str], groups: Sequence[str]) -> User | None:
    """Whom a request wants to act as; None if it wants to be itself. groups: its Impersonate-Group headers.

    A ServiceAccount brings its groups along unless others are named.
    """
    name = headers.get("Impersonate-User", "")
    if not name:
        return None
    prefix = "impersonate-extra-"
    extra = {
        key.lower().removeprefix(prefix): [value] for key, value in headers.items() if key.lower().startswith(prefix)
    }
    named = list(groups)
    parts = name.split(":")
    if not named and len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]:
        named = ["system:serviceaccounts", f"system:serviceaccounts:{parts[2]}"]
    return User(name, tuple(dict.fromkeys([*named, AUTHENTICATED])), headers.get("Impersonate-Uid", ""), extra)


def certificate_user(certificate: Mapping[str, Any]) -> User | None:
    """The user of a verified certificate, in the shape `ssl.getpeercert` gives."""
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in fields if key == "commonName"]
    if not names:
        return None
    groups = tuple(value for key, value in fields if key == "organizationName")
    return User(names[-1], (*groups, AUTHENTICATED))


def user_info(user: User) -> Json:
    """A UserInfo as reviews spell it."""
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info
