"""What the users of the cluster do meanwhile: Jobs that end well or badly, Deployments, and deletions of every kind."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
NAMESPACE = "chaos"
EXIT_CODES = {"good": 0, "bad": 3, "long": 0}
LOG_LINE = "only-chaos-may-read-this"
SCENARIO = f"""
[[rule]]
name = "chaos-bad*"
pull_s = 0.5
duration_s = 1.5
exit_code = 3

[[rule]]
name = "chaos-web*"
pull_s = 0.5
duration_s = 100000
stop_s = 0.5
log_lines = ["{LOG_LINE}"]

[[rule]]
name = "chaos-slow*"
pull_s = 0.5
duration_s = 100000
stop_s = 4

[[rule]]
name = "chaos-long*"
pull_s = 1
duration_s = 8

[[rule]]
pull_s = 0.5
duration_s = 2
"""


@dataclass(frozen=True)
class Deed:
    """At `at_s`: create, scale or delete something. target: plural and name."""

    at_s: float
    verb: str
    target: tuple[str, str]
    body: Json | None = None
    grace_s: int | None = None


def deeds(dice: random.Random, *, jobs: int, lasts_s: float) -> list[Deed]:
    """The whole story, in order. Two thirds of its Jobs come at once, the others one by one."""
    told: list[Deed] = []
    for number in range(jobs):
        kind = dice.choices(("good", "bad", "long"), (6, 2, 2))[0]
        at_s = 0.0 if number % 3 else dice.uniform(1.0, lasts_s * 0.8)
        told.append(Deed(at_s, "create", ("jobs", f"{kind}{number}"), _job(f"{kind}{number}", kind)))
    for number in range(4):
        name = f"web{number}"
        told.append(Deed(0.0, "create", ("deployments", name), _deployment(name, dice.randint(3, 8))))
        for _ in range(3):
            scaled = {"spec": {"replicas": dice.randint(0, 10)}}
            told.append(Deed(dice.uniform(2.0, lasts_s), "scale", ("deployments", name), scaled))
    for number in range(jobs // 5):
        name = f"slow{number}"
        born_s = dice.uniform(0.0, lasts_s * 0.6)
        grace_s = dice.choice((0, 1, 3, 30, None))
        told.append(Deed(born_s, "create", ("pods", name), _pod(name)))
        gone_s = born_s + dice.choice((0.0, 0.3, dice.uniform(1.0, lasts_s * 0.4)))
        told.append(Deed(gone_s, "delete", ("pods", name), grace_s=grace_s))
        if number % 3 == 0:  # a namesake, as soon as its name is free
            told.append(Deed(gone_s + 0.1, "create", ("pods", name), _pod(name)))
    return sorted(told, key=lambda deed: deed.at_s)


def _spec(policy: str) -> Json:
    resources = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    return {
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "nodeSelector": {"type": "virtual-kubelet"},
        "tolerations": [
            {"key": "virtual-kubelet.io/provider", "operator": "Exists"},
            *(
                {"key": f"node.kubernetes.io/{trouble}", "operator": "Exists", "effect": "NoExecute"}
                for trouble in ("not-ready", "unreachable")
            ),
        ],
        "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "x"], "resources": resources}],
    }


def _job(name: str, kind: str) -> Json:
    retries = 0 if kind == "bad" else 20  # a disruption costs a good one a try
    spec = {"backoffLimit": retries, "template": {"spec": _spec("Never")}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _deployment(name: str, replicas: int) -> Json:
    template = {"metadata": {"labels": {"app": name}}, "spec": _spec("Always")}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _pod(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": _spec("Always")}
