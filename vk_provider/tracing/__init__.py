"""Traces of pods' ways from their binding to their first run, with the calls to the cloud on it. Off unless asked for.

spans: what this room needs of whoever keeps them. pod_traces: which spans there are. otlp: keeps them with
OpenTelemetry, which only the extra `otel` brings; nothing else here or elsewhere names it.
"""
