"""Pods that an API server would take, of every kind of field that a pod spec has; most of them ordinary.

`pods` gives whole pods with the defaults that an API server fills in; what they refer to by name is in OBJECTS.
A feature is drawn rarely, so that a pod has a few of them and many pods have none that is refused.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from fakes.kube import defaults
from vk_provider.show.manifests import pod_of

Json = dict[str, Any]
Pods = st.SearchStrategy[Json]

NAMESPACE = "team"
CONFIG = {"colour": "red", "app.conf": "a = 1\n", "NUMBER": "7", "nested": "$(colour)"}
SECRET = {"password": "generated-password", "tls.key": "generated-key"}
OBJECTS: list[Json] = [
    {"kind": "ConfigMap", "metadata": {"name": "config", "namespace": NAMESPACE}, "data": CONFIG},
    {"kind": "ConfigMap", "metadata": {"name": "hollow", "namespace": NAMESPACE}},
    {"kind": "Secret", "metadata": {"name": "secret", "namespace": NAMESPACE}, "stringData": SECRET},
    {
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "pull", "namespace": NAMESPACE},
        "stringData": {".dockerconfigjson": '{"auths":{"registry.example.com":{"username":"u","password":"p"}}}'},
    },
    {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claim", "namespace": NAMESPACE},
        "spec": {"volumeName": "volume"},
    },
    {
        "kind": "PersistentVolume",
        "metadata": {"name": "volume"},
        "spec": {
            "claimRef": {"namespace": NAMESPACE, "name": "claim"},
            "csi": {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-generated", "fsType": "ext4"},
        },
    },
]


def rarely(strategy: st.SearchStrategy[Any], one_in: int = 6) -> st.SearchStrategy[Any]:
    """The strategy's value once in so many times, else None: the field is left out."""
    return _rarely(strategy, one_in)


@st.composite
def _rarely(draw: Any, strategy: st.SearchStrategy[Any], one_in: int) -> Any:
    return draw(strategy) if draw(st.integers(1, one_in)) == one_in else None


def some(required: dict[str, Any] | None = None, **optional: Any) -> Pods:
    """An object with the required fields, and the optional ones where they are not None."""
    fields = {**(required or {}), **optional}
    return st.fixed_dictionaries(fields).map(lambda drawn: {k: v for k, v in drawn.items() if v is not None})


flags = st.booleans()
names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
words = texts | st.sampled_from(["$(NUMBER)", "$$(A)", "$(", "a$(LATER)b", "-c", "echo $HOME", "x" * 300])
_odd_names = st.sampled_from(["my.var", "with-dash", "9lives", "a b", "KUBERNETES_SERVICE_HOST"])
_usual_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
variable_names = st.integers(1, 15).flatmap(lambda number: _odd_names if number == 15 else _usual_names)
paths = st.sampled_from(["/data", "/etc/app", "/var/run/x", "/a/b/c", "relative", "/tmp"])
ports = st.integers(1, 65535)
cpus = st.sampled_from(["10m", "250m", "1", "1.5", "2", "7", 4, "16", "100", "0"])
memories = st.sampled_from(["16Mi", "128Mi", "1Gi", "1.5Gi", "1e9", "8Gi", "13G", "200Gi", "2Ti", "0"])
modes = st.integers(0, 0o777)
label_values = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?)?", fullmatch=True)

_FIELDS = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels['app']",
    "metadata.annotations['no-such']",
]
_NODE_FIELDS = ["spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.podIP", "status.podIPs"]


def resource_references(*, container: str | None) -> Pods:
    named = {"containerName": st.just(container)} if container else {}
    return some(
        {"resource": st.sampled_from(["limits.cpu", "requests.memory", "limits.ephemeral-storage"]), **named},
        divisor=rarely(st.sampled_from(["1", "1m", "1Mi"]), 2),
    )


