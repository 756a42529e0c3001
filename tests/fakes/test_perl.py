"""The perl that the founding Job wants, where several processes look for one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import perl

PLACE = Path("usr", "share", "perl5")
# Each a stand-in for a system's tool; while the package is unpacked another process brings its own to the same place.
TOOLS = {
    "apt-get": "touch libmath-bigint-perl_1.deb",
    "dpkg-deb": f'mkdir -p "$3/{PLACE}" "$CACHE/perl5/{PLACE}/anothers"',
}


async def test_who_comes_second_takes_what_the_first_has_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, cache = tmp_path / "bin", tmp_path / "cache"
    programs.mkdir()
    for name, script in TOOLS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CACHE", str(cache))
    assert await perl.unpack(cache / "perl5")
    assert (cache / "perl5" / PLACE / "anothers").exists()
    assert [each.name for each in cache.iterdir()] == ["perl5"], "nothing unfinished is left"
