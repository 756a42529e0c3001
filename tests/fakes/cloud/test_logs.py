"""Log files of containers: whole lines, bounded, read from their end."""

import pytest

from fakes.cloud import logs
from fakes.cloud.logs import RunLog, read
from fakes.cloud.runtime import LogQuery

NOW = 1_700_000_000.0
NS = 1_700_000_000 * 10**9
ALL = LogQuery(tail=10**9)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "main.1.log"


def test_a_line_shows_when_it_is_complete_or_the_run_has_ended(path):
    log = RunLog(path)
    log.feed(b"one\ntw", NOW)
    assert read(path, ALL) == "one\n"
    log.feed(b"o\nthree", NOW)
    assert read(path, ALL) == "one\ntwo\n"
    log.close(NOW)
    assert read(path, ALL) == "one\ntwo\nthree"


def test_an_absent_log_is_empty(path):
    assert read(path, ALL) == ""


def test_times_are_unique_and_ascending_also_within_one_write(path):
    log = RunLog(path)
    log.feed(b"a\n\nb\n", NOW)
    log.feed(b"c\n", NOW - 5)
    lines = read(path, LogQuery(timestamps=True)).splitlines()
    assert [line[31:] for line in lines] == ["a", "", "b", "c"]
    stamps = [line[:30] for line in lines]
    assert stamps == sorted(set(stamps))
    assert stamps[0] == "2023-11-14T22:13:20.000000000Z"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(LogQuery(tail=2), "8\n9\n", id="tail"),
        pytest.param(LogQuery(since_ns=NS + 7 * 10**9), "7\n8\n9\n", id="since is inclusive"),
        pytest.param(LogQuery(since_ns=NS + 7 * 10**9 + 1), "8\n9\n", id="since between lines"),
        pytest.param(LogQuery(tail=4, since_ns=NS + 7 * 10**9), "7\n8\n9\n", id="both"),
        pytest.param(LogQuery(tail=3, limit_bytes=3), "7\n8", id="the first bytes of the newest lines"),
        pytest.param(LogQuery(since_ns=NS + 100 * 10**9), "", id="nothing so new"),
    ],
)
def test_windows(path, query, expected):
    log = RunLog(path)
    for number in range(10):
        log.feed(f"{number}\n".encode(), NOW + number)
    assert read(path, query) == expected


def test_lines_across_blocks_of_reading(path):
    log = RunLog(path)
    lines = [f"{n}:" + "x" * (n * 977 % 70_000) for n in range(60)]
    for number, line in enumerate(lines):
        log.feed(f"{line}\n".encode(), NOW + number)
    assert read(path, LogQuery(tail=1000, limit_bytes=1 << 30)).splitlines() == lines
    assert read(path, LogQuery(tail=7, limit_bytes=1 << 30)).splitlines() == lines[-7:]


def test_a_log_is_bounded_but_keeps_its_newest_ten_mebibytes(path):
    log = RunLog(path)
    line = b"x" * 1023 + b"\n"
    for number in range(32):
        log.feed(line * 1024, NOW + number)
    on_disk = sum(file.stat().st_size for file in path.parent.iterdir())
    assert on_disk < 2 * logs.SEGMENT_BYTES + (2 << 20)
    content = read(path, LogQuery(tail=10**9, limit_bytes=1 << 30))
    assert len(content) >= 10 << 20
    assert set(content) == {"x", "\n"}


def test_an_endless_line_is_broken(path):
    log = RunLog(path)
    for _ in range(3):
        log.feed(b"y" * (1 << 20), NOW)
    assert len(log.partial) <= 1 << 20
    assert read(path, LogQuery(tail=1, limit_bytes=10)) == "y" * 10


def test_removal(path):
    log = RunLog(path)
    for _ in range(12):
        log.feed((b"x" * 1023 + b"\n") * 1024, NOW)
    log.close(NOW)
    logs.remove(path)
    assert list(path.parent.iterdir()) == []