def key_references(name: str, keys: Json) -> Pods:
    there = st.fixed_dictionaries({"name": st.just(name), "key": st.sampled_from(sorted(keys))})
    absent = st.fixed_dictionaries({"name": st.just("nowhere"), "key": st.just("k"), "optional": st.just(True)})
    return there | absent


def sources_of_variables() -> Pods:
    return st.one_of(
        st.fixed_dictionaries({"fieldRef": some({"fieldPath": st.sampled_from([*_FIELDS, *_NODE_FIELDS])})}),
        st.fixed_dictionaries({"resourceFieldRef": resource_references(container=None)}),
        st.fixed_dictionaries({"configMapKeyRef": key_references("config", CONFIG)}),
        st.fixed_dictionaries({"secretKeyRef": key_references("secret", SECRET)}),
    )


variables = some({"name": variable_names}, value=st.none() | words) | st.fixed_dictionaries(
    {"name": variable_names, "valueFrom": sources_of_variables()}
)
env_from = st.one_of(
    some({"configMapRef": st.just({"name": "config"})}, prefix=rarely(st.sampled_from(["P_", "p.", "1"]), 2)),
    some({"secretRef": st.just({"name": "secret"})}, prefix=rarely(st.just("S_"), 2)),
    st.just({"configMapRef": {"name": "nowhere", "optional": True}}),
)


def handlers(*, hook: bool = False) -> Pods:
    http = some(
        {"port": ports},
        path=rarely(st.just("/healthz"), 2),
        scheme=rarely(st.sampled_from(["HTTP", "HTTPS"]), 3),
        host=rarely(st.just("example.com"), 12),
        httpHeaders=rarely(st.just([{"name": "X-Asked", "value": "yes"}]), 6),
    )
    kinds = [
        st.fixed_dictionaries({"httpGet": http}),
        st.fixed_dictionaries({"tcpSocket": some({"port": ports})}),
        st.fixed_dictionaries({"exec": st.just({"command": ["cat", "/tmp/healthy"]})}),
    ]
    kinds.append(st.just({"sleep": {"seconds": 3}}) if hook else st.just({"grpc": {"port": 9000}}))
    return st.one_of(kinds)


@st.composite
def probes(draw: Any, kind: str) -> Json:
    figures = draw(
        some(
            initialDelaySeconds=rarely(st.integers(0, 100), 2),
            periodSeconds=rarely(st.integers(1, 60), 2),
            timeoutSeconds=rarely(st.integers(1, 10), 2),
            failureThreshold=rarely(st.integers(1, 30), 2),
            successThreshold=rarely(st.integers(1, 3), 3) if kind == "readinessProbe" else st.none(),
            terminationGracePeriodSeconds=rarely(st.integers(1, 60), 12) if kind != "readinessProbe" else st.none(),
        )
    )
    return {**draw(handlers()), **figures}


container_security = some(
    runAsUser=rarely(st.integers(0, 70000), 2),
    runAsGroup=rarely(st.integers(0, 70000), 3),
    runAsNonRoot=rarely(flags, 4),
    privileged=rarely(flags, 8),
    allowPrivilegeEscalation=rarely(st.just(False), 3),
    readOnlyRootFilesystem=rarely(flags, 3),
    procMount=rarely(st.just("Default"), 8),
    seccompProfile=rarely(st.sampled_from([{"type": "RuntimeDefault"}, {"type": "Unconfined"}]), 4),
    capabilities=rarely(
        some(
            drop=rarely(st.just(["ALL"]), 2),
            add=rarely(
                st.lists(st.sampled_from(["NET_ADMIN", "NET_RAW", "CHOWN", "CHOWN", "SYS_TIME"]), max_size=2), 2
            ),
        ),
        3,
    ),
)


