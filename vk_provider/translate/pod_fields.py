"""Every field a pod can have, Kubernetes 1.20 to 1.36, and what becomes of it. This table is the whole truth of it.

Carrying a further field means changing its line here and reading it in `workload`, `environment` or `volumes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from vk_provider.translate.capabilities import Capabilities, Storage
from vk_provider.translate.field_rules import (
    EMPTY,
    Ignored,
    ListOf,
    MapOf,
    ObjectOf,
    Rejected,
    Rule,
    Scalar,
    Type,
    inside,
    is_address,
    names_file,
    not_negative,
    one_of,
    whole_and_not_negative,
)
from vk_provider.translate.fieldrefs import is_environment_path, is_volume_path
from vk_provider.translate.probe_fields import LIFECYCLE, PROBE
from vk_provider.translate.resources import GPU
from vk_provider.translate.security_fields import CONTAINER_SECURITY, HOST_USERS, POD_SECURITY
from vk_provider.translate.storage import SOURCES

TEXT = Scalar(Type.TEXT)
FLAG = Scalar(Type.FLAG)
WHOLE = Scalar(Type.WHOLE)
QUANTITY = Scalar(Type.QUANTITY, not_negative)
RELATIVE_PATH = Scalar(Type.TEXT, inside)
FILE_PATH = Scalar(Type.TEXT, names_file)
TEXTS = ListOf(TEXT)
TEXT_MAP = MapOf(TEXT)

SCHEDULING = Ignored("only the scheduler reads it, and the pod is bound already")
ADMITTED = Ignored("has acted when the API server admitted the pod")


def _not_yet(what: str, instead: str = "leave it out") -> Rejected:
    return Rejected(f"{what} not carried yet on the virtual node; {instead}")


def _never(why: str, instead: str) -> Rejected:
    return Rejected(f"{why}; {instead}")


# --- environment ----------------------------------------------------------------------------------------------------

_KEY_REFERENCE = ObjectOf({"name": TEXT, "key": TEXT, "optional": FLAG}, required=("name", "key"))
_OBJECT_REFERENCE = ObjectOf({"name": TEXT, "optional": FLAG}, required=("name",))
_API_VERSION = Scalar(Type.TEXT, one_of("v1"))
_CONTAINER_RESOURCES = tuple(
    f"{group}.{resource}" for group in ("limits", "requests") for resource in ("cpu", "memory", "ephemeral-storage")
)


def _is_resource(value: object) -> str:
    text = str(value)
    if text in _CONTAINER_RESOURCES or text.startswith(("limits.hugepages-", "requests.hugepages-")):
        return ""
    return f"there is no resource {text}; known are {', '.join(_CONTAINER_RESOURCES)}"


_RESOURCE_FIELDS: Mapping[str, Rule] = {
    "containerName": TEXT,
    "resource": Scalar(Type.TEXT, _is_resource),
    "divisor": QUANTITY,
}
_ENVIRONMENT_RESOURCE = ObjectOf(_RESOURCE_FIELDS, required=("resource",))
_VOLUME_RESOURCE = ObjectOf(_RESOURCE_FIELDS, required=("containerName", "resource"))
_ENVIRONMENT_FIELD = ObjectOf(
    {"apiVersion": _API_VERSION, "fieldPath": Scalar(Type.TEXT, is_environment_path)}, required=("fieldPath",)
)
_VOLUME_FIELD = ObjectOf(
    {"apiVersion": _API_VERSION, "fieldPath": Scalar(Type.TEXT, is_volume_path)}, required=("fieldPath",)
)
_ENV = ObjectOf(
    {
        "name": TEXT,
        "value": TEXT,
        "valueFrom": ObjectOf(
            {
                "fieldRef": _ENVIRONMENT_FIELD,
                "resourceFieldRef": _ENVIRONMENT_RESOURCE,
                "configMapKeyRef": _KEY_REFERENCE,
                "secretKeyRef": _KEY_REFERENCE,
                "fileKeyRef": _never(
                    "a file inside an instance cannot be read before it starts", "read the file in the container"
                ),
            }
        ),
    },
    required=("name",),
)
_ENV_FROM = ObjectOf({"prefix": TEXT, "configMapRef": _OBJECT_REFERENCE, "secretRef": _OBJECT_REFERENCE})

# --- containers -----------------------------------------------------------------------------------------------------

_EXTENDED = Rejected(
    "there is no such resource on the virtual node, only cpu, memory, ephemeral-storage and, in containers, "
    "nvidia.com/gpu; leave it out",
    unless=(*EMPTY, 0, "0"),
)
_QUANTITIES = MapOf(_EXTENDED, {"cpu": QUANTITY, "memory": QUANTITY, "ephemeral-storage": QUANTITY})
_CONTAINER_QUANTITIES = MapOf(
    _EXTENDED, {**(_QUANTITIES.special or {}), GPU: Scalar(Type.QUANTITY, whole_and_not_negative)}
)
_RESOURCES = ObjectOf(
    {
        "limits": _CONTAINER_QUANTITIES,
        "requests": _CONTAINER_QUANTITIES,
        "claims": _never("devices claimed by name do not exist in the cloud", "leave it out"),
    }
)


def _port(protocols: Sequence[str]) -> Rule:
    return ObjectOf(
        {
            "name": TEXT,
            "containerPort": WHOLE,
            "protocol": Scalar(Type.TEXT, one_of(*protocols)),
            "hostPort": Rejected(
                "there is no host whose port could be taken; reach the pod by its own address or by a Service",
                unless=(*EMPTY, 0),
            ),
            "hostIP": _never("there is no host whose address could be taken", "leave it out"),
        },
        required=("containerPort",),
    )


_MOUNT = ObjectOf(
    {
        "name": TEXT,
        "mountPath": TEXT,
        "subPath": RELATIVE_PATH,
        "readOnly": FLAG,
        "subPathExpr": RELATIVE_PATH,
        "mountPropagation": Rejected(
            "there is no host to pass mounts to or from; leave it out or say None", unless=(*EMPTY, "None")
        ),
        "recursiveReadOnly": Rejected(
            "the cloud does not say whether mounts below a mount become read-only too; leave it out or say IfPossible",
            unless=(*EMPTY, "Disabled", "IfPossible"),
        ),
    },
    required=("name", "mountPath"),
)


def _container(protocols: Sequence[str]) -> Rule:
    return ObjectOf(
        {
            "name": TEXT,
            "image": TEXT,
            "command": TEXTS,
            "args": TEXTS,
            "workingDir": TEXT,
            "ports": ListOf(_port(protocols)),
            "envFrom": ListOf(_ENV_FROM),
            "env": ListOf(_ENV),
            "resources": _RESOURCES,
            "resizePolicy": Ignored("acts on a resize only, and the virtual node offers none"),
            # Beside the pod's it is judged by `refusals`; Always makes an init container a sidecar.
            "restartPolicy": Scalar(Type.TEXT, one_of("Always", "OnFailure", "Never")),
            "restartPolicyRules": Ignored("they ask for more restarts than the policy gives; a notice tells of them"),
            "volumeMounts": ListOf(_MOUNT),
            "volumeDevices": _never("no container can be given a block device", "mount a volume"),
            "livenessProbe": PROBE,
            "readinessProbe": PROBE,
            "startupProbe": PROBE,
            "lifecycle": LIFECYCLE,
            "terminationMessagePath": TEXT,
            "terminationMessagePolicy": Scalar(Type.TEXT, one_of("File", "FallbackToLogsOnError")),
            "imagePullPolicy": Scalar(Type.TEXT, one_of("Always", "IfNotPresent", "Never")),
            "securityContext": CONTAINER_SECURITY,
            "stdin": FLAG,
            "stdinOnce": FLAG,
            "tty": FLAG,
        },
        required=("name", "image"),
    )


# --- volumes --------------------------------------------------------------------------------------------------------

_KEY_TO_PATH = ObjectOf({"key": TEXT, "path": FILE_PATH, "mode": WHOLE}, required=("key", "path"))
_DOWNWARD_ITEM = ObjectOf(
    {"path": FILE_PATH, "mode": WHOLE, "fieldRef": _VOLUME_FIELD, "resourceFieldRef": _VOLUME_RESOURCE},
    required=("path",),
)
_NAMED_ITEMS: Mapping[str, Rule] = {"name": TEXT, "items": ListOf(_KEY_TO_PATH), "optional": FLAG}
_PROJECTION = ObjectOf(
    {
        "configMap": ObjectOf(_NAMED_ITEMS, required=("name",)),
        "secret": ObjectOf(_NAMED_ITEMS, required=("name",)),
        "downwardAPI": ObjectOf({"items": ListOf(_DOWNWARD_ITEM)}),
        "serviceAccountToken": ObjectOf(
            {"audience": TEXT, "expirationSeconds": WHOLE, "path": FILE_PATH}, required=("path",)
        ),
        "clusterTrustBundle": _not_yet("trust bundles are", "put the certificates into a ConfigMap"),
        "podCertificate": _not_yet("pod certificates are", "put the certificate into a Secret"),
    }
)
_LOGIN = ObjectOf({"name": TEXT}, required=("name",))
_NFS = ObjectOf({"server": TEXT, "path": TEXT, "readOnly": FLAG}, required=("server", "path"))
_CLAIM = ObjectOf({"claimName": TEXT, "readOnly": FLAG}, required=("claimName",))
_CLAIM_SPEC = ObjectOf(
    {
        "volumeMode": Scalar(Type.TEXT, one_of("Filesystem", instead="no container can be given a block device")),
        **dict.fromkeys(
            (
                "accessModes",
                "dataSource",
                "dataSourceRef",
                "resources",
                "selector",
                "storageClassName",
                "volumeAttributesClassName",
                "volumeName",
            ),
            Ignored("the cluster makes a claim of it, which is looked at when it is bound"),
        ),
    }
)
_EPHEMERAL = ObjectOf(
    {
        "volumeClaimTemplate": ObjectOf({"metadata": Ignored("the claim's own"), "spec": _CLAIM_SPEC}),
        "readOnly": FLAG,
    }
)
_FOREIGN = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "iscsi",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)
VOLUME_SOURCES = frozenset(
    {
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
        *SOURCES,
        *_FOREIGN,
    }
)


def _of_drivers(storage: Storage) -> Mapping[str, Rule]:
    """The sources that a driver of the cloud mounts, in the order of the table."""
    inline = one_of(
        *storage.csi, instead="use a PersistentVolumeClaim, or for what an object of the cluster holds a Secret"
    )
    csi = ObjectOf(
        {
            "driver": Scalar(Type.TEXT, inline),
            "fsType": TEXT,
            "readOnly": FLAG,
            "volumeAttributes": TEXT_MAP,
            "nodePublishSecretRef": _LOGIN,
        },
        required=("driver",),
    )
    flex = ObjectOf(
        {
            "driver": Scalar(Type.TEXT, one_of(*storage.flex, instead="use a PersistentVolumeClaim")),
            "fsType": TEXT,
            "readOnly": FLAG,
            "options": TEXT_MAP,
            "secretRef": _LOGIN,
        },
        required=("driver",),
    )
    return {"nfs": _NFS, "csi": csi, "flexVolume": flex}


def _volume(storage: Storage) -> Rule:
    absent = Rejected(f"this kind of storage does not exist in the cloud; {storage.advice}", unless=())
    return ObjectOf(
        {
            "name": TEXT,
            "emptyDir": ObjectOf({"medium": Scalar(Type.TEXT, one_of("Memory")), "sizeLimit": QUANTITY}),
            "configMap": ObjectOf({**_NAMED_ITEMS, "defaultMode": WHOLE}, required=("name",)),
            "secret": ObjectOf(
                {"secretName": TEXT, "items": ListOf(_KEY_TO_PATH), "optional": FLAG, "defaultMode": WHOLE},
                required=("secretName",),
            ),
            "downwardAPI": ObjectOf({"items": ListOf(_DOWNWARD_ITEM), "defaultMode": WHOLE}),
            "projected": ObjectOf({"sources": ListOf(_PROJECTION), "defaultMode": WHOLE}),
            "hostPath": Rejected(
                "there is no host whose files could be shown; use emptyDir, a ConfigMap or a Secret", unless=()
            ),
            "gitRepo": Rejected("clone the repository in an init container into an emptyDir instead", unless=()),
            "image": Rejected("the cloud mounts no images; copy the files in an init container", unless=()),
            "persistentVolumeClaim": _CLAIM if storage.kinds else absent,
            "ephemeral": _EPHEMERAL if storage.kinds else absent,
            **{kind: rule if kind in storage.kinds else absent for kind, rule in _of_drivers(storage).items()},
            **dict.fromkeys(_FOREIGN, absent),
        },
        required=("name",),
    )


# --- the pod --------------------------------------------------------------------------------------------------------

_HOST_ALIAS = ObjectOf({"ip": Scalar(Type.TEXT, is_address), "hostnames": TEXTS}, required=("ip",))
_DNS_OPTION = ObjectOf({"name": TEXT, "value": TEXT}, required=("name",))
_HOST_SHARING = _never("an instance shares no host with other pods", "leave it out")
_NO_DEVICES = _never("devices claimed by name do not exist in the cloud", "leave it out")
_OF_THE_SCHEDULER = (
    "affinity",
    "nodeSelector",
    "preemptionPolicy",
    "schedulerName",
    "schedulingGates",
    "schedulingGroup",
    "tolerations",
    "topologySpreadConstraints",
    "workloadRef",
)


@lru_cache(maxsize=4)
def spec_rule(capabilities: Capabilities) -> ObjectOf:
    """The rule for `spec`, made once for each cloud."""
    container = _container(capabilities.protocols)
    return ObjectOf(
        {
            "containers": ListOf(container),
            "initContainers": ListOf(container),
            "ephemeralContainers": Ignored("each gets a status that says why it does not start; the others go on"),
            "volumes": ListOf(_volume(capabilities.storage)),
            "restartPolicy": Scalar(Type.TEXT, one_of("Always", "OnFailure", "Never")),
            "terminationGracePeriodSeconds": WHOLE,
            "activeDeadlineSeconds": WHOLE,
            "dnsPolicy": Scalar(Type.TEXT, one_of("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
            "dnsConfig": ObjectOf({"nameservers": TEXTS, "searches": TEXTS, "options": ListOf(_DNS_OPTION)}),
            "hostname": TEXT,
            "subdomain": TEXT,
            "setHostnameAsFQDN": FLAG,
            "hostnameOverride": TEXT,
            "enableServiceLinks": FLAG,
            "serviceAccountName": TEXT,
            "serviceAccount": Ignored("the old name of serviceAccountName"),
            "automountServiceAccountToken": ADMITTED,
            "imagePullSecrets": ListOf(ObjectOf({"name": TEXT})),
            "nodeName": TEXT,
            "hostNetwork": _HOST_SHARING,
            "hostPID": _HOST_SHARING,
            "hostIPC": _HOST_SHARING,
            "hostUsers": HOST_USERS,
            "shareProcessNamespace": FLAG,
            "securityContext": POD_SECURITY,
            "hostAliases": ListOf(_HOST_ALIAS),
            "readinessGates": Ignored("they are looked at when the pod's status is made"),
            "runtimeClassName": _never("the cloud has one runtime", "leave it out"),
            "os": ObjectOf({"name": Scalar(Type.TEXT, one_of("linux", instead="the virtual node runs Linux"))}),
            "overhead": MapOf(_EXTENDED, {"cpu": QUANTITY, "memory": QUANTITY, "ephemeral-storage": QUANTITY}),
            "resources": ObjectOf({"limits": _QUANTITIES, "requests": _QUANTITIES, "claims": _NO_DEVICES}),
            "resourceClaims": _NO_DEVICES,
            "priority": SCHEDULING,
            "priorityClassName": ADMITTED,
            **dict.fromkeys(
                _OF_THE_SCHEDULER,
                SCHEDULING,
            ),
        },
        required=("containers",),
    )


_BOOKKEEPING = Ignored("the API server's bookkeeping, which asks nothing of a node")


_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR = Rejected(
    "there is no host on which a profile's file could lie; leave it out", (*EMPTY, "unconfined", "runtime/default")
)


def pod_rule(capabilities: Capabilities, annotations: object) -> ObjectOf:
    """The rule for a whole pod object. annotations: the pod's, whatever they are."""
    keys = annotations if isinstance(annotations, Mapping) else {}
    apparmor: dict[str, Rule] = {key: _APPARMOR for key in keys if str(key).startswith(_APPARMOR_PREFIX)}
    metadata = ObjectOf(
        {
            "name": TEXT,
            "namespace": TEXT,
            "uid": TEXT,
            "labels": TEXT_MAP,
            "annotations": MapOf(TEXT, {**capabilities.annotations.rules, **apparmor}),
            **dict.fromkeys(
                (
                    "clusterName",
                    "creationTimestamp",
                    "deletionGracePeriodSeconds",
                    "deletionTimestamp",
                    "finalizers",
                    "generateName",
                    "generation",
                    "managedFields",
                    "ownerReferences",
                    "resourceVersion",
                    "selfLink",
                ),
                _BOOKKEEPING,
            ),
        },
        required=("name",),
    )
    return ObjectOf(
        {
            "apiVersion": _BOOKKEEPING,
            "kind": _BOOKKEEPING,
            "metadata": metadata,
            "spec": spec_rule(capabilities),
            "status": Ignored("ours to write"),
        },
        required=("metadata", "spec"),
    )
