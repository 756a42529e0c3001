"""The fields of what is served, as data: strictness, strategic merge and OpenAPI are all read from this table.

One line per type: `field:type` words. Types: s text, i whole number, n number, b boolean, q quantity, x number or text,
t time, y base64 bytes, j anything; `[T]` list, `[T~key]` list merged by key (`[s~]`: as a set), `{T}` map; a capital
names another line. `!` after a field: it must be given. A type without a line, or `*`, accepts any field.
"""

import re
from dataclasses import dataclass
from functools import cache

_TEXT = """
ObjectMeta annotations:{s} creationTimestamp:t deletionGracePeriodSeconds:i deletionTimestamp:t finalizers:[s~] generateName:s generation:i labels:{s} managedFields:[j] name:s namespace:s ownerReferences:[OwnerReference~uid] resourceVersion:s selfLink:s uid:s
OwnerReference apiVersion!:s blockOwnerDeletion:b controller:b kind!:s name!:s uid!:s
LabelSelector matchExpressions:[LabelSelectorRequirement] matchLabels:{s}
LabelSelectorRequirement key!:s operator!:s values:[s]
Condition lastHeartbeatTime:t lastProbeTime:t lastTransitionTime:t lastUpdateTime:t message:s observedGeneration:i reason:s status!:s type!:s
ObjectReference apiVersion:s fieldPath:s kind:s name:s namespace:s resourceVersion:s uid:s
LocalObjectReference name:s
Pod spec:PodSpec status:PodStatus
PodTemplateSpec metadata:ObjectMeta spec:PodSpec
PodSpec activeDeadlineSeconds:i affinity:Affinity automountServiceAccountToken:b containers!:[Container~name] dnsConfig:PodDNSConfig dnsPolicy:s enableServiceLinks:b ephemeralContainers:[EphemeralContainer~name] hostAliases:[HostAlias~ip] hostIPC:b hostNetwork:b hostPID:b hostUsers:b hostname:s imagePullSecrets:[LocalObjectReference~name] initContainers:[Container~name] nodeName:s nodeSelector:{s} os:PodOS overhead:{q} preemptionPolicy:s priority:i priorityClassName:s readinessGates:[PodReadinessGate] resourceClaims:[PodResourceClaim~name] resources:ResourceRequirements restartPolicy:s runtimeClassName:s schedulerName:s schedulingGates:[PodSchedulingGate~name] securityContext:PodSecurityContext serviceAccount:s serviceAccountName:s setHostnameAsFQDN:b shareProcessNamespace:b subdomain:s terminationGracePeriodSeconds:i tolerations:[Toleration] topologySpreadConstraints:[TopologySpreadConstraint~topologyKey] volumes:[Volume~name]
PodOS name!:s
PodReadinessGate conditionType!:s
PodSchedulingGate name!:s
PodResourceClaim name!:s resourceClaimName:s resourceClaimTemplateName:s
HostAlias hostnames:[s] ip!:s
PodDNSConfig nameservers:[s] options:[PodDNSConfigOption] searches:[s]
PodDNSConfigOption name:s value:s
Toleration effect:s key:s operator:s tolerationSeconds:i value:s
TopologySpreadConstraint labelSelector:LabelSelector matchLabelKeys:[s] maxSkew!:i minDomains:i nodeAffinityPolicy:s nodeTaintsPolicy:s topologyKey!:s whenUnsatisfiable!:s
Affinity nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAffinity
NodeAffinity preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm] requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
PreferredSchedulingTerm preference!:NodeSelectorTerm weight!:i
NodeSelector nodeSelectorTerms!:[NodeSelectorTerm]
NodeSelectorTerm matchExpressions:[NodeSelectorRequirement] matchFields:[NodeSelectorRequirement]
NodeSelectorRequirement key!:s operator!:s values:[s]
PodAffinity preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm] requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
WeightedPodAffinityTerm podAffinityTerm!:PodAffinityTerm weight!:i
PodAffinityTerm labelSelector:LabelSelector matchLabelKeys:[s] mismatchLabelKeys:[s] namespaceSelector:LabelSelector namespaces:[s] topologyKey!:s
PodSecurityContext appArmorProfile:AppArmorProfile fsGroup:i fsGroupChangePolicy:s runAsGroup:i runAsNonRoot:b runAsUser:i seLinuxChangePolicy:s seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile supplementalGroups:[i] supplementalGroupsPolicy:s sysctls:[Sysctl] windowsOptions:j
AppArmorProfile localhostProfile:s type!:s
SeccompProfile localhostProfile:s type!:s
SELinuxOptions level:s role:s type:s user:s
Sysctl name!:s value!:s
Container args:[s] command:[s] env:[EnvVar~name] envFrom:[EnvFromSource] image:s imagePullPolicy:s lifecycle:Lifecycle livenessProbe:Probe name!:s ports:[ContainerPort~containerPort] readinessProbe:Probe resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy:s securityContext:SecurityContext startupProbe:Probe stdin:b stdinOnce:b terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[VolumeDevice~devicePath] volumeMounts:[VolumeMount~mountPath] workingDir:s
EphemeralContainer args:[s] command:[s] env:[EnvVar~name] envFrom:[EnvFromSource] image:s imagePullPolicy:s lifecycle:Lifecycle livenessProbe:Probe name!:s ports:[ContainerPort~containerPort] readinessProbe:Probe resizePolicy:[ContainerResizePolicy] resources:ResourceRequirements restartPolicy:s securityContext:SecurityContext startupProbe:Probe stdin:b stdinOnce:b targetContainerName:s terminationMessagePath:s terminationMessagePolicy:s tty:b volumeDevices:[VolumeDevice~devicePath] volumeMounts:[VolumeMount~mountPath] workingDir:s
ContainerResizePolicy resourceName!:s restartPolicy!:s
EnvVar name!:s value:s valueFrom:EnvVarSource
EnvVarSource configMapKeyRef:KeySelector fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector secretKeyRef:KeySelector
KeySelector key!:s name:s optional:b
ObjectFieldSelector apiVersion:s fieldPath!:s
ResourceFieldSelector containerName:s divisor:q resource!:s
EnvFromSource configMapRef:EnvSource prefix:s secretRef:EnvSource
EnvSource name:s optional:b
ContainerPort containerPort!:i hostIP:s hostPort:i name:s protocol:s
ResourceRequirements claims:[ResourceClaim] limits:{q} requests:{q}
ResourceClaim name!:s request:s
VolumeMount mountPath!:s mountPropagation:s name!:s readOnly:b recursiveReadOnly:s subPath:s subPathExpr:s
VolumeDevice devicePath!:s name!:s
SecurityContext allowPrivilegeEscalation:b appArmorProfile:AppArmorProfile capabilities:Capabilities privileged:b procMount:s readOnlyRootFilesystem:b runAsGroup:i runAsNonRoot:b runAsUser:i seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:j
Capabilities add:[s] drop:[s]
Lifecycle postStart:LifecycleHandler preStop:LifecycleHandler
LifecycleHandler exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
Probe exec:ExecAction failureThreshold:i grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:i periodSeconds:i successThreshold:i tcpSocket:TCPSocketAction terminationGracePeriodSeconds:i timeoutSeconds:i
ExecAction command:[s]
HTTPGetAction host:s httpHeaders:[HTTPHeader] path:s port!:x scheme:s
HTTPHeader name!:s value!:s
SleepAction seconds!:i
TCPSocketAction host:s port!:x
GRPCAction port!:i service:s
Volume awsElasticBlockStore:j azureDisk:j azureFile:j cephfs:j cinder:j configMap:ConfigMapVolumeSource csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource ephemeral:EphemeralVolumeSource fc:j flexVolume:FlexVolumeSource flocker:j gcePersistentDisk:j gitRepo:j glusterfs:j hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:j name!:s nfs:NFSVolumeSource persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:j portworxVolume:j projected:ProjectedVolumeSource quobyte:j rbd:j scaleIO:j secret:SecretVolumeSource storageos:j vsphereVolume:j
ConfigMapVolumeSource defaultMode:i items:[KeyToPath] name:s optional:b
SecretVolumeSource defaultMode:i items:[KeyToPath] optional:b secretName:s
KeyToPath key!:s mode:i path!:s
CSIVolumeSource driver!:s fsType:s nodePublishSecretRef:LocalObjectReference readOnly:b volumeAttributes:{s}
DownwardAPIVolumeSource defaultMode:i items:[DownwardAPIVolumeFile]
DownwardAPIVolumeFile fieldRef:ObjectFieldSelector mode:i path!:s resourceFieldRef:ResourceFieldSelector
EmptyDirVolumeSource medium:s sizeLimit:q
EphemeralVolumeSource volumeClaimTemplate:PersistentVolumeClaimTemplate
PersistentVolumeClaimTemplate metadata:ObjectMeta spec!:PersistentVolumeClaimSpec
FlexVolumeSource driver!:s fsType:s options:{s} readOnly:b secretRef:LocalObjectReference
HostPathVolumeSource path!:s type:s
ImageVolumeSource pullPolicy:s reference:s
NFSVolumeSource path!:s readOnly:b server!:s
PersistentVolumeClaimVolumeSource claimName!:s readOnly:b
ProjectedVolumeSource defaultMode:i sources:[VolumeProjection]
VolumeProjection clusterTrustBundle:j configMap:ConfigMapVolumeSource downwardAPI:DownwardAPIVolumeSource secret:SecretProjection serviceAccountToken:ServiceAccountTokenProjection
SecretProjection items:[KeyToPath] name:s optional:b
ServiceAccountTokenProjection audience:s expirationSeconds:i path!:s
PodStatus conditions:[Condition~type] containerStatuses:[ContainerStatus] ephemeralContainerStatuses:[ContainerStatus] hostIP:s hostIPs:[HostIP~ip] initContainerStatuses:[ContainerStatus] message:s nominatedNodeName:s observedGeneration:i phase:s podIP:s podIPs:[PodIP~ip] qosClass:s reason:s resize:s resourceClaimStatuses:[PodResourceClaim~name] startTime:t
HostIP ip!:s
PodIP ip!:s
ContainerStatus allocatedResources:{q} allocatedResourcesStatus:[j] containerID:s image!:s imageID!:s lastState:ContainerState name!:s ready!:b resources:ResourceRequirements restartCount!:i started:b state:ContainerState user:j volumeMounts:[j]
ContainerState running:ContainerStateRunning terminated:ContainerStateTerminated waiting:ContainerStateWaiting
ContainerStateRunning startedAt:t
ContainerStateTerminated containerID:s exitCode!:i finishedAt:t message:s reason:s signal:i startedAt:t
ContainerStateWaiting message:s reason:s
Node spec:NodeSpec status:NodeStatus
NodeSpec configSource:j externalID:s podCIDR:s podCIDRs:[s~] providerID:s taints:[Taint] unschedulable:b
Taint effect!:s key!:s timeAdded:t value:s
NodeStatus addresses:[NodeAddress~type] allocatable:{q} capacity:{q} conditions:[Condition~type] config:j daemonEndpoints:NodeDaemonEndpoints declaredFeatures:[s] features:j images:[ContainerImage] nodeInfo:NodeSystemInfo phase:s runtimeHandlers:[j] volumesAttached:[j] volumesInUse:[s]
NodeAddress address!:s type!:s
NodeDaemonEndpoints kubeletEndpoint:DaemonEndpoint
DaemonEndpoint Port!:i
ContainerImage names:[s] sizeBytes:i
NodeSystemInfo architecture:s bootID:s containerRuntimeVersion:s kernelVersion:s kubeProxyVersion:s kubeletVersion:s machineID:s operatingSystem:s osImage:s swap:j systemUUID:s
Namespace spec:NamespaceSpec status:NamespaceStatus
NamespaceSpec finalizers:[s]
NamespaceStatus conditions:[Condition~type] phase:s
Service spec:ServiceSpec status:ServiceStatus
ServiceSpec allocateLoadBalancerNodePorts:b clusterIP:s clusterIPs:[s] externalIPs:[s] externalName:s externalTrafficPolicy:s healthCheckNodePort:i internalTrafficPolicy:s ipFamilies:[s] ipFamilyPolicy:s loadBalancerClass:s loadBalancerIP:s loadBalancerSourceRanges:[s] ports:[ServicePort~port] publishNotReadyAddresses:b selector:{s} sessionAffinity:s sessionAffinityConfig:j topologyKeys:[s] trafficDistribution:s type:s
ServicePort appProtocol:s name:s nodePort:i port!:i protocol:s targetPort:x
ServiceStatus conditions:[Condition~type] loadBalancer:j
Endpoints subsets:[EndpointSubset]
EndpointSubset addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointPort]
EndpointAddress hostname:s ip!:s nodeName:s targetRef:ObjectReference
EndpointPort appProtocol:s name:s port:i protocol:s
ConfigMap binaryData:{y} data:{s} immutable:b
Secret data:{y} immutable:b stringData:{s} type:s
ServiceAccount automountServiceAccountToken:b imagePullSecrets:[LocalObjectReference~name] secrets:[ObjectReference~name]
Event action:s count:i eventTime:t firstTimestamp:t involvedObject!:ObjectReference lastTimestamp:t message:s reason:s related:ObjectReference reportingComponent:s reportingInstance:s series:EventSeries source:EventSource type:s
EventSeries count:i lastObservedTime:t
EventSource component:s host:s
ResourceQuota spec:ResourceQuotaSpec status:ResourceQuotaStatus
ResourceQuotaSpec hard:{q} scopeSelector:j scopes:[s]
ResourceQuotaStatus hard:{q} used:{q}
LimitRange spec:LimitRangeSpec
LimitRangeSpec limits!:[LimitRangeItem]
LimitRangeItem default:{q} defaultRequest:{q} max:{q} maxLimitRequestRatio:{q} min:{q} type!:s
PersistentVolumeClaim spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus
PersistentVolumeClaimSpec accessModes:[s] dataSource:j dataSourceRef:j resources:ResourceRequirements selector:LabelSelector storageClassName:s volumeAttributesClassName:s volumeMode:s volumeName:s
PersistentVolumeClaimStatus accessModes:[s] allocatedResources:{q} capacity:{q} conditions:[Condition~type] phase:s
PersistentVolume *
Binding target!:ObjectReference
Lease spec:LeaseSpec
LeaseSpec acquireTime:t holderIdentity:s leaseDurationSeconds:i leaseTransitions:i preferredHolder:s renewTime:t strategy:s
Job spec:JobSpec status:JobStatus
JobSpec activeDeadlineSeconds:i backoffLimit:i backoffLimitPerIndex:i completionMode:s completions:i managedBy:s manualSelector:b maxFailedIndexes:i parallelism:i podFailurePolicy:PodFailurePolicy podReplacementPolicy:s selector:LabelSelector successPolicy:SuccessPolicy suspend:b template!:PodTemplateSpec ttlSecondsAfterFinished:i
PodFailurePolicy rules!:[PodFailurePolicyRule]
PodFailurePolicyRule action!:s onExitCodes:PodFailurePolicyOnExitCodes onPodConditions:[PodFailurePolicyOnPodCondition]
PodFailurePolicyOnExitCodes containerName:s operator!:s values!:[i]
PodFailurePolicyOnPodCondition status:s type!:s
SuccessPolicy rules!:[SuccessPolicyRule]
SuccessPolicyRule succeededCount:i succeededIndexes:s
JobStatus active:i completedIndexes:s completionTime:t conditions:[Condition~type] failed:i failedIndexes:s ready:i startTime:t succeeded:i terminating:i uncountedTerminatedPods:UncountedTerminatedPods
UncountedTerminatedPods failed:[s] succeeded:[s]
CronJob spec:CronJobSpec status:CronJobStatus
CronJobSpec concurrencyPolicy:s failedJobsHistoryLimit:i jobTemplate!:JobTemplateSpec schedule!:s startingDeadlineSeconds:i successfulJobsHistoryLimit:i suspend:b timeZone:s
JobTemplateSpec metadata:ObjectMeta spec:JobSpec
CronJobStatus active:[ObjectReference] lastScheduleTime:t lastSuccessfulTime:t
Deployment spec:DeploymentSpec status:DeploymentStatus
DeploymentSpec minReadySeconds:i paused:b progressDeadlineSeconds:i replicas:i revisionHistoryLimit:i selector!:LabelSelector strategy:RolloutStrategy template!:PodTemplateSpec
RolloutStrategy rollingUpdate:RollingUpdate type:s
RollingUpdate maxSurge:x maxUnavailable:x partition:i
DeploymentStatus availableReplicas:i collisionCount:i conditions:[Condition~type] observedGeneration:i readyReplicas:i replicas:i unavailableReplicas:i updatedReplicas:i
ReplicaSet spec:ReplicaSetSpec status:ReplicaSetStatus
ReplicaSetSpec minReadySeconds:i replicas:i selector!:LabelSelector template:PodTemplateSpec
ReplicaSetStatus availableReplicas:i conditions:[Condition~type] fullyLabeledReplicas:i observedGeneration:i readyReplicas:i replicas:i
DaemonSet spec:DaemonSetSpec status:DaemonSetStatus
DaemonSetSpec minReadySeconds:i revisionHistoryLimit:i selector!:LabelSelector template!:PodTemplateSpec updateStrategy:RolloutStrategy
DaemonSetStatus collisionCount:i conditions:[Condition~type] currentNumberScheduled:i desiredNumberScheduled:i numberAvailable:i numberMisscheduled:i numberReady:i numberUnavailable:i observedGeneration:i updatedNumberScheduled:i
StatefulSet spec:StatefulSetSpec status:StatefulSetStatus
StatefulSetSpec minReadySeconds:i ordinals:j persistentVolumeClaimRetentionPolicy:j podManagementPolicy:s replicas:i revisionHistoryLimit:i selector!:LabelSelector serviceName:s template!:PodTemplateSpec updateStrategy:RolloutStrategy volumeClaimTemplates:[PersistentVolumeClaimTemplateObject]
PersistentVolumeClaimTemplateObject apiVersion:s kind:s metadata:ObjectMeta spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus
StatefulSetStatus availableReplicas:i collisionCount:i conditions:[Condition~type] currentReplicas:i currentRevision:s observedGeneration:i readyReplicas:i replicas:i updateRevision:s updatedReplicas:i
ControllerRevision data:j revision!:i
PriorityClass description:s globalDefault:b preemptionPolicy:s value!:i
EndpointSlice addressType!:s endpoints!:[Endpoint] ports:[EndpointPort]
Endpoint addresses!:[s] conditions:EndpointConditions deprecatedTopology:{s} hints:j hostname:s nodeName:s targetRef:ObjectReference zone:s
EndpointConditions ready:b serving:b terminating:b
MutatingWebhookConfiguration webhooks:[Webhook~name]
ValidatingWebhookConfiguration webhooks:[Webhook~name]
Webhook admissionReviewVersions!:[s] clientConfig!:WebhookClientConfig failurePolicy:s matchConditions:[j] matchPolicy:s name!:s namespaceSelector:LabelSelector objectSelector:LabelSelector reinvocationPolicy:s rules:[RuleWithOperations] sideEffects!:s timeoutSeconds:i
WebhookClientConfig caBundle:y service:WebhookServiceReference url:s
WebhookServiceReference name!:s namespace!:s path:s port:i
RuleWithOperations apiGroups:[s] apiVersions:[s] operations:[s] resources:[s] scope:s
PodDisruptionBudget spec:PodDisruptionBudgetSpec status:PodDisruptionBudgetStatus
PodDisruptionBudgetSpec maxUnavailable:x minAvailable:x selector:LabelSelector unhealthyPodEvictionPolicy:s
PodDisruptionBudgetStatus conditions:[Condition~type] currentHealthy:i desiredHealthy:i disruptedPods:{t} disruptionsAllowed:i expectedPods:i observedGeneration:i
TokenReview spec!:TokenReviewSpec status:j
TokenReviewSpec audiences:[s] token:s
SubjectAccessReview spec!:AccessReviewSpec status:j
LocalSubjectAccessReview spec!:AccessReviewSpec status:j
SelfSubjectAccessReview spec!:AccessReviewSpec status:j
AccessReviewSpec extra:{[s]} groups:[s] nonResourceAttributes:NonResourceAttributes resourceAttributes:ResourceAttributes uid:s user:s
NonResourceAttributes path:s verb:s
ResourceAttributes fieldSelector:j group:s labelSelector:j name:s namespace:s resource:s subresource:s verb:s version:s
SelfSubjectRulesReview spec!:SelfSubjectRulesReviewSpec status:j
SelfSubjectRulesReviewSpec namespace:s
Role rules:[PolicyRule]
ClusterRole aggregationRule:j rules:[PolicyRule]
PolicyRule apiGroups:[s] nonResourceURLs:[s] resourceNames:[s] resources:[s] verbs!:[s]
RoleBinding roleRef!:RoleRef subjects:[Subject]
ClusterRoleBinding roleRef!:RoleRef subjects:[Subject]
RoleRef apiGroup:s kind!:s name!:s
Subject apiGroup:s kind!:s name!:s namespace:s
CertificateSigningRequest spec!:CertificateSigningRequestSpec status:CertificateSigningRequestStatus
CertificateSigningRequestSpec expirationSeconds:i extra:{[s]} groups:[s] request!:y signerName!:s uid:s usages:[s] username:s
CertificateSigningRequestStatus certificate:y conditions:[Condition~type]
"""


