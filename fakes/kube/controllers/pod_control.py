"""How controllers make, take over and remove pods (and ReplicaSets), each act with its event."""

import logging
from collections.abc import Callable

from fakes.kube.api import ApiError
from fakes.kube.reads import (
    Json,
    controller_of,
    is_deleting,
    labels_of,
    owner_reference,
    owner_uid,
    selects,
    uid_of,
)
from fakes.kube.reconcile.cluster import Cluster

log = logging.getLogger(__name__)

Notify = Callable[..., None]


def create_batches(count: int, create: Callable[[int], bool]) -> int:
    """Create `count` things in batches of 1, 2, 4, …; a batch with a refusal is the last. Returns how many were made.

    create: makes the n-th, false when it was refused.
    """
    made = tried = 0
    size = 1
    while tried < count:
        batch = min(size, count - tried)
        good = sum(1 for place in range(tried, tried + batch) if create(place))
        made, tried = made + good, tried + batch
        if good < batch:
            break
        size *= 2
    return made


def create_pod(cluster: Cluster, owner: Json, pod: Json, notify: Notify) -> bool:
    """Create one pod. A refusal becomes an event on the owner, and false.

    In a namespace that is going away nothing can be made, and that is no news.
    """
    try:
        made = cluster.create("pods", pod)
    except ApiError as error:
        if not is_namespace_ending(error):
            notify(owner, "FailedCreate", f"Error creating: {error.message}", warning=True)
        return False
    notify(owner, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
    return True


def delete_pod(cluster: Cluster, owner: Json, pod: Json, notify: Notify) -> None:
    """Delete one pod gracefully; one that is gone already is no news."""
    if cluster.delete("pods", pod):
        notify(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")


def is_namespace_ending(error: ApiError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def claim(cluster: Cluster, resource: str, owner: Json, *, finalizer: str = "") -> list[Json]:
    """The objects that belong to `owner`: its own that match its selector, plus orphans that do, which are taken over.

    Its own that match no longer are let go. finalizer: what is put on those taken over.
    """
    informer, selector = cluster.informer(resource), owner["spec"].get("selector")
    mine = []
    loose = informer.indexed("loose", owner["metadata"]["namespace"])
    for obj in [*informer.indexed("owner", uid_of(owner)), *loose]:
        fits = selects(selector, labels_of(obj))
        holder = owner_uid(obj)
        if holder == uid_of(owner):
            if fits:
                mine.append(obj)
            elif not is_deleting(owner):
                _release(cluster, resource, owner, obj)
        elif not holder and fits and not is_deleting(owner) and not is_deleting(obj):
            adopted = _adopt(cluster, resource, owner, obj, finalizer)
            if adopted is not None:
                mine.append(adopted)
    return mine


def possible_owners(orphan: Json, owners: list[Json]) -> list[Json]:
    """The owners whose selector matches an object that nobody controls."""
    if controller_of(orphan) is not None:
        return []
    return [owner for owner in owners if selects(owner["spec"].get("selector"), labels_of(orphan))]


def _adopt(cluster: Cluster, resource: str, owner: Json, obj: Json, finalizer: str) -> Json | None:
    meta: Json = {"ownerReferences": [*(obj["metadata"].get("ownerReferences") or ()), owner_reference(owner)]}
    present = obj["metadata"].get("finalizers") or []
    if finalizer and finalizer not in present:
        meta["finalizers"] = [*present, finalizer]
    return _rewrite(cluster, resource, obj, meta)


def _release(cluster: Cluster, resource: str, owner: Json, obj: Json) -> None:
    references = [item for item in obj["metadata"].get("ownerReferences") or () if item["uid"] != uid_of(owner)]
    _rewrite(cluster, resource, obj, {"ownerReferences": references})


def _rewrite(cluster: Cluster, resource: str, obj: Json, meta: Json) -> Json | None:
    version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    try:
        return cluster.merge(resource, obj, {"metadata": {**meta, **version}})
    except ApiError as error:
        if error.code in (404, 409):  # seen too late: its event brings us back
            log.debug("claim lost resource=%s name=%s", resource, obj["metadata"]["name"])
            return None
        raise
