"""A pod's way as spans, kept by OpenTelemetry's own SDK; and what it costs where nobody wants it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.snapshot.test_pods import BOUND, a_pod, an_instance
from vk_provider.metrics import Registry
from vk_provider.model.instance import StateKind
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.snapshot.pods import PodIndex
from vk_provider.tracing import otlp, pod_traces
from vk_provider.tracing.pod_traces import PodTraces

UID = "uid-api-0"
BEGAN = datetime.fromisoformat(BOUND)


class Kept:
    """seconds: since the pod was bound, by the clock that the traces have."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.seconds = 0.0
        self.traces = PodTraces(
            otlp.tracer(self.provider), clock=lambda: (BEGAN + timedelta(seconds=self.seconds)).astimezone(UTC)
        )
        self.index = PodIndex(Registry())
        self.view = self.traces.beside(self.index, "virtual-kubelet")

    def called(self, action: str, code: str = "OK", *, took_s: float = 0.5, uid: str = UID) -> None:
        with calling_for(Purpose.CONTROL, "web", uid):
            self.traces.called(action, code, took_s)

    def spans(self) -> dict[str, ReadableSpan]:
        return {each.name: each for each in self.exporter.get_finished_spans()}


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.provider.shutdown()


def since(span: ReadableSpan) -> tuple[float, float]:
    """Begin and end, in seconds since the pod was bound."""
    began_ns = BEGAN.timestamp() * 1e9
    return round((span.start_time - began_ns) / 1e9, 3), round((span.end_time - began_ns) / 1e9, 3)


def test_the_way_of_a_pod_with_its_calls(kept: Kept) -> None:
    kept.view.observe(UID, a_pod(), (), "Create", "no instance yet")
    kept.seconds = 1.0
    kept.called("CreateContainerGroup", "OperationDenied.NoStock")
    kept.seconds = 3.0
    kept.called("CreateContainerGroup", took_s=1.5)
    kept.view.observe(UID, a_pod(), (an_instance(kind=StateKind.WAITING),), "Done", "")
    kept.seconds = 7.0
    kept.called("DescribeContainerGroupEvents")
    kept.seconds = 9.0
    kept.view.observe(UID, a_pod(phase="Running"), (an_instance(),), "Done", "")
    kept.called("ExecContainerCommand")  # it runs: no part of its way
    calls = [each for each in kept.exporter.get_finished_spans() if each.name == "CreateContainerGroup"]
    spans = kept.spans()
    assert spans.keys() == {"pod start", "create", "start", "CreateContainerGroup", "DescribeContainerGroupEvents"}
    whole, create, start = spans["pod start"], spans["create"], spans["start"]
    assert [since(each) for each in (whole, create, start)] == [(0.0, 9.0), (0.0, 3.0), (3.0, 9.0)]
    assert [since(each) for each in calls] == [(0.5, 1.0), (1.5, 3.0)]
    assert dict(whole.attributes) == {
        "k8s.namespace.name": "web",
        "k8s.pod.name": "api-0",
        "k8s.pod.uid": UID,
        "k8s.node.name": "virtual-kubelet",
    }
    assert start.attributes["vk.instance"] == "eci-api-0"
    assert len({each.context.trace_id for each in spans.values()}) == 1
    for inner, outer in (
        (create, whole),
        (start, whole),
        (calls[0], create),
        (spans["DescribeContainerGroupEvents"], start),
    ):
        assert inner.parent.span_id == outer.context.span_id
    assert [(each.status.is_ok, each.status.description) for each in calls] == [
        (False, "OperationDenied.NoStock"),
        (True, None),
    ]
    assert whole.status.is_ok
    assert len(kept.traces) == 0
    assert [each.phase for each in kept.index] == ["Running"], "what is beside it sees all of it"


@pytest.mark.parametrize(
    ("last", "error"),
    [
        pytest.param(lambda view: view.drop(UID), "the pod is gone", id="gone"),
        pytest.param(
            lambda view: view.observe(
                UID, {**a_pod(), "metadata": {**a_pod()["metadata"], "deletionTimestamp": BOUND}}, (), "Done", ""
            ),
            "the pod was deleted",
            id="deleted",
        ),
        pytest.param(
            lambda view: view.observe(UID, a_pod(phase="Failed"), (), "Done", "hostPID is refused"),
            "hostPID is refused",
            id="refused",
        ),
    ],
)
def test_a_way_that_leads_nowhere_ends_with_its_reason(kept: Kept, last: Callable, error: str) -> None:
    kept.view.observe(UID, a_pod(), (), "Create", "no instance yet")
    last(kept.view)
    assert kept.spans()["pod start"].status.description == error
    assert len(kept.traces) == 0


def test_what_was_not_seen_from_its_beginning_is_not_traced(kept: Kept) -> None:
    kept.view.observe(UID, a_pod(), (an_instance(),), "Done", "inherited")
    kept.view.observe("other", a_pod("other", phase="Running"), (), "Done", "")
    kept.called("DescribeContainerGroups")
    kept.called("DescribeContainerGroups", uid="")
    assert (kept.spans(), len(kept.traces)) == ({}, 0)


def test_when_a_node_is_served_no_longer_its_pods_ways_end(kept: Kept) -> None:
    kept.view.observe(UID, a_pod(), (), "Create", "")
    kept.traces.beside(kept.index, "another").observe("uid-b", a_pod("b"), (), "Create", "")
    kept.traces.forget("virtual-kubelet")
    assert len(kept.traces) == 1
    assert "no longer served" in str(kept.spans()["pod start"].status.description)


def test_only_so_many_are_open_at_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_traces, "MOST_OPEN", 3)
    for number in range(10):
        kept.view.observe(f"u{number}", a_pod(f"p{number}"), (), "Create", "")
    assert len(kept.traces) == 3


def test_where_it_is_off_nothing_of_it_is_loaded() -> None:
    script = "import sys, vk_provider.app; print([each for each in sys.modules if each.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
