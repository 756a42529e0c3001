"""What is served, as data: one row per resource, from which routes, discovery and schemas are made."""

from dataclasses import dataclass

from fakes.kube.versions import Version

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource. `key` names it everywhere in this package: "pods", "jobs.batch".

    fields: what a field selector may name besides metadata.name and metadata.namespace.
    generation: whether metadata.generation counts changes of everything but metadata and status.
    orphans: whether a DELETE that says nothing leaves the dependents alone (Jobs, for old clients' sake).
    returns_deleted: whether DELETE answers with the object even when it is gone at once.
    older: further versions under which the same objects are served.
    stored_as: the key of the resource that really holds the objects, when this one is only a view of it.
    custom: what a CustomResourceDefinition says of this version; None for what is built in.
    unheeded: what is not done about such an object here, though a real cluster would; clients are warned of it.
    """

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    generation: bool = False
    orphans: bool = False
    returns_deleted: bool = False
    older: tuple[str, ...] = ()
    stored_as: str = ""
    unheeded: str = ""
    custom: Version | None = None

    @property
    def key(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def key_of_store(self) -> str:
        return self.stored_as or self.key

    @property
    def native(self) -> str:
        """The kind, if it is built in: a custom resource of that name shares nothing with it."""
        return "" if self.custom is not None else self.kind

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def selectable(self) -> tuple[str, ...]:
        own = ("metadata.name", "metadata.namespace") if self.namespaced else ("metadata.name",)
        return own + self.fields


_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    *(
        f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    ),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_POD_SUBRESOURCES = (
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "log",
    "portforward",
    "proxy",
    "resize",
    "status",
)


def _table() -> dict[str, Resource]:
    rows = [
        Resource(
            kind="Pod",
            plural="pods",
            short_names=("po",),
            categories=("all",),
            subresources=_POD_SUBRESOURCES,
            fields=_POD_FIELDS,
            returns_deleted=True,
        ),
        Resource(
            kind="Node",
            plural="nodes",
            short_names=("no",),
            namespaced=False,
            subresources=("proxy", "status"),
            fields=("spec.unschedulable",),
        ),
        Resource(
            kind="Namespace",
            plural="namespaces",
            short_names=("ns",),
            namespaced=False,
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
            subresources=("finalize", "status"),
            fields=("status.phase",),
        ),
        Resource(
            kind="Service",
            plural="services",
            short_names=("svc",),
            categories=("all",),
            subresources=("proxy", "status"),
            fields=("spec.clusterIP", "spec.type"),
        ),
        Resource(kind="Endpoints", plural="endpoints", singular="endpoints", short_names=("ep",)),
        Resource(kind="ConfigMap", plural="configmaps", short_names=("cm",)),
        Resource(kind="Secret", plural="secrets", fields=("type",)),
        Resource(
            kind="ServiceAccount",
            plural="serviceaccounts",
            short_names=("sa",),
            subresources=("token",),
            returns_deleted=True,
        ),
        Resource(kind="Event", plural="events", short_names=("ev",), fields=_EVENT_FIELDS),
        Resource(
            kind="ResourceQuota",
            plural="resourcequotas",
            short_names=("quota",),
            subresources=("status",),
            returns_deleted=True,
            unheeded="this stand-in cluster does not enforce ResourceQuotas",
        ),
        Resource(
            kind="LimitRange",
            plural="limitranges",
            short_names=("limits",),
            unheeded="this stand-in cluster does not apply LimitRanges",
        ),
        Resource(
            kind="PersistentVolumeClaim",
            plural="persistentvolumeclaims",
            short_names=("pvc",),
            subresources=("status",),
            returns_deleted=True,
        ),
        Resource(
            kind="PersistentVolume",
            plural="persistentvolumes",
            short_names=("pv",),
            namespaced=False,
            subresources=("status",),
            returns_deleted=True,
        ),
        Resource(kind="Binding", plural="bindings", verbs=CREATE_ONLY),
        Resource(kind="Lease", plural="leases", group="coordination.k8s.io"),
        Resource(
            kind="Job",
            plural="jobs",
            group="batch",
            categories=("all",),
            subresources=("status",),
            fields=("status.successful",),
            generation=True,
            orphans=True,
        ),
        Resource(
            kind="CronJob",
            plural="cronjobs",
            group="batch",
            short_names=("cj",),
            categories=("all",),
            subresources=("status",),
            generation=True,
            older=("v1beta1",),
        ),
        Resource(
            kind="Deployment",
            plural="deployments",
            group="apps",
            short_names=("deploy",),
            categories=("all",),
            subresources=("scale", "status"),
            generation=True,
        ),
        Resource(
            kind="ReplicaSet",
            plural="replicasets",
            group="apps",
            short_names=("rs",),
            categories=("all",),
            subresources=("scale", "status"),
            fields=("status.replicas",),
            generation=True,
        ),
        Resource(
            kind="DaemonSet",
            plural="daemonsets",
            group="apps",
            short_names=("ds",),
            categories=("all",),
            subresources=("status",),
            generation=True,
        ),
        Resource(
            kind="StatefulSet",
            plural="statefulsets",
            group="apps",
            short_names=("sts",),
            categories=("all",),
            subresources=("scale", "status"),
            generation=True,
        ),
        Resource(kind="ControllerRevision", plural="controllerrevisions", group="apps"),
        Resource(
            kind="PriorityClass",
            plural="priorityclasses",
            group="scheduling.k8s.io",
            short_names=("pc",),
            namespaced=False,
            generation=True,
        ),
        Resource(
            kind="StorageClass",
            plural="storageclasses",
            group="storage.k8s.io",
            short_names=("sc",),
            namespaced=False,
            returns_deleted=True,
        ),
        Resource(
            kind="EndpointSlice", plural="endpointslices", group="discovery.k8s.io", generation=True, older=("v1beta1",)
        ),
        Resource(
            kind="Event",
            plural="events",
            group="events.k8s.io",
            short_names=("ev",),
            stored_as="events",
            verbs=("get", "list", "watch", "create", "patch", "update", "delete", "deletecollection"),
        ),
        Resource(
            kind="MutatingWebhookConfiguration",
            plural="mutatingwebhookconfigurations",
            group="admissionregistration.k8s.io",
            namespaced=False,
            categories=("api-extensions",),
            generation=True,
            unheeded="this stand-in cluster calls no webhooks",
        ),
        Resource(
            kind="ValidatingWebhookConfiguration",
            plural="validatingwebhookconfigurations",
            group="admissionregistration.k8s.io",
            namespaced=False,
            categories=("api-extensions",),
            generation=True,
            unheeded="this stand-in cluster calls no webhooks",
        ),
        Resource(
            kind="PodDisruptionBudget",
            plural="poddisruptionbudgets",
            group="policy",
            short_names=("pdb",),
            subresources=("status",),
            generation=True,
            older=("v1beta1",),
        ),
        Resource(
            kind="TokenReview",
            plural="tokenreviews",
            group="authentication.k8s.io",
            namespaced=False,
            verbs=CREATE_ONLY,
        ),
        Resource(
            kind="SelfSubjectReview",
            plural="selfsubjectreviews",
            group="authentication.k8s.io",
            namespaced=False,
            verbs=CREATE_ONLY,
        ),
        Resource(
            kind="SubjectAccessReview",
            plural="subjectaccessreviews",
            group="authorization.k8s.io",
            namespaced=False,
            verbs=CREATE_ONLY,
        ),
        Resource(
            kind="SelfSubjectAccessReview",
            plural="selfsubjectaccessreviews",
            group="authorization.k8s.io",
            namespaced=False,
            verbs=CREATE_ONLY,
        ),
        Resource(
            kind="SelfSubjectRulesReview",
            plural="selfsubjectrulesreviews",
            group="authorization.k8s.io",
            namespaced=False,
            verbs=CREATE_ONLY,
        ),
        Resource(
            kind="LocalSubjectAccessReview",
            plural="localsubjectaccessreviews",
            group="authorization.k8s.io",
            verbs=CREATE_ONLY,
        ),
        Resource(kind="Role", plural="roles", group="rbac.authorization.k8s.io"),
        Resource(kind="RoleBinding", plural="rolebindings", group="rbac.authorization.k8s.io"),
        Resource(kind="ClusterRole", plural="clusterroles", group="rbac.authorization.k8s.io", namespaced=False),
        Resource(
            kind="ClusterRoleBinding", plural="clusterrolebindings", group="rbac.authorization.k8s.io", namespaced=False
        ),
        Resource(
            kind="CertificateSigningRequest",
            plural="certificatesigningrequests",
            group="certificates.k8s.io",
            short_names=("csr",),
            namespaced=False,
            subresources=("approval", "status"),
            fields=("spec.signerName",),
            unheeded="this stand-in cluster signs no certificates",
        ),
    ]
    return {row.key: row for row in rows}


RESOURCES: dict[str, Resource] = _table()
STORED: tuple[Resource, ...] = tuple(row for row in RESOURCES.values() if "list" in row.verbs and not row.stored_as)


def by_kind(api_version: str, kind: str) -> Resource | None:
    """The resource an owner reference or manifest means, whatever version it writes."""
    group = api_version.rpartition("/")[0]
    return _BY_KIND.get((group, kind))


_BY_KIND = {(row.group, row.kind): row for row in RESOURCES.values()}
