"""What the log looks like when somebody else writes part of it: one record is one line, short, and said once."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from vk_provider import bounds
from vk_provider.logsetup import Repeats, _Json, _Text
from vk_provider.logtext import message_of
from vk_provider.redaction import SecretText

FORGED = "nginx\n2026-01-02T03:04:05.678Z INFO  control.pods created pod=kube-system/admin"
ODD = [
    "\n",
    "\r",
    "\r\n",
    "\x1b[2J",
    "\x85",
    "\x9b31m",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u200b",
    "\0",
    "\x7f",
    "\ud800",
    "\v",
]


def record(message: str, *args: object, level: int = logging.WARNING, name: str = "vk_provider.control.pods"):
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def failed(words: str) -> logging.LogRecord:
    try:
        int(words)
    except ValueError:
        return logging.LogRecord("vk_provider.x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_s12_one_record_is_one_line_of_text(odd):
    line = _Text().format(record("not created pod=%s: %s", f"web/a{odd}b", f"image {odd} is bad"))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    line.encode()  # half a surrogate pair would have no UTF-8


def test_s12_a_forged_line_is_part_of_its_own():
    line = _Text().format(record("not created: %s", FORGED))
    assert line.endswith(
        "not created: nginx\\n2026-01-02T03:04:05.678Z INFO  control.pods created pod=kube-system/admin"
    )


def test_s12_nor_does_a_message_without_values_forge_one():
    assert "\n" not in _Text().format(record(f"not created: {FORGED}"))


def test_s12_nor_does_the_text_of_an_error():
    first, *others = _Text().format(failed(FORGED)).splitlines()
    assert first.endswith("failed")
    assert others
    assert all(line.startswith("    ") for line in others)


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_s12_json_is_one_line_and_gives_the_text_back(odd):
    line = _Json().format(record("image %s", f"a{odd}b"))
    assert line.isprintable()
    assert json.loads(line)["message"] == f"image a{odd}b"


def test_what_is_ordinary_stays_as_it_is():
    told = 'created pod=web/größe-0 \N{FIRE} 漢字 100% of \\n and "quotes"'
    assert _Text().format(record("%s", told)).endswith(told)
    assert message_of(record("50% done")) == "50% done"
    assert message_of(record("%s took_s=%.1f count=%d %r", "a", 1.25, 3, "x")) == "a took_s=1.2 count=3 'x'"
    assert message_of(record("%(a)s", {"a": "b"})) == "b"


@pytest.mark.parametrize("formatter", [_Text(), _Json()])
def test_s12_long_values_and_long_lines_are_cut(formatter):
    line = formatter.format(record("not created pod=%s retry_s=%.1f: %s", "web/a", 2.0, "x" * 30_000))
    assert len(line) < bounds.MOST_LOG_VALUE + 200
    assert "(30,000 characters)" in line
    assert "retry_s=2.0" in line
    assert len(formatter.format(record("y" * 1_000_000))) < bounds.MOST_LOG_LINE + 200
    assert len(formatter.format(failed("z" * 1_000_000))) < 3 * bounds.MOST_LOG_LINE


def test_a_wrong_log_call_is_logged_as_it_stands():
    assert "web/a" in message_of(record("%d pods: %s", "web/a", "b"))


def test_s10_what_came_out_of_a_secret_is_not_logged():
    secret = SecretText("--password=hunter2", shown="--password=(secret)")
    for form in ("%s", "%r"):
        assert "hunter2" not in _Text().format(record(f"argument {form}", secret))


# --- what is said again and again -------------------------------------------------------------------------------------


class Said:
    """A logger with the filter, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self._filter = Repeats(lambda: self.now)

    def __call__(self, message: str, *args: object, level: int = logging.WARNING) -> None:
        told = record(message, *args, level=level)
        if self._filter.filter(told):
            self.lines.append(message_of(told))


def test_s12_the_same_refusal_is_logged_once_and_counted():
    say = Said()
    for number in range(100):
        say("not created pod=%s retry_s=%.1f: %s", "web/a", 2.0 + number, "no such image")
        say.now += 1
    assert say.lines == ["not created pod=web/a retry_s=2.0: no such image"]
    say.now = 400
    say("not created pod=%s retry_s=%.1f: %s", "web/a", 9.0, "no such image")
    assert say.lines[1:] == [
        "not created pod=web/a retry_s=9.0: no such image (and repeats=99 since it was last logged)"
    ]
    say.now = 800
    say("not created pod=%s retry_s=%.1f: %s", "web/a", 9.0, "no such image")
    assert say.lines[2:] == ["not created pod=web/a retry_s=9.0: no such image"]


def test_s12_another_pod_another_reason_and_another_level_are_told():
    say = Said()
    say("not created pod=%s: %s", "web/a", "x")
    say("not created pod=%s: %s", "web/b", "x")
    say("not created pod=%s: %s", "web/a", "y")
    say("not created pod=%s: %s", "web/a", "x", level=logging.ERROR)
    assert len(say.lines) == 4


def test_s12_what_is_no_warning_is_told_each_time():
    say = Said()
    for _ in range(3):
        say("listed", level=logging.INFO)
    assert len(say.lines) == 3


def test_s12_the_id_of_a_request_makes_no_other_warning():
    say = Said()
    for number in range(9):
        say("not created: %s", f"throttled (request {number:X}-ABC)")
    assert len(say.lines) == 1


def test_s12_what_is_remembered_is_bounded():
    say = Said()
    for number in range(10_000):
        say("pod=%s", f"p{number}")
    assert len(say.lines) == 10_000
    assert len(say._filter._repeated) <= 2_048
