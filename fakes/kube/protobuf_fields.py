"""What every protobuf field number means, as data; facts of the Kubernetes API from 1.20 to 1.36.

One line per message, continued where indented: `number:name=type`, the name being the one in JSON. Types: s text,
i whole number, b boolean, y bytes as base64 text, q quantity, x number or text, t time, m time with microseconds,
j JSON as it is, e list of texts in a message of its own, o bytes left alone; `[T]` repeated, `{T}` map from text; a
capital names another message. `?` after a type: Go cannot tell zero from absent and JSON leaves it out, so zero means
absent. `number:~Message`: that message's fields stand in JSON beside its neighbours. Where messages of several API
groups share a name, the rarer one has its group before it.
"""

from dataclasses import dataclass
from functools import cache

_KINDS = """
v1 Pod Node Namespace Service Endpoints ConfigMap Secret ServiceAccount Event ResourceQuota LimitRange
  PersistentVolumeClaim PersistentVolume Binding
coordination.k8s.io/v1 Lease
batch/v1 Job CronJob
batch/v1beta1 CronJob
apps/v1 Deployment ReplicaSet DaemonSet StatefulSet ControllerRevision
autoscaling/v1 Scale
scheduling.k8s.io/v1 PriorityClass
storage.k8s.io/v1 StorageClass
discovery.k8s.io/v1 EndpointSlice
discovery.k8s.io/v1beta1 EndpointSlice=discovery.EndpointSlice
events.k8s.io/v1 Event=events.Event
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
policy/v1 PodDisruptionBudget Eviction
policy/v1beta1 PodDisruptionBudget Eviction
authentication.k8s.io/v1 TokenReview TokenRequest SelfSubjectReview
authorization.k8s.io/v1 SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview LocalSubjectAccessReview
rbac.authorization.k8s.io/v1 Role RoleBinding ClusterRole ClusterRoleBinding
certificates.k8s.io/v1 CertificateSigningRequest
"""

_EVERYWHERE = ("DeleteOptions", "Status")
"""Kinds that each API group and version has, meaning the same."""