@st.composite
def resources(draw: Any) -> Json:
    """Requests within limits, as the API server demands."""
    limits = draw(
        some(
            cpu=rarely(cpus, 2),
            memory=rarely(memories, 2),
            **{
                "ephemeral-storage": rarely(st.sampled_from(["1Gi", "50Gi"]), 6),
                "nvidia.com/gpu": rarely(st.just("1"), 14),
                "example.com/card": rarely(st.just("1"), 20),
            },
        )
    )
    requests = draw(
        some(
            cpu=rarely(cpus, 2) if "cpu" not in limits else st.none(),
            memory=rarely(memories, 2) if "memory" not in limits else st.none(),
        )
    )
    return {"limits": limits, **({"requests": requests} if requests else {})}


@st.composite
def containers(draw: Any, name: str, volumes: list[Json], *, init: bool) -> Json:
    sidecar = init and draw(rarely(st.just("Always"), 5)) is not None
    asked = not init or sidecar
    found = draw(
        some(
            {
                "name": st.just(name),
                "image": st.sampled_from(["nginx", "registry.example.com/a/b:1", f"x@sha256:{'ab' * 32}"]),
            },
            command=rarely(st.lists(words, max_size=3), 3),
            args=rarely(st.lists(words, max_size=3), 3),
            workingDir=rarely(st.just("/work")),
            imagePullPolicy=rarely(st.sampled_from(["Always", "IfNotPresent", "Never"])),
            env=rarely(st.lists(variables, max_size=4), 2),
            envFrom=rarely(st.lists(env_from, max_size=2), 3),
            resources=rarely(resources(), 2),
            ports=rarely(
                st.lists(
                    some(
                        {"containerPort": ports},
                        protocol=rarely(st.sampled_from(["TCP", "UDP", "TCP", "SCTP"]), 6),
                        hostPort=rarely(ports, 15),
                    ),
                    max_size=3,
                ),
                3,
            ),
            securityContext=rarely(container_security, 3),
            livenessProbe=rarely(probes("livenessProbe"), 4) if asked else st.none(),
            readinessProbe=rarely(probes("readinessProbe"), 4) if asked else st.none(),
            startupProbe=rarely(probes("startupProbe"), 6) if asked else st.none(),
            lifecycle=rarely(some(postStart=rarely(handlers(hook=True), 3), preStop=rarely(handlers(hook=True), 2)), 5)
            if asked
            else st.none(),
            terminationMessagePath=rarely(st.just("/tmp/last"), 8),
            terminationMessagePolicy=rarely(st.sampled_from(["File", "FallbackToLogsOnError"])),
            stdin=rarely(flags),
            tty=rarely(flags),
            resizePolicy=rarely(st.just([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]), 10),
            restartPolicy=st.just("Always") if sidecar else st.none(),
        )
    )
    mounted = (
        draw(st.lists(st.sampled_from(volumes), max_size=3, unique_by=lambda each: each["name"])) if volumes else []
    )
    places = draw(st.lists(paths, min_size=len(mounted), max_size=len(mounted), unique=True))
    if mounted:
        found["volumeMounts"] = [draw(_mount(volume, at)) for volume, at in zip(mounted, places, strict=True)]
    return found


def _mount(volume: Json, at: str) -> Pods:
    return some(
        {"name": st.just(volume["name"]), "mountPath": st.just(at)},
        readOnly=rarely(flags, 3),
        subPath=rarely(st.sampled_from(["app.conf", "deep/er", "password"]), 4),
        mountPropagation=rarely(st.sampled_from(["None", "HostToContainer"]), 10),
    )


items_of_config = st.lists(
    st.sampled_from(sorted(CONFIG)).flatmap(
        lambda key: some({"key": st.just(key), "path": st.just(f"in/{key}")}, mode=rarely(modes, 3))
    ),
    max_size=2,
    unique_by=lambda item: item["path"],
)
downward_items = st.lists(
    st.sampled_from(["metadata.labels", "metadata.annotations", *_FIELDS]).map(
        lambda path: {"path": path.replace("'", "").replace("[", ".").rstrip("]"), "fieldRef": {"fieldPath": path}}
    ),
    max_size=3,
    unique_by=lambda item: item["path"],
)


