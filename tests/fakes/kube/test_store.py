"""The revision log: what was written can be followed, listed as it was, and is forgotten only by compaction."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.kube.store import Compacted, Store
from fakes.kube.watch import Watch


def thing(name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "T", "apiVersion": "v1", "metadata": {"namespace": "n", "name": name}, **fields}


writes = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "remove"])), max_size=40)


def write(store: Store, steps: list[tuple[str, str]]) -> None:
    for number, (name, step) in enumerate(steps):
        if step == "put":
            store.put("things", thing(name, number=number))
        elif store.get("things", "n", name):
            store.remove("things", "n", name)


def shown(store: Store, revision: int | None = None) -> dict[str, Any]:
    found = store.objects("things") if revision is None else store.objects_at("things", revision)
    return {item.object["metadata"]["name"]: item.object for item in found}


@given(before=writes, after=writes)
def test_a_list_and_what_follows_make_the_present(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    store = Store()
    write(store, before)
    revision, mirror = store.revision, shown(store)
    write(store, after)
    assert shown(store, revision) == mirror
    for change in store.changes_since("things", revision):
        name = change.after.object["metadata"]["name"]
        assert (change.type == "ADDED") == (name not in mirror)
        assert int(change.after.object["metadata"]["resourceVersion"]) == change.revision
        if change.type == "DELETED":
            del mirror[name]
        else:
            mirror[name] = change.after.object
    assert mirror == shown(store)


@given(before=writes, after=writes, limit=st.integers(0, 40))
async def test_a_selecting_watcher_sees_exactly_what_matches(
    before: list[tuple[str, str]], after: list[tuple[str, str]], limit: int
) -> None:
    store = Store()
    write(store, before)

    def small(obj: dict[str, Any]) -> bool:
        return bool(obj["number"] < limit)

    watch = Watch(store, "things", "n", small, store.revision)
    mirror = {seen.snapshot.object["metadata"]["name"] for seen in watch.present()}
    write(store, after)
    for seen in await watch.batch(0):
        name = seen.snapshot.object["metadata"]["name"]
        assert (seen.type == "ADDED") == (name not in mirror)
        (mirror.discard if seen.type == "DELETED" else mirror.add)(name)
    assert mirror == {name for name, obj in shown(store).items() if small(obj)}


def test_compaction_forgets_only_the_past() -> None:
    store = Store()
    for number in range(10):
        store.put("things", thing("a", number=number))
    store.compact(6)
    assert [change.revision for change in store.changes_since("things", 6)] == [7, 8, 9, 10, 11]
    with pytest.raises(Compacted):
        store.changes_since("things", 5)
    with pytest.raises(Compacted):
        store.objects_at("things", 5)
    assert shown(store)["a"]["number"] == 9


def test_history_is_kept_as_long_as_promised() -> None:
    store = Store(keep=100)
    for number in range(1000):
        store.put("things", thing("a", number=number))
    assert store.changes_since("things", store.revision - 100)
    assert 100 <= store.revision - store.compacted <= 111


async def test_a_quiet_watcher_survives_compaction() -> None:
    store = Store(keep=10)
    quiet = Watch(store, "things", None, None, store.revision)
    for number in range(100):
        store.put("others", thing("a", number=number))
    store.put("things", thing("b"))
    assert [seen.type for seen in await quiet.batch(0)] == ["ADDED"]


async def test_a_slow_watcher_is_told() -> None:
    store = Store(keep=10)
    slow = Watch(store, "things", None, None, store.revision)
    for number in range(100):
        store.put("things", thing("a", number=number))
    with pytest.raises(Compacted):
        await slow.batch(0)


async def test_a_waiting_watcher_is_woken() -> None:
    store = Store()
    watch = Watch(store, "things", None, None, store.revision)
    waiting = asyncio.create_task(watch.batch(10))
    await asyncio.sleep(0)
    store.put("others", thing("x"))
    store.put("things", thing("b"))
    assert [seen.snapshot.object["metadata"]["name"] for seen in await waiting] == ["b"]


async def test_a_watcher_gives_up_when_its_time_passes(virtual_time: Any) -> None:
    watch = Watch(Store(), "things", None, None, 1)
    assert await watch.batch(30) == []
    assert virtual_time() == pytest.approx(30)


def test_what_is_stored_never_changes() -> None:
    store = Store()
    first = store.put("things", thing("a", number=1))
    store.put("things", thing("a", number=2))
    last = store.remove("things", "n", "a")
    assert [first.object["number"], last.object["number"]] == [1, 2]
    assert first.item() is first.item()
    assert first.whole("T", "v1").startswith(b'{"kind":"T","apiVersion":"v1","metadata":')
