"""What a hostile tenant writes: pods that are made to hurt others, by their size, their probes or their names. Pure.

The rows are those of the list of known attacks: an environment that explodes when it is expanded, arguments full of
openings, more entries than anybody needs, probes that hold on or never stop, an image that writes its own log lines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
FORGED = "level=error msg=forged-by-a-tenant"
"""Stands on a line of its own in an image's name; at the beginning of a line of the log it is a forgery."""


@dataclass(frozen=True)
class Sizes:
    """Upper ends, of which each pod draws its share. depth: of variables that hold the one before ten times. openings:
    of `$(` in one argument. entries: of variables or volumes. image: its length. probe_timeout_s: of probes that
    nobody answers. probe_containers: each with an exec probe every second."""

    depth: int
    openings: int
    entries: int
    image: int
    probe_timeout_s: int
    probe_containers: int


MODEST = Sizes(depth=3, openings=2_000, entries=300, image=4_000, probe_timeout_s=20, probe_containers=6)
FULL = Sizes(depth=9, openings=120_000, entries=20_000, image=30_000, probe_timeout_s=3600, probe_containers=18)
SIZES: Mapping[str, Sizes] = {"modest": MODEST, "full": FULL}

Hurt = Callable[[Json, random.Random, Sizes], None]


def exploding_environment(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    depth = dice.randint(2, sizes.depth)
    env = [{"name": "X0", "value": "x" * 30}]
    env += [{"name": f"X{n}", "value": f"$(X{n - 1})" * 10} for n in range(1, depth + 1)]
    spec["containers"][0]["env"] = env


def arguments_of_openings(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    spec["containers"][0]["args"] = ["$(" * dice.randint(sizes.openings // 10, sizes.openings)]


def many_variables(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    count = dice.randint(sizes.entries // 10, sizes.entries)
    spec["containers"][0]["env"] = [{"name": f"V{n}", "value": f"$(V{n - 1})-{n % 7}"[-30:]} for n in range(count)]


def many_volumes(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    count = dice.randint(sizes.entries // 10, sizes.entries)
    spec["volumes"] = [{"name": f"v{n}", "emptyDir": {}} for n in range(count)]
    spec["containers"][0]["volumeMounts"] = [{"name": f"v{n}", "mountPath": f"/v{n}"} for n in range(count)]


def long_probes(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    """Of a port where nobody answers; each waits for as long as it may."""
    timeout_s = dice.randint(5, sizes.probe_timeout_s)
    probe = {"httpGet": {"path": "/", "port": 81}, "timeoutSeconds": timeout_s, "periodSeconds": 1}
    _probed(spec, {**probe, "failureThreshold": 1000}, dice.randint(2, sizes.probe_containers))


def restless_probes(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    """Each is a command, every second."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1000}
    _probed(spec, probe, dice.randint(2, sizes.probe_containers))


def image_of_lines(spec: Json, dice: random.Random, sizes: Sizes) -> None:
    length = dice.randint(100, sizes.image)
    spec["containers"][0]["image"] = f"busybox\n{FORGED}\n" + "x" * length


def _probed(spec: Json, probe: Json, count: int) -> None:
    first = spec["containers"][0]
    spec["containers"] = [{**first, "name": f"hostile{n}", "startupProbe": probe} for n in range(count)]


HURTS: tuple[Hurt, ...] = (
    exploding_environment,
    arguments_of_openings,
    many_variables,
    many_volumes,
    long_probes,
    restless_probes,
    image_of_lines,
)
NOT_OBJECTS: tuple[Any, ...] = (
    None,
    [],
    "pod",
    {},
    {"metadata": None},
    {"metadata": []},
    {"metadata": "name"},
    {"metadata": {"uid": "u"}},
    {"metadata": {"name": "n", "namespace": "web"}},
    {"metadata": {"name": 7, "namespace": [], "uid": {}, "resourceVersion": None}},
    {"metadata": {"name": "n", "namespace": "web", "uid": "u", "resourceVersion": "9"}, "spec": [], "status": "x"},
    {"metadata": {"name": "n", "namespace": "web", "uid": "u", "resourceVersion": "9"}, "spec": {"containers": {}}},
)
"""What may stand where an object belongs: as an item of a list, or in a line of a watch."""
NOT_LINES: tuple[Any, ...] = (
    {"type": "MODIFIED"},
    {"object": {}},
    {"type": None, "object": None},
    {"type": "ADDED", "object": None},
    {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": []}}},
    {"type": "ERROR", "object": "no status"},
    {"type": "ERROR", "object": {"code": "410"}},
    {"type": "NOVELTY", "object": {"metadata": {}}},
    *({"type": kind, "object": each} for each in NOT_OBJECTS for kind in ("ADDED", "MODIFIED", "DELETED")),
)
