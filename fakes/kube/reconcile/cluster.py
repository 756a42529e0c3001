"""What every controller sees of the cluster: one door, one informer per resource, one clock.

Writes go through here, so that their results stand in the informers before the next decision.
"""

from datetime import datetime

from fakes.kube.api import Api, ApiError
from fakes.kube.clock import stamp
from fakes.kube.reads import Json, Key, uid_of
from fakes.kube.reconcile.informer import Informer


class Cluster:
    """The API, with the informers that were asked for before `informers` is run."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.informers: dict[str, Informer] = {}

    def informer(self, resource: str) -> Informer:
        """The one informer of `resource`."""
        if resource not in self.informers:
            self.informers[resource] = Informer(self.api, resource)
        return self.informers[resource]

    def now(self) -> datetime:
        """The present instant by the API's clock, UTC; intervals are the event loop's affair."""
        return self.api.clock()

    def stamp(self) -> str:
        """The present instant as objects carry it."""
        return stamp(self.now())

    def fresh(self, resource: str, key: Key) -> Json | None:
        """The object as the API has it this instant; None when it is gone. Not to be changed in place."""
        namespace, name = key
        try:
            return self.api.get(resource, name, namespace or None)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def create(self, resource: str, obj: Json) -> Json:
        """Raises ApiError as the API does."""
        made = self.api.create(resource, obj, obj["metadata"].get("namespace"))
        self._apply(resource, made)
        return made

    def update(self, resource: str, obj: Json, *, subresource: str = "") -> Json:
        """Raises ApiError; 409 when the object moved on since it was read."""
        made = self.api.update(resource, obj, subresource=subresource)
        self._apply(resource, made)
        return made

    def merge(self, resource: str, obj: Json, body: Json, *, subresource: str = "") -> Json:
        """Merge-patch `obj`, on condition that it is still the same object."""
        meta = obj["metadata"]
        body = {**body, "metadata": {**body.get("metadata", {}), "uid": meta["uid"]}}
        made = self.api.patch(
            resource, meta["name"], meta.get("namespace"), body, kind="merge", subresource=subresource
        )
        self._apply(resource, made)
        return made

    def delete(
        self, resource: str, obj: Json, *, grace_seconds: int | None = None, propagation: str | None = None
    ) -> bool:
        """Delete exactly this object; already gone counts as done. Returns whether this call did it."""
        meta = obj["metadata"]
        try:
            self.api.delete(
                resource,
                meta["name"],
                meta.get("namespace"),
                grace_seconds=grace_seconds,
                uid=meta["uid"],
                propagation=propagation,
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            self._reread(resource, obj)
            return False
        self._reread(resource, obj)
        return True

    def _apply(self, resource: str, obj: Json) -> None:
        informer = self.informers.get(resource)
        if informer is not None:
            informer.apply(obj)

    def _reread(self, resource: str, obj: Json) -> None:
        informer = self.informers.get(resource)
        if informer is None:
            return
        left = self.fresh(resource, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        if left is None or uid_of(left) != uid_of(obj):
            informer.drop(obj)
        else:
            informer.apply(left)
