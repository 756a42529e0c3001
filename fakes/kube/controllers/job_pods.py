"""The pods a Job makes. Pure."""

from fakes.kube.controllers import pods
from fakes.kube.controllers.job_rules import FINALIZER, INDEX, is_indexed
from fakes.kube.reads import Json, uid_of

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def identity_labels(job: Json) -> dict[str, str]:
    """The labels that tie a pod to its Job, in the old and the new spelling."""
    uid, name = uid_of(job), job["metadata"]["name"]
    return {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }


def new_pod(job: Json, index: int | None) -> Json:
    """One pod of the Job, held by the tracking finalizer; `index` for an indexed Job."""
    pod = pods.from_template(job["spec"]["template"], job)
    meta = pod["metadata"]
    meta["finalizers"] = [*meta.get("finalizers", ()), FINALIZER]
    if not job["spec"].get("manualSelector"):
        meta["labels"] = {**meta.get("labels", {}), **identity_labels(job)}
    if is_indexed(job) and index is not None:
        _number(pod, job["metadata"]["name"], index)
    return pod


def _number(pod: Json, job_name: str, index: int) -> None:
    meta = pod["metadata"]
    meta["generateName"] = f"{job_name}-{index}-"
    meta["annotations"] = {**meta.get("annotations", {}), INDEX: str(index)}
    meta["labels"] = {**meta.get("labels", {}), INDEX: str(index)}
    pod["spec"]["hostname"] = f"{job_name}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
        variables = container.setdefault("env", [])
        if all(item["name"] != INDEX_VARIABLE for item in variables):
            variables.append({"name": INDEX_VARIABLE, "valueFrom": source})
