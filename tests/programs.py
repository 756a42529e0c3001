"""Programs that some tests need and pip does not bring."""

NO_KUBECTL = "kubectl is missing: apt-get install kubernetes-client, or name one: KUBECTL=/path/to/kubectl"
