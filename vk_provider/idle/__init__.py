"""Idle capacity: how much of a quota (or of a node) regular pods leave unused, who may use it, and who yields it first.

Everything here is pure and on given time: it serves a virtual node, whose idle capacity is unused quota that the cloud
sells as spot instances, and a worker node, whose idle capacity is what its regular pods do not use. Units: vCPU and
bytes, epoch seconds.
"""
