"""What this process knows at one moment, as one frozen value: for metrics, the command line and the live page.

pods: one summary a pod, renewed whenever its pod is reconciled, so that nobody has to go through whole pods later.
document: the shape that programs read, with its JSON schema. collector: puts the whole together. explanation: all that
is known of one pod. routes: both as read-only answers of the kubelet API, which asks who wants to know.
"""
