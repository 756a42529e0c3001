"""Names speak the field's language (CONTRIBUTING.md, "Names"): a search for a concept finds it.

A name made of one of these words has a better one in Kubernetes, client-go or asyncio. LEFT holds names from before
the rule; it may only shrink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vk_provider"
BETTER = {
    ("look", "looks", "looked", "looking"): "poll, read, observe, reconcile, check",
    ("ask", "asks", "asked", "asker", "asking"): "query, request, probe, confirm",
    ("tell", "tells", "told", "untold"): "report, emit, message; what an event reports",
    ("news",): "events, changes, updates",
    ("turns",): "limiter",
    ("doubt", "doubted", "denied"): "suspected, not found, confirmed absent",
    ("unheard", "superfluous", "forerunners", "crowded", "stirred"): "unknown, surplus, predecessors, queued, woken",
    ("lastwords",): "termination message",
    ("figures",): "stats, metrics, usage",
}
FINE = {"CloudDenied", "_look_up", "CloudAPIDenied"}
LEFT = frozenset(
    {
        "app:_tell_node",
        "app:ask",
        "app:look",
        "app:tell",
        "arguments:_told",
        "cli:_told",
        "cli:_until_told",
        "cloud.eci.client:_unheard",
        "cloud.eci.driver:ask",
        "cloud.eci.loglines:Look",
        "cloud.eci.logs:_look",
        "cloud.eci.logs:_looks",
        "cloud.eci.prices:_ask",
        "cloud.eci.sold_out_cache:ask",
        "control.pods:_is_denied",
        "control.pods:_untold",
        "control.termination_message:_told",
        "control.termination_message:told",
        "files.object_watcher:_look",
        "health_server:told",
        "instances.poller:_ask_if_doubted",
        "instances.poller:_rest_from_asking",
        "instances.poller:ask",
        "instances.poller:denied",
        "instances.usage_poller:_Asked",
        "instances.usage_poller:asked",
        "kube.event_correlator:_is_crowded",
        "kube.reflector:_ask_again",
        "kube.store:_is_news",
        "kubelet.auth:_ask",
        "kubelet.certificates:look_now",
        "kubelet.kubelet_metrics:look",
        "kubelet.listener:_tell",
        "kubelet.review_cache:_ask",
        "kubelet.serving_certificate:_look",
        "kubelet.target:_looks",
        "kubelet.usage_stats:_told",
        "kubelet.usage_stats:figures",
        "logsetup:_Told",
        "metrics:look",
        "node.node_controller:_tell_health",
        "node.node_controller:_tell_own_health",
        "node.node_controller:look",
        "probes.prober:_ask_in",
        "retry_loop:told_elsewhere",
        "show.files:_told",
        "translate.events:tells_of_starts",
        "translate.oversize:_crowded",
        "translate.profile:asks_for_namespaces",
        "translate.status:_is_crowded",
        "translate.status_patch:_tells_resources",
        "translate.waiting_reason:_told",
    }
)
_BANNED = {word: better for words, better in BETTER.items() for word in words}


def parts(name: str) -> list[str]:
    """`_askAgain`, `AskAgain` and `ask_again` → ask, again."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def names() -> Iterator[tuple[str, str]]:
    """Module and name of every module, class and function."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield module, path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield module, node.name


def private() -> dict[str, str]:
    """module:name → what to use instead."""
    return {
        f"{module}:{name}": better
        for module, name in names()
        if name not in FINE
        for part in parts(name)
        if (better := _BANNED.get(part)) is not None
    }


def test_no_new_name_speaks_a_private_language():
    assert {name: better for name, better in private().items() if name not in LEFT} == {}


def test_names_that_were_mended_leave_the_list():
    assert sorted(LEFT - private().keys()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("_ask_by_name", ["ask", "by", "name"]), ("LookPace", ["look", "pace"]), ("outlook", ["outlook"])],
)
def test_parts_of_names(name, expected):
    assert parts(name) == expected
