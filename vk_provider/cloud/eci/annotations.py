"""Every annotation that speaks to ECI (eci.md 6), and what becomes of it. This table is the whole truth of it.

| kind       | what becomes of the key                                                                                 |
|------------|---------------------------------------------------------------------------------------------------------|
| Carried    | its value goes into the request by the parameters that `wire` gives                                     |
| Ours       | the API has no parameter for it, or no single one: the provider itself does it, and `how` says how      |
| Impossible | refused: the public API cannot be asked for it, and the pod would be another without it                 |
| Needless   | nothing can be done for it, and the pod runs as well without: a Warning event says so                   |
| Written    | put on the pod by the node; it asks for nothing, whatever it says                                       |

An empty value asks for nothing. Keys count when the instance is made. A key with our prefix that the table lacks gets
a Warning event with the nearest one that it has: a slip of the pen may cost money, but it may also be somebody's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from vk_provider import bounds
from vk_provider.cloud.eci import annotation_values as values
from vk_provider.cloud.eci.annotation_values import Check, Wire
from vk_provider.errors import Refusal
from vk_provider.model.quantity import GIB, ceil_div, parse
from vk_provider.model.workload import NoCapacity, Notice
from vk_provider.translate.capabilities import AnnotationTable
from vk_provider.translate.field_rules import EMPTY, Rejected, Rule, Scalar, Type

PREFIX = "k8s.aliyun.com/"
SPECS, TYPE, OLD_TYPE = PREFIX + "eci-use-specs", PREFIX + "eci-instance-type", PREFIX + "eci-gpu-type"
SPOT, SPOT_LIMIT, SPOT_FALLBACK = (PREFIX + f"eci-spot-{name}" for name in ("strategy", "price-limit", "fallback"))
FAIL_STRATEGY, FAIL_ON_ERROR = PREFIX + "eci-fail-strategy", PREFIX + "pod-fail-on-create-err"
STORAGE, DISK = PREFIX + "eci-extra-ephemeral-storage", PREFIX + "eci-set-diskvolume"
SPOT_DURATION, RESOLVER = PREFIX + "eci-spot-duration", PREFIX + "eci-custom-dnsconfig"
ARCHITECTURE = PREFIX + "eci-cpu-architecture"
VSWITCH, SECURITY_GROUP = PREFIX + "eci-vswitch", PREFIX + "eci-security-group"
MOST_STORAGE_GIB = 5000


@dataclass(frozen=True, slots=True)
class Mapped:
    check: Check
    wire: Wire


@dataclass(frozen=True, slots=True)
class Emulated:
    check: Check
    how: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """unless: values that ask for nothing more than what happens anyway."""

    reason: str
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoEffect:
    check: Check
    why: str


@dataclass(frozen=True, slots=True)
class Reported:
    pass


Row = Mapped | Emulated | Unsupported | NoEffect | Reported

_NO_PARAMETER = "the public API of ECI has no parameter for it"
_FLAG = values.flag
_SPOT_STRATEGY = values.word("NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit")
_REGISTRIES = values.several(values.registry_host, 50)


def _plain(pattern: str, example: str, name: str) -> Mapped:
    return Mapped(values.matching(pattern, example), values.as_is(name))


def _id(prefix: str, name: str) -> Mapped:
    return Mapped(values.id_of(prefix), values.as_is(name))


def _whole(least: int, most: int, name: str) -> Mapped:
    return Mapped(values.whole(least, most), values.as_is(name))


def _flag(name: str) -> Mapped:
    return Mapped(_FLAG, values.as_flag(name))


def _word(name: str, *allowed: str) -> Mapped:
    return Mapped(values.word(*allowed), values.as_is(name))


_IMAGE_CACHE = _plain(r"(imc|s|m)-[A-Za-z0-9]+", "imc-bp1xyz", "ImageSnapshotId")
_ACR = Mapped(values.several(values.acr_instance, 20), values.as_acr_instances)

_WITH_PREFIX: Mapping[str, Row] = {
    # where it runs
    "eci-vswitch": Mapped(values.several(values.id_of("vsw"), 10), values.joined("VSwitchId")),
    "eci-schedule-strategy": _word("ScheduleStrategy", "VSwitchOrdered", "VSwitchRandom"),
    "eci-security-group": Mapped(values.several(values.id_of("sg"), 5), values.joined("SecurityGroupId")),
    "eci-resource-group-id": _id("rg", "ResourceGroupId"),
    # what it runs on
    "eci-use-specs": Emulated(values.several(values.spec, values.MAX_SPECS), "tries one after the other on no stock"),
    "eci-instance-type": Emulated(values.several(values.instance_type, 10), "InstanceType, in place of Cpu and Memory"),
    "eci-gpu-type": Emulated(values.several(values.instance_type, 10), "as eci-instance-type, whose old name it is"),
    "eci-instance-family": Unsupported(f"{_NO_PARAMETER}; name types of the family in eci-use-specs"),
    "eci-instance-generation": Unsupported(f"{_NO_PARAMETER}; name types of the generation in eci-use-specs"),
    "eci-compute-category": Mapped(
        values.several(values.word("economy", "general"), 2), values.numbered("ComputeCategory")
    ),
    "eci-cpu-architecture": _word("CpuArchitecture", "AMD64", "ARM64"),
    "eci-gpu-driver-version": _plain(r"tesla=\d+(\.\d+)+", "tesla=525.85.12", "GpuDriverVersion"),
    "eci-cpu-option-core": _whole(0, 1000, "CpuOptionsCore"),
    "eci-cpu-option-ht": _whole(0, 1000, "CpuOptionsThreadsPerCore"),
    "eci-privatepool-matchcriteria": Unsupported(_NO_PARAMETER, ("None",)),
    "eci-privatepool-id": Unsupported(_NO_PARAMETER),
    # spot
    "eci-spot-strategy": Emulated(_SPOT_STRATEGY, "SpotStrategy, as long as spot instances are tried"),
    "eci-spot-price-limit": Emulated(values.price, "SpotPriceLimit, beside SpotWithPriceLimit"),
    "eci-spot-duration": Emulated(values.whole(0, 6), "SpotDuration, as long as spot instances are tried"),
    "eci-spot-fallback": Emulated(_FLAG, "asks for a pay-as-you-go instance when no spot instance is to be had"),
    "eci-spot-release-strategy": Unsupported(
        f"{_NO_PARAMETER}, and the pod is not evicted before its release; its Job or Deployment replaces it after it"
    ),
    # failed creation
    "eci-fail-strategy": Emulated(
        values.word("fail-back", "fail-over", "fail-fast"), "fail-fast: no further try after the first round"
    ),
    "eci-max-pending-minute": Unsupported(
        f"{_NO_PARAMETER}, and the cloud's own limit of 240 minutes holds; limit the pod by activeDeadlineSeconds",
        ("240",),
    ),
    "eci-reschedule-enable": Emulated(_FLAG, "what was not placed is tried again anyway"),
    "pod-fail-on-create-err": Emulated(_FLAG, "the pod fails after the first round without stock"),
    # identity
    "eci-custom-hosts": Mapped(values.hosts, values.as_hosts),
    "eci-custom-tags": Mapped(values.tags, values.as_tags),
    "eci-ram-role-name": _plain(r"[A-Za-z0-9._-]{1,64}", "MyRole", "RamRoleName"),
    # images
    "eci-auto-imc": _flag("AutoMatchImageCache"),
    "eci-image-cache": _flag("AutoMatchImageCache"),
    "imc-perfect-match": NoEffect(_FLAG, "a cache that matches in part saves time too"),
    "imc-match-count-request": NoEffect(values.whole(1, 100), "a cache that matches in part saves time too"),
    "eci-imc-id": _IMAGE_CACHE,
    "eci-image-snapshot-id": _IMAGE_CACHE,
    "image-accelerate-mode": _word("ImageAccelerateMode", "nydus", "dadi", "p2p", "imc"),
    "acr-instance-ids": _ACR,
    "acr-instance-id": _ACR,
    "acr-service-arns": Mapped(
        values.several(values.role_arn, 20),
        lambda text: {f"AcrRegistryInfo.{n}.ArnService": one for n, one in enumerate(values.parts(text), 1)},
    ),
    "acr-user-arns": Mapped(
        values.several(values.role_arn, 20),
        lambda text: {f"AcrRegistryInfo.{n}.ArnUser": one for n, one in enumerate(values.parts(text), 1)},
    ),
    "plain-http-registry": Mapped(_REGISTRIES, values.joined("PlainHttpRegistry")),
    "insecure-registry": Mapped(_REGISTRIES, values.joined("InsecureRegistry")),
    "eci-data-cache-bucket": _plain(r"[A-Za-z0-9._-]{1,64}", "default", "DataCacheBucket"),
    "eci-data-cache-pl": _word("DataCachePL", "PL0", "PL1", "PL2", "PL3"),
    "eci-data-cache-provisionedIops": _whole(0, 1_000_000, "DataCacheProvisionedIops"),
    "eci-data-cache-burstingEnabled": _flag("DataCacheBurstingEnabled"),
    # addresses
    "eci-eip-instanceid": _id("eip", "EipInstanceId"),
    "eci-with-eip": Mapped(_FLAG, values.if_on("AutoCreateEip", "true")),
    "eip-bandwidth": _whole(1, 1000, "EipBandwidth"),
    "eip-common-bandwidth-package-id": _id("cbwp", "EipCommonBandwidthPackage"),
    "eip-isp": _word("EipISP", "BGP", "BGP_PRO"),
    "eip-internet-charge-type": Unsupported(f"{_NO_PARAMETER}; make the address yourself and name it by its id"),
    "eip-public-ip-address-pool-id": Unsupported(f"{_NO_PARAMETER}; make the address yourself and name it by its id"),
    "eci-enable-ipv6": Mapped(_FLAG, values.if_on("Ipv6AddressCount", "1")),
    "eci-ipv6-count": Mapped(values.whole(0, 1), lambda text: {"Ipv6AddressCount": "1"} if text.strip() == "1" else {}),
    "eci-ipv6-bandwidth-enable": _flag("Ipv6GatewayBandwidthEnable"),
    "eci-ipv6-bandwidth": _plain(r"\d{1,5}M?", "100M", "Ipv6GatewayBandwidth"),
    "eci-private-ip-address": Mapped(values.address, values.as_is("PrivateIpAddress")),
    "eci-fixed-ip": Mapped(_FLAG, values.if_on("FixedIp", "true")),
    "eci-fixed-ip-retain-hour": _whole(1, 8760, "FixedIpRetainHour"),
    "eci-custom-dnsconfig": Mapped(values.resolver, values.as_resolver),
    "eci-ntp-server": Mapped(values.several(values.address, 20), values.numbered("NtpServer")),
    "eci-kube-proxy-enabled": Unsupported(f"{_NO_PARAMETER}; use headless Services or load balancers", ("false",)),
    # storage and the rest
    "eci-extra-ephemeral-storage": Emulated(
        values.gibibytes(MOST_STORAGE_GIB), "EphemeralStorage, if the containers do not ask for more"
    ),
    "eci-ephemeral-storage-options": Unsupported(_NO_PARAMETER, ('{"encrypted":"false"}',)),
    "eci-eviction-enable": Unsupported(_NO_PARAMETER, ("false",)),
    "eci-set-diskvolume": Emulated(values.disk, "the volume of that name becomes a cloud disk that goes with the pod"),
    "eci-sls-enable": _flag("SlsEnable"),
    "eci-core-pattern": Mapped(values.core_pattern, values.as_is("CorePattern")),
    # written by this node or by the vendor's
    **dict.fromkeys(
        (
            "eci-instance-id",
            "eci-request-id",
            "eci-instance-spec",
            "eci-instance-cpu",
            "eci-instance-mem",
            "eci-instance-zone",
            "eci-instance-compute-category",
            "eci-vpc",
            "eci-matched-image-cache",
            "eci-schedule-result",
            "eci-client-token",
            "eci-created-by-template",
            "eci-price",
            "allocated-eipInstanceId",
            "allocated-eipAddress",
            "allocated-ipv6Address",
            "eni-instance-id",
            "k8s-version",
            "vk-version",
            "cluster-dns",
            "cluster-domain",
        ),
        Reported(),
    ),
}
_LONGEST_KEY = 100  # characters: what is longer is like none of ours
TABLE: Mapping[str, Row] = {
    **{PREFIX + key: row for key, row in _WITH_PREFIX.items()},
    # In bits per second, as Kubernetes means them; ECI's own pages disagree about its unit (eci.md 2.1).
    "kubernetes.io/ingress-bandwidth": Mapped(values.bandwidth, values.in_bits("IngressBandwidth")),
    "kubernetes.io/egress-bandwidth": Mapped(values.bandwidth, values.in_bits("EgressBandwidth")),
}
_CONTRADICTIONS = (  # two ways to say one thing
    (SPECS, TYPE),
    (SPECS, OLD_TYPE),
    (TYPE, OLD_TYPE),
    (PREFIX + "eci-eip-instanceid", PREFIX + "eci-with-eip"),
    (PREFIX + "eci-imc-id", PREFIX + "eci-image-snapshot-id"),
    (PREFIX + "acr-instance-ids", PREFIX + "acr-instance-id"),
)


def contradictions(annotations: Mapping[str, str | None]) -> Iterator[Refusal]:
    """What no single key shows. The values are right, each by itself."""
    given = {
        key: str(text).strip() for key, text in ANNOTATIONS.requests(annotations).items()
    }  # a refused one may be no text
    for first, second in _CONTRADICTIONS:
        if given.get(first) and given.get(second) and "false" not in (given[first], given[second]):
            yield Refusal(_path(second), f"{first} says the same in another way; leave one of the two out")
    if given.get(SPOT) == "SpotWithPriceLimit" and not given.get(SPOT_LIMIT):
        yield Refusal(_path(SPOT), f"the limit is missing; add {SPOT_LIMIT}, or say SpotAsPriceGo")
    if given.get(SPOT_LIMIT) and given.get(SPOT) != "SpotWithPriceLimit":
        yield Refusal(_path(SPOT_LIMIT), f"acts only with {SPOT} SpotWithPriceLimit; add that, or leave it out")


def notices(annotations: Mapping[str, str | None]) -> Iterator[Notice]:
    """What the pod's owner should hear of although the pod runs."""
    unknown, more = 0, []
    for key, text in sorted(annotations.items()):
        row = TABLE.get(key)
        if not text or not key.startswith(PREFIX):
            continue
        if isinstance(row, NoEffect) and text.strip().lower() != "false":
            yield Notice("AnnotationIgnored", f"{key} is not acted on: {_NO_PARAMETER}; {row.why}")
        elif row is None and unknown < bounds.MOST_UNKNOWN_KEYS:
            unknown += 1
            near = difflib.get_close_matches(key, TABLE, n=1, cutoff=0.8) if len(key) <= _LONGEST_KEY else ()
            advice = f"; did you mean {near[0]}?" if near else ""
            yield Notice("AnnotationUnknown", f"{key} is not known here and has no effect{advice}")
        elif row is None:
            more.append(key)
    if more:
        yield Notice("AnnotationUnknown", f"{len(more)} more are not known here and have no effect: {', '.join(more)}")


def on_no_capacity(annotations: Mapping[str, str | None]) -> NoCapacity:
    if values.is_on(annotations.get(FAIL_ON_ERROR) or ""):
        return NoCapacity.FAIL
    fast = (annotations.get(FAIL_STRATEGY) or "").strip() == "fail-fast"
    return NoCapacity.STAY_PENDING if fast else NoCapacity.TRY_AGAIN


def storage_gib(annotations: Mapping[str, str]) -> int:
    """The temporary storage that is asked for besides the free part; 0 = none."""
    text = annotations.get(STORAGE, "").strip()
    return ceil_div(parse(text), Fraction(GIB)) if text else 0


def _path(key: str) -> str:
    return f"metadata.annotations[{key}]"


def _rule(row: Row) -> Rule:
    match row:
        case Unsupported(reason, unless):
            return Rejected(f"cannot be had on the virtual node: {reason}", (*EMPTY, *unless))
        case Reported():
            return Scalar(Type.TEXT)
        case Mapped(check) | Emulated(check) | NoEffect(check):
            return Scalar(Type.TEXT, lambda value: check(str(value)) if str(value).strip() else "")


# What a node may write on a pod that runs. Two of them, where their owner asked for nothing, tell what became of it.
REQUESTABLE = frozenset({VSWITCH, SECURITY_GROUP})
REPORTED = frozenset(key for key, row in TABLE.items() if isinstance(row, Reported))
ANNOTATIONS = AnnotationTable(
    rules={key: _rule(row) for key, row in TABLE.items()},
    reported=REPORTED,
    prefixes=(PREFIX,),
    sizes=(SPECS, TYPE, OLD_TYPE),
    own_address=PREFIX + "eci-private-ip-address",
    contradictions=contradictions,
    notices=notices,
)
