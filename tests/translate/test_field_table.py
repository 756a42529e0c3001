"""The table of pod fields beside Kubernetes' published schema: types, lists, maps, what must be there; and choices."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.translate.test_pod_refusals import fields, pod_of, volume
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.translate.field_rules import Ignored, ListOf, MapOf, ObjectOf, Rejected, Rule, Scalar, Type
from vk_provider.translate.pod_fields import pod_rule

Json = dict[str, Any]

SCHEMAS = Path(__file__).parents[1] / "data" / "kubernetes"
DEFINITIONS: Mapping[str, Json] = json.loads(gzip.decompress((SCHEMAS / "1.37.json.gz").read_bytes()))["definitions"]
POD = {
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
        "spec": {"$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"},
    }
}
PLAIN = {"string": {Type.TEXT}, "boolean": {Type.FLAG}, "integer": {Type.WHOLE}}
# What the schema calls a string and is more to those who read it, by how the field is called.
FINER = {"divisor": Type.QUANTITY, "sizeLimit": Type.QUANTITY, "port": Type.PORT}
# Fields that later versions of the API have no more, and the status, which is no one's to write in a manifest.
NOT_IN_THE_NEWEST = {
    "pod.metadata.clusterName",
    "pod.spec.volumes.ephemeral.readOnly",
    "pod.spec.workloadRef",
    "pod.status",
}
# Which the schema demands and the table does not: empty is as good as absent, or the field is of no account.
MAY_BE_EMPTY = {
    "httpHeaders: value",
    "sysctls: value",
    "sleep: seconds",
    "appArmorProfile: type",
    "seccompProfile: type",
    "volumeClaimTemplate: spec",
    "os: name",
}


def differences(rule: Rule, schema: Json, path: str) -> Iterator[str]:
    """What the table says otherwise than the schema, a line each."""
    if "$ref" in schema:
        schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]]
    match rule:
        case Ignored() | Rejected():
            return
        case ObjectOf(known, required):
            demanded = [name for name in schema.get("required", ()) if not isinstance(known[name], Ignored | Rejected)]
            yield from (f"{path.rpartition('.')[2]}: {name}" for name in demanded if name not in required)
            for name, inner in known.items():
                at = f"{path}.{name}"
                if name in schema.get("properties", {}):
                    yield from differences(inner, schema["properties"][name], at)
                else:
                    yield at
        case ListOf(item) if schema.get("type") == "array":
            yield from differences(item, schema["items"], path)
        case MapOf(other, _) if "additionalProperties" in schema:
            yield from differences(other, schema["additionalProperties"], path)
        case Scalar(type_, _) if type_ in PLAIN.get(schema.get("type", ""), ()) or _is_finer(type_, schema, path):
            return
        case _:
            yield f"{path}: {rule} where the schema has {schema}"


def _is_finer(type_: Type, schema: Json, path: str) -> bool:
    return schema.get("type") == "string" and FINER.get(path.rpartition(".")[2]) == type_


def test_the_table_has_the_types_of_kubernetes() -> None:
    assert set(differences(pod_rule(CAPABILITIES, {}), POD, "pod")) == NOT_IN_THE_NEWEST | MAY_BE_EMPTY


CHOICES = [
    ("spec.restartPolicy", ("Always", "OnFailure", "Never")),
    ("spec.dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
    ("spec.os.name", ("linux",)),
    ("spec.containers[0].imagePullPolicy", ("Always", "IfNotPresent", "Never")),
    ("spec.containers[0].terminationMessagePolicy", ("File", "FallbackToLogsOnError")),
    ("spec.containers[0].ports[0].protocol", ("TCP", "UDP")),
    ("spec.containers[0].livenessProbe.httpGet.scheme", ("HTTP", "HTTPS")),
    ("spec.containers[0].securityContext.procMount", ("Default",)),
    ("spec.securityContext.supplementalGroupsPolicy", ("Merge",)),
    ("spec.securityContext.seccompProfile.type", ("RuntimeDefault", "Unconfined")),
    ("spec.volumes[1].emptyDir.medium", ("Memory",)),
    ("spec.volumes[1].csi.driver", CAPABILITIES.storage.csi),
    ("spec.volumes[1].flexVolume.driver", CAPABILITIES.storage.flex),
]


def with_choice(field: str, value: str) -> Json:
    container: Mapping[str, Json] = {
        "imagePullPolicy": {"imagePullPolicy": value},
        "terminationMessagePolicy": {"terminationMessagePolicy": value},
        "protocol": {"ports": [{"containerPort": 80, "protocol": value}]},
        "scheme": {"livenessProbe": {"httpGet": {"port": 80, "scheme": value}}},
        "procMount": {"securityContext": {"procMount": value}},
    }
    spec: Mapping[str, Json] = {
        "restartPolicy": {"restartPolicy": value},
        "dnsPolicy": {"dnsPolicy": value, "dnsConfig": {"nameservers": ["10.0.0.1"]}},
        "name": {"os": {"name": value}},
        "supplementalGroupsPolicy": {"securityContext": {"supplementalGroupsPolicy": value}},
        "type": {"securityContext": {"seccompProfile": {"type": value}}},
    }
    last = field.rpartition(".")[2]
    if last == "medium":
        return volume(emptyDir={"medium": value})
    if last == "driver":
        kind = field.split(".")[2]
        return volume(**{kind: {"driver": value}})
    return pod_of(spec.get(last), container.get(last))


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in CHOICES for value in values], ids=lambda each: each
)
def test_every_value_of_a_choice_is_carried(field: str, value: str) -> None:
    assert field not in fields(with_choice(field, value))


@pytest.mark.parametrize("field", [field for field, _ in CHOICES])
def test_another_value_is_refused_where_it_stands(field: str) -> None:
    assert field in fields(with_choice(field, "other"))
