"""A pod's way through the rooms: how many a reader of it enters, and how often a call goes back up the house."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import vk_provider
from tests.architecture import layers
from tests.control.pure_time import play
from tests.control.world import World

_HOUSE = str(Path(vk_provider.__file__).parent) + "/"
_LAYER = {room: depth for depth, rooms in enumerate(layers()) for room in rooms}


class Walk:
    """What the reconciler's workers call: the rooms entered, and the calls from a room into one of a higher layer."""

    def __init__(self) -> None:
        self.rooms: set[str] = set()
        self.climbs: set[str] = set()

    def called(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or (room := _room(frame)) is None:
            return
        callers = list(_callers(frame))
        if not any(caller.f_code.co_name == "_work" for caller in callers):
            return
        self.rooms.add(room)
        caller_room = _room(callers[0]) or room
        if _LAYER[room] < _LAYER[caller_room]:
            self.climbs.add(f"{caller_room}.{callers[0].f_code.co_name} calls {room}.{frame.f_code.co_name}")


def _callers(frame: FrameType) -> Iterator[FrameType]:
    """Those of the provider, from the nearest; a coroutine's is whoever awaits it."""
    caller = frame.f_back
    while caller is not None:
        if _room(caller) is not None:
            yield caller
        caller = caller.f_back


def _room(frame: FrameType) -> str | None:
    name = frame.f_code.co_filename
    return name.removeprefix(_HOUSE).split("/")[0].removesuffix(".py") if name.startswith(_HOUSE) else None


@contextmanager
def walking() -> Iterator[Walk]:
    walk = Walk()
    sys.setprofile(walk.called)
    try:
        yield walk
    finally:
        sys.setprofile(None)


def test_a_pods_way_from_bound_to_removed_enters_few_rooms_and_seldom_climbs():
    async def story() -> Walk:
        world = World()
        async with world.running(workers=1):
            await world.until(lambda: world.time_s > 5)
            with walking() as walk:
                world.kube.add_pod("a")
                await world.until(lambda: world.phase("a") == "Running")
                world.kube.delete_pod("a")
                await world.until(lambda: world.phase("a") == "gone")
            return walk

    walk = play(story())
    assert {"control", "translate", "kube", "cloud"} <= walk.rooms
    assert len(walk.rooms) <= 12, sorted(walk.rooms)
    assert len(walk.climbs) <= 4, sorted(walk.climbs)