_MESSAGES = """
Unknown 1:typeMeta=TypeMeta 2:raw=o 3:contentEncoding=s? 4:contentType=s?
TypeMeta 1:apiVersion=s? 2:kind=s?
RawExtension 1:raw=o
Quantity 1:string=s
Timestamp 1:seconds=i 2:nanos=i
IntOrString 1:type=i 2:intVal=i 3:strVal=s
ExtraValue 1:items=[s]
OwnerReference 1:kind=s 3:name=s 4:uid=s 5:apiVersion=s 6:controller=b 7:blockOwnerDeletion=b
ManagedFieldsEntry 1:manager=s? 2:operation=s? 3:apiVersion=s? 4:time=t 6:fieldsType=s? 7:fieldsV1=j 8:subresource=s?
ObjectMeta 1:name=s? 2:generateName=s? 3:namespace=s? 4:selfLink=s? 5:uid=s? 6:resourceVersion=s? 7:generation=i?
  8:creationTimestamp=t 9:deletionTimestamp=t 10:deletionGracePeriodSeconds=i 11:labels={s} 12:annotations={s}
  13:ownerReferences=[OwnerReference] 14:finalizers=[s] 15:clusterName=s? 17:managedFields=[ManagedFieldsEntry]
HostPathVolumeSource 1:path=s 2:type=s
EmptyDirVolumeSource 1:medium=s? 2:sizeLimit=q
GCEPersistentDiskVolumeSource 1:pdName=s 2:fsType=s? 3:partition=i? 4:readOnly=b?
AWSElasticBlockStoreVolumeSource 1:volumeID=s 2:fsType=s? 3:partition=i? 4:readOnly=b?
GitRepoVolumeSource 1:repository=s 2:revision=s? 3:directory=s?
KeyToPath 1:key=s 2:path=s 3:mode=i
SecretVolumeSource 1:secretName=s? 2:items=[KeyToPath] 3:defaultMode=i 4:optional=b
NFSVolumeSource 1:server=s 2:path=s 3:readOnly=b?
LocalObjectReference 1:name=s?
ISCSIVolumeSource 1:targetPortal=s 2:iqn=s 3:lun=i 4:iscsiInterface=s? 5:fsType=s? 6:readOnly=b? 7:portals=[s]
  8:chapAuthDiscovery=b? 10:secretRef=LocalObjectReference 11:chapAuthSession=b? 12:initiatorName=s
GlusterfsVolumeSource 1:endpoints=s 2:path=s 3:readOnly=b?
PersistentVolumeClaimVolumeSource 1:claimName=s 2:readOnly=b?
RBDVolumeSource 1:monitors=[s] 2:image=s 3:fsType=s? 4:pool=s? 5:user=s? 6:keyring=s? 7:secretRef=LocalObjectReference
  8:readOnly=b?
FlexVolumeSource 1:driver=s 2:fsType=s? 3:secretRef=LocalObjectReference 4:readOnly=b? 5:options={s}
CinderVolumeSource 1:volumeID=s 2:fsType=s? 3:readOnly=b? 4:secretRef=LocalObjectReference
CephFSVolumeSource 1:monitors=[s] 2:path=s? 3:user=s? 4:secretFile=s? 5:secretRef=LocalObjectReference 6:readOnly=b?
FlockerVolumeSource 1:datasetName=s? 2:datasetUUID=s?
ObjectFieldSelector 1:apiVersion=s? 2:fieldPath=s
ResourceFieldSelector 1:containerName=s? 2:resource=s 3:divisor=q
DownwardAPIVolumeFile 1:path=s 2:fieldRef=ObjectFieldSelector 3:resourceFieldRef=ResourceFieldSelector 4:mode=i
DownwardAPIVolumeSource 1:items=[DownwardAPIVolumeFile] 2:defaultMode=i
FCVolumeSource 1:targetWWNs=[s] 2:lun=i 3:fsType=s? 4:readOnly=b? 5:wwids=[s]
AzureFileVolumeSource 1:secretName=s 2:shareName=s 3:readOnly=b?
ConfigMapVolumeSource 1:~LocalObjectReference 2:items=[KeyToPath] 3:defaultMode=i 4:optional=b
VsphereVirtualDiskVolumeSource 1:volumePath=s 2:fsType=s? 3:storagePolicyName=s? 4:storagePolicyID=s?
QuobyteVolumeSource 1:registry=s 2:volume=s 3:readOnly=b? 4:user=s? 5:group=s? 6:tenant=s?
AzureDiskVolumeSource 1:diskName=s 2:diskURI=s 3:cachingMode=s 4:fsType=s 5:readOnly=b 6:kind=s
PhotonPersistentDiskVolumeSource 1:pdID=s 2:fsType=s?
PortworxVolumeSource 1:volumeID=s 2:fsType=s? 3:readOnly=b?
ScaleIOVolumeSource 1:gateway=s 2:system=s 3:secretRef=LocalObjectReference 4:sslEnabled=b? 5:protectionDomain=s?
  6:storagePool=s? 7:storageMode=s? 8:volumeName=s? 9:fsType=s? 10:readOnly=b?
SecretProjection 1:~LocalObjectReference 2:items=[KeyToPath] 4:optional=b
DownwardAPIProjection 1:items=[DownwardAPIVolumeFile]
ConfigMapProjection 1:~LocalObjectReference 2:items=[KeyToPath] 4:optional=b
ServiceAccountTokenProjection 1:audience=s? 2:expirationSeconds=i 3:path=s
LabelSelectorRequirement 1:key=s 2:operator=s 3:values=[s]
LabelSelector 1:matchLabels={s} 2:matchExpressions=[LabelSelectorRequirement]
ClusterTrustBundleProjection 1:name=s 2:signerName=s 3:labelSelector=LabelSelector 4:path=s 5:optional=b
PodCertificateProjection 1:signerName=s? 2:keyType=s? 3:maxExpirationSeconds=i 4:credentialBundlePath=s? 5:keyPath=s?
  6:certificateChainPath=s? 7:userAnnotations={s}
VolumeProjection 1:secret=SecretProjection 2:downwardAPI=DownwardAPIProjection 3:configMap=ConfigMapProjection
  4:serviceAccountToken=ServiceAccountTokenProjection 5:clusterTrustBundle=ClusterTrustBundleProjection
  6:podCertificate=PodCertificateProjection
ProjectedVolumeSource 1:sources=[VolumeProjection] 2:defaultMode=i
StorageOSVolumeSource 1:volumeName=s? 2:volumeNamespace=s? 3:fsType=s? 4:readOnly=b? 5:secretRef=LocalObjectReference
CSIVolumeSource 1:driver=s 2:readOnly=b 3:fsType=s 4:volumeAttributes={s} 5:nodePublishSecretRef=LocalObjectReference
VolumeResourceRequirements 1:limits={q} 2:requests={q}
TypedLocalObjectReference 1:apiGroup=s 2:kind=s 3:name=s
TypedObjectReference 1:apiGroup=s 2:kind=s 3:name=s 4:namespace=s
PersistentVolumeClaimSpec 1:accessModes=[s] 2:resources=VolumeResourceRequirements 3:volumeName=s?
  4:selector=LabelSelector 5:storageClassName=s 6:volumeMode=s 7:dataSource=TypedLocalObjectReference
  8:dataSourceRef=TypedObjectReference 9:volumeAttributesClassName=s
PersistentVolumeClaimTemplate 1:metadata=ObjectMeta 2:spec=PersistentVolumeClaimSpec
EphemeralVolumeSource 1:volumeClaimTemplate=PersistentVolumeClaimTemplate 2:readOnly=b?
ImageVolumeSource 1:reference=s? 2:pullPolicy=s?
VolumeSource 1:hostPath=HostPathVolumeSource 2:emptyDir=EmptyDirVolumeSource
  3:gcePersistentDisk=GCEPersistentDiskVolumeSource 4:awsElasticBlockStore=AWSElasticBlockStoreVolumeSource
  5:gitRepo=GitRepoVolumeSource 6:secret=SecretVolumeSource 7:nfs=NFSVolumeSource 8:iscsi=ISCSIVolumeSource
  9:glusterfs=GlusterfsVolumeSource 10:persistentVolumeClaim=PersistentVolumeClaimVolumeSource 11:rbd=RBDVolumeSource
  12:flexVolume=FlexVolumeSource 13:cinder=CinderVolumeSource 14:cephfs=CephFSVolumeSource
  15:flocker=FlockerVolumeSource 16:downwardAPI=DownwardAPIVolumeSource 17:fc=FCVolumeSource
  18:azureFile=AzureFileVolumeSource 19:configMap=ConfigMapVolumeSource
  20:vsphereVolume=VsphereVirtualDiskVolumeSource 21:quobyte=QuobyteVolumeSource 22:azureDisk=AzureDiskVolumeSource
  23:photonPersistentDisk=PhotonPersistentDiskVolumeSource 24:portworxVolume=PortworxVolumeSource
  25:scaleIO=ScaleIOVolumeSource 26:projected=ProjectedVolumeSource 27:storageos=StorageOSVolumeSource
  28:csi=CSIVolumeSource 29:ephemeral=EphemeralVolumeSource 30:image=ImageVolumeSource
Volume 1:name=s 2:~VolumeSource
ContainerPort 1:name=s? 2:hostPort=i? 3:containerPort=i 4:protocol=s? 5:hostIP=s?
ConfigMapKeySelector 1:~LocalObjectReference 2:key=s 3:optional=b
SecretKeySelector 1:~LocalObjectReference 2:key=s 3:optional=b
FileKeySelector 1:volumeName=s 2:path=s 3:key=s 4:optional=b
EnvVarSource 1:fieldRef=ObjectFieldSelector 2:resourceFieldRef=ResourceFieldSelector
  3:configMapKeyRef=ConfigMapKeySelector 4:secretKeyRef=SecretKeySelector 5:fileKeyRef=FileKeySelector
EnvVar 1:name=s 2:value=s? 3:valueFrom=EnvVarSource
ResourceClaim 1:name=s 2:request=s?
ResourceRequirements 1:limits={q} 2:requests={q} 3:claims=[ResourceClaim]
VolumeMount 1:name=s 2:readOnly=b? 3:mountPath=s 4:subPath=s? 5:mountPropagation=s 6:subPathExpr=s?
  7:recursiveReadOnly=s
ExecAction 1:command=[s]
HTTPHeader 1:name=s 2:value=s
HTTPGetAction 1:path=s? 2:port=x 3:host=s? 4:scheme=s? 5:httpHeaders=[HTTPHeader]
TCPSocketAction 1:port=x 2:host=s?
GRPCAction 1:port=i 2:service=s
ProbeHandler 1:exec=ExecAction 2:httpGet=HTTPGetAction 3:tcpSocket=TCPSocketAction 4:grpc=GRPCAction
Probe 1:~ProbeHandler 2:initialDelaySeconds=i? 3:timeoutSeconds=i? 4:periodSeconds=i? 5:successThreshold=i?
  6:failureThreshold=i? 7:terminationGracePeriodSeconds=i
SleepAction 1:seconds=i
LifecycleHandler 1:exec=ExecAction 2:httpGet=HTTPGetAction 3:tcpSocket=TCPSocketAction 4:sleep=SleepAction
Lifecycle 1:postStart=LifecycleHandler 2:preStop=LifecycleHandler 3:stopSignal=s
Capabilities 1:add=[s] 2:drop=[s]
SELinuxOptions 1:user=s? 2:role=s? 3:type=s? 4:level=s?
WindowsSecurityContextOptions 1:gmsaCredentialSpecName=s 2:gmsaCredentialSpec=s 3:runAsUserName=s 4:hostProcess=b
SeccompProfile 1:type=s 2:localhostProfile=s
AppArmorProfile 1:type=s 2:localhostProfile=s
SecurityContext 1:capabilities=Capabilities 2:privileged=b 3:seLinuxOptions=SELinuxOptions 4:runAsUser=i
  5:runAsNonRoot=b 6:readOnlyRootFilesystem=b 7:allowPrivilegeEscalation=b 8:runAsGroup=i 9:procMount=s
  10:windowsOptions=WindowsSecurityContextOptions 11:seccompProfile=SeccompProfile 12:appArmorProfile=AppArmorProfile
ConfigMapEnvSource 1:~LocalObjectReference 2:optional=b
SecretEnvSource 1:~LocalObjectReference 2:optional=b
EnvFromSource 1:prefix=s? 2:configMapRef=ConfigMapEnvSource 3:secretRef=SecretEnvSource
VolumeDevice 1:name=s 2:devicePath=s
ContainerResizePolicy 1:resourceName=s 2:restartPolicy=s
ContainerRestartRuleOnExitCodes 1:operator=s? 2:values=[i]
ContainerRestartRule 1:action=s? 2:exitCodes=ContainerRestartRuleOnExitCodes
Container 1:name=s 2:image=s? 3:command=[s] 4:args=[s] 5:workingDir=s? 6:ports=[ContainerPort] 7:env=[EnvVar]
  8:resources=ResourceRequirements 9:volumeMounts=[VolumeMount] 10:livenessProbe=Probe 11:readinessProbe=Probe
  12:lifecycle=Lifecycle 13:terminationMessagePath=s? 14:imagePullPolicy=s? 15:securityContext=SecurityContext
  16:stdin=b? 17:stdinOnce=b? 18:tty=b? 19:envFrom=[EnvFromSource] 20:terminationMessagePolicy=s?
  21:volumeDevices=[VolumeDevice] 22:startupProbe=Probe 23:resizePolicy=[ContainerResizePolicy] 24:restartPolicy=s
  25:restartPolicyRules=[ContainerRestartRule]
Sysctl 1:name=s 2:value=s
PodSecurityContext 1:seLinuxOptions=SELinuxOptions 2:runAsUser=i 3:runAsNonRoot=b 4:supplementalGroups=[i] 5:fsGroup=i
  6:runAsGroup=i 7:sysctls=[Sysctl] 8:windowsOptions=WindowsSecurityContextOptions 9:fsGroupChangePolicy=s
  10:seccompProfile=SeccompProfile 11:appArmorProfile=AppArmorProfile 12:supplementalGroupsPolicy=s
  13:seLinuxChangePolicy=s
NodeSelectorRequirement 1:key=s 2:operator=s 3:values=[s]
NodeSelectorTerm 1:matchExpressions=[NodeSelectorRequirement] 2:matchFields=[NodeSelectorRequirement]
NodeSelector 1:nodeSelectorTerms=[NodeSelectorTerm]
PreferredSchedulingTerm 1:weight=i 2:preference=NodeSelectorTerm
NodeAffinity 1:requiredDuringSchedulingIgnoredDuringExecution=NodeSelector
  2:preferredDuringSchedulingIgnoredDuringExecution=[PreferredSchedulingTerm]
PodAffinityTerm 1:labelSelector=LabelSelector 2:namespaces=[s] 3:topologyKey=s 4:namespaceSelector=LabelSelector
  5:matchLabelKeys=[s] 6:mismatchLabelKeys=[s]
WeightedPodAffinityTerm 1:weight=i 2:podAffinityTerm=PodAffinityTerm
PodAffinity 1:requiredDuringSchedulingIgnoredDuringExecution=[PodAffinityTerm]
  2:preferredDuringSchedulingIgnoredDuringExecution=[WeightedPodAffinityTerm]
PodAntiAffinity 1:requiredDuringSchedulingIgnoredDuringExecution=[PodAffinityTerm]
  2:preferredDuringSchedulingIgnoredDuringExecution=[WeightedPodAffinityTerm]
Affinity 1:nodeAffinity=NodeAffinity 2:podAffinity=PodAffinity 3:podAntiAffinity=PodAntiAffinity
Toleration 1:key=s? 2:operator=s? 3:value=s? 4:effect=s? 5:tolerationSeconds=i
HostAlias 1:ip=s 2:hostnames=[s]
PodDNSConfigOption 1:name=s? 2:value=s
PodDNSConfig 1:nameservers=[s] 2:searches=[s] 3:options=[PodDNSConfigOption]
PodReadinessGate 1:conditionType=s
TopologySpreadConstraint 1:maxSkew=i 2:topologyKey=s 3:whenUnsatisfiable=s 4:labelSelector=LabelSelector
  5:minDomains=i 6:nodeAffinityPolicy=s 7:nodeTaintsPolicy=s 8:matchLabelKeys=[s]
EphemeralContainerCommon 1:name=s 2:image=s? 3:command=[s] 4:args=[s] 5:workingDir=s? 6:ports=[ContainerPort]
  7:env=[EnvVar] 8:resources=ResourceRequirements 9:volumeMounts=[VolumeMount] 10:livenessProbe=Probe
  11:readinessProbe=Probe 12:lifecycle=Lifecycle 13:terminationMessagePath=s? 14:imagePullPolicy=s?
  15:securityContext=SecurityContext 16:stdin=b? 17:stdinOnce=b? 18:tty=b? 19:envFrom=[EnvFromSource]
  20:terminationMessagePolicy=s? 21:volumeDevices=[VolumeDevice] 22:startupProbe=Probe
  23:resizePolicy=[ContainerResizePolicy] 24:restartPolicy=s 25:restartPolicyRules=[ContainerRestartRule]
EphemeralContainer 1:~EphemeralContainerCommon 2:targetContainerName=s?
PodOS 1:name=s
PodSchedulingGate 1:name=s
PodResourceClaim 1:name=s 3:resourceClaimName=s 4:resourceClaimTemplateName=s
PodSchedulingGroup 1:podGroupName=s
PodSpec 1:volumes=[Volume] 2:containers=[Container] 3:restartPolicy=s? 4:terminationGracePeriodSeconds=i
  5:activeDeadlineSeconds=i 6:dnsPolicy=s? 7:nodeSelector={s} 8:serviceAccountName=s? 9:serviceAccount=s?
  10:nodeName=s? 11:hostNetwork=b? 12:hostPID=b? 13:hostIPC=b? 14:securityContext=PodSecurityContext
  15:imagePullSecrets=[LocalObjectReference] 16:hostname=s? 17:subdomain=s? 18:affinity=Affinity 19:schedulerName=s?
  20:initContainers=[Container] 21:automountServiceAccountToken=b 22:tolerations=[Toleration]
  23:hostAliases=[HostAlias] 24:priorityClassName=s? 25:priority=i 26:dnsConfig=PodDNSConfig
  27:shareProcessNamespace=b 28:readinessGates=[PodReadinessGate] 29:runtimeClassName=s 30:enableServiceLinks=b
  31:preemptionPolicy=s 32:overhead={q} 33:topologySpreadConstraints=[TopologySpreadConstraint]
  34:ephemeralContainers=[EphemeralContainer] 35:setHostnameAsFQDN=b 36:os=PodOS 37:hostUsers=b
  38:schedulingGates=[PodSchedulingGate] 39:resourceClaims=[PodResourceClaim] 40:resources=ResourceRequirements
  41:hostnameOverride=s 43:schedulingGroup=PodSchedulingGroup
PodCondition 1:type=s 2:status=s 3:lastProbeTime=t 4:lastTransitionTime=t 5:reason=s? 6:message=s?
  7:observedGeneration=i?
ContainerStateWaiting 1:reason=s? 2:message=s?
ContainerStateRunning 1:startedAt=t
ContainerStateTerminated 1:exitCode=i 2:signal=i? 3:reason=s? 4:message=s? 5:startedAt=t 6:finishedAt=t
  7:containerID=s?
ContainerState 1:waiting=ContainerStateWaiting 2:running=ContainerStateRunning 3:terminated=ContainerStateTerminated
ImageVolumeStatus 1:imageRef=s?
VolumeStatus 1:image=ImageVolumeStatus
VolumeMountStatus 1:name=s 2:mountPath=s 3:readOnly=b? 4:recursiveReadOnly=s 5:volumeStatus=VolumeStatus
LinuxContainerUser 1:uid=i 2:gid=i 3:supplementalGroups=[i]
ContainerUser 1:linux=LinuxContainerUser
ResourceHealth 1:resourceID=s 2:health=s? 6:message=s
ResourceStatus 1:name=s 2:resources=[ResourceHealth]
ContainerStatus 1:name=s 2:state=ContainerState 3:lastState=ContainerState 4:ready=b 5:restartCount=i 6:image=s
  7:imageID=s 8:containerID=s? 9:started=b 10:allocatedResources={q} 11:resources=ResourceRequirements
  12:volumeMounts=[VolumeMountStatus] 13:user=ContainerUser 14:allocatedResourcesStatus=[ResourceStatus]
  15:stopSignal=s
PodIP 1:ip=s
PodResourceClaimStatus 1:name=s 2:resourceClaimName=s
HostIP 1:ip=s
ContainerExtendedResourceRequest 1:containerName=s 2:resourceName=s 3:requestName=s
PodExtendedResourceClaimStatus 1:requestMappings=[ContainerExtendedResourceRequest] 2:resourceClaimName=s
PodStatus 1:phase=s? 2:conditions=[PodCondition] 3:message=s? 4:reason=s? 5:hostIP=s? 6:podIP=s? 7:startTime=t
  8:containerStatuses=[ContainerStatus] 9:qosClass=s? 10:initContainerStatuses=[ContainerStatus]
  11:nominatedNodeName=s? 12:podIPs=[PodIP] 13:ephemeralContainerStatuses=[ContainerStatus] 14:resize=s?
  15:resourceClaimStatuses=[PodResourceClaimStatus] 16:hostIPs=[HostIP] 17:observedGeneration=i?
  18:extendedResourceClaimStatus=PodExtendedResourceClaimStatus 19:allocatedResources={q}
  20:resources=ResourceRequirements
Pod 1:metadata=ObjectMeta 2:spec=PodSpec 3:status=PodStatus
Taint 1:key=s 2:value=s? 3:effect=s 4:timeAdded=t
ConfigMapNodeConfigSource 1:namespace=s 2:name=s 3:uid=s? 4:resourceVersion=s? 5:kubeletConfigKey=s
NodeConfigSource 2:configMap=ConfigMapNodeConfigSource
NodeSpec 1:podCIDR=s? 2:externalID=s? 3:providerID=s? 4:unschedulable=b? 5:taints=[Taint]
  6:configSource=NodeConfigSource 7:podCIDRs=[s]
NodeCondition 1:type=s 2:status=s 3:lastHeartbeatTime=t 4:lastTransitionTime=t 5:reason=s? 6:message=s?
NodeAddress 1:type=s 2:address=s
DaemonEndpoint 1:Port=i
NodeDaemonEndpoints 1:kubeletEndpoint=DaemonEndpoint
NodeSwapStatus 1:capacity=i
NodeSystemInfo 1:machineID=s 2:systemUUID=s 3:bootID=s 4:kernelVersion=s 5:osImage=s 6:containerRuntimeVersion=s
  7:kubeletVersion=s 8:kubeProxyVersion=s 9:operatingSystem=s 10:architecture=s 11:swap=NodeSwapStatus
ContainerImage 1:names=[s] 2:sizeBytes=i?
AttachedVolume 1:name=s 2:devicePath=s
NodeConfigStatus 1:assigned=NodeConfigSource 2:active=NodeConfigSource 3:lastKnownGood=NodeConfigSource 4:error=s?
NodeRuntimeHandlerFeatures 1:recursiveReadOnlyMounts=b 2:userNamespaces=b
NodeRuntimeHandler 1:name=s 2:features=NodeRuntimeHandlerFeatures
NodeFeatures 1:supplementalGroupsPolicy=b
NodeStatus 1:capacity={q} 2:allocatable={q} 3:phase=s? 4:conditions=[NodeCondition] 5:addresses=[NodeAddress]
  6:daemonEndpoints=NodeDaemonEndpoints 7:nodeInfo=NodeSystemInfo 8:images=[ContainerImage] 9:volumesInUse=[s]
  10:volumesAttached=[AttachedVolume] 11:config=NodeConfigStatus 12:runtimeHandlers=[NodeRuntimeHandler]
  13:features=NodeFeatures 14:declaredFeatures=[s]
Node 1:metadata=ObjectMeta 2:spec=NodeSpec 3:status=NodeStatus
NamespaceSpec 1:finalizers=[s]
NamespaceCondition 1:type=s 2:status=s 4:lastTransitionTime=t 5:reason=s? 6:message=s?
NamespaceStatus 1:phase=s? 2:conditions=[NamespaceCondition]
Namespace 1:metadata=ObjectMeta 2:spec=NamespaceSpec 3:status=NamespaceStatus
ServicePort 1:name=s? 2:protocol=s? 3:port=i 4:targetPort=x 5:nodePort=i? 6:appProtocol=s
ClientIPConfig 1:timeoutSeconds=i
SessionAffinityConfig 1:clientIP=ClientIPConfig
ServiceSpec 1:ports=[ServicePort] 2:selector={s} 3:clusterIP=s? 4:type=s? 5:externalIPs=[s] 7:sessionAffinity=s?
  8:loadBalancerIP=s? 9:loadBalancerSourceRanges=[s] 10:externalName=s? 11:externalTrafficPolicy=s?
  12:healthCheckNodePort=i? 13:publishNotReadyAddresses=b? 14:sessionAffinityConfig=SessionAffinityConfig
  16:topologyKeys=[s] 17:ipFamilyPolicy=s 18:clusterIPs=[s] 19:ipFamilies=[s] 20:allocateLoadBalancerNodePorts=b
  21:loadBalancerClass=s 22:internalTrafficPolicy=s 23:trafficDistribution=s
PortStatus 1:port=i 2:protocol=s 3:error=s
LoadBalancerIngress 1:ip=s? 2:hostname=s? 3:ipMode=s 4:ports=[PortStatus]
LoadBalancerStatus 1:ingress=[LoadBalancerIngress]
Condition 1:type=s 2:status=s 3:observedGeneration=i? 4:lastTransitionTime=t 5:reason=s 6:message=s
ServiceStatus 1:loadBalancer=LoadBalancerStatus 2:conditions=[Condition]
Service 1:metadata=ObjectMeta 2:spec=ServiceSpec 3:status=ServiceStatus
ObjectReference 1:kind=s? 2:namespace=s? 3:name=s? 4:uid=s? 5:apiVersion=s? 6:resourceVersion=s? 7:fieldPath=s?
EndpointAddress 1:ip=s 2:targetRef=ObjectReference 3:hostname=s? 4:nodeName=s
EndpointPort 1:name=s? 2:port=i 3:protocol=s? 4:appProtocol=s
EndpointSubset 1:addresses=[EndpointAddress] 2:notReadyAddresses=[EndpointAddress] 3:ports=[EndpointPort]
Endpoints 1:metadata=ObjectMeta 2:subsets=[EndpointSubset]
ConfigMap 1:metadata=ObjectMeta 2:data={s} 3:binaryData={y} 4:immutable=b
Secret 1:metadata=ObjectMeta 2:data={y} 3:type=s? 4:stringData={s} 5:immutable=b
ServiceAccount 1:metadata=ObjectMeta 2:secrets=[ObjectReference] 3:imagePullSecrets=[LocalObjectReference]
  4:automountServiceAccountToken=b
EventSource 1:component=s? 2:host=s?
EventSeries 1:count=i? 2:lastObservedTime=m
Event 1:metadata=ObjectMeta 2:involvedObject=ObjectReference 3:reason=s? 4:message=s? 5:source=EventSource
  6:firstTimestamp=t 7:lastTimestamp=t 8:count=i? 9:type=s? 10:eventTime=m 11:series=EventSeries 12:action=s?
  13:related=ObjectReference 14:reportingComponent=s 15:reportingInstance=s
ScopedResourceSelectorRequirement 1:scopeName=s 2:operator=s 3:values=[s]
ScopeSelector 1:matchExpressions=[ScopedResourceSelectorRequirement]
ResourceQuotaSpec 1:hard={q} 2:scopes=[s] 3:scopeSelector=ScopeSelector
ResourceQuotaStatus 1:hard={q} 2:used={q}
ResourceQuota 1:metadata=ObjectMeta 2:spec=ResourceQuotaSpec 3:status=ResourceQuotaStatus
LimitRangeItem 1:type=s 2:max={q} 3:min={q} 4:default={q} 5:defaultRequest={q} 6:maxLimitRequestRatio={q}
LimitRangeSpec 1:limits=[LimitRangeItem]
LimitRange 1:metadata=ObjectMeta 2:spec=LimitRangeSpec
PersistentVolumeClaimCondition 1:type=s 2:status=s 3:lastProbeTime=t 4:lastTransitionTime=t 5:reason=s? 6:message=s?
ModifyVolumeStatus 1:targetVolumeAttributesClassName=s? 2:status=s
PersistentVolumeClaimStatus 1:phase=s? 2:accessModes=[s] 3:capacity={q} 4:conditions=[PersistentVolumeClaimCondition]
  5:allocatedResources={q} 7:allocatedResourceStatuses={s} 8:currentVolumeAttributesClassName=s
  9:modifyVolumeStatus=ModifyVolumeStatus
PersistentVolumeClaim 1:metadata=ObjectMeta 2:spec=PersistentVolumeClaimSpec 3:status=PersistentVolumeClaimStatus
GlusterfsPersistentVolumeSource 1:endpoints=s 2:path=s 3:readOnly=b? 4:endpointsNamespace=s
SecretReference 1:name=s? 2:namespace=s?
RBDPersistentVolumeSource 1:monitors=[s] 2:image=s 3:fsType=s? 4:pool=s? 5:user=s? 6:keyring=s?
  7:secretRef=SecretReference 8:readOnly=b?
ISCSIPersistentVolumeSource 1:targetPortal=s 2:iqn=s 3:lun=i 4:iscsiInterface=s? 5:fsType=s? 6:readOnly=b?
  7:portals=[s] 8:chapAuthDiscovery=b? 10:secretRef=SecretReference 11:chapAuthSession=b? 12:initiatorName=s
CinderPersistentVolumeSource 1:volumeID=s 2:fsType=s? 3:readOnly=b? 4:secretRef=SecretReference
CephFSPersistentVolumeSource 1:monitors=[s] 2:path=s? 3:user=s? 4:secretFile=s? 5:secretRef=SecretReference
  6:readOnly=b?
FlexPersistentVolumeSource 1:driver=s 2:fsType=s? 3:secretRef=SecretReference 4:readOnly=b? 5:options={s}
AzureFilePersistentVolumeSource 1:secretName=s 2:shareName=s 3:readOnly=b? 4:secretNamespace=s
ScaleIOPersistentVolumeSource 1:gateway=s 2:system=s 3:secretRef=SecretReference 4:sslEnabled=b? 5:protectionDomain=s?
  6:storagePool=s? 7:storageMode=s? 8:volumeName=s? 9:fsType=s? 10:readOnly=b?
LocalVolumeSource 1:path=s 2:fsType=s
StorageOSPersistentVolumeSource 1:volumeName=s? 2:volumeNamespace=s? 3:fsType=s? 4:readOnly=b?
  5:secretRef=ObjectReference
CSIPersistentVolumeSource 1:driver=s 2:volumeHandle=s 3:readOnly=b? 4:fsType=s? 5:volumeAttributes={s}
  6:controllerPublishSecretRef=SecretReference 7:nodeStageSecretRef=SecretReference
  8:nodePublishSecretRef=SecretReference 9:controllerExpandSecretRef=SecretReference
  10:nodeExpandSecretRef=SecretReference
PersistentVolumeSource 1:gcePersistentDisk=GCEPersistentDiskVolumeSource
  2:awsElasticBlockStore=AWSElasticBlockStoreVolumeSource 3:hostPath=HostPathVolumeSource
  4:glusterfs=GlusterfsPersistentVolumeSource 5:nfs=NFSVolumeSource 6:rbd=RBDPersistentVolumeSource
  7:iscsi=ISCSIPersistentVolumeSource 8:cinder=CinderPersistentVolumeSource 9:cephfs=CephFSPersistentVolumeSource
  10:fc=FCVolumeSource 11:flocker=FlockerVolumeSource 12:flexVolume=FlexPersistentVolumeSource
  13:azureFile=AzureFilePersistentVolumeSource 14:vsphereVolume=VsphereVirtualDiskVolumeSource
  15:quobyte=QuobyteVolumeSource 16:azureDisk=AzureDiskVolumeSource
  17:photonPersistentDisk=PhotonPersistentDiskVolumeSource 18:portworxVolume=PortworxVolumeSource
  19:scaleIO=ScaleIOPersistentVolumeSource 20:local=LocalVolumeSource 21:storageos=StorageOSPersistentVolumeSource
  22:csi=CSIPersistentVolumeSource
VolumeNodeAffinity 1:required=NodeSelector
PersistentVolumeSpec 1:capacity={q} 2:~PersistentVolumeSource 3:accessModes=[s] 4:claimRef=ObjectReference
  5:persistentVolumeReclaimPolicy=s? 6:storageClassName=s? 7:mountOptions=[s] 8:volumeMode=s
  9:nodeAffinity=VolumeNodeAffinity 10:volumeAttributesClassName=s
PersistentVolumeStatus 1:phase=s? 2:message=s? 3:reason=s? 4:lastPhaseTransitionTime=t
PersistentVolume 1:metadata=ObjectMeta 2:spec=PersistentVolumeSpec 3:status=PersistentVolumeStatus
Binding 1:metadata=ObjectMeta 2:target=ObjectReference
LeaseSpec 1:holderIdentity=s 2:leaseDurationSeconds=i 3:acquireTime=m 4:renewTime=m 5:leaseTransitions=i 6:strategy=s
  7:preferredHolder=s
Lease 1:metadata=ObjectMeta 2:spec=LeaseSpec
PodTemplateSpec 1:metadata=ObjectMeta 2:spec=PodSpec
PodFailurePolicyOnExitCodesRequirement 1:containerName=s 2:operator=s 3:values=[i]
PodFailurePolicyOnPodConditionsPattern 1:type=s 2:status=s
PodFailurePolicyRule 1:action=s 2:onExitCodes=PodFailurePolicyOnExitCodesRequirement
  3:onPodConditions=[PodFailurePolicyOnPodConditionsPattern]
PodFailurePolicy 1:rules=[PodFailurePolicyRule]
SuccessPolicyRule 1:succeededIndexes=s 2:succeededCount=i
SuccessPolicy 1:rules=[SuccessPolicyRule]
JobSpec 1:parallelism=i 2:completions=i 3:activeDeadlineSeconds=i 4:selector=LabelSelector 5:manualSelector=b
  6:template=PodTemplateSpec 7:backoffLimit=i 8:ttlSecondsAfterFinished=i 9:completionMode=s 10:suspend=b
  11:podFailurePolicy=PodFailurePolicy 12:backoffLimitPerIndex=i 13:maxFailedIndexes=i 14:podReplacementPolicy=s
  15:managedBy=s 16:successPolicy=SuccessPolicy
JobCondition 1:type=s 2:status=s 3:lastProbeTime=t 4:lastTransitionTime=t 5:reason=s? 6:message=s?
UncountedTerminatedPods 1:succeeded=[s] 2:failed=[s]
JobStatus 1:conditions=[JobCondition] 2:startTime=t 3:completionTime=t 4:active=i? 5:succeeded=i? 6:failed=i?
  7:completedIndexes=s? 8:uncountedTerminatedPods=UncountedTerminatedPods 9:ready=i 10:failedIndexes=s
  11:terminating=i
Job 1:metadata=ObjectMeta 2:spec=JobSpec 3:status=JobStatus
JobTemplateSpec 1:metadata=ObjectMeta 2:spec=JobSpec
CronJobSpec 1:schedule=s 2:startingDeadlineSeconds=i 3:concurrencyPolicy=s? 4:suspend=b 5:jobTemplate=JobTemplateSpec
  6:successfulJobsHistoryLimit=i 7:failedJobsHistoryLimit=i 8:timeZone=s
CronJobStatus 1:active=[ObjectReference] 4:lastScheduleTime=t 5:lastSuccessfulTime=t
CronJob 1:metadata=ObjectMeta 2:spec=CronJobSpec 3:status=CronJobStatus
RollingUpdateDeployment 1:maxUnavailable=x 2:maxSurge=x
DeploymentStrategy 1:type=s? 2:rollingUpdate=RollingUpdateDeployment
DeploymentSpec 1:replicas=i 2:selector=LabelSelector 3:template=PodTemplateSpec 4:strategy=DeploymentStrategy
  5:minReadySeconds=i? 6:revisionHistoryLimit=i 7:paused=b? 9:progressDeadlineSeconds=i
DeploymentCondition 1:type=s 2:status=s 4:reason=s? 5:message=s? 6:lastUpdateTime=t 7:lastTransitionTime=t
DeploymentStatus 1:observedGeneration=i? 2:replicas=i? 3:updatedReplicas=i? 4:availableReplicas=i?
  5:unavailableReplicas=i? 6:conditions=[DeploymentCondition] 7:readyReplicas=i? 8:collisionCount=i
  9:terminatingReplicas=i
Deployment 1:metadata=ObjectMeta 2:spec=DeploymentSpec 3:status=DeploymentStatus
ReplicaSetSpec 1:replicas=i 2:selector=LabelSelector 3:template=PodTemplateSpec 4:minReadySeconds=i?
ReplicaSetCondition 1:type=s 2:status=s 3:lastTransitionTime=t 4:reason=s? 5:message=s?
ReplicaSetStatus 1:replicas=i 2:fullyLabeledReplicas=i? 3:observedGeneration=i? 4:readyReplicas=i?
  5:availableReplicas=i? 6:conditions=[ReplicaSetCondition] 7:terminatingReplicas=i
ReplicaSet 1:metadata=ObjectMeta 2:spec=ReplicaSetSpec 3:status=ReplicaSetStatus
RollingUpdateDaemonSet 1:maxUnavailable=x 2:maxSurge=x
DaemonSetUpdateStrategy 1:type=s? 2:rollingUpdate=RollingUpdateDaemonSet
DaemonSetSpec 1:selector=LabelSelector 2:template=PodTemplateSpec 3:updateStrategy=DaemonSetUpdateStrategy
  4:minReadySeconds=i? 6:revisionHistoryLimit=i
DaemonSetCondition 1:type=s 2:status=s 3:lastTransitionTime=t 4:reason=s? 5:message=s?
DaemonSetStatus 1:currentNumberScheduled=i 2:numberMisscheduled=i 3:desiredNumberScheduled=i 4:numberReady=i
  5:observedGeneration=i? 6:updatedNumberScheduled=i? 7:numberAvailable=i? 8:numberUnavailable=i? 9:collisionCount=i
  10:conditions=[DaemonSetCondition]
DaemonSet 1:metadata=ObjectMeta 2:spec=DaemonSetSpec 3:status=DaemonSetStatus
RollingUpdateStatefulSetStrategy 1:partition=i 2:maxUnavailable=x
StatefulSetUpdateStrategy 1:type=s? 2:rollingUpdate=RollingUpdateStatefulSetStrategy
StatefulSetPersistentVolumeClaimRetentionPolicy 1:whenDeleted=s? 2:whenScaled=s?
StatefulSetOrdinals 1:start=i
StatefulSetSpec 1:replicas=i 2:selector=LabelSelector 3:template=PodTemplateSpec
  4:volumeClaimTemplates=[PersistentVolumeClaim] 5:serviceName=s 6:podManagementPolicy=s?
  7:updateStrategy=StatefulSetUpdateStrategy 8:revisionHistoryLimit=i 9:minReadySeconds=i?
  10:persistentVolumeClaimRetentionPolicy=StatefulSetPersistentVolumeClaimRetentionPolicy
  11:ordinals=StatefulSetOrdinals
StatefulSetCondition 1:type=s 2:status=s 3:lastTransitionTime=t 4:reason=s? 5:message=s?
StatefulSetStatus 1:observedGeneration=i? 2:replicas=i 3:readyReplicas=i? 4:currentReplicas=i? 5:updatedReplicas=i?
  6:currentRevision=s? 7:updateRevision=s? 9:collisionCount=i 10:conditions=[StatefulSetCondition]
  11:availableReplicas=i
StatefulSet 1:metadata=ObjectMeta 2:spec=StatefulSetSpec 3:status=StatefulSetStatus
ControllerRevision 1:metadata=ObjectMeta 2:data=j 3:revision=i
ScaleSpec 1:replicas=i?
ScaleStatus 1:replicas=i 2:selector=s?
Scale 1:metadata=ObjectMeta 2:spec=ScaleSpec 3:status=ScaleStatus
PriorityClass 1:metadata=ObjectMeta 2:value=i 3:globalDefault=b? 4:description=s? 5:preemptionPolicy=s
TopologySelectorLabelRequirement 1:key=s 2:values=[s]
TopologySelectorTerm 1:matchLabelExpressions=[TopologySelectorLabelRequirement]
StorageClass 1:metadata=ObjectMeta 2:provisioner=s 3:parameters={s} 4:reclaimPolicy=s 5:mountOptions=[s]
  6:allowVolumeExpansion=b 7:volumeBindingMode=s 8:allowedTopologies=[TopologySelectorTerm]
EndpointConditions 1:ready=b 2:serving=b 3:terminating=b
ForZone 1:name=s
ForNode 1:name=s
EndpointHints 1:forZones=[ForZone] 2:forNodes=[ForNode]
Endpoint 1:addresses=[s] 2:conditions=EndpointConditions 3:hostname=s 4:targetRef=ObjectReference
  5:deprecatedTopology={s} 6:nodeName=s 7:zone=s 8:hints=EndpointHints
discovery.EndpointPort 1:name=s 2:protocol=s 3:port=i 4:appProtocol=s
EndpointSlice 1:metadata=ObjectMeta 2:endpoints=[Endpoint] 3:ports=[discovery.EndpointPort] 4:addressType=s
discovery.Endpoint 1:addresses=[s] 2:conditions=EndpointConditions 3:hostname=s 4:targetRef=ObjectReference
  5:topology={s} 6:nodeName=s 7:hints=EndpointHints
discovery.EndpointSlice 1:metadata=ObjectMeta 2:endpoints=[discovery.Endpoint] 3:ports=[discovery.EndpointPort]
  4:addressType=s
events.EventSeries 1:count=i 2:lastObservedTime=m
events.Event 1:metadata=ObjectMeta 2:eventTime=m 3:series=events.EventSeries 4:reportingController=s?
  5:reportingInstance=s? 6:action=s? 7:reason=s? 8:regarding=ObjectReference 9:related=ObjectReference 10:note=s?
  11:type=s? 12:deprecatedSource=EventSource 13:deprecatedFirstTimestamp=t 14:deprecatedLastTimestamp=t
  15:deprecatedCount=i?
ServiceReference 1:namespace=s 2:name=s 3:path=s 4:port=i
WebhookClientConfig 1:service=ServiceReference 2:caBundle=y? 3:url=s
Rule 1:apiGroups=[s] 2:apiVersions=[s] 3:resources=[s] 4:scope=s
RuleWithOperations 1:operations=[s] 2:~Rule
MatchCondition 1:name=s 2:expression=s
MutatingWebhook 1:name=s 2:clientConfig=WebhookClientConfig 3:rules=[RuleWithOperations] 4:failurePolicy=s
  5:namespaceSelector=LabelSelector 6:sideEffects=s 7:timeoutSeconds=i 8:admissionReviewVersions=[s] 9:matchPolicy=s
  10:reinvocationPolicy=s 11:objectSelector=LabelSelector 12:matchConditions=[MatchCondition]
MutatingWebhookConfiguration 1:metadata=ObjectMeta 2:webhooks=[MutatingWebhook]
ValidatingWebhook 1:name=s 2:clientConfig=WebhookClientConfig 3:rules=[RuleWithOperations] 4:failurePolicy=s
  5:namespaceSelector=LabelSelector 6:sideEffects=s 7:timeoutSeconds=i 8:admissionReviewVersions=[s] 9:matchPolicy=s
  10:objectSelector=LabelSelector 11:matchConditions=[MatchCondition]
ValidatingWebhookConfiguration 1:metadata=ObjectMeta 2:webhooks=[ValidatingWebhook]
PodDisruptionBudgetSpec 1:minAvailable=x 2:selector=LabelSelector 3:maxUnavailable=x 4:unhealthyPodEvictionPolicy=s
PodDisruptionBudgetStatus 1:observedGeneration=i? 2:disruptedPods={t} 3:disruptionsAllowed=i 4:currentHealthy=i
  5:desiredHealthy=i 6:expectedPods=i 7:conditions=[Condition]
PodDisruptionBudget 1:metadata=ObjectMeta 2:spec=PodDisruptionBudgetSpec 3:status=PodDisruptionBudgetStatus
Preconditions 1:uid=s 2:resourceVersion=s
DeleteOptions 1:gracePeriodSeconds=i 2:preconditions=Preconditions 3:orphanDependents=b 4:propagationPolicy=s
  5:dryRun=[s] 6:ignoreStoreReadErrorWithClusterBreakingPotential=b
Eviction 1:metadata=ObjectMeta 2:deleteOptions=DeleteOptions
TokenReviewSpec 1:token=s? 2:audiences=[s]
UserInfo 1:username=s? 2:uid=s? 3:groups=[s] 4:extra={e}
TokenReviewStatus 1:authenticated=b? 2:user=UserInfo 3:error=s? 4:audiences=[s]
TokenReview 1:metadata=ObjectMeta 2:spec=TokenReviewSpec 3:status=TokenReviewStatus
SelfSubjectReviewStatus 1:userInfo=UserInfo
SelfSubjectReview 1:metadata=ObjectMeta 2:status=SelfSubjectReviewStatus
BoundObjectReference 1:kind=s? 2:apiVersion=s? 3:name=s? 4:uid=s?
TokenRequestSpec 1:audiences=[s] 3:boundObjectRef=BoundObjectReference 4:expirationSeconds=i
TokenRequestStatus 1:token=s 2:expirationTimestamp=t
TokenRequest 1:metadata=ObjectMeta 2:spec=TokenRequestSpec 3:status=TokenRequestStatus
FieldSelectorRequirement 1:key=s 2:operator=s 3:values=[s]
FieldSelectorAttributes 1:rawSelector=s? 2:requirements=[FieldSelectorRequirement]
LabelSelectorAttributes 1:rawSelector=s? 2:requirements=[LabelSelectorRequirement]
ResourceAttributes 1:namespace=s? 2:verb=s? 3:group=s? 4:version=s? 5:resource=s? 6:subresource=s? 7:name=s?
  8:fieldSelector=FieldSelectorAttributes 9:labelSelector=LabelSelectorAttributes
NonResourceAttributes 1:path=s? 2:verb=s?
SubjectAccessReviewSpec 1:resourceAttributes=ResourceAttributes 2:nonResourceAttributes=NonResourceAttributes
  3:user=s? 4:groups=[s] 5:extra={e} 6:uid=s?
SubjectAccessReviewStatus 1:allowed=b 2:reason=s? 3:evaluationError=s? 4:denied=b?
SubjectAccessReview 1:metadata=ObjectMeta 2:spec=SubjectAccessReviewSpec 3:status=SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec 1:resourceAttributes=ResourceAttributes 2:nonResourceAttributes=NonResourceAttributes
SelfSubjectAccessReview 1:metadata=ObjectMeta 2:spec=SelfSubjectAccessReviewSpec 3:status=SubjectAccessReviewStatus
SelfSubjectRulesReviewSpec 1:namespace=s?
ResourceRule 1:verbs=[s] 2:apiGroups=[s] 3:resources=[s] 4:resourceNames=[s]
NonResourceRule 1:verbs=[s] 2:nonResourceURLs=[s]
SubjectRulesReviewStatus 1:resourceRules=[ResourceRule] 2:nonResourceRules=[NonResourceRule] 3:incomplete=b
  4:evaluationError=s?
SelfSubjectRulesReview 1:metadata=ObjectMeta 2:spec=SelfSubjectRulesReviewSpec 3:status=SubjectRulesReviewStatus
LocalSubjectAccessReview 1:metadata=ObjectMeta 2:spec=SubjectAccessReviewSpec 3:status=SubjectAccessReviewStatus
PolicyRule 1:verbs=[s] 2:apiGroups=[s] 3:resources=[s] 4:resourceNames=[s] 5:nonResourceURLs=[s]
Role 1:metadata=ObjectMeta 2:rules=[PolicyRule]
Subject 1:kind=s 2:apiGroup=s? 3:name=s 4:namespace=s?
RoleRef 1:apiGroup=s 2:kind=s 3:name=s
RoleBinding 1:metadata=ObjectMeta 2:subjects=[Subject] 3:roleRef=RoleRef
AggregationRule 1:clusterRoleSelectors=[LabelSelector]
ClusterRole 1:metadata=ObjectMeta 2:rules=[PolicyRule] 3:aggregationRule=AggregationRule
ClusterRoleBinding 1:metadata=ObjectMeta 2:subjects=[Subject] 3:roleRef=RoleRef
CertificateSigningRequestSpec 1:request=y 2:username=s? 3:uid=s? 4:groups=[s] 5:usages=[s] 6:extra={e} 7:signerName=s
  8:expirationSeconds=i
CertificateSigningRequestCondition 1:type=s 2:reason=s? 3:message=s? 4:lastUpdateTime=t 5:lastTransitionTime=t
  6:status=s
CertificateSigningRequestStatus 1:conditions=[CertificateSigningRequestCondition] 2:certificate=y?
CertificateSigningRequest 1:metadata=ObjectMeta 2:spec=CertificateSigningRequestSpec
  3:status=CertificateSigningRequestStatus
ListMeta 1:selfLink=s? 2:resourceVersion=s? 3:continue=s? 4:remainingItemCount=i
StatusCause 1:reason=s? 2:message=s? 3:field=s?
StatusDetails 1:name=s? 2:group=s? 3:kind=s? 4:causes=[StatusCause] 5:retryAfterSeconds=i? 6:uid=s?
Status 1:metadata=ListMeta 2:status=s? 3:message=s? 4:reason=s? 5:details=StatusDetails 6:code=i?
"""


