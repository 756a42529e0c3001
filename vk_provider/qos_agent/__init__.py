"""The agent beside a kubelet: publishes what regular pods leave of the node, and has preemptible pods yield it."""