def volume_sources() -> Pods:
    config = some({"name": st.just("config")}, items=rarely(items_of_config, 2), defaultMode=rarely(modes, 3))
    projection = st.one_of(
        st.fixed_dictionaries({"configMap": some({"name": st.just("config")}, items=rarely(items_of_config, 2))}),
        st.just({"secret": {"name": "secret", "items": [{"key": "password", "path": "pw"}]}}),
        st.fixed_dictionaries({"downwardAPI": st.fixed_dictionaries({"items": downward_items})}),
        st.fixed_dictionaries(
            {
                "serviceAccountToken": some(
                    {"path": st.just("token")},
                    audience=rarely(st.just("vault"), 2),
                    expirationSeconds=rarely(st.integers(600, 100_000), 2),
                )
            }
        ),
    )
    ordinary = [
        st.fixed_dictionaries(
            {
                "emptyDir": some(
                    medium=rarely(st.sampled_from(["", "Memory"]), 2),
                    sizeLimit=rarely(st.sampled_from(["64Mi", "1.5G", "1"]), 2),
                )
            }
        ),
        st.fixed_dictionaries({"configMap": config}),
        st.just({"configMap": {"name": "hollow"}}),
        st.just({"configMap": {"name": "nowhere", "optional": True}}),
        st.fixed_dictionaries({"secret": some({"secretName": st.just("secret")}, defaultMode=rarely(modes, 2))}),
        st.fixed_dictionaries({"downwardAPI": st.fixed_dictionaries({"items": downward_items})}),
        st.fixed_dictionaries(
            {"projected": some({"sources": st.lists(projection, max_size=3)}, defaultMode=rarely(modes, 3))}
        ),
        st.just({"persistentVolumeClaim": {"claimName": "claim"}}),
        st.just({"nfs": {"server": "10.0.0.9", "path": "/export"}}),
    ]
    foreign = [
        {"hostPath": {"path": "/var/log"}},
        {"iscsi": {"targetPortal": "10.0.0.5", "iqn": "iqn.2001-04.com.example:x", "lun": 0}},
        {"image": {"reference": "registry.example.com/model:1"}},
        {"csi": {"driver": "secrets-store.csi.k8s.io"}},
        {"gitRepo": {"repository": "https://example.com/x.git"}},
    ]
    return st.integers(1, 12).flatmap(lambda n: st.sampled_from(foreign) if n == 12 else st.one_of(ordinary))


pod_security = some(
    runAsUser=rarely(st.integers(0, 70000), 2),
    runAsGroup=rarely(st.integers(0, 70000), 3),
    fsGroup=rarely(st.integers(0, 70000), 3),
    supplementalGroups=rarely(st.just([1, 2]), 6),
    runAsNonRoot=rarely(flags, 6),
    seccompProfile=rarely(st.just({"type": "RuntimeDefault"}), 4),
    sysctls=rarely(
        st.sampled_from(
            [
                [{"name": "net.core.somaxconn", "value": "1024"}],
                [{"name": "net.ipv4.ping_group_range", "value": "0 1"}],
                [{"name": "vm.max_map_count", "value": "1"}],
            ]
        ),
        6,
    ),
)
dns_configs = some(
    nameservers=rarely(st.lists(st.sampled_from(["1.1.1.1", "8.8.8.8", "9.9.9.9", "fd00::1"]), max_size=3), 2),
    searches=rarely(st.just(["example.com"]), 2),
    options=rarely(st.just([{"name": "ndots", "value": "2"}, {"name": "edns0"}]), 2),
)
annotations = some(
    **{
        "example.com/note": rarely(st.just("x"), 2),
        "k8s.aliyun.com/eci-use-specs": rarely(st.sampled_from(["2-4Gi,4-8Gi", "ecs.c6.xlarge", "nonsense"]), 12),
        "k8s.aliyun.com/eci-spot-strategy": rarely(st.sampled_from(["SpotAsPriceGo", "NoSpot", "Cheap"]), 12),
        "k8s.aliyun.com/eci-with-eip": rarely(st.sampled_from(["true", "false", "maybe"]), 15),
        "k8s.aliyun.com/eci-custom-tags": rarely(st.sampled_from(["env:test", "a:b,c:d", "odd"]), 15),
        "k8s.aliyun.com/eci-instance-family": rarely(st.just("ecs.c6"), 20),
        "k8s.aliyun.com/eci-unheard-of": rarely(st.just("1"), 20),
        "k8s.aliyun.com/eci-extra-ephemeral-storage": rarely(st.sampled_from(["50Gi", "much"]), 20),
    }
)


