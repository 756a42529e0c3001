"""A virtual-kubelet provider that runs Kubernetes pods as Alibaba Cloud Elastic Container Instances."""

__version__ = "0.1.0"
