"""What deploy/monitoring ships: every alert fires on its planted cause and is silent otherwise, every query of the
dashboard answers on the metrics of a real run.

With promtool, which `make promtool` builds; without it the rules and queries are held against the metrics that there
are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import guides

from . import promtool
from .promtool import Series, queries, with_promtool

SCRAPE = promtool.ROOT / "tests" / "data" / "monitoring" / "scrape.txt"

# Of a provider that is well, over two hours at one sample a minute.
HEALTHY: Series = {
    'vk_build_info{version="0.1.0"}': "1x120",
    'vk_healthy{check="lease"}': "1x120",
    "vk_leader": "1x120",
    "vk_queue_oldest_seconds": "0x120",
    'vk_reconcile_failures_total{error="bug"}': "0x120",
    'vk_reconcile_failures_total{error="Conflict"}': "0+1x120",
    'vk_reconcile_actions_total{action="Done"}': "0+60x120",
    'vk_cloud_calls_total{action="DescribeContainerGroups",code="OK"}': "0+30x120",
    'vk_cloud_calls_total{action="CreateContainerGroup",code="OperationDenied.NoStock"}': "0+1x120",
    'vk_cloud_calls_total{action="CreateContainerGroup",code="Throttling"}': "0x120",
    'vk_cloud_calls_total{action="CreateContainerGroup",code="Forbidden.RAM"}': "0x120",
    'vk_cloud_limit_used_ratio{action="CreateContainerGroup"}': "0.1x120",
    'vk_cloud_call_seconds_bucket{action="CreateContainerGroup",le="1.0"}': "0+30x120",
    'vk_cloud_call_seconds_bucket{action="CreateContainerGroup",le="30.0"}': "0+30x120",
    'vk_cloud_call_seconds_bucket{action="CreateContainerGroup",le="+Inf"}': "0+30x120",
    'vk_pods{phase="Running",reason=""}': "5000x120",
    'vk_pods{phase="Pending",reason="ContainerCreating"}': "0 5 0 0 9 0 0 _x113",
    'vk_pod_start_seconds_bucket{stage="running",le="15.0"}': "0+6x120",
    'vk_pod_start_seconds_bucket{stage="running",le="600.0"}': "0+6x120",
    'vk_pod_start_seconds_bucket{stage="running",le="+Inf"}': "0+6x120",
    "vk_orphans": "0x120",
    "vk_orphans_deleted_total": "0x120",
    "vk_certificate_expires_in_seconds": "7776000-60x120",
    "vk_certificate_expiration_timestamp_seconds": "1800000000x120",
    'vk_events_total{result="sent"}': "0+9x120",
    'vk_events_total{result="dropped_spam"}': "0+9x120",
    'vk_events_total{result="dropped_crowded"}': "0x120",
    'vk_watch_restarts_total{why="ended"}': "0+1x120",
    'vk_watch_restarts_total{why="failed"}': "0x120",
    "vk_loop_lag_seconds": "0.02x120",
    'vk_loop_failures_total{loop="pods"}': "0x120",
    'vk_kubelet_connections_dropped_total{why="handshake"}': "0x120",
    'vk_cost_estimated_per_hour{namespace="web",currency="CNY"}': "10x120",
}

# alert → what is planted in place of the healthy series. The alerts besides that it brings about by its nature.
CAUSES: Mapping[str, tuple[Series, set[str]]] = {
    "VkProviderAbsent": ({'vk_build_info{version="0.1.0"}': "_x120"}, set()),
    "VkProviderCheckFails": ({'vk_healthy{check="lease"}': "0x120"}, set()),
    "VkProviderDoesNotLead": ({"vk_leader": "0x120"}, set()),
    "VkQueueStuck": ({"vk_queue_oldest_seconds": "0+60x120"}, set()),
    "VkReconcileBug": ({'vk_reconcile_failures_total{error="bug"}': "0+1x120"}, set()),
    "VkReconcilesFail": ({'vk_reconcile_failures_total{error="Conflict"}': "0+30x120"}, set()),
    "VkCloudDenied": (
        {'vk_cloud_calls_total{action="CreateContainerGroup",code="Forbidden.RAM"}': "0+1x120"},
        set(),
    ),
    "VkCloudCallsFail": (
        {'vk_cloud_calls_total{action="CreateContainerGroup",code="OperationDenied.NoStock"}': "0+30x120"},
        set(),
    ),
    "VkCloudThrottles": ({'vk_cloud_calls_total{action="CreateContainerGroup",code="Throttling"}': "0+2x120"}, set()),
    "VkCloudLimitUsedUp": ({'vk_cloud_limit_used_ratio{action="CreateContainerGroup"}': "0.95x120"}, set()),
    "VkCloudSlow": ({'vk_cloud_call_seconds_bucket{action="CreateContainerGroup",le="1.0"}': "0x120"}, set()),
    "VkPodsWait": ({'vk_pods{phase="Pending",reason="ContainerCreating"}': "3x120"}, set()),
    "VkPodStartsSlow": ({'vk_pod_start_seconds_bucket{stage="running",le="15.0"}': "0x120"}, set()),
    "VkOrphansStay": ({"vk_orphans": "2x120"}, set()),
    "VkOrphansDeleted": ({"vk_orphans_deleted_total": "0+1x120"}, set()),
    "VkCertificateEnds": ({"vk_certificate_expires_in_seconds": "500000-60x120"}, set()),
    "VkEventsDropped": ({'vk_events_total{result="dropped_crowded"}': "0+1x120"}, set()),
    "VkWatchFlaps": ({'vk_watch_restarts_total{why="failed"}': "0+2x120"}, set()),
    "VkEventLoopLags": ({"vk_loop_lag_seconds": "9x120"}, set()),
    "VkLoopFails": ({'vk_loop_failures_total{loop="pods"}': "0+1x120"}, set()),
    "VkConnectionsDropped": ({'vk_kubelet_connections_dropped_total{why="handshake"}': "0+30x120"}, set()),
    "VkCostJumps": ({'vk_cost_estimated_per_hour{namespace="web",currency="CNY"}': "10x77 400x42"}, set()),
}


def rules() -> list[dict]:
    return [rule for group in promtool.groups() for rule in group["rules"]]


def families(expression: str) -> set[str]:
    """Names of metrics in it."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b((?:vk|process|kubelet)_\w+)", bare)}


