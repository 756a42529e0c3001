"""Questions asked by creating an object that is answered and not kept: who is this, and may they?"""

from typing import Any

from fakes.kube import errors
from fakes.kube.authentication import Authenticator, User, user_info
from fakes.kube.authorization import Authorizer, deed_of
from fakes.kube.resources import Resource

Json = dict[str, Any]


class Reviews:
    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def answer(self, row: Resource, body: Json, asker: User) -> Json:
        """The review with its status. Raises ApiError 400."""
        spec = body.get("spec") or {}
        match row.kind:
            case "TokenReview":
                if not spec.get("token"):
                    raise errors.bad_request("token is required for TokenReview in authentication")
                status = self._authenticator.review(body)
            case "SelfSubjectReview":
                status = {"userInfo": user_info(asker)}
            case "SelfSubjectAccessReview":
                status = self._verdict(asker, spec)
            case "SelfSubjectRulesReview":
                status = self._rules(asker, spec.get("namespace", ""))
            case _:
                status = self._verdict(_subject(spec), spec)
        meta = {**(body.get("metadata") or {}), "creationTimestamp": None}
        return {"kind": row.kind, "apiVersion": row.api_version, "metadata": meta, "spec": spec, "status": status}

    def _verdict(self, user: User, spec: Json) -> Json:
        if not spec.get("resourceAttributes") and not spec.get("nonResourceAttributes"):
            raise errors.bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")
        verdict = self._authorizer.decide(user, deed_of(spec))
        return {"allowed": verdict.allowed} | ({"reason": verdict.reason} if verdict.reason else {})

    def _rules(self, user: User, namespace: str) -> Json:
        rules = self._authorizer.rules(user, namespace)
        return {
            "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }


def _subject(spec: Json) -> User:
    groups = tuple(spec.get("groups") or ())
    return User(spec.get("user", ""), groups, spec.get("uid", ""), spec.get("extra") or {})
