"""Region and resource ids of ECI as an operator writes them, judged without asking the cloud. Pure.

A region with a slip of the pen would only show hours later as a pod that does not start; so it is refused at the start.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

# eci.md 1.2. Regions that are newer than this list are allowed by the setting allow_unknown_region.
REGIONS: Sequence[str] = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "cn-beijing",
    "cn-beijing-finance-1",
    "cn-chengdu",
    "cn-fuzhou",
    "cn-guangzhou",
    "cn-hangzhou",
    "cn-hangzhou-finance",
    "cn-heyuan",
    "cn-hongkong",
    "cn-huhehaote",
    "cn-nanjing",
    "cn-qingdao",
    "cn-shanghai",
    "cn-shanghai-finance-1",
    "cn-shenzhen",
    "cn-shenzhen-finance-1",
    "cn-wuhan-lr",
    "cn-wulanchabu",
    "cn-zhangjiakou",
    "cn-zhengzhou-jva",
    "eu-central-1",
    "eu-west-1",
    "me-central-1",
    "me-east-1",
    "us-east-1",
    "us-west-1",
)


def id_fault(text: str, prefix: str, *, example: str) -> str:
    """What is wrong with an id such as `vsw-bp1…`; empty = nothing that can be seen without the cloud."""
    if re.fullmatch(rf"{prefix}-[A-Za-z0-9_-]+", text):
        return ""
    return f"{text} is not an id; one begins with {prefix}-, as {example}"


def region_fault(region: str) -> str:
    """What is wrong with a region's id; empty = it is a known one."""
    if region in REGIONS:
        return ""
    near = difflib.get_close_matches(region.lower(), REGIONS, n=3, cutoff=0.6)
    advice = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(REGIONS)}"
    return f"{region} is not a region that this version knows; {advice}"