def test_every_alert_says_what_is_wrong_and_what_to_do_and_has_a_case() -> None:
    assert [rule["alert"] for rule in rules()] == list(CAUSES)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["action"].endswith(".")


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in rules()), *(query for _, query in queries())])
def test_it_asks_for_metrics_and_labels_that_there_are(expression: str) -> None:
    known = guides.metrics()
    assert families(expression)
    assert families(expression) <= known.keys()
    labels = {label for name in families(expression) for label in known[name][2]} | {"le"}
    used = set(re.findall(r'(\w+)(?:=~|!=|!~|=)"', expression))
    for found in re.findall(r"by \(([\w, ]+)\)", expression):
        used |= {each.strip() for each in found.split(",")}
    assert used <= labels


@pytest.mark.parametrize("name", [name for series in (HEALTHY,) for name in series])
def test_planted_series_are_of_metrics_that_there_are(name: str) -> None:
    assert families(name) <= guides.metrics().keys()


def test_the_scrape_is_of_this_provider() -> None:
    """A real run's; `python -m tests.monitoring.record` takes it anew."""
    recorded = set(re.findall(r"^# TYPE (\w+)", SCRAPE.read_text(), re.MULTILINE))
    known = set(guides.metrics())
    assert recorded <= known
    assert {name for _, query in queries() for name in families(query)} <= recorded


# --- by Prometheus' own evaluation ------------------------------------------------------------------------------------


@with_promtool
def test_where_all_is_well_no_alert_fires(tmp_path: Path) -> None:
    promtool.run(tmp_path, [promtool.case(HEALTHY, set(), at=f"{minutes}m") for minutes in (1, 10, 40, 110)])


@with_promtool
@pytest.mark.parametrize("alert", CAUSES)
def test_an_alert_fires_on_its_cause_and_no_other_does(alert: str, tmp_path: Path) -> None:
    planted, besides = CAUSES[alert]
    promtool.run(tmp_path, [promtool.case({**HEALTHY, **planted}, {alert, *besides})])


@with_promtool
def test_every_query_of_the_dashboard_answers_on_a_recorded_run(tmp_path: Path) -> None:
    """Each sample as it was, three times in three minutes; what counts went on as fast as before."""
    series = {}
    for line in SCRAPE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            number = float(value)
            series[name] = f"{number} {number * 1.1} {number * 1.2} {number * 1.3}"
    promtool.run(tmp_path, [promtool.answers(series, at="3m")])
