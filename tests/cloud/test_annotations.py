"""Every annotation of ECI's: right values and wrong ones, and the parameters that come of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cloud.workloads import NOTHING_ASKED, SETTINGS
from vk_provider.cloud.eci import request
from vk_provider.cloud.eci.annotations import ANNOTATIONS, TABLE, Emulated, Mapped, Unsupported
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import UnsupportedPod
from vk_provider.translate.refusals import refusals

# Key without prefix, a right value, the parameters it makes, wrong values.
ROWS = [
    ("eci-vswitch", "vsw-a, vsw-b", {"VSwitchId": "vsw-a,vsw-b", "ScheduleStrategy": "VSwitchOrdered"}, ["a", ","]),
    ("eci-schedule-strategy", "VSwitchRandom", {"ScheduleStrategy": "VSwitchRandom"}, ["random"]),
    ("eci-security-group", "sg-x,sg-y", {"SecurityGroupId": "sg-x,sg-y"}, ["vsw-a", ",".join(["sg-a"] * 6)]),
    ("eci-resource-group-id", "rg-x", {"ResourceGroupId": "rg-x"}, ["x"]),
    ("eci-use-specs", "4-8Gi,ecs.c6.xlarge", {"Cpu": "4", "Memory": "8"}, ["4c8g", ",".join(["2-4Gi"] * 6)]),
    ("eci-instance-type", "ecs.c6.large,ecs.g6.large", {"InstanceType": "ecs.c6.large,ecs.g6.large"}, ["c6.large"]),
    ("eci-gpu-type", "ecs.gn6i-c4g1.xlarge", {"InstanceType": "ecs.gn6i-c4g1.xlarge"}, ["P4"]),
    (
        "eci-compute-category",
        "economy,general",
        {"ComputeCategory.1": "economy", "ComputeCategory.2": "general"},
        ["x"],
    ),
    ("eci-cpu-architecture", "ARM64", {"CpuArchitecture": "ARM64"}, ["arm"]),
    ("eci-gpu-driver-version", "tesla=525.85.12", {"GpuDriverVersion": "tesla=525.85.12"}, ["525"]),
    ("eci-cpu-option-core", "2", {"CpuOptionsCore": "2"}, ["two", "1001"]),
    ("eci-cpu-option-ht", "1", {"CpuOptionsThreadsPerCore": "1"}, ["-1"]),
    ("eci-spot-strategy", "SpotAsPriceGo", {"SpotStrategy": "SpotAsPriceGo"}, ["Spot"]),
    ("eci-spot-duration", "0", {}, ["-1", "1h"]),
    ("eci-spot-fallback", "true", {}, ["yes"]),
    ("eci-fail-strategy", "fail-fast", {"EciFailStrategy": "fail-fast"}, ["fast"]),
    ("pod-fail-on-create-err", "true", {}, ["1"]),
    ("eci-reschedule-enable", "true", {}, ["1"]),
    (
        "eci-custom-hosts",
        '[{"host": "a.example", "ip": "10.0.0.1"}, {"host": "b.example", "ip": "10.0.0.1"}]',
        {
            "HostAliase.1.Ip": "10.0.0.1",
            "HostAliase.1.Hostname.1": "a.example",
            "HostAliase.1.Hostname.2": "b.example",
        },
        ["a=b", '[{"host": "a"}]', '[{"host": "a", "ip": "b"}]'],
    ),
    (
        "eci-custom-tags",
        "env:test,name:al",
        {"Tag.6.Key": "env", "Tag.7.Value": "al"},
        ["env", "aliyun:x", "a:1,a:2", "vk-pod-uid:u2"],
    ),
    ("eci-ram-role-name", "MyRole", {"RamRoleName": "MyRole"}, ["my role"]),
    ("eci-auto-imc", "True", {"AutoMatchImageCache": "true"}, ["on"]),
    ("eci-image-cache", "true", {"AutoMatchImageCache": "true"}, ["on"]),
    ("eci-imc-id", "imc-1", {"ImageSnapshotId": "imc-1"}, ["1"]),
    ("eci-image-snapshot-id", "imc-1", {"ImageSnapshotId": "imc-1"}, ["1"]),
    ("image-accelerate-mode", "nydus", {"ImageAccelerateMode": "nydus"}, ["fast"]),
    (
        "acr-instance-ids",
        "cri-a,cn-beijing:cri-b",
        {
            "AcrRegistryInfo.1.InstanceId": "cri-a",
            "AcrRegistryInfo.2.InstanceId": "cri-b",
            "AcrRegistryInfo.2.RegionId": "cn-beijing",
        },
        ["a"],
    ),
    ("acr-instance-id", "cri-a", {"AcrRegistryInfo.1.InstanceId": "cri-a"}, ["a"]),
    ("acr-service-arns", "acs:ram::1:role/a", {"AcrRegistryInfo.1.ArnService": "acs:ram::1:role/a"}, ["a"]),
    ("acr-user-arns", "acs:ram::1:role/a", {"AcrRegistryInfo.1.ArnUser": "acs:ram::1:role/a"}, ["a"]),
    ("plain-http-registry", "r.example:5000", {"PlainHttpRegistry": "r.example:5000"}, ["http://r"]),
    ("insecure-registry", "r.example", {"InsecureRegistry": "r.example"}, ["http://r"]),
    ("eci-data-cache-bucket", "default", {"DataCacheBucket": "default"}, ["a b"]),
    ("eci-data-cache-pl", "PL1", {"DataCachePL": "PL1"}, ["1"]),
    ("eci-data-cache-provisionedIops", "40000", {"DataCacheProvisionedIops": "40000"}, ["many"]),
    ("eci-data-cache-burstingEnabled", "true", {"DataCacheBurstingEnabled": "true"}, ["x"]),
    ("eci-eip-instanceid", "eip-1", {"EipInstanceId": "eip-1"}, ["1.2.3.4"]),
    ("eci-with-eip", "true", {"AutoCreateEip": "true"}, ["yes"]),
    ("eip-bandwidth", "5", {"EipBandwidth": "5"}, ["0", "5M"]),
    ("eip-common-bandwidth-package-id", "cbwp-1", {"EipCommonBandwidthPackage": "cbwp-1"}, ["1"]),
    ("eip-isp", "BGP_PRO", {"EipISP": "BGP_PRO"}, ["bgp"]),
    ("eci-enable-ipv6", "true", {"Ipv6AddressCount": "1"}, ["1"]),
    ("eci-ipv6-count", "1", {"Ipv6AddressCount": "1"}, ["2"]),
    ("eci-ipv6-bandwidth-enable", "true", {"Ipv6GatewayBandwidthEnable": "true"}, ["x"]),
    ("eci-ipv6-bandwidth", "100M", {"Ipv6GatewayBandwidth": "100M"}, ["fast"]),
    ("eci-private-ip-address", "172.16.0.1", {"PrivateIpAddress": "172.16.0.1"}, ["fd00::1", "172.16.0.256"]),
    ("eci-fixed-ip", "true", {"FixedIp": "true"}, ["x"]),
    ("eci-fixed-ip-retain-hour", "24", {"FixedIpRetainHour": "24"}, ["0", "1d"]),
    (
        "eci-custom-dnsconfig",
        '{"nameservers": "10.0.0.1,10.0.0.2", "searches": "a.example", "options": "ndots:2,edns0"}',
        {
            "DnsPolicy": "None",
            "DnsConfig.NameServer.2": "10.0.0.2",
            "DnsConfig.Search.1": "a.example",
            "DnsConfig.Option.1.Name": "ndots",
            "DnsConfig.Option.1.Value": "2",
            "DnsConfig.Option.2.Name": "edns0",
        },
        ["{}x", '{"nameservers": ["10.0.0.1"]}', '{"nameservers": "a"}', '{"servers": "10.0.0.1"}'],
    ),
    ("eci-ntp-server", "100.100.5.1,100.100.5.2", {"NtpServer.2": "100.100.5.2"}, ["time.example"]),
    ("eci-extra-ephemeral-storage", "50Gi", {"EphemeralStorage": "50"}, ["0", "5001Gi", "much"]),
    ("eci-sls-enable", "false", {"SlsEnable": "false"}, ["off"]),
    ("eci-core-pattern", "/pod/data/core", {"CorePattern": "/pod/data/core"}, ["|/bin/sh", "core"]),
    ("kubernetes.io/ingress-bandwidth", "40M", {"IngressBandwidth": "40000000"}, ["fast", "0"]),
    ("kubernetes.io/egress-bandwidth", "20M", {"EgressBandwidth": "20000000"}, ["-1"]),
]
ELSEWHERE = {"eci-spot-price-limit", "eci-set-diskvolume"}  # they need another annotation or a volume beside them


def full(key: str) -> str:
    return key if "/" in key else f"k8s.aliyun.com/{key}"


def refused(annotations: dict[str, str]) -> list[str]:
    pod = {"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return [each.field for each in refusals(pod, CAPABILITIES)]


@pytest.mark.parametrize(("key", "value", "made", "wrong"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row(key, value, made, wrong):
    assert refused({full(key): value}) == []
    workload = replace(NOTHING_ASKED, annotations=ANNOTATIONS.requests({full(key): value}))
    asked, _ = request.create(workload, SETTINGS)
    assert made.items() <= {**asked.query, **asked.body}.items()
    for text in wrong:
        assert refused({full(key): text}) == [f"metadata.annotations[{full(key)}]"], text
    assert refused({full(key): ""}) == []


def test_every_row_that_is_carried_has_a_case():
    carried = {key for key, row in TABLE.items() if isinstance(row, Mapped | Emulated)}
    assert carried == {full(row[0]) for row in ROWS} | {full(key) for key in ELSEWHERE}


@pytest.mark.parametrize("key", [key for key, row in TABLE.items() if isinstance(row, Unsupported)])
def test_what_cannot_be_had_is_refused_by_its_name(key):
    assert refused({key: "x"}) == [f"metadata.annotations[{key}]"]


@pytest.mark.parametrize(
    ("annotations", "field"),
    [
        ({"eci-use-specs": "2-4Gi", "eci-instance-type": "ecs.c6.large"}, "eci-instance-type"),
        ({"eci-spot-strategy": "SpotWithPriceLimit"}, "eci-spot-strategy"),
        ({"eci-spot-price-limit": "0.5"}, "eci-spot-price-limit"),
        ({"eci-with-eip": "true", "eci-eip-instanceid": "eip-1"}, "eci-with-eip"),
    ],
)
def test_contradictions(annotations, field):
    assert refused({full(key): text for key, text in annotations.items()}) == [f"metadata.annotations[{full(field)}]"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"annotations": {full("eci-use-specs"): "3-5Gi"}}, "the next larger is 4-6Gi"),
        ({"annotations": {full("eci-use-specs"): "2-4Gi"}, "cpu": 3.0}, "2-4Gi has 2 vCPU and 4 GiB"),
        ({"annotations": {full("eci-spot-strategy"): "SpotAsPriceGo", full("eci-use-specs"): "6-12Gi"}}, "spot"),
        ({"annotations": {full("eci-set-diskvolume"): "data:ext4:20Gi"}}, "no emptyDir volume 'data'"),
        ({"annotations": {full("eci-custom-dnsconfig"): '{"options": "ndots:2"}'}}, "give nameservers too"),
        ({"storage_gib": 6000.0}, "6000 GiB"),
        ({"containers": (replace(NOTHING_ASKED.containers[0], gpus=1),)}, "eci-use-specs"),
    ],
)
def test_what_the_cloud_cannot_have_is_refused_with_the_fix(changes, named):
    with pytest.raises(UnsupportedPod, match=named):
        request.create(replace(NOTHING_ASKED, **changes), SETTINGS)
