"""Finds a perl that can compute the digits of π, or makes one.

The Math::BigInt that comes with Debian 12's perl 5.36 dies on `bpi(2000)`; Debian's package libmath-bigint-perl has
the cure and needs no installation: unpacked anywhere and named by PERL5LIB it serves.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAM = ("-Mbignum=bpi", "-wle", "print bpi(2000)")
PACKAGE = "libmath-bigint-perl"
TRIAL_S = 60


@dataclass(frozen=True, slots=True)
class Perl:
    """library: what PERL5LIB must say; empty = the perl does as it is. how: for people."""

    library: str
    how: str


async def find(cache: Path) -> Perl | None:
    """A perl that really printed the digits, tried just now; None where there is none to be had.

    cache: a folder that outlives us, for the unpacked package.
    """
    if shutil.which("perl") is None:
        return None
    library = cache / "perl5" / "usr" / "share" / "perl5"
    plain, cured = await asyncio.gather(_can(""), _can(str(library)) if library.exists() else _no())
    if plain:
        return Perl("", "the host's perl")
    if not cured and await unpack(cache / "perl5"):
        cured = await _can(str(library))
    return Perl(str(library), f"the host's perl with Debian's {PACKAGE}, unpacked") if cured else None


async def _no() -> bool:
    return False


async def _can(library: str) -> bool:
    """Whether the article's own command prints what looks like π."""
    code, output = await _run("perl", *PROGRAM, env={"PERL5LIB": library} if library else {})
    return code == 0 and output.startswith(b"3.14159") and len(output) > 2000


async def unpack(into: Path) -> bool:
    """Download the package with the system's own package tool and unpack it, installing nothing.

    What is there is left as it is: it was moved there whole, and a trial that failed may only have been too slow.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        if not await _download(folder):
            return False
        packages = list(Path(folder).glob("*.deb"))
        code, _ = await _run("dpkg-deb", "-x", str(packages[0]), f"{folder}/root")
        if code != 0:
            return False
        with suppress(OSError):  # another process, which may use it already, was first
            Path(folder, "root").rename(into)
    return into.exists()


async def _download(folder: str) -> bool:
    code, _ = await _run("apt-get", "download", PACKAGE, cwd=folder)
    if code != 0 and os.geteuid() == 0:  # a fresh container has no package lists yet
        await _run("apt-get", "update")
        code, _ = await _run("apt-get", "download", PACKAGE, cwd=folder)
    return code == 0


async def _run(*command: str, env: dict[str, str] | None = None, cwd: str | None = None) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    try:
        async with asyncio.timeout(TRIAL_S):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as stopped:
        process.kill()
        await process.wait()
        if isinstance(stopped, asyncio.CancelledError):
            raise
        return -1, b""
    return process.returncode or 0, output
