"""What an operator asks of a running provider: `status`, `explain`, `doctor`, `instances`; and shell completion.

cluster: reaches the provider through the API server, so that Kubernetes' own rights decide who may. status,
explanation, doctor, instances: each makes a document for programs and a text for people from it. terminal: how such
a text looks. checks, permissions: what doctor looks at.
"""
