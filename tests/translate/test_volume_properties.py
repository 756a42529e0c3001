"""Whatever storage a pod names, itself or by a claim: it is mounted, or refused at its field, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from pod_cases import CONTEXT, fetch

from fakes.cloud import storage
from tests.thorough import examples
from vk_provider.errors import PodNotReady, UnsupportedPod
from vk_provider.model.workload import Volume
from vk_provider.translate.workload import build, references

Json = dict[str, Any]

DRIVERS = [f"{kind}plugin.csi.alibabacloud.com" for kind in ("disk", "nas", "oss")]
SECRET = {
    "kind": "Secret",
    "metadata": {"namespace": "ns", "name": "oss"},
    "data": {"akId": "aWQ=", "akSecret": "c2VjcmV0LWtleQ=="},
}
words = st.sampled_from(["", "x", "/a", "fs.example.com:/b", "true", "nas", "nfs", "ossfs", "3", "20", "vers=4.0,ro"])
flags = st.booleans()


def some(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(required, optional=optional)


attributes = some(
    {},
    **dict.fromkeys(
        [
            "server",
            "path",
            "vers",
            "mode",
            "modeType",
            "options",
            "bucket",
            "url",
            "otherOpts",
            "sigVersion",
            "encrypted",
            "kmsKeyId",
            "ramRole",
            "akId",
            "akSecret",
            "mountType",
            "mountProtocol",
            "fuseType",
            "authType",
            "useSharedPath",
            "volumeId",
            "volumeSize",
            "type",
            "volumeAs",
        ],
        words,
    ),
)
drivers = st.sampled_from([*DRIVERS, "csi.example.com"])
secrets = st.just({"name": "oss"})
nfs = some({"server": st.just("10.0.0.9"), "path": st.sampled_from(["/", "/export"])}, readOnly=flags)
inline_csi = some(
    {"driver": drivers},
    volumeAttributes=attributes,
    readOnly=flags,
    fsType=st.just("ext4"),
    nodePublishSecretRef=secrets,
)
inline_flex = some(
    {"driver": st.sampled_from(["alicloud/disk", "alicloud/nas", "alicloud/oss", "example/other"])},
    options=attributes,
    readOnly=flags,
    fsType=st.just("xfs"),
    secretRef=secrets,
)
foreign = st.sampled_from(
    [
        {"hostPath": {"path": "/x"}},
        {"local": {"path": "/x"}},
        {"iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 0}},
        {"cephfs": {"monitors": ["10.0.0.1"]}},
    ]
)
namespaced = st.just({"name": "oss", "namespace": "ns"})
behind_claims = st.one_of(
    st.fixed_dictionaries({"nfs": nfs}),
    st.fixed_dictionaries(
        {
            "csi": some(
                {"driver": drivers, "volumeHandle": st.sampled_from(["d-1", "x"])},
                volumeAttributes=attributes,
                readOnly=flags,
                nodePublishSecretRef=namespaced,
            )
        }
    ),
    st.fixed_dictionaries({"flexVolume": inline_flex}),
    foreign,
)
volume_specs = st.builds(
    lambda source, common: {**source, **common},
    behind_claims,
    some(
        {"accessModes": st.lists(st.sampled_from(["ReadWriteOnce", "ReadOnlyMany"]), min_size=1, unique=True)},
        mountOptions=st.lists(st.sampled_from(["ro", "rw", "vers=3", "nolock", "allow_other"]), max_size=3),
        volumeMode=st.sampled_from(["Filesystem", "Filesystem", "Block"]),
    ),
)
sources = st.one_of(
    st.fixed_dictionaries({"nfs": nfs}),
    st.fixed_dictionaries({"csi": inline_csi}),
    st.fixed_dictionaries({"flexVolume": inline_flex}),
    st.fixed_dictionaries({"persistentVolumeClaim": some({"claimName": st.just("data")}, readOnly=flags)}),
    st.fixed_dictionaries(
        {
            "ephemeral": st.fixed_dictionaries(
                {
                    "volumeClaimTemplate": st.fixed_dictionaries(
                        {
                            "spec": some(
                                {"accessModes": st.just(["ReadWriteOnce"])},
                                storageClassName=st.just("essd"),
                                volumeMode=st.sampled_from(["Filesystem", "Block"]),
                            )
                        }
                    )
                }
            )
        }
    ),
    foreign.filter(lambda source: "local" not in source),
)


def claimed(source: Json, spec: Json, *, bound: bool) -> list[Json]:
    """The claim that the source means, and the volume behind it."""
    name, owners = ("p-v", [{"uid": "u", "controller": True}]) if "ephemeral" in source else ("data", [])
    meta = {"namespace": "ns", "name": name, "uid": "claim", "ownerReferences": owners}
    status = {"phase": "Bound" if bound else "Pending"}
    reference = {"namespace": "ns", "name": name, "uid": "claim"}
    return [
        {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": {"volumeName": "pv"}, "status": status},
        {"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {**spec, "claimRef": reference}},
    ]


@example({"flexVolume": {"driver": "alicloud/disk", "options": {"volumeSize": "20Gi"}}}, {"nfs": {}}, True, True)
@settings(max_examples=examples(300))
@given(sources, volume_specs, st.sampled_from([True] * 7 + [False]), flags)
def test_storage_is_mounted_or_refused_at_its_field(source: Json, spec: Json, bound: bool, has_secret: bool) -> None:
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [container], "volumes": [{"name": "first", "emptyDir": {}}, {"name": "v", **source}]},
    }
    kind = next(iter(source))
    made = outcome(pod, [*claimed(source, spec, bound=bound), *([SECRET] if has_secret else [])])
    event(f"{kind} {type(made).__name__}")
    if isinstance(made, UnsupportedPod):
        for refusal in made.refusals:
            assert stands_in(pod, refusal.field, below=f"spec.volumes[1].{kind}"), refusal
            assert refusal.reason
            assert "secret-key" not in str(refusal)
    elif isinstance(made, PodNotReady):
        assert not bound or not has_secret, str(made)
        assert made.event_reason == "FailedMount"
        assert 'volume "v"' in str(made)
    else:
        storage.check(as_sent(made), "Volume")  # raises when the cloud would not take it


def outcome(pod: Json, objects: list[Json]) -> Volume | UnsupportedPod | PodNotReady:
    try:
        (made,) = build(pod, fetch(references(pod), objects), CONTEXT).volumes
    except (UnsupportedPod, PodNotReady) as error:
        return error
    return made


def as_sent(made: Volume) -> Json:
    """The volume as the cloud has it in a group."""
    if made.nfs is not None:
        return {"Type": "NFSVolume", "NFSVolume": {"Server": made.nfs.server, "Path": made.nfs.path}}
    assert made.flex is not None
    options = json.dumps(dict(made.flex.options))
    return {"Type": "FlexVolume", "FlexVolume": {"Driver": made.flex.driver, "Options": options}}


def stands_in(pod: Json, field: str, *, below: str) -> bool:
    """The field is one of the volume's own, and there."""
    if not field.startswith(below):
        return False
    value: Any = pod
    for name, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        value = value[int(number)] if number else value.get(name)
    return value is not None
