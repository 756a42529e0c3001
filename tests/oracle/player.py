"""Plays one case on a cluster and gives back what its node said, as a run of `record`."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.contract.kube.client import Answer, Client
from tests.oracle.case import Case, Step, collection, holds
from tests.oracle.record import Names, run_of

Json = dict[str, Any]
QUIET_S = 1.5  # events are sent in their own time: what still comes after the last step, comes within this
APPLY = "application/apply-patch+yaml"


class Player:
    """node: the node that is judged. patience_s: the longest that any `until` waits here, whatever the case says.

    placed: whether pods must be sent to the node, since the cluster has others.
    """

    def __init__(
        self, client: Client, case: Case, *, node: str, namespace: str, placed: bool, patience_s: float = 1e9
    ) -> None:
        self._client, self._case, self._node, self._namespace = client, case, node, namespace
        self._objects = case.placed(node) if placed else _named(case.objects, node)
        self._patience_s = patience_s
        self._pod: Json | None = None
        self._gone = False
        self._statuses: list[Json] = []
        self._last_at = 0.0
        self._changed = threading.Condition()
        self.missed: list[str] = []  # conditions that did not come true in their time

    def play(self) -> Json:
        """Raises AssertionError if the cluster refuses an object."""
        self._make_namespace()
        threading.Thread(target=self._watch, daemon=True).start()
        began = time.monotonic()
        for each in self._objects:
            _must(self._client.create(collection(each, self._namespace), each))
        for step in self._case.steps:
            self._do(step)
        events, logs = self._settled()
        with self._changed:
            run = run_of(
                list(self._statuses),
                events=events,
                logs=logs,
                deleted=self._gone,
                took_s=round(max(self._last_at - began, 0), 1),
                names=self._names(),
            )
        self._client.delete(f"/api/v1/namespaces/{self._namespace}")
        return run

    def _make_namespace(self) -> None:
        _must(self._client.create("/api/v1/namespaces", {"metadata": {"name": self._namespace}}))
        for needed in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            deadline = time.monotonic() + 15
            while self._client.get(f"/api/v1/namespaces/{self._namespace}/{needed}").status != 200:
                assert time.monotonic() < deadline, f"no {needed}"
                time.sleep(0.1)

    def _watch(self) -> None:
        try:
            for kind, pod in self._client.watch(f"/api/v1/namespaces/{self._namespace}/pods", seconds=900):
                with self._changed:
                    if self._pod is None or self._pod["metadata"]["uid"] == pod["metadata"]["uid"]:
                        self._saw(kind, pod)
        except (OSError, http.client.HTTPException):
            pass  # the cluster has ended

    def _saw(self, kind: str, pod: Json) -> None:
        self._pod, self._gone = pod, kind == "DELETED"
        if not self._gone and (not self._statuses or self._statuses[-1] != pod["status"]):
            self._statuses.append(pod["status"])
            self._last_at = time.monotonic()
        self._changed.notify_all()

    # --- steps

    def _do(self, step: Step) -> None:
        pods = f"/api/v1/namespaces/{self._namespace}/pods"
        name = self._pod["metadata"]["name"] if self._pod else "pod"
        if step.verb == "for":
            time.sleep(step.seconds)  # to see what comes is the step
        elif step.verb == "delete":
            options = {"gracePeriodSeconds": int(step.words)} if step.words else {}
            self._client.delete(f"{pods}/{name}", **options)
        elif step.verb == "apply":
            self._apply(step.words)
        elif step.verb.startswith("patch"):
            body = _yaml(step.words)
            _must(self._client.patch(f"{pods}/{name}{step.verb.removeprefix('patch')}", body))
        else:
            self._until(step)

    def _apply(self, text: str) -> None:
        body = _yaml(text)
        where = f"{collection(body, self._namespace)}/{body['metadata']['name']}?fieldManager=oracle&force=true"
        _must(self._client.patch(where, body, APPLY))

    def _until(self, step: Step) -> None:
        seconds = min(step.seconds, self._patience_s)
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._holds(step.words):
                if time.monotonic() > deadline:
                    self.missed.append(f"{step.words} within {seconds:.0f} s")
                    return
                self._changed.wait(0.5)

    def _holds(self, condition: str) -> bool:
        events = self._events() if condition.startswith("event=") else ()
        return holds(condition, self._pod, gone=self._gone, events=events)

    # --- what there is to see

    def _settled(self) -> tuple[Sequence[Json], Mapping[str, str]]:
        """Events and logs, once neither statuses nor events have changed for a while."""
        quiet_since, seen = time.monotonic(), None
        deadline = quiet_since + 4 * QUIET_S
        while time.monotonic() < min(quiet_since + QUIET_S, deadline):
            now = self._events(), self._last_at
            if now != seen:
                quiet_since, seen = time.monotonic(), now
            time.sleep(0.25)
        return self._events(), self._logs()

    def _events(self) -> list[Json]:
        found = self._client.get(f"/api/v1/namespaces/{self._namespace}/events").body["items"]
        found = [each for each in found if each["involvedObject"]["kind"] == "Pod"]
        return sorted(found, key=lambda each: (each.get("firstTimestamp") or "", each["metadata"]["name"]))

    def _logs(self) -> dict[str, str]:
        if self._pod is None or self._gone:
            return {}
        spec, name = self._pod["spec"], self._pod["metadata"]["name"]
        containers = [
            each["name"]
            for kind in ("initContainers", "containers", "ephemeralContainers")
            for each in spec.get(kind) or ()
        ]
        return {container: self._log(name, container) for container in containers}

    def _log(self, pod: str, container: str) -> str:
        answer = self._client.get(f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log?container={container}")
        return str(answer.body if answer.status == 200 else f"{answer.status} {answer.body}")

    def _names(self) -> Names:
        pod = self._pod or {"metadata": {}, "status": {}}
        meta, status = pod["metadata"], pod["status"]
        return Names(
            namespace=self._namespace,
            pod=meta["name"] if "generateName" in meta else "",
            node=self._node,
            node_ip=str(status.get("hostIP") or ""),
            pod_ip=str(status.get("podIP") or ""),
        )


def _must(answer: Answer) -> None:
    assert answer.status in (200, 201), answer.body


def _yaml(text: str) -> Json:
    body: Json = yaml.safe_load(text)
    return body


def _named(objects: Sequence[Json], node: str) -> list[Json]:
    """The objects for a cluster whose only node is judged."""
    return [
        {**each, "spec": {**each["spec"], "nodeName": node}} if (each.get("spec") or {}).get("nodeName") else each
        for each in objects
    ]
