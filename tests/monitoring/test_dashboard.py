"""The dashboard as Grafana's own models read it.

Grafana itself is in no registry of packages that tests install from: that it draws the panels is not shown here. That
their queries give numbers is, by test_monitoring and test_real_run.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests import guides

from .promtool import dashboard


def read(document: dict) -> dict:
    """As Grafana's models have it: what they do not know is not in it."""
    plugins.register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))


def unknown(given: Any, taken: Any, where: str = "") -> list[str]:
    """Paths of what is lost or changed when it is read."""
    if isinstance(given, dict) and isinstance(taken, dict):
        return [
            path
            for key, value in given.items()
            for path in (unknown(value, taken[key], f"{where}/{key}") if key in taken else [f"{where}/{key}"])
        ]
    if isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        return [
            path
            for number, (one, other) in enumerate(zip(given, taken, strict=True))
            for path in unknown(one, other, f"{where}/{number}")
        ]
    return [] if given == taken else [where]


def test_grafanas_models_know_all_that_is_in_it() -> None:
    assert unknown(dashboard(), read(dashboard())) == []


@pytest.mark.parametrize(
    "path", [("panels", 0, "options", "colour"), ("panels", 11, "targets", 0, "query"), ("refresch",)]
)
def test_what_they_do_not_know_is_found(path: tuple) -> None:
    document = dashboard()
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "x"
    assert unknown(document, read(document)) == ["/" + "/".join(map(str, path))]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not own & taken, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_panel_asks_the_source_that_is_chosen_and_names_its_lines() -> None:
    [source] = dashboard()["templating"]["list"]
    labels = {label for _, _, names in guides.metrics().values() for label in names} | {"le"}
    for panel in dashboard()["panels"]:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}
            named = {each.strip("{} ") for each in target["legendFormat"].split("}}") if "{{" in each}
            assert {each.rpartition("{")[2].strip() for each in named} <= labels, panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