@st.composite
def pods(draw: Any) -> Json:
    """One pod as the API server has it, bound nowhere yet."""
    volumes = [
        {"name": f"v{number}", **source} for number, source in enumerate(draw(st.lists(volume_sources(), max_size=3)))
    ]
    apps = draw(st.integers(1, 3))
    inits = draw(st.integers(0, 2))
    spec = draw(
        some(
            {
                "containers": st.tuples(*(containers(f"app-{n}", volumes, init=False) for n in range(apps))).map(list),
                "volumes": st.just(volumes),
            },
            initContainers=st.tuples(*(containers(f"init-{n}", volumes, init=True) for n in range(inits))).map(list)
            if inits
            else st.none(),
            restartPolicy=st.sampled_from(["Always", "OnFailure", "Never"]),
            terminationGracePeriodSeconds=rarely(st.integers(0, 600), 3),
            activeDeadlineSeconds=rarely(st.integers(1, 10_000), 4),
            dnsPolicy=rarely(st.sampled_from(["ClusterFirst", "ClusterFirstWithHostNet", "Default"]), 3),
            dnsConfig=rarely(dns_configs, 5),
            hostname=rarely(names, 4),
            subdomain=rarely(names, 6),
            setHostnameAsFQDN=rarely(flags, 8),
            enableServiceLinks=rarely(flags, 4),
            serviceAccountName=rarely(st.just("builder"), 4),
            automountServiceAccountToken=rarely(flags, 2),
            imagePullSecrets=rarely(st.sampled_from([[{"name": "pull"}], [{"name": "nowhere"}]]), 5),
            hostNetwork=rarely(flags, 15),
            hostPID=rarely(flags, 15),
            hostUsers=rarely(flags, 12),
            shareProcessNamespace=rarely(flags, 6),
            securityContext=rarely(pod_security, 3),
            hostAliases=rarely(st.just([{"ip": "10.1.2.3", "hostnames": ["db", "db.example.com"]}]), 6),
            readinessGates=rarely(st.just([{"conditionType": "example.com/gate"}]), 8),
            runtimeClassName=rarely(st.just("kata"), 20),
            overhead=rarely(st.just({"cpu": "250m", "memory": "64Mi"}), 12),
            nodeSelector=rarely(st.just({"type": "virtual-kubelet"}), 4),
            tolerations=rarely(st.just([{"operator": "Exists"}]), 4),
            priorityClassName=rarely(st.just("high"), 8),
            schedulerName=rarely(st.just("other"), 8),
            os=rarely(st.sampled_from([{"name": "linux"}, {"name": "windows"}]), 15),
        )
    )
    metadata = draw(
        some(
            {"name": names, "namespace": st.just(NAMESPACE)},
            labels=rarely(st.dictionaries(names, label_values, max_size=3), 2),
            annotations=rarely(annotations, 2),
        )
    )
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    pod = pod_of(copy.deepcopy(document))
    assert pod is not None
    defaults.pod(pod)
    return pod
