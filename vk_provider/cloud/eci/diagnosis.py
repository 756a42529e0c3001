"""Whether ECI would take a pod as things are set up: asked by calls that change nothing.

A dry run of a create goes through every check that a create does, so it is the one true question about vSwitches,
security groups and the right to create. That a caller may list cannot be asked: without the right the list is empty
(eci.md 2.4). Source: eci.md 2.1, 2.9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from vk_provider.cloud.base import Finding, Verdict
from vk_provider.cloud.eci import calls, error_codes
from vk_provider.cloud.eci.credentials import Credentials
from vk_provider.cloud.eci.options import EciOptions
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudDenied, CloudError, CloudUnavailable, OutOfCapacity

Call = Callable[[EciRequest], Awaitable[Mapping[str, Any]]]

COMMON_SIZES = ((2, 4), (4, 8), (4, 16), (8, 16))  # vCPU, GiB
_IMAGE = "registry-vpc.{region}.aliyuncs.com/eci_open/busybox:1.30"
_NEARLY = 0.9  # of a quota
_CREDENTIALS, _RIGHTS, _QUOTA, _STOCK = "cloud credentials", "right to create", "quota", "stock"
_OF_NETWORK = (
    # what stands in the code, what it is about, what to do
    ("VSwitch", "vSwitch", EciOptions.flag_of("vswitch"), "the VPC console of this region and account lists them"),
    ("Vsw", "vSwitch", EciOptions.flag_of("zone"), "vSwitch and zone must go together; leave the zone out"),
    (
        "SecurityGroup",
        "security group",
        EciOptions.flag_of("security_group"),
        "it must be in the vSwitch's VPC; the ECS console lists them",
    ),
    (
        "ResourceGroup",
        "resource group",
        EciOptions.flag_of("resource_group"),
        "the resource management console lists them",
    ),
    ("Zone", "zone", EciOptions.flag_of("zone"), "leave it out to let the cloud choose"),
)
_FULL = ("IpNotEnough",)


class Diagnosis:
    """call: of the client. who: the credentials that are used, of which a part of the id is shown."""

    def __init__(self, settings: EciSettings, call: Call, who: Callable[[], Awaitable[Credentials]]) -> None:
        self._settings = settings
        self._call = call
        self._who = who

    async def run(self) -> Sequence[Finding]:
        access = await self._access()
        if access.verdict is not Verdict.OK:
            rest = (_RIGHTS, "vSwitch", "security group", _QUOTA, _STOCK)
            return [access, *(Finding(each, Verdict.SKIPPED, "the cloud cannot be asked yet") for each in rest)]
        others = await asyncio.gather(self._networks(), self._quota(), self._stock())
        return [access, *(finding for group in others for finding in group)]

    async def _access(self) -> Finding:
        try:
            who = _shown(await self._who())
            await self._call(calls.describe_groups(limit=1, with_events=False))
        except CloudDenied as error:
            fix = error_codes.hint(error.code) or "set another access key, or grant it AliyunECIFullAccess"
            return Finding(_CREDENTIALS, Verdict.FAILED, str(error), fix)
        except (CloudUnavailable, TimeoutError) as error:
            address = self._settings.base_url
            fix = f"see that {address} can be reached from here (DNS, routes, proxy), or set {_ENDPOINT}"
            return Finding(
                "cloud endpoint", Verdict.FAILED, f"{address} does not answer: {error or 'not in time'}", fix
            )
        except CloudError as error:
            return Finding("cloud endpoint", Verdict.FAILED, str(error), f"check {_ENDPOINT} and {_REGION}")
        return Finding(_CREDENTIALS, Verdict.OK, f"{who} is let in at {self._settings.base_url}")

    async def _networks(self) -> Sequence[Finding]:
        """One dry run for each vSwitch: of several the cloud would try the next and say nothing of the first."""
        switches = self._settings.vswitch_ids or ("",)
        answers = await asyncio.gather(*map(self._dry_run, switches))
        found = [
            finding for switch, error in zip(switches, answers, strict=True) for finding in self._judged(switch, error)
        ]
        return list(dict.fromkeys(found))

    async def _dry_run(self, switch: str) -> CloudError | None:
        try:
            await self._call(calls.dry_create(self._settings, switch, _IMAGE.format(region=self._settings.region)))
        except CloudError as error:
            return error
        except TimeoutError:
            return CloudUnavailable("not in time")
        return None

    def _judged(self, switch: str, error: CloudError | None) -> Iterator[Finding]:
        named = switch or "the region's default"
        group = self._settings.security_group_id or "the region's default"
        if error is None:
            yield Finding(_RIGHTS, Verdict.OK, "a dry run of a create passes")
            yield Finding("vSwitch", Verdict.OK, f"{named} takes instances")
            yield Finding("security group", Verdict.OK, f"{group} fits")
            return
        for part, what, flag, advice in _OF_NETWORK:
            if part in error.code or (part in str(error) and "NotFound" in error.code):
                if any(word in error.code for word in _FULL):
                    flag, advice = EciOptions.flag_of("vswitch"), "add another vSwitch, or one with more addresses"
                yield Finding(what, Verdict.FAILED, f"{named}: {error}", f"check {flag}: {advice}")
                return
        if isinstance(error, CloudDenied):
            fix = error_codes.hint(error.code) or "grant the account AliyunECIFullAccess, or the actions in the guide"
            yield Finding(_RIGHTS, Verdict.FAILED, str(error), fix)
        elif isinstance(error, OutOfCapacity):
            what = _STOCK if error_codes.is_about_stock(error.code) else _QUOTA
            yield Finding(what, Verdict.FAILED, str(error), _CAPACITY_FIX[what])
        else:
            yield Finding(_RIGHTS, Verdict.WARNING, f"a dry run of a create fails: {error}", "see what the cloud names")

    async def _quota(self) -> Sequence[Finding]:
        try:
            answer = await self._call(calls.list_usage(self._settings.region))
        except (CloudError, TimeoutError) as error:
            fix = "allow eci:ListUsage, or look at the quota in the console"
            return [Finding(_QUOTA, Verdict.WARNING, f"it cannot be read: {error or 'not in time'}", fix)]
        found = answer.get("Attributes")
        attributes: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        used, most = _number(attributes.get("UsedCpu")), _number(attributes.get("MaxCpu"))
        if not most:
            return [Finding(_QUOTA, Verdict.SKIPPED, "the cloud names none")]
        text = f"{used:g} of {most:g} vCPU are used"
        if used < most * _NEARLY:
            return [Finding(_QUOTA, Verdict.OK, text)]
        verdict = Verdict.FAILED if used >= most else Verdict.WARNING
        return [Finding(_QUOTA, verdict, text, _CAPACITY_FIX[_QUOTA])]

    async def _stock(self) -> Sequence[Finding]:
        answers = await asyncio.gather(*(self._is_in_stock(*size) for size in COMMON_SIZES), return_exceptions=True)
        errors = [each for each in answers if isinstance(each, BaseException)]
        if errors:
            if not isinstance(errors[0], CloudError | TimeoutError):
                raise errors[0]
            fix = "allow eci:DescribeAvailableResource; pods are created all the same"
            return [Finding(_STOCK, Verdict.WARNING, f"it cannot be read: {errors[0] or 'not in time'}", fix)]
        known = {
            f"{cpu}-{gib}": there for (cpu, gib), there in zip(COMMON_SIZES, answers, strict=True) if there is not None
        }
        missing = [size for size, there in known.items() if not there]
        if not known:
            return [Finding(_STOCK, Verdict.SKIPPED, "the cloud names none")]
        if not missing:
            return [Finding(_STOCK, Verdict.OK, f"{', '.join(known)} (vCPU-GiB) are in stock")]
        verdict = Verdict.FAILED if len(missing) == len(known) else Verdict.WARNING
        return [Finding(_STOCK, verdict, f"sold out: {', '.join(missing)} (vCPU-GiB)", _CAPACITY_FIX[_STOCK])]

    async def _is_in_stock(self, cpu: int, memory_gib: int) -> bool | None:
        """None: the cloud names nothing of that size."""
        answer = await self._call(calls.available_resource(self._settings, cpu, memory_gib))
        found = [each.get("StatusCategory") for each in _resources(answer)]
        return "WithStock" in found if found else None


def _resources(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for zone in _list(answer, "AvailableZones", "AvailableZone"):
        for kind in _list(zone, "AvailableResources", "AvailableResource"):
            yield from _list(kind, "SupportedResources", "SupportedResource")


def _list(value: Mapping[str, Any], outer: str, inner: str) -> Sequence[Mapping[str, Any]]:
    holder = value.get(outer)
    found = holder.get(inner) if isinstance(holder, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _shown(credentials: Credentials) -> str:
    """Enough to tell which key it is, and not the key."""
    key = credentials.access_key_id
    kind = "temporary access key" if credentials.security_token else "access key"
    return f"{kind} {key[:4]}…{key[-3:]}" if len(key) > 10 else kind


_ENDPOINT, _REGION = EciOptions.flag_of("endpoint"), EciOptions.flag_of("region")
_CAPACITY_FIX = {
    _QUOTA: "raise the region's vCPU quota in the quota centre, or delete what is not needed (vk-provider instances)",
    _STOCK: "name more vSwitches in other zones, several sizes by annotation (eci-use-specs), or another region",
}
