"""Sends pods to the virtual node when they are created, so that no manifest need name it."""
