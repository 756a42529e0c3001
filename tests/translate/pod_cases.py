"""Golden cases: `<case>.pod.yaml` holds a pod and after it the objects that exist; beside it stands what must come out.

The outcome is `<case>.workload.json`, `<case>.refusals.json` or `<case>.not_ready.json`. Bytes of files stand as text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.yamldocuments import documents
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady, UnsupportedPod
from vk_provider.model.workload import FromPodIP
from vk_provider.translate.claims import secret_keys, volume_name
from vk_provider.translate.workload import NodeContext, Objects, References, build, references

DATA = Path(__file__).parent.parent / "data" / "translate"
CASES = sorted(path.name.removesuffix(".pod.yaml") for path in DATA.glob("*.pod.yaml"))
CONTEXT = NodeContext(
    cluster="demo",
    node_name="virtual-kubelet",
    node_ip="192.168.0.10",
    cluster_dns=("10.96.0.10",),
    allocatable={"cpu": "5k", "memory": "20480Gi", "ephemeral-storage": "100Ti"},
    capabilities=CAPABILITIES,
)


def load(case: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    pod, *objects = documents(DATA / f"{case}.pod.yaml")
    return pod, objects


def fetch(wanted: References, objects: Sequence[dict[str, Any]]) -> Objects:
    """What a session with the API server would bring, were `objects` all there is."""
    found = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in objects}
    claims = {key: found.get(("PersistentVolumeClaim", *key)) for key in wanted.claims}
    volumes = {name: found.get(("PersistentVolume", None, name)) for name in map(volume_name, claims.values())}
    logins = secret_keys(Objects(persistent_volumes=volumes))
    return Objects(
        config_maps={key: found.get(("ConfigMap", *key)) for key in wanted.config_maps},
        secrets={key: found.get(("Secret", *key)) for key in {*wanted.secrets, *logins}},
        claims=claims,
        persistent_volumes=volumes,
        tokens={request: f"token for {request.audience or 'the API server'}" for request in wanted.tokens},
        services=[
            item
            for item in objects
            if item["kind"] == "Service" and item["metadata"]["namespace"] in wanted.service_namespaces
        ],
    )


def outcome(case: str) -> tuple[str, Any]:
    """Which file the outcome belongs into, and the outcome as JSON."""
    pod, objects = load(case)
    try:
        workload = build(pod, fetch(references(pod, capabilities=CAPABILITIES), objects), CONTEXT)
    except UnsupportedPod as error:
        return "refusals", [str(refusal) for refusal in error.refusals]
    except PodNotReady as error:
        return "not_ready", {"message": str(error), **vars(error)}
    return "workload", as_json(workload)


def as_json(value: object) -> Any:
    if isinstance(value, FromPodIP):
        return {"from": "podIP"}
    if dataclasses.is_dataclass(value):
        fields = ((item, getattr(value, item.name)) for item in dataclasses.fields(value))
        return {item.name: as_json(content) for item, content in fields if not _is_default(item, content)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(item) for item in value]
    return value


def _is_default(item: dataclasses.Field[Any], content: object) -> bool:
    """Left out, so that a field which a workload learns to carry changes only the cases that use it."""
    if item.default_factory is not dataclasses.MISSING:
        return bool(content == item.default_factory())
    return item.default is not dataclasses.MISSING and bool(content == item.default)


def expected(case: str) -> tuple[str, Any]:
    (path,) = [path for path in DATA.glob(f"{case}.*.json") if path.name.removesuffix(".json").split(".")[0] == case]
    return path.name.split(".")[1], json.loads(path.read_text())


def write(case: str) -> None:
    """Record what comes out today; to be read by a person before it is committed."""
    kind, content = outcome(case)
    (DATA / f"{case}.{kind}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
