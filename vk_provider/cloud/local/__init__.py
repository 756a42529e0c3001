"""This host as a cloud: an instance is a supervisor process, a container a sandboxed process of the host's programs."""
