"""Preemptible Jobs, tied to the provider: what the pure room `idle` decides is read, done and told here.

The core knows none of it; the only ties are `PodPolicy`, `StopOrder` and `CapacitySource`.
"""
