"""Manifests as users bring them, each beside what must become of it.

`<group>/<name>.yaml` holds a Pod, or whatever makes Pods, with the ConfigMaps, Secrets, Services and claims that it
needs; `<name>.golden.json` beside it says what ECI is asked for, or which fields are refused and why, and how the pod's
status and events go from there, by the real controller and driver against the stand-in cloud. A golden is a claim that
this is right by the rules of the kubelet, not a record of what the code did: after a change, regenerate with

    python -m tests.corpus.golden [part of a name ...]

and read the diff. What a pod's containers do is told by a document of kind `Lives` in the manifest (see `life`).
"""
