"""Keeps each Service's Endpoints and EndpointSlices equal to what its selector finds."""

from collections.abc import Iterable

from fakes.kube.api import ApiError
from fakes.kube.controllers import endpoints as rules
from fakes.kube.controllers.pod_control import is_namespace_ending
from fakes.kube.controllers.pods import is_finished
from fakes.kube.reads import (
    Json,
    Key,
    condition_is,
    draft,
    is_deleting,
    key_of,
    labels_of,
    owner_reference,
    uid_of,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer


class EndpointsController(Controller):
    """Keys are Services. One without a selector is somebody else's to fill."""

    name = "endpoint-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._services = cluster.informer("services")
        self._pods = cluster.informer("pods")
        self._slices = cluster.informer("endpointslices.discovery.k8s.io")
        self._services.listen(self._on_service)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._services, self._pods, self._slices

    def _on_service(self, old: Json | None, new: Json | None) -> None:
        service = new or old
        if service is not None:
            self.queue.add(key_of(service))

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if old is not None and new is not None and _face(old) == _face(new):
            return
        seen = [pod for pod in (old, new) if pod is not None]
        for service in self._services.indexed("namespace", seen[0]["metadata"]["namespace"]):
            selector = service["spec"].get("selector") or {}
            if selector and any(selector.items() <= labels_of(pod).items() for pod in seen):
                self.queue.add(key_of(service))

    def reconcile(self, key: Key) -> None:
        service = self.cluster.fresh("services", key)
        if service is None:
            self._remove_endpoints(key)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName" or is_deleting(service):
            return
        found = rules.backends(service, self._pods.indexed("namespace", key[0]))
        try:
            self._write_endpoints(service, rules.subsets(service, found))
            self._write_slices(service, rules.slices(service, found))
        except ApiError as error:
            if not is_namespace_ending(error):
                raise

    def _remove_endpoints(self, key: Key) -> None:
        """Endpoints have no owner reference, so nobody else would remove them; EndpointSlices have."""
        left = self.cluster.fresh("endpoints", key)
        if left is not None:
            self.cluster.delete("endpoints", left)

    def _write_endpoints(self, service: Json, subsets: list[Json]) -> None:
        labels = {**labels_of(service), **({rules.HEADLESS: ""} if rules.is_headless(service) else {})}
        present = self.cluster.fresh("endpoints", key_of(service))
        if present is None:
            namespace, name = key_of(service)
            meta = {"name": name, "namespace": namespace, "labels": labels}
            body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}
            self.cluster.create("endpoints", body)
        elif (present.get("subsets") or []) != subsets or labels_of(present) != labels:
            changed = draft(present)
            changed["metadata"]["labels"] = labels
            changed["subsets"] = subsets
            self.cluster.update("endpoints", changed)

    def _write_slices(self, service: Json, wanted: list[Json]) -> None:
        present = [
            one
            for one in self._slices.indexed("owner", uid_of(service))
            if labels_of(one).get(rules.MANAGED_BY) == rules.MANAGER and not is_deleting(one)
        ]
        for body in wanted:
            # The slice that has these ports already is the one to change; a family cannot change.
            fitting = [one for one in present if one["addressType"] == body["addressType"]]
            if not fitting:
                self.cluster.create("endpointslices.discovery.k8s.io", _slice(service, body))
                continue
            one = next((item for item in fitting if (item.get("ports") or []) == body["ports"]), fitting[0])
            present.remove(one)
            if any((one.get(name) or []) != body[name] for name in ("endpoints", "ports")):
                self.cluster.update("endpointslices.discovery.k8s.io", {**draft(one), **body})
        for one in present:
            self.cluster.delete("endpointslices.discovery.k8s.io", one)


def _slice(service: Json, body: Json) -> Json:
    name = service["metadata"]["name"]
    labels = {
        **labels_of(service),
        rules.SERVICE_NAME: name,
        rules.MANAGED_BY: rules.MANAGER,
        **({rules.HEADLESS: ""} if rules.is_headless(service) else {}),
    }
    meta = {
        "generateName": f"{name}-",
        "namespace": service["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(service)],
    }
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, **body}


def _face(pod: Json) -> tuple[object, ...]:
    """What of a pod a Service can see."""
    status = pod.get("status") or {}
    return (
        uid_of(pod),
        labels_of(pod),
        status.get("podIP"),
        condition_is(pod, "Ready"),
        is_finished(pod),
        is_deleting(pod),
        pod["spec"].get("nodeName"),
    )
