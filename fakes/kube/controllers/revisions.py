"""The templates a StatefulSet or DaemonSet has had, kept as ControllerRevisions.

Source: kubernetes pkg/controller/history, v1.32.
"""

from collections.abc import Collection
from dataclasses import dataclass

from fakes.kube.api import ApiError
from fakes.kube.controllers import pod_control
from fakes.kube.controllers.rollout import template_hash
from fakes.kube.reads import Json, draft, owner_reference
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again

REVISIONS = "controllerrevisions.apps"
HASH_LABEL = "controller-revision-hash"


@dataclass(frozen=True)
class History:
    """The revisions of one owner, oldest first, the last being that of its present template."""

    revisions: list[Json]

    @property
    def latest(self) -> str:
        return str(self.revisions[-1]["metadata"]["name"])

    def template(self, name: str) -> Json | None:
        """The pod template of a revision; None when it is gone."""
        for revision in self.revisions:
            if revision["metadata"]["name"] == name:
                template = draft(revision["data"]["spec"]["template"])
                template.pop("$patch", None)
                return template
        return None


def history(cluster: Cluster, owner: Json) -> History:
    """The owner's revisions, one of its present template among them. Raises Again when that could not be made."""
    found = pod_control.claim(cluster, REVISIONS, owner)
    found.sort(key=lambda one: (one["revision"], one["metadata"]["name"]))
    data = {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}
    same = [one for one in found if one["data"] == data]
    newest = found[-1]["revision"] if found else 0
    if not same:
        return History([*found, _create(cluster, owner, data, newest + 1)])
    if same[-1]["revision"] != newest:  # a rollback: an old template is the newest again
        raised = cluster.update(REVISIONS, {**same[-1], "revision": newest + 1})
        return History([*(one for one in found if one is not same[-1]), raised])
    return History(found)


def _create(cluster: Cluster, owner: Json, data: Json, number: int) -> Json:
    meta, template = owner["metadata"], owner["spec"]["template"]
    name = f"{meta['name']}-{template_hash(template, (owner.get('status') or {}).get('collisionCount', 0))}"
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    body = {
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {**labels, HASH_LABEL: name.rpartition("-")[2]},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }
    try:
        return cluster.create(REVISIONS, body)
    except ApiError as error:
        if error.code == 409:  # an earlier owner's of that name, still to be collected
            raise Again from error
        raise


def prune(cluster: Cluster, owner: Json, known: History, used: Collection[str]) -> None:
    """Delete the oldest revisions that no pod has, beyond revisionHistoryLimit."""
    idle = [one for one in known.revisions[:-1] if one["metadata"]["name"] not in used]
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for revision in idle[: max(0, len(idle) - limit)]:
        cluster.delete(REVISIONS, revision)
