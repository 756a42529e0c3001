"""What only the status call tells is kept once, and not for longer than the instance is there."""

from __future__ import annotations

import json

import pytest

from vk_provider import jsontext
from vk_provider.cloud.eci import response, values
from vk_provider.cloud.eci.report_cache import ReportCache
from vk_provider.cloud.eci.status_supplement import StatusSupplement
from vk_provider.errors import CloudUnavailable
from vk_provider.model.instance import Instance


def item(instance_id: str, image_id: str = "busybox@sha256:1") -> dict:
    running = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
    container = {"name": "main", "image": "busybox", "imageId": image_id, "state": running, "ready": True}
    return {"containerGroupId": instance_id, "status": "Running", "podStatus": {"containerStatuses": [container]}}


def seen(instance_id: str) -> Instance:
    return response.instance({**item(instance_id), "containers": [{"name": "main", "image": "busybox"}]})


def image_ids(details: StatusSupplement, instance_id: str) -> list[str]:
    return [one.image_id for one in details.added_to(seen(instance_id)).containers]


def test_what_is_told_again_is_held_once():
    details, first = StatusSupplement(), response.report(item("a"))
    details.note(first)
    held = details._known["a"]
    details.note(response.report(item("a")))
    assert details._known["a"] is held
    assert held.containers[0] is first.containers[0]
    details.note(response.report(item("a", "busybox@sha256:2")))
    assert image_ids(details, "a") == ["busybox@sha256:2"]


def test_an_instance_that_two_counts_in_a_row_lack_is_forgotten():
    details = StatusSupplement()
    for name in ("stays", "new", "gone"):
        details.note(response.report(item(name)))
    details.counted({"stays"})
    assert image_ids(details, "new") == image_ids(details, "gone") == ["busybox@sha256:1"]
    details.counted({"stays", "new"})
    assert details._known.keys() == {"stays", "new"}
    details.counted({"stays"})
    details.counted({"stays", "new"})
    details.counted({"stays"})
    assert details._known.keys() == {"stays", "new"}, "never twice in a row"


def test_two_instances_hold_one_object_of_what_they_have_in_common():
    one, other = (response.report(item(name)).containers[0] for name in ("a", "b"))
    assert one.image is other.image
    assert one.image_id is other.image_id
    assert one.state is other.state


def test_long_texts_are_not_kept_for_others():
    text = "x" * 1000
    before = values._same.cache_info().currsize
    response.report(item("a", text))
    assert values._same.cache_info().currsize <= before + 2


def unread(*items):
    return jsontext.opened(json.dumps({"Data": items}).encode())["Data"]


@pytest.mark.parametrize("came_as", [unread, lambda *items: items], ids=["unread", "read"])
def test_an_unchanged_item_is_the_same_report_on_whatever_page_it_stands(came_as):
    reader = ReportCache(response.report)
    reader.begin()
    first = [reader.read(each) for page in (came_as(item("a"), item("b")), came_as(item("c"))) for each in page]
    reader.begin()
    pages = came_as(item("c")), came_as(item("b"), item("a", "busybox@sha256:2"))
    again = [reader.read(each) for page in pages for each in page]
    assert again[0] is first[2]
    assert again[1] is first[1]
    assert again[2] != first[0]
    reader.begin()
    reader.begin()
    assert reader.read(*came_as(item("b"))) is not first[1], "two answers without it: forgotten"


def split(text: bytes):
    return response.page(jsontext.opened(b'{"Data": [{"containerGroupId": "a", "x": ' + text + b"}]}")).items


def deepest() -> bytes:
    """Lists nested as deeply as a page may be here; how deeply that is differs with Python's version."""
    good, bad = 1, 100_000
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            split(b"[" * middle + b"]" * middle)
        except (CloudUnavailable, ValueError):
            bad = middle
        else:
            good = middle
    return b"[" * good + b"]" * good


@pytest.mark.parametrize("text", [lambda: b"1" * 5000, deepest], ids=["a number of 5000 digits", "nested"])
def test_an_item_that_cannot_be_read_is_no_answer_and_never_a_gap_in_one(text):
    """Its form is looked at when the page is split, and no more: were it left out, it would look gone."""
    (unread,) = split(text())

    def deep(levels: int) -> object:  # by way of C, for since 3.12 Python counts the frames of C apart
        return response.item(unread) if not levels else next(map(deep, [levels - 1]))

    with pytest.raises(CloudUnavailable):
        deep(300)