@dataclass(frozen=True)
class Type:
    """A field's type. kind: list, map, message, inline, or one of the letters of the table's head."""

    kind: str
    name: str = ""
    inner: "Type | None" = None


@dataclass(frozen=True)
class Field:
    """name: the one in JSON, empty for an inlined message."""

    name: str
    type: Type
    zero_is_unset: bool = False


def message_of(api_version: str, kind: str) -> str | None:
    """The message that carries a kind, None when we know of none."""
    return kind if kind in _EVERYWHERE else _MESSAGE_OF.get((api_version, kind))


@cache
def fields_of(message: str) -> dict[int, Field]:
    """A message's fields by number. KeyError if the table has no such message."""
    return dict(_field(word) for word in _LINES[message])


def _field(word: str) -> tuple[int, Field]:
    number, _, rest = word.partition(":")
    if rest.startswith("~"):
        return int(number), Field("", Type("inline", rest[1:]))
    name, _, text = rest.partition("=")
    return int(number), Field(name, _type(text.rstrip("?")), text.endswith("?"))


def _type(text: str) -> Type:
    if text[0] in "[{":
        return Type("list" if text[0] == "[" else "map", inner=_type(text[1:-1]))
    return Type(text) if len(text) == 1 else Type("message", text)


def _lines(text: str) -> dict[str, list[str]]:
    """The first word of each line, and those that follow."""
    found = (line.split() for line in text.strip().replace("\n  ", " ").splitlines())
    return {first: words for first, *words in found}


def _kinds() -> dict[tuple[str, str], str]:
    found = {}
    for version, words in _lines(_KINDS).items():
        for word in words:
            kind, _, message = word.partition("=")
            found[version, kind] = message or kind
    return found


_LINES = _lines(_MESSAGES)
_MESSAGE_OF = _kinds()
MESSAGES = frozenset(_LINES)
KINDS = frozenset(_MESSAGE_OF)
