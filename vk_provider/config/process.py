"""Settings of the process: placement of pods, pace and log. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.settings import flag, integer, listening, object_name, one_of, seconds, setting, url


@dataclass(frozen=True, kw_only=True)
class PlacementSettings:
    """How pods are sent to the node."""

    webhook_address: str = setting(
        "",
        listening,
        "host:port of the mutating webhook that sends pods of labelled namespaces, and labelled pods, to the node; "
        "empty = no webhook: on Kubernetes 1.36 and newer a MutatingAdmissionPolicy does the same without a server",
        section="Placement of pods",
        short="of the webhook that sends labelled pods here",
    )
    webhook_service: str = setting(
        "vk-provider/vk-provider-webhook",
        object_name,
        "Service in front of the webhook, namespace/name, port 443; its namespace also holds the Secret with the "
        "webhook's certificate",
        short="Service in front of it",
    )
    webhook_url: str = setting(
        "",
        url,
        "https://host:port at which the API server reaches the webhook, for a provider outside the cluster; empty = by "
        "the Service",
        short="where it is reached instead, outside a cluster",
    )

    placement_bindings: bool = setting(
        False,
        flag,
        "keep a binding of the MutatingAdmissionPolicy of deploy/placement/policy for each selector of the profile "
        "that names labels, so that it sends their pods, too; Kubernetes 1.36 or newer. The webhook does so by itself",
        short="the policy sends pods by selectors of the profile, too",
    )


@dataclass(frozen=True, kw_only=True)
class PaceSettings:
    """How often the cloud is polled, and what is done with what it shows."""

    poll_interval_s: float = setting(
        2.0,
        seconds(0.1, 60),
        "seconds between two polls for changes in the cloud; a status is at most so much late",
        section="Pace",
    )
    sweep_interval_s: float = setting(
        120.0, seconds(1, 3600), "seconds between two full listings, which find lost and orphaned instances"
    )
    orphan_age_s: float = setting(
        60.0, seconds(0, 3600), "an instance without a pod is deleted only when it is at least so old"
    )
    live_configuration: bool = setting(
        True,
        flag,
        "bring changes of ConfigMaps, Secrets and labels, and renewed tokens, to the files of running instances. It is "
        "not known whether ECI restarts containers for that; off = files stay as they were, and tokens expire. Per "
        'pod: annotation virtual-kubelet.io/live-configuration: "false"',
        short="bring changes of ConfigMaps, Secrets and labels into running instances",
    )
    workers: int = setting(
        128, integer(1, 1000), "pods worked on at the same time; half of them at most may be at a create call"
    )


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """What is logged, and how."""

    log_level: str = setting(
        "info", one_of("debug", "info", "warning", "error"), "how much is logged", section="The log"
    )
    log_format: str = setting("text", one_of("text", "json"), "shape of a log line")
    otlp_endpoint: str = setting(
        "",
        url,
        "URL of an OpenTelemetry collector that takes OTLP over HTTP, as http://otel-collector:4318: it gets a trace "
        "of each pod's way from its binding to its first run, with its calls to the cloud. Needs the extra "
        "vk-provider[otel]; empty = no traces, and nothing is measured for them",
        short="collector that gets traces of pods' starts; empty = no traces",
    )
