"""Pull secrets → the logins that a pod's images need, matched as a kubelet matches them (contract S30).

A kubelet tries all logins that match an image, one after the other. The cloud is given its logins at the start and
knows them by the registry's host alone, so each host goes with one: the most specific match of the first image on it.
A pod whose images need two logins on one host is told so; two pods can have them.
Source: kubernetes pkg/credentialprovider (config.go, keyring.go).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from vk_provider import bounds
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.model.workload import Notice, RegistryCredential
from vk_provider.redaction import SecretText
from vk_provider.translate import images
from vk_provider.translate.objects import Kind, ObjectKey, Objects

_DATA_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_HUB_KEYS = ("index.docker.io", "registry-1.docker.io")
_SCHEME = re.compile(r"https?://")
_VERSION = re.compile(r"/v[12](?=/)")


@dataclass(frozen=True, slots=True)
class _Login:
    """key: host, port and path that it is for, which may hold wildcards."""

    key: str
    user: str
    password: str


def secret_keys(pod: Json, namespace: str) -> Iterator[ObjectKey]:
    for reference in pod["spec"].get("imagePullSecrets") or ():
        if reference.get("name"):
            yield namespace, reference["name"]


def credentials(pod: Json, namespace: str, objects: Objects) -> tuple[Sequence[RegistryCredential], Sequence[Notice]]:
    """What the pod's images need and its secrets have, by host; and what its owner should know. Nothing here can make
    a pod wait: an image may be there without a login."""
    keys = list(dict.fromkeys(secret_keys(pod, namespace)))
    missing = [name for _, name in keys if objects.secrets.get((namespace, name)) is None]
    notices = [_missing(missing)] if missing else []
    logins: list[_Login] = []
    for key in keys:
        secret = objects.secrets.get(key)
        if secret is not None:
            found, faults = _logins(secret, objects.data(Kind.SECRET, key) or {})
            logins += found
            notices += [Notice("InvalidImagePullSecret", f"image pull secret {key[1]}: {fault}") for fault in faults]
    if len(logins) > bounds.MOST_LOGINS:
        text = f"{len(logins):,} logins in all; those after the first {bounds.MOST_LOGINS} are left out"
        notices.append(Notice("InvalidImagePullSecret", f"image pull secrets: {text}"))
        del logins[bounds.MOST_LOGINS :]
    # From the most specific key on; logins for one key stay in the order of the secrets.
    logins.sort(key=lambda login: login.key, reverse=True)
    chosen, clashes = _chosen(pod, logins)
    return chosen, [*notices, *clashes]


def _chosen(pod: Json, logins: Sequence[_Login]) -> tuple[Sequence[RegistryCredential], Sequence[Notice]]:
    by_host: dict[str, _Login] = {}
    clashes: dict[str, Notice] = {}
    for container in (*init_containers_of(pod), *containers_of(pod)):
        name = images.parse(container["image"])
        login = next((each for each in logins if _matches(each.key, name)), None)
        if login is None:
            continue
        taken = by_host.setdefault(name.host, login)
        if (taken.user, taken.password) != (login.user, login.password):
            clashes[name.host] = _clash(name.host, container)
    chosen = tuple(RegistryCredential(host, login.user, login.password) for host, login in sorted(by_host.items()))
    return chosen, list(clashes.values())


def _matches(key: str, name: images.ImageName) -> bool:
    """Hosts label by label, since `*` stands for one label only; the path is a plain prefix."""
    host, slash, path = key.partition("/")
    wanted, actual = host.partition(":"), name.host.partition(":")
    labels, own = wanted[0].split("."), actual[0].split(".")
    if wanted[2] != actual[2] or len(labels) != len(own):
        return False
    if not all(one == pattern or fnmatchcase(one, pattern) for one, pattern in zip(own, labels, strict=True)):
        return False
    return f"/{name.path}".startswith(f"{slash}{path}")


# --- one secret -------------------------------------------------------------------------------------------------------


def _logins(secret: Json, data: Mapping[str, bytes]) -> tuple[list[_Login], list[str]]:
    """The logins of one Secret, and what in it cannot be read; never what stands there."""
    kind = str(secret.get("type") or "")
    name = _DATA_KEYS.get(kind)
    if name is None:
        return [], [f"its type {kind or 'Opaque'} is none of {', '.join(_DATA_KEYS)}; it is left out"]
    if name not in data:
        return [], [f"it has no key {name}; it is left out"]
    entries = _entries(data[name], nested=name == ".dockerconfigjson")
    if entries is None:
        return [], [f"the text of {name} cannot be read; it is left out"]
    found, faults = [], []
    for server, entry in islice(entries.items(), bounds.MOST_LOGINS):
        login = _login(server, entry)
        if login is not None:
            found.append(login)
        else:
            faults.append(f"the entry for {server} has no user and password that can be read; it is left out")
    if len(entries) > bounds.MOST_LOGINS:
        faults.append(f"it has {len(entries):,} entries; those after the first {bounds.MOST_LOGINS} are left out")
    return found, faults


def _entries(text: bytes, *, nested: bool) -> Mapping[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if nested and isinstance(content, dict):
        content = content.get("auths") or {}
    return content if isinstance(content, dict) else None


def _login(server: str, entry: Any) -> _Login | None:
    if not isinstance(entry, dict):
        return None
    user, password = entry.get("username"), entry.get("password")
    if entry.get("auth"):
        decoded = _decoded(entry["auth"])
        if decoded is None:
            return None
        user, password = decoded
    if not (isinstance(user, str) and isinstance(password, str) and user) or len(server) > bounds.MOST_LOGIN_KEY:
        return None
    return _Login(_key(server), user, SecretText(password))


def _decoded(auth: Any) -> tuple[str, str] | None:
    """`user:password` in base64, with or without padding; the password may hold colons."""
    if not isinstance(auth, str):
        return None
    text = auth.strip().rstrip("=")
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, password = plain.partition(":")
    return (user, password.strip("\0")) if colon else None


def _key(server: str) -> str:
    """Host and path of an entry: without a scheme, or the version that docker writes behind its hub's name."""
    text = _SCHEME.sub("", server, count=1)
    host, slash, path = text.partition("/")
    path = _VERSION.sub("", slash + path, count=1)
    host = images.HUB if host in _HUB_KEYS else host
    return host if path == "/" else host + path


def _missing(names: Sequence[str]) -> Notice:
    listed = ", ".join(names)
    message = f"Unable to retrieve some image pull secrets ({listed}); attempting to pull the image may not succeed."
    return Notice("FailedToRetrieveImagePullSecret", message)


def _clash(host: str, container: Json) -> Notice:
    message = (
        f"the pod's secrets have several logins for {host}, and an instance takes one for each registry: another"
        f" image's is used, so that {container['image']} may not be pulled; give both one login, or each a pod"
    )
    return Notice("ImagePullSecretNotUsed", message, container["name"])
