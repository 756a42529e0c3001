"""The API server without its HTTP: what routes and controllers in this process both call.

Every method is synchronous, since everything is in memory; each either does the whole write or raises ApiError
and does nothing. Objects handed out are snapshots shared with every other reader: never change one, copy it.
A resource is named by its key: "pods", "jobs.batch", "leases.coordination.k8s.io".
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fakes.kube import admission, definitions, errors, events, objectmeta, ownership, patch, strategy, strictness
from fakes.kube.catalog import Catalog
from fakes.kube.clock import stamp, utc_now
from fakes.kube.deletion import Deletion, Precondition, plan_deletion
from fakes.kube.errors import ApiError as ApiError
from fakes.kube.objectmeta import copy_json as copy_json
from fakes.kube.ownership import Writer as Writer
from fakes.kube.resources import Resource
from fakes.kube.selectors import Predicate, field_predicate, label_predicate
from fakes.kube.store import Compacted, Snapshot, Store
from fakes.kube.watch import Watch
from fakes.kube.watch import WatchEvent as WatchEvent

Json = dict[str, Any]
PatchKind = Literal["strategic", "merge", "json"]
_CONTROLLER = Writer()
"""Those who call from within this process."""


@dataclass(frozen=True)
class Page:
    """What a list finds: snapshots in order of namespace and name, and the revision at which that was so."""

    items: list[Snapshot]
    revision: int


class Api:
    """All objects and the rules under which they change.

    clock: aware datetimes, UTC; keep: revisions of history before a watch must list again (410);
    event_ttl_s: how long Events live after their last change.
    """

    def __init__(
        self, *, clock: Callable[[], datetime] = utc_now, keep: int = 10_000, event_ttl_s: float = 3600
    ) -> None:
        self.store = Store(keep)
        self.catalog = Catalog()
        self.clock = clock
        self.event_ttl_s = event_ttl_s
        self._events = events.Recorder(self)

    def row(self, resource: str | Resource) -> Resource:
        """What is served under this key; one version of a custom resource is passed as it is. Raises ApiError 404."""
        if isinstance(resource, Resource):
            return resource
        if (found := self.catalog.get(resource)) is None:
            raise errors.no_such_path()
        return found

    # reading

    def get(self, resource: str, name: str, namespace: str | None = None) -> Json:
        """One object. Raises ApiError 404."""
        return self.snapshot(resource, name, namespace).object

    def snapshot(self, resource: str | Resource, name: str, namespace: str | None = None) -> Snapshot:
        row = self.row(resource)
        found = self.store.get(row.key_of_store, _space(row, namespace) or "", name)
        if found is None:
            raise errors.not_found(row.plural, row.group, name)
        return found

    def list(
        self, resource: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[Json], str]:
        """Matching objects in order of namespace and name, and the resourceVersion to watch from."""
        page = self.page(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        return [item.object for item in page.items], str(page.revision)

    def page(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        at: int | None = None,
    ) -> Page:
        """Like list, but shared snapshots; `at` asks for the state at a past revision. Raises ApiError 410."""
        row = self.row(resource)
        key, space = row.key_of_store, _space(row, namespace)
        predicate = selection(row, label_selector, field_selector)
        try:
            items = self.store.objects(key, space) if at is None else self.store.objects_at(key, at, space)
        except Compacted as gone:
            raise errors.expired(
                "The provided continue parameter is too old to display a consistent list result."
            ) from gone
        if predicate is not None:
            items = [item for item in items if predicate(item.object)]
        return Page(items, self.store.revision if at is None else at)

    def follow(
        self,
        resource: str,
        namespace: str | None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[Watch, bool]:
        """A place in the log, and whether the watcher first wants what exists now. Raises ApiError 400 or 410."""
        row = self.row(resource)
        predicate = selection(row, label_selector, field_selector)
        fresh = resource_version in ("", "0")
        revision = self.store.revision if fresh else parse_revision(resource_version)
        if revision > self.store.revision:
            raise too_large(revision, self.store.revision)
        if revision < self.store.compacted:
            raise errors.expired(f"too old resource version: {revision} ({self.store.compacted})")
        return Watch(self.store, row.key_of_store, _space(row, namespace), predicate, revision), fresh

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, for ever; "" or "0" first gives all that exists, as ADDED.

        Raises ApiError 410, at the start or later, when the history needed is gone: list again.
        """
        place, fresh = self.follow(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        for seen in place.present() if fresh else ():
            yield WatchEvent(seen.type, seen.snapshot.object)
        while True:
            try:
                batch = await place.batch(None)
            except Compacted as gone:
                raise errors.expired(f"too old resource version: {place.revision} ({gone.oldest})") from gone
            for seen in batch:
                yield WatchEvent(seen.type, seen.snapshot.object)

    # writing

    def create(
        self,
        resource: str | Resource,
        obj: Json,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        writer: Writer | None = _CONTROLLER,
    ) -> Json:
        """Store a new object after defaulting, admission and validation; `metadata.generateName` is honoured.

        writer: None when the object says already who manages what.
        """
        row = self.row(resource)
        made = self._named(row, copy_json(obj), namespace)
        place = made["metadata"].get("namespace", "")
        strategy.prepare_create(row, made, now=stamp(self.clock()))
        admission.admit_create(self, row, made)
        strategy.validate_create(row, made)
        if self.store.get(row.key, place, made["metadata"]["name"]):
            raise errors.already_exists(row.plural, row.group, made["metadata"]["name"])
        if writer is not None:
            ownership.track(row, made, None, writer, "", stamp(self.clock()))
        if row.key == definitions.KEY:
            made["status"] = definitions.status_of(made, self.catalog.conflict(made), stamp(self.clock()))
        return made if dry_run else self._put(row.key, made).object

    def _put(self, key: str, obj: Json) -> Snapshot:
        """Write an object; a definition is served from then on."""
        written = self.store.put(key, obj)
        if key == definitions.KEY:
            self.catalog.define(obj)
        return written

    def _forget(self, key: str, namespace: str, name: str) -> Snapshot:
        """Delete an object for good; what a definition served is served no more."""
        if key == definitions.KEY:
            self.catalog.drop(name)
        return self.store.remove(key, namespace, name)

    def _named(self, row: Resource, obj: Json, namespace: str | None) -> Json:
        """The object with its identity settled: kind, namespace, name, uid, creation time."""
        objectmeta.check_shape(row, obj)
        meta = obj["metadata"]
        objectmeta.settle_namespace(row, meta, namespace)
        if meta.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = objectmeta.generate_name(meta["generateName"])
        objectmeta.stamp_new(meta, stamp(self.clock()))
        return obj

    def update(
        self,
        resource: str | Resource,
        obj: Json,
        *,
        subresource: str = "",
        dry_run: bool = False,
        writer: Writer = _CONTROLLER,
    ) -> Json:
        """Replace an object, or the part of it the subresource stands for.

        A stated resourceVersion or uid must be the current one (ApiError 409).
        """
        row = self.row(resource)
        made = copy_json(obj)
        objectmeta.check_shape(row, made)
        meta = made["metadata"]
        old = self.snapshot(resource, meta.get("name", ""), meta.get("namespace"))
        return self._replace(row, old, made, subresource, dry_run=dry_run, writer=writer)

    def patch(
        self,
        resource: str | Resource,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        kind: PatchKind = "strategic",
        subresource: str = "",
        dry_run: bool = False,
        strict: str = "",
        writer: Writer = _CONTROLLER,
    ) -> Json:
        """Change an object by a patch document; a uid or resourceVersion in it is a precondition (409).

        strict: "Strict" refuses fields the schema does not know; else they are dropped.
        """
        row = self.row(resource)
        old = self.snapshot(resource, name, namespace)
        made = apply_patch(old.object, body, kind, row.native)
        if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
            raise ApiError(422, "Invalid", "the patched document is no object")
        made = copy_json(made)
        objectmeta.check_unmoved(row, old.object, made)
        strictness.check(row, made, strict)
        return self._replace(row, old, made, subresource, dry_run=dry_run, writer=writer)

    def apply(
        self,
        resource: str | Resource,
        name: str,
        namespace: str | None,
        config: Json,
        *,
        writer: Writer,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> tuple[Json, bool]:
        """Server-side apply; the object, and whether it is new.

        Raises ApiError 409 when another manager has a field that would change; `force` takes such fields over.
        """
        row = self.row(resource)
        config = copy_json(config)
        now, found = stamp(self.clock()), self.store.get(row.key, _space(row, namespace) or "", name)
        if found is None and subresource:
            raise errors.not_found(row.plural, row.group, name)
        if found is None and (uid := config["metadata"].get("uid")):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(row.plural, row.group, name, why)
        if found is None:
            config["metadata"]["managedFields"] = ownership.first(row, config, writer, subresource)
            ownership.stamped(config, now)
            return self.create(resource, config, namespace, dry_run=dry_run, writer=None), True
        made = copy_json(ownership.applied(row, found.object, config, writer, subresource, force=force))
        ownership.stamped(made, now)
        return self._replace(row, found, made, subresource, dry_run=dry_run, writer=None), False

    def _replace(
        self, row: Resource, old: Snapshot, made: Json, subresource: str, *, dry_run: bool, writer: Writer | None
    ) -> Json:
        """writer: None when `made` says already who manages what."""
        key = row.key_of_store
        objectmeta.check_preconditions(row, old.object, made)
        strategy.prepare_update(row, made, old.object, subresource)
        admission.admit_update(row, made, subresource)
        strategy.validate_update(row, made, old.object, subresource)
        if writer is not None:
            ownership.track(row, made, old.object, writer, subresource, stamp(self.clock()))
        if dry_run or objectmeta.same(made, old.object):  # a write that changes nothing makes no revision
            return made if dry_run else old.object
        if key == definitions.KEY and subresource == "":
            made["status"] = definitions.status_of(made, self.catalog.conflict(made), stamp(self.clock()))
        after = self._put(key, made)
        if objectmeta.may_vanish(made):
            return self._forget(key, made["metadata"].get("namespace", ""), made["metadata"]["name"]).object
        return after.object

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str | None = None,
    ) -> Json:
        """Delete an object, or begin to; its last or its marked state is returned.

        propagation: "Background", "Foreground" or "Orphan"; None lets the resource decide (Jobs orphan their pods).
        """
        precondition = Precondition(uid=uid, resource_version=resource_version)
        return self.remove(
            resource, name, namespace, grace_seconds=grace_seconds, precondition=precondition, propagation=propagation
        ).object

    def remove(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        precondition: Precondition | None = None,
        propagation: str | None = None,
        dry_run: bool = False,
    ) -> Deletion:
        """Like delete, also telling whether the object is gone already."""
        row = self.row(resource)
        key = row.key_of_store
        old = self.snapshot(resource, name, namespace).object
        admission.admit_delete(row, name)
        (precondition or Precondition()).check(row, old)
        plan = plan_deletion(row, old, grace_seconds=grace_seconds, propagation=propagation, now=self.clock())
        if dry_run:
            return plan
        if plan.object is not old:
            self.store.put(key, plan.object)
        if not plan.gone:
            return plan
        return Deletion(self._forget(key, old["metadata"].get("namespace", ""), name).object, gone=True)

    def bind(self, namespace: str, name: str, node: str, *, annotations: Json | None = None) -> None:
        """Assign a pod to a node, once. Raises ApiError 404, or 409 when bound or being deleted."""
        old = self.get("pods", name, namespace)
        self.store.put("pods", strategy.bound(old, node, annotations or {}, stamp(self.clock())))

    def record_event(
        self,
        involved: Json,
        *,
        type: str,  # noqa: A002 the Event's own word
        reason: str,
        message: str,
        component: str,
        host: str = "",
    ) -> None:
        """Write an Event about a whole object or an ObjectReference; a repeat raises the count of the first."""
        self._events.record(involved, type=type, reason=reason, message=message, component=component, host=host)


def selection(row: Resource, label_selector: str, field_selector: str) -> Predicate | None:
    """Both selectors as one test; None accepts everything."""
    where = f"{row.group}/{row.version}, Resource={row.plural}"
    labels = label_predicate(label_selector)
    fields = field_predicate(field_selector, row.selectable, where)
    if labels is None or fields is None:
        return labels or fields
    return lambda obj: fields(obj) and labels(obj)


def parse_revision(text: str) -> int:
    try:
        revision = int(text)
    except ValueError:
        revision = -1
    if revision < 0:
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(500, "", why)  # not 400: so the real server answers, too
    return revision


def too_large(wanted: int, current: int) -> ApiError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", f"Too large resource version: {wanted}, current: {current}", details)


def apply_patch(document: Json, body: Any, kind: PatchKind, object_kind: str) -> Any:
    """The patched document; `document` is untouched."""
    if kind == "json":
        if not isinstance(body, list):
            raise errors.bad_request("error decoding patch: a JSON patch is a list of operations")
        return patch.json_patch(document, body)
    if not isinstance(body, dict):
        raise errors.bad_request("error decoding patch: the patch is no object")
    return patch.merge(document, body) if kind == "merge" else patch.strategic(document, body, object_kind)


def _space(row: Resource, namespace: str | None) -> str | None:
    """The namespace to look in: None is all of them, cluster-scoped objects live in ""."""
    return (namespace or None) if row.namespaced else ""