@dataclass(frozen=True)
class Type:
    """A field's type. kind: list, map, object (any type of this table), or one of the letters of the table's head."""

    kind: str
    name: str = ""
    inner: "Type | None" = None
    merge_key: str | None = None


@dataclass(frozen=True)
class Field:
    type: Type
    required: bool


_LIST = re.compile(r"^\[(.+?)(?:~(\w*))?\]$")


def _type(text: str) -> Type:
    if found := _LIST.match(text):
        return Type("list", inner=_type(found[1]), merge_key=found[2])
    if text.startswith("{"):
        return Type("map", inner=_type(text[1:-1]))
    return Type("object", name=text) if text[0].isupper() else Type(text)


def _line(line: str) -> tuple[str, dict[str, Field] | None]:
    name, *words = line.split()
    if words == ["*"]:
        return name, None
    fields = {}
    for word in words:
        field, _, text = word.partition(":")
        fields[field.rstrip("!")] = Field(_type(text), field.endswith("!"))
    return name, fields


TYPES: dict[str, dict[str, Field] | None] = dict(_line(line) for line in _TEXT.strip().splitlines())

_TOP = {"apiVersion": Field(Type("s"), False), "kind": Field(Type("s"), False), "metadata": Field(_type("ObjectMeta"), False)}


def fields_of(name: str, *, top: bool = False) -> dict[str, Field] | None:
    """The fields of a type; None when it takes any. top: it is a whole object, with kind and metadata."""
    fields = TYPES.get(name)
    if fields is None:
        return None
    return {**_TOP, **fields} if top else fields


@cache
def merge_key(kind: str, path: tuple[str, ...]) -> str | None:
    """How the list at `path` of a whole `kind` merges: a field's name, "" for a set of plain values, None if replaced.

    `path` holds field names only: list positions are left out, keys of maps stand for themselves.
    """
    fields = fields_of(kind, top=True)
    found: Type | None = None
    for step in path:
        if found is not None and found.kind == "map":
            found = found.inner
        elif fields is not None and step in fields:
            found = fields[step].type
        else:
            return None
        ending = found
        while ending is not None and ending.kind == "list":
            ending = ending.inner
        fields = fields_of(ending.name) if ending is not None and ending.kind == "object" else None
    return found.merge_key if found is not None and found.kind == "list" else None
