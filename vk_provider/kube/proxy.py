"""Which proxy stands before the API server, as the environment says: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def proxy_for(server: str, environ: Mapping[str, str]) -> str | None:
    """The proxy's URL, or None. NO_PROXY takes `*`, hosts, `.domain`, addresses, networks and `host:port`.

    Loopback is never proxied. Source: golang.org/x/net/http/httpproxy, so that kubectl and we agree.
    """
    url = urlsplit(server)
    host = (url.hostname or "").lower()
    proxy = _either(environ, f"{url.scheme}_proxy")
    if not proxy or _is_loopback(host):
        return None
    port = url.port or (443 if url.scheme == "https" else 80)
    if any(_matches(entry.strip().lower(), host, port) for entry in _either(environ, "no_proxy").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, _, wanted_port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if not name or (wanted_port and wanted_port != str(port)):
        return False
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        domain = name.removeprefix("*").lstrip(".")
        return host.endswith(f".{domain}") or (host == domain and not name.startswith((".", "*")))
