"""`vk-provider show`: what manifests would become in the cloud, and what it costs, without a cloud or a cluster.

What a cluster would add is put in as far as it decides the request: defaults, the volume with the ServiceAccount's
token, and placeholders for what only a running cluster knows (uid, token); addresses of Services are left out.
ConfigMaps, Secrets, claims and StorageClasses are taken from the same files; where they are not there, it is said, as
the pod would wait for them. What comes out of Secrets is not printed.

files: reads them (the only I/O). manifests: finds the pods in them. surroundings: what else they hold and pods refer
to. verdicts: what would become of a pod. report, document: the same for people and for programs.
"""

# The settings that shape a request or a price, beside those of clouds (`config.shown`); tests hold this list against
# what is read. Nothing else is imported
# here, so that the command line can name them before it knows what it is asked.
SETTINGS = (
    "cluster_name",
    "cluster_dns",
    "cluster_domain",
    "kubernetes_service_host",
    "kubernetes_service_port",
    "cloud_expands_pod_ip",
    "allowed_unsafe_sysctls",
    "node_name",
    "node_ip",
    "quota_cpu",
    "quota_memory",
    "quota_pods",
    "quota_gpus",
    "cloud",
)
