"""Whether a user may do a thing: role-based access control over the Role and Binding objects that are served.

Rules only ever add; there is no deny. The group system:masters is asked nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fakes.kube.api import Api
from fakes.kube.authentication import User

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What a request would do: either something to a resource, or a verb on a bare path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True)
class Verdict:
    allowed: bool
    reason: str = ""


class Authorizer:
    def __init__(self, api: Api) -> None:
        self._store = api.store

    def decide(self, user: User, deed: Deed) -> Verdict:
        if MASTERS in user.groups:
            return Verdict(True)
        for binding, rules in self._bound(user, deed.namespace):
            if any(_permits(rule, deed) for rule in rules):
                kind, role = binding["kind"], binding["roleRef"]
                name = binding["metadata"]["name"]
                where = f"/{binding['metadata']['namespace']}" if "namespace" in binding["metadata"] else ""
                reason = f'RBAC: allowed by {kind} "{name}{where}" of {role["kind"]} "{role["name"]}" to {user.name}'
                return Verdict(True, reason)
        return Verdict(False)

    def rules(self, user: User, namespace: str) -> list[Json]:
        """Every rule that applies to the user in a namespace."""
        if MASTERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [rule for _, rules in self._bound(user, namespace) for rule in rules]

    def _bound(self, user: User, namespace: str) -> Iterator[tuple[Json, list[Json]]]:
        for item in self._store.objects(f"clusterrolebindings.{_GROUP}"):
            if _names(item.object, user, ""):
                yield item.object, self._role(item.object["roleRef"], "")
        if namespace:
            for item in self._store.objects(f"rolebindings.{_GROUP}", namespace):
                if _names(item.object, user, namespace):
                    yield item.object, self._role(item.object["roleRef"], namespace)

    def _role(self, reference: Json, namespace: str) -> list[Json]:
        if reference.get("kind") == "ClusterRole":
            found = self._store.get(f"clusterroles.{_GROUP}", "", reference["name"])
        else:
            found = self._store.get(f"roles.{_GROUP}", namespace, reference["name"])
        return list(found.object.get("rules") or ()) if found else []


def _names(binding: Json, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name in (user.name, "*"):
            return True
        if kind == "Group" and name in user.groups:
            return True
        where = subject.get("namespace") or namespace
        if kind == "ServiceAccount" and user.name == f"system:serviceaccount:{where}:{name}":
            return True
    return False


def _permits(rule: Json, deed: Deed) -> bool:
    if not _any(rule.get("verbs"), deed.verb):
        return False
    if deed.path:
        return any(
            path in ("*", deed.path) or (path.endswith("*") and deed.path.startswith(path[:-1]))
            for path in rule.get("nonResourceURLs") or ()
        )
    names = rule.get("resourceNames") or ()
    if not _any(rule.get("apiGroups"), deed.group) or (names and deed.name not in names):
        return False
    resources = rule.get("resources") or ()
    return any(
        item in ("*", deed.target) or (deed.subresource and item == f"*/{deed.subresource}") for item in resources
    )


def _any(allowed: Any, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in allowed or ())


def impersonations(user: User) -> Iterator[Deed]:
    """What someone must be allowed to do in order to act as `user`."""
    account = user.name.split(":")
    if len(account) == 4 and account[:2] == ["system", "serviceaccount"]:
        yield Deed(verb="impersonate", resource="serviceaccounts", namespace=account[2], name=account[3])
    else:
        yield Deed(verb="impersonate", resource="users", name=user.name)
    for group in user.groups:
        if group not in _IMPLIED:
            yield Deed(verb="impersonate", resource="groups", name=group)


_IMPLIED = frozenset({"system:authenticated", "system:serviceaccounts"})
"""Groups that come with the name alone; asking for them in so many words changes nothing."""


def refusal(user: User, deed: Deed) -> str:
    """The sentence a client is refused with."""
    if deed.path:
        return f'User "{user.name}" cannot {deed.verb} path "{deed.path}"'
    where = f' in the namespace "{deed.namespace}"' if deed.namespace else " at the cluster scope"
    return f'User "{user.name}" cannot {deed.verb} resource "{deed.target}" in API group "{deed.group}"{where}'


def deed_of(spec: Json) -> Deed:
    """The deed a SubjectAccessReview asks about."""
    if path := spec.get("nonResourceAttributes"):
        return Deed(verb=path.get("verb", ""), path=path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    return Deed(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )
