"""Annotations that change what is created in the cloud (eci.md 6), and annotations that a driver may see.

Those that ask for something of the instance are refused until they are carried: an instance without its fixed address
or its disk is not what was asked for. Keys not named here pass: they may be anybody's, and so may keys we write back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.translate.rules import EMPTY, Entries, Refused, Rule, Type, Value

PREFIX = "k8s.aliyun.com/"
_OFF = (*EMPTY, "false")

# What the key asks for → the keys, and the values that ask for nothing. Keys without a prefix have PREFIX.
_ASKING: Sequence[tuple[str, Sequence[str], Sequence[object]]] = (
    ("a choice of vSwitch", ("eci-vswitch", "eci-schedule-strategy"), EMPTY),
    (
        "a choice of instance type",
        (
            "eci-use-specs",
            "eci-instance-type",
            "eci-gpu-type",
            "eci-instance-family",
            "eci-instance-generation",
            "eci-compute-category",
            "eci-gpu-driver-version",
            "eci-cpu-option-core",
            "eci-cpu-option-ht",
        ),
        EMPTY,
    ),
    ("a spot instance", ("eci-spot-strategy",), (*EMPTY, "NoSpot")),
    ("a spot instance", ("eci-spot-price-limit", "eci-spot-duration", "eci-spot-release-strategy"), EMPTY),
    ("a spot instance", ("eci-spot-fallback",), _OFF),
    ("a private pool", ("eci-privatepool-matchcriteria", "eci-privatepool-id"), EMPTY),
    ("a way to handle failed creation", ("eci-fail-strategy",), (*EMPTY, "fail-back", "fail-over")),
    ("a way to handle failed creation", ("eci-max-pending-minute",), EMPTY),
    ("a way to handle failed creation", ("eci-reschedule-enable", "pod-fail-on-create-err"), _OFF),
    ("further lines in /etc/hosts", ("eci-custom-hosts",), EMPTY),
    ("tags of its own", ("eci-custom-tags", "eci-resource-group-id"), EMPTY),
    ("a RAM role", ("eci-ram-role-name",), EMPTY),
    ("an image cache", ("eci-auto-imc", "eci-image-cache", "imc-perfect-match"), _OFF),
    (
        "an image cache",
        ("imc-match-count-request", "eci-imc-id", "eci-image-snapshot-id", "image-accelerate-mode"),
        EMPTY,
    ),
    ("an image registry without password", ("acr-instance-ids", "acr-instance-id"), EMPTY),
    ("an image registry without password", ("acr-service-arns", "acr-user-arns"), EMPTY),
    ("an unsafe image registry", ("plain-http-registry", "insecure-registry"), EMPTY),
    ("a data cache", ("eci-data-cache-bucket", "eci-data-cache-pl", "eci-data-cache-provisionedIops"), EMPTY),
    ("a data cache", ("eci-data-cache-burstingEnabled",), _OFF),
    ("a security group", ("eci-security-group",), EMPTY),
    ("a public address", ("eci-with-eip",), _OFF),
    (
        "a public address",
        (
            "eci-eip-instanceid",
            "eip-bandwidth",
            "eip-common-bandwidth-package-id",
            "eip-isp",
            "eip-internet-charge-type",
            "eip-public-ip-address-pool-id",
        ),
        EMPTY,
    ),
    ("an IPv6 address", ("eci-enable-ipv6", "eci-ipv6-bandwidth-enable"), _OFF),
    ("an IPv6 address", ("eci-ipv6-count",), (*EMPTY, "0")),
    ("an IPv6 address", ("eci-ipv6-bandwidth",), EMPTY),
    ("a fixed address", ("eci-private-ip-address", "eci-fixed-ip-retain-hour"), EMPTY),
    ("a fixed address", ("eci-fixed-ip",), _OFF),
    ("a network bandwidth", ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"), EMPTY),
    ("resolver settings", ("eci-custom-dnsconfig",), EMPTY),
    ("more temporary storage", ("eci-extra-ephemeral-storage", "eci-ephemeral-storage-options"), EMPTY),
    ("eviction for full storage", ("eci-eviction-enable",), _OFF),
    ("a time server", ("eci-ntp-server",), EMPTY),
    ("log collection on or off", ("eci-sls-enable",), EMPTY),
    ("a place for core dumps", ("eci-core-pattern",), EMPTY),
    ("a disk", ("eci-set-diskvolume",), EMPTY),
    ("cluster addresses inside the instance", ("eci-kube-proxy-enabled",), _OFF),
)
_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"


def annotation_rule(annotations: object) -> Rule:
    """The rule for a pod's annotations. It depends on them, as AppArmor's keys end with a container's name."""
    apparmor = Refused(
        "there is no host on which a profile's file could lie; leave it out", (*EMPTY, "unconfined", "runtime/default")
    )
    keys = annotations if isinstance(annotations, Mapping) else {}
    special: dict[str, Rule] = {key: apparmor for key in keys if str(key).startswith(_APPARMOR_PREFIX)}
    return Entries(Value(Type.TEXT), {**_REFUSED, **special})


def for_driver(annotations: Mapping[str, str | None]) -> Mapping[str, str]:
    """Those annotations that speak to a cloud."""
    return {key: text for key, text in sorted(annotations.items()) if key.startswith(PREFIX) and text is not None}


def _refused() -> Mapping[str, Rule]:
    table: dict[str, Rule] = {}
    for what, keys, unless in _ASKING:
        rule = Refused(f"asks for {what}, which is not carried yet; remove it", unless)
        table.update({key if "/" in key else PREFIX + key: rule for key in keys})
    return table


_REFUSED = _refused()
