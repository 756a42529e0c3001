"""The rooms that know no cloud by name say none, in code or in prose: what differs arrives as data from a driver."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "vk_provider"
ROOMS = ("control", "instances", "files", "probes", "pacing", "node", "model", "translate")
NAMES = re.compile(r"(?<![A-Za-z])(eci|aliyun|alibaba|alicloud|acs|vsw)(?![a-z])|aliyun|alibaba", re.IGNORECASE)


def test_no_room_of_the_core_names_a_cloud() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for room in ROOMS
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NAMES.search(line)
    ]
    assert found == []


def test_what_it_looks_for_is_found_where_it_stands() -> None:
    """In each of the shapes that stood there once."""
    for text in ("ECI says", "k8s.aliyun.com/x", "`eci-price`", "__ECI_X__", "config.eci_region", "eci://1"):
        assert NAMES.search(text), text
    for text in ("decide", "specific", "precise", "special"):
        assert not NAMES.search(text), text
