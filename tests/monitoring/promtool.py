"""Prometheus' own evaluation of the rules and queries that deploy/monitoring ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vk-provider" / "bin" / "promtool"
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool") or (str(BUILT) if BUILT.exists() else "")
with_promtool = pytest.mark.skipif(not PROMTOOL, reason="no promtool here: make promtool gets it")

Series = Mapping[str, str]  # series → values, as promtool's tests write them: start+step x times


def groups() -> list[dict]:
    return yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]


def dashboard() -> dict:
    return json.loads((MONITORING / "dashboard.json").read_text())


def queries() -> list[tuple[str, str]]:
    """Panel and query, with what Grafana puts in place of its variable."""
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "4m"))
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]


def run(folder: Path, tests: Sequence[Mapping], *, every: str = "1m") -> None:
    """every: how often rules are evaluated; what comes between two evaluations promtool does not load."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": list(tests)}
    (folder / "tests.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def case(series: Series, firing: set[str], *, at: str = "100m", interval: str = "1m") -> dict:
    """These alerts fire then, and no others."""
    return {
        "interval": interval,
        "input_series": _input(series),
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": at,
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(firing)],
            }
        ],
    }


def answers(series: Series, *, at: str, interval: str = "1m") -> dict:
    """Every query of the dashboard gives at least one number then: NaN is none."""
    return {
        "interval": interval,
        "input_series": _input(series),
        "promql_expr_test": [
            {
                "expr": f"count(({query}) > -Inf) > bool 0",
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
            for _, query in queries()
        ],
    }


def _input(series: Series) -> list[dict]:
    return [{"series": name, "values": values} for name, values in series.items()]
