"""Which vCPU and memory pairs the service sells, and which pair a request gets.

Pure tables. Source: the vendor's page on specifying vCPUs and memory of a pod; sizes in vCPU and GiB.
"""

import re
from collections.abc import Iterable

from fakes.cloud.errors import ApiError

EVERYWHERE: dict[float, tuple[float, ...]] = {
    0.25: (0.5, 1),
    0.5: (1, 2),
    1: (2, 4, 8),
    2: (1, 2, 4, 8, 16),
    4: (2, 4, 8, 16, 32),
    8: (4, 8, 16, 32, 64),
    12: (12, 24, 48, 96),
    16: (16, 32, 64, 128),
    24: (24, 48, 96, 192),
    32: (32, 64, 128, 256),
    52: (96, 192, 384),
    64: (128, 256, 512),
}
IN_LARGE_REGIONS: dict[float, tuple[float, ...]] = {
    2: (6, 10, 12, 14),
    4: (6, 10, 12, 14, *range(18, 31, 2)),
    6: tuple(range(6, 49, 2)),
    8: (10, 12, 14, *range(18, 63, 2)),
}
LARGE_REGIONS = frozenset(
    [
        "cn-hangzhou",
        "cn-shanghai",
        "cn-qingdao",
        "cn-beijing",
        "cn-zhangjiakou",
        "cn-huhehaote",
        "cn-wulanchabu",
        "cn-shenzhen",
        "cn-heyuan",
        "cn-guangzhou",
        "cn-chengdu",
        "ap-southeast-1",
    ]
)
DEFAULT = (2.0, 4.0)
_GIB_PER_VCPU = {"c": 2, "g": 4, "r": 8}
_INSTANCE_TYPE = re.compile(r"ecs\.([cgr])\w+\.(?:(\d*)xlarge|(large))")
_GPU_TYPE = re.compile(r"ecs\.gn\d\w*-c(\d+)g(\d+)\.(\d*)xlarge")  # vCPU for so many GPUs; the whole
_GIB_PER_GPU_VCPU = 3.875
_EPSILON = 1e-9  # sums like 0.1 + 0.2 must still fit into 0.3


def table(region: str, *, spot: bool = False) -> list[tuple[float, float]]:
    """Every pair on sale, by vCPU, then by memory."""
    pairs = {(float(cpu), float(memory)) for cpu, row in EVERYWHERE.items() for memory in row}
    if region in LARGE_REGIONS and not spot:
        pairs |= {(float(cpu), float(memory)) for cpu, row in IN_LARGE_REGIONS.items() for memory in row}
    return sorted(pairs)


_TABLES = {
    (large, spot): table("cn-hangzhou" if large else "", spot=spot) for large in (False, True) for spot in (False, True)
}


def fits(needed: float, available: float) -> bool:
    return needed <= available + _EPSILON


def exact(cpu: float, memory_gib: float, *, region: str, spot: bool) -> tuple[float, float]:
    """The pair itself if it is on sale. Raises ApiError with the code for sizes, or that for spot sizes."""
    wanted = (float(cpu), float(memory_gib))
    if wanted in _TABLES[region in LARGE_REGIONS, spot]:
        return wanted
    if spot and wanted in _TABLES[region in LARGE_REGIONS, False]:
        message = f"The specified cpu {cpu:g} and memory {memory_gib:g} are not allowed for spot instances."
        raise ApiError("InvalidSpotCpuMemorySpec", message)
    raise _not_allowed(cpu, memory_gib)


def round_up(cpu: float, memory_gib: float, *, region: str, spot: bool) -> tuple[float, float]:
    """The smallest pair that has both: least vCPU first, then least memory. Nothing asked gives the default size."""
    if cpu <= 0 and memory_gib <= 0:
        return DEFAULT
    for pair in _TABLES[region in LARGE_REGIONS, spot]:
        if fits(cpu, pair[0]) and fits(memory_gib, pair[1]):
            return pair
    raise _not_allowed(cpu, memory_gib)


def of_instance_types(types: Iterable[str]) -> tuple[float, float]:
    """vCPU and GiB of the first ECS type of a list: families c, g, r, and gn with GPUs. Raises ApiError."""
    first = next(iter(types), "")
    if with_gpus := _GPU_TYPE.fullmatch(first):
        cpu = 4.0 * int(with_gpus[3] or 1)
        return cpu, float(int(cpu * _GIB_PER_GPU_VCPU))
    match = _INSTANCE_TYPE.fullmatch(first)
    if match is None:
        message = (
            f"The specified instance type {first!r} is not supported by this stand-in (families c, g, r and gn are)."
        )
        raise ApiError("InvalidInstanceTypeForEciBuy", message)
    cpu = 2.0 if match[3] else 4.0 * int(match[2] or 1)
    return cpu, cpu * _GIB_PER_VCPU[match[1]]


def gpus_of_instance_types(types: Iterable[str]) -> int:
    """GPUs of the first ECS type of a list; its name says how many vCPU come with how many."""
    match = _GPU_TYPE.fullmatch(next(iter(types), ""))
    return 4 * int(match[3] or 1) * int(match[2]) // int(match[1]) if match else 0


def _not_allowed(cpu: float, memory_gib: float) -> ApiError:
    message = f"The specified cpu and memory are not allowed: {cpu:g} vCPU with {memory_gib:g} GiB."
    return ApiError("InvalidParameter.CPU.Memory", message)
