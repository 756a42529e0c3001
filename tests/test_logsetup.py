"""A JSON log line has its facts as members, not only in its text."""

import io
import json
import logging

import pytest

from vk_provider import logsetup
from vk_provider.model.pod import PodKey
from vk_provider.pacing.callers import Purpose, calling_for


@pytest.fixture
def line():
    """Log, and get the line back."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logsetup._Json())
    log = logging.getLogger("vk_provider.test_logsetup")
    log.addHandler(handler)
    log.propagate = False

    def write(text, *args, **more):
        log.warning(text, *args, **more)
        return json.loads(stream.getvalue().splitlines()[-1])

    yield write
    log.removeHandler(handler)
    log.propagate = True


FORGED = 'x" instance=eci-9\n{"level":"error"}'


@pytest.mark.parametrize(
    ("text", "args", "fields"),
    [
        pytest.param(
            "created pod=%s instance=%s took_s=%.2f",
            (PodKey("web", "api-0", "u"), "eci-1", 1.8349),
            {"pod": "web/api-0", "instance": "eci-1", "took_s": 1.8349},
            id="as most are",
        ),
        pytest.param("gone pod=%s/%s", ("web", "api-0"), {"pod": "web/api-0"}, id="of two parts"),
        pytest.param("not created pod=%s: %s", ("a/b", "no stock"), {"pod": "a/b"}, id="a text that follows"),
        pytest.param("deleting pod=%s existed=%s, as told", ("a/b", True), {"pod": "a/b", "existed": True}, id="bool"),
        pytest.param("task=%r ends", ("pods",), {"task": "pods"}, id="a quoted one"),
        pytest.param("listed objects=%d version=%s", (7, "12"), {"objects": 7, "version": "12"}, id="number and text"),
        pytest.param("used=%d%% of it=%s", (80, "x"), {"used": "80%", "it": "x"}, id="a percent sign"),
        pytest.param("%s failed reason=%s", ("node=evil", "r"), {"reason": "r"}, id="keys are the code's alone"),
        pytest.param("pod=%s", (FORGED,), {"pod": FORGED}, id="nor made by values"),
        pytest.param("level=%s time=%s", ("l", "t"), {"level_": "l", "time_": "t"}, id="names that are taken"),
        pytest.param("mode=fixed pod=%s", ("a/b",), {"mode": "fixed", "pod": "a/b"}, id="a constant"),
        pytest.param("rate=%f", (float("nan"),), {"rate": "nan"}, id="no number of JSON"),
        pytest.param("nothing at all", (), {}, id="no pairs"),
    ],
)
def test_pairs_are_members(line, text, args, fields):
    got = line(text, *args)
    assert got["message"] == (text % args if args else text)
    standard = {"time", "level", "logger", "message"}
    assert {key: value for key, value in got.items() if key not in standard} == fields
    assert got["level"] == "warning"


def test_a_text_that_is_no_format_is_logged_all_the_same(line):
    assert line("100% of pod=x")["message"] == "100% of pod=x"
    assert line({"pod": "x"})["message"] == "{'pod': 'x'}"


def test_an_exception_is_one_member(line):
    try:
        {}["metadata"]
    except KeyError as error:
        got = line("failed uid=%s", "u-1", exc_info=error)
    assert got["uid"] == "u-1"
    assert got["exception"].endswith("KeyError: 'metadata'")


def test_whose_work_it_is_goes_with_the_task(line):
    with logsetup.working_for("virtual-kubelet"), calling_for(Purpose.CONTROL, "web", "u-1"):
        got = line("no termination message instance=%s", "eci-1")
    assert (got["node"], got["pod_uid"], got["instance"]) == ("virtual-kubelet", "u-1", "eci-1")
    with logsetup.working_for("one"):
        assert line("registered node=%s", "another")["node"] == "another", "what the text says is meant"
    assert not {"node", "pod_uid"} & line("nothing of a pod").keys()
