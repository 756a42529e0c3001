"""Who we are to the cloud. No secret ever stands in a repr, a message or a log line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vk_provider.cloud.eci.options import EciOptions
from vk_provider.errors import CloudDenied

_READINGS = 5
_KEY_SETTING, _SECRET_SETTING = EciOptions.named("access_key"), EciOptions.named("secret_key")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One key pair; security_token only with temporary ones."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


class CredentialSource(Protocol):
    async def get(self) -> Credentials:
        """Those to sign with now, all parts from one moment. Raises CloudDenied when there are none."""
        ...

    def forget(self) -> None:
        """The cloud called them expired: get others next time, if there are others."""
        ...


class FixedCredentials:
    """What the operator wrote into the configuration."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> Credentials:
        return self._credentials

    def forget(self) -> None:
        """There are no others; the cloud's refusal will tell the operator."""


class FileCredentials:
    """What stands in files that others write anew, as those of a mounted Secret: a rotated key needs no restart.

    Read again every keep_s seconds, and when the cloud refuses what was read before. token: only with temporary ones.
    """

    def __init__(self, key: Path, secret: Path, token: Path | None = None, *, keep_s: float = 5.0) -> None:
        self._files = (key, secret, *(() if token is None else (token,)))
        self._keep_s = keep_s
        self._known: Credentials | None = None
        self._known_at = 0.0

    async def get(self) -> Credentials:
        now = asyncio.get_running_loop().time()
        if self._known is None or now - self._known_at > self._keep_s:
            self._known, self._known_at = await asyncio.to_thread(self._read), now
        return self._known

    def forget(self) -> None:
        self._known = None

    def _read(self) -> Credentials:
        """The files are written one after the other: taken is what two readings in a row agree on."""
        before: tuple[str, ...] = ()
        for _ in range(_READINGS):
            try:
                found = tuple(each.expanduser().read_text(encoding="utf-8").strip() for each in self._files)
            except (OSError, ValueError) as error:
                if self._known is not None:
                    return self._known  # they are being written just now
                raise CloudDenied(f"the AccessKey cannot be read: {error}") from error
            if not all(found):
                raise CloudDenied(f"one of the files of the AccessKey is empty: {', '.join(map(str, self._files))}")
            if found == before:
                break
            before = found
        return Credentials(*found)


class ChainCredentials:
    """The vendor's default chain: environment, pod identity (RRSA), profiles, the machine's RAM role.

    The chain reads files and calls services, holding a thread lock even in its async form (eci.md 8.2); so it runs in
    a thread, once at a time, and its answer serves `keep_s` seconds. It renews temporary keys 15 minutes early, so an
    answer that old is still good. A file that it has read it would never read again: when one changes, it begins anew.
    open_chain: gives an object with `get_credential()`; the vendor's `Client` unless told otherwise. files: those that
    it may read.
    """

    def __init__(
        self,
        *,
        open_chain: Callable[[], Any] | None = None,
        keep_s: float = 30.0,
        files: Callable[[], Sequence[Path]] | None = None,
    ) -> None:
        self._open_chain = open_chain or _vendor_chain
        self._files = files or _vendor_files
        self._read_from: Sequence[object] = ()
        self._keep_s = keep_s
        self._chain: Any = None
        self._known: Credentials | None = None
        self._known_at = 0.0
        self._line = asyncio.Lock()

    async def get(self) -> Credentials:
        async with self._line:
            now = asyncio.get_running_loop().time()
            if self._known is None or now - self._known_at > self._keep_s:
                self._known, self._known_at = await asyncio.to_thread(self._read), now
            return self._known

    def forget(self) -> None:
        """The chain itself goes too: it would hand out what it remembers."""
        self._known = self._chain = None

    def _read(self) -> Credentials:
        stamps = [_stamp(each) for each in self._files()]
        if stamps != self._read_from:
            self._chain, self._read_from = None, stamps
        try:
            chain = self._chain or self._open_chain()
            found = chain.get_credential()
        except Exception as error:  # the chain raises whatever its parts raise
            raise _none_found(type(error).__name__) from error
        if not (found.access_key_id and found.access_key_secret):
            raise _none_found("it gave an empty key")
        self._chain = chain
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token or "")


def _none_found(cause: str) -> CloudDenied:
    return CloudDenied(
        f"no credentials found ({cause}): set {_KEY_SETTING} and {_SECRET_SETTING}, or "
        "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or give the pod or the machine a RAM role"
    )


def _vendor_chain() -> Any:
    from alibabacloud_credentials.client import Client  # slow to import, and not needed with a fixed key

    return Client()


def _vendor_files() -> Sequence[Path]:
    """Where the chain looks for profiles (eci.md 8.2)."""
    home = Path.home()
    named = os.environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
    ini = Path(named) if named else home / ".alibabacloud" / "credentials.ini"
    return (home / ".aliyun" / "config.json", ini)


def _stamp(path: Path) -> object:
    """Changes with the file. None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
