"""kubeconfig files: which cluster and which user a context means, with every fault named by file and field.

Reads only; who turns the user into a token is `credentials`.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from vk_provider.errors import ConfigError
from vk_provider.kube.tls import TlsMaterial

Json = dict[str, Any]

_TLS_FIELDS = ("client-certificate", "client-key")
_PROVIDERS = frozenset({"gcp", "oidc"})


@dataclass(frozen=True, slots=True)
class Target:
    """One context of a kubeconfig, resolved. `user` has absolute paths and no TLS fields: those are in `tls`.

    source: the file or files, for messages. impersonate: header pairs that the user asks for.
    names_files: certificates or the key stand in files of their own, which somebody may replace.
    """

    source: str
    server: str
    tls: TlsMaterial
    user: Json = field(repr=False)
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    impersonate: tuple[tuple[str, str], ...] = ()
    names_files: bool = False
    namespace: str = ""  # of the context; empty = none is named


def read_target(paths: str, context: str | None = None) -> Target:
    """paths: one file, or several joined as in $KUBECONFIG, of which the first to say something wins.

    Raises ConfigError.
    """
    config = _merged([Path(path).expanduser() for path in paths.split(os.pathsep) if path], source=paths)
    name = context or config["current-context"]
    if not name:
        raise _fault(paths, "current-context", "is not set; set it, or name a context")
    chosen = _entry(config, "contexts", name, "context", source=paths)
    cluster_name = str(chosen.get("cluster") or "")
    cluster = _entry(config, "clusters", cluster_name, "cluster", source=paths)
    user_name = str(chosen.get("user") or "")
    user = _entry(config, "users", user_name, "user", source=paths) if user_name else {}
    cluster_field, user_field = f"clusters[{cluster_name}].cluster", f"users[{user_name}].user"
    _check_user(user, paths, user_field)
    return Target(
        source=paths,
        server=_server(cluster, paths, cluster_field),
        tls=TlsMaterial(
            ca=_pem(cluster, "certificate-authority", paths, cluster_field),
            certificate=_pem(user, "client-certificate", paths, user_field),
            key=_pem(user, "client-key", paths, user_field),
            insecure=bool(cluster.get("insecure-skip-tls-verify")),
        ),
        user={key: value for key, value in user.items() if key.removesuffix("-data") not in _TLS_FIELDS},
        namespace=str(chosen.get("namespace") or ""),
        server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or None,
        impersonate=_impersonation(user),
        names_files=any(
            holder.get(name) and not holder.get(f"{name}-data")
            for holder, names in ((cluster, ("certificate-authority",)), (user, _TLS_FIELDS))
            for name in names
        ),
    )


def _merged(files: list[Path], *, source: str) -> Json:
    config: Json = {"current-context": "", "clusters": {}, "contexts": {}, "users": {}}
    found = [file for file in files if file.is_file()]
    if not found:
        raise ConfigError([f"kubeconfig {source}: no such file"])
    for file in found:
        content = _load(file)
        config["current-context"] = config["current-context"] or content.get("current-context") or ""
        for kind in ("clusters", "contexts", "users"):
            for entry in content.get(kind) or ():
                if not isinstance(entry, dict) or not entry.get("name"):
                    raise _fault(str(file), kind, "has an entry without a name")
                config[kind].setdefault(str(entry["name"]), _absolute(entry, file.parent.resolve()))
    return config


def _load(file: Path) -> Json:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"kubeconfig {file}: cannot be read: {error}"]) from error
    except yaml.YAMLError as error:
        # Without the problem's snippet, which may hold a token.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError([f"kubeconfig {file}: is not YAML{where}"]) from None
    if not isinstance(content, dict):
        raise ConfigError([f"kubeconfig {file}: is not a kubeconfig (no mapping at the top)"])
    return content


def _absolute(entry: Json, base: Path) -> Json:
    """The entry with its file names made absolute: each is relative to the file it stands in."""
    resolved: Json = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            value = _absolute(value, base)
        is_path = key in ("certificate-authority", "client-certificate", "client-key", "tokenFile") or (
            key == "command" and isinstance(value, str) and os.sep in value
        )
        resolved[key] = str(base / value) if is_path and value else value
    return resolved


def _entry(config: Json, kind: str, name: str, inner: str, *, source: str) -> Json:
    if name not in config[kind]:
        known = ", ".join(sorted(config[kind])) or "none"
        raise _fault(source, kind, f"has no entry named {name!r} (there are: {known})")
    content = config[kind][name].get(inner)
    if content is None and inner == "user":
        return {}
    if not isinstance(content, dict):
        raise _fault(source, f"{kind}[{name}].{inner}", "is missing or no mapping")
    return content


def _server(cluster: Json, source: str, field: str) -> str:
    server = str(cluster.get("server") or "").rstrip("/")
    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise _fault(source, f"{field}.server", "must be a URL as https://host:6443")
    if url.username or url.password:
        raise _fault(source, f"{field}.server", "holds credentials; they belong under users")
    return server


def _pem(holder: Json, name: str, source: str, field: str) -> bytes:
    """The text under `<name>-data`, else in the file `<name>`; empty when there is neither."""
    data = holder.get(f"{name}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=True)
        except ValueError as error:
            raise _fault(source, f"{field}.{name}-data", "is not base64") from error
    file = holder.get(name)
    if not file:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise _fault(source, f"{field}.{name}", f"{file} cannot be read: {error.strerror}") from error


def _check_user(user: Json, source: str, field: str) -> None:
    provider = (user.get("auth-provider") or {}).get("name")
    if provider is not None and provider not in _PROVIDERS:
        raise _fault(source, f"{field}.auth-provider", f"{provider!r} is not supported; use an exec plugin")
    for one, other in (_TLS_FIELDS, reversed(_TLS_FIELDS)):
        if _has(user, one) and not _has(user, other):
            raise _fault(source, f"{field}.{other}", f"is missing beside {one}")
    token_file = user.get("tokenFile")
    if token_file and not user.get("token") and not Path(token_file).is_file():
        raise _fault(source, f"{field}.tokenFile", f"{token_file}: no such file")


def _has(user: Json, name: str) -> bool:
    return bool(user.get(name) or user.get(f"{name}-data"))


def _impersonation(user: Json) -> tuple[tuple[str, str], ...]:
    pairs = [("Impersonate-User", user.get("as")), ("Impersonate-Uid", user.get("as-uid"))]
    pairs += [("Impersonate-Group", name) for name in user.get("as-groups") or ()]
    for key, values in (user.get("as-user-extra") or {}).items():
        pairs += [(f"Impersonate-Extra-{key}", value) for value in values]
    return tuple((name, str(value)) for name, value in pairs if value)


def _fault(source: str, field: str, what: str) -> ConfigError:
    return ConfigError([f"kubeconfig {source}: {field} {what}"])
