"""What ECI is told of a pod's users, rights, kernel settings, hosts and last words, by its parameters' wire names.

Pure. Source: eci.md 2.1; the vendor's class lacks most of these, and has the rest half.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vk_provider.cloud.eci.fitting import MAX_ALIASES, MAX_DNS_ITEMS, MAX_NAMES_OF_ALIAS
from vk_provider.errors import Refusal
from vk_provider.model.security import Security
from vk_provider.model.workload import Container, HostAlias, Workload

Parameter = tuple[str, str | int | bool]

SAFE_SYSCTLS = frozenset({"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"})
# What is set for the machine as a whole, which has but this pod. The exceptions under `net.` are not published (?), so
# the cloud decides about those.
_HOST_SYSCTL = re.compile(r"kernel\.(shm(?!_rmid_forced$)|msg)\w+|kernel\.sem|fs\.mqueue\.\w+|net\.[\w.\-/]+")


def parameters(workload: Workload) -> Iterator[Parameter]:
    for kind, containers in (("Container", workload.containers), ("InitContainer", workload.init_containers)):
        for number, container in enumerate(containers, 1):
            for name, value in _of_container(container, is_init=kind == "InitContainer"):
                yield f"{kind}.{number}.{name}", value
    if workload.share_process_namespace:
        yield "ShareProcessNamespace", True
    yield from _sysctls("SecurityContext", [item for item in workload.sysctls if item[0] in SAFE_SYSCTLS])
    yield from _sysctls("HostSecurityContext", [item for item in workload.sysctls if item[0] not in SAFE_SYSCTLS])
    for number, alias in enumerate(_lines(workload.host_aliases), 1):
        yield f"HostAliase.{number}.Ip", alias.ip
        for place, name in enumerate(alias.hostnames, 1):
            yield f"HostAliase.{number}.Hostname.{place}", name


def refusals(workload: Workload) -> Iterator[Refusal]:
    for index, (name, _) in enumerate(workload.sysctls):
        if name not in SAFE_SYSCTLS and not _HOST_SYSCTL.fullmatch(name):
            yield Refusal(
                f"spec.securityContext.sysctls[{index}].name",
                f"ECI cannot set {name}, only kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.*, and not"
                " kernel.shm_rmid_forced; leave it out",
            )
    if (lines := len(_lines(workload.host_aliases))) > MAX_ALIASES:
        yield Refusal(
            "spec.hostAliases",
            f"{lines} lines of at most {MAX_NAMES_OF_ALIAS} names; ECI takes {MAX_ALIASES}: use a name server",
        )
    if workload.dns is not None:
        for field, items in (("searches", workload.dns.searches), ("options", workload.dns.options)):
            if len(items) > MAX_DNS_ITEMS:
                yield Refusal(f"spec.dnsConfig.{field}", f"{len(items)} in all; ECI takes at most {MAX_DNS_ITEMS}")


def _of_container(container: Container, *, is_init: bool) -> Iterator[Parameter]:
    yield from _security(container.security, is_init=is_init)
    if container.termination_path:
        yield "TerminationMessagePath", container.termination_path
    if container.termination_policy:
        yield "TerminationMessagePolicy", container.termination_policy


def _security(security: Security, *, is_init: bool) -> Iterator[Parameter]:
    for place, name in enumerate(security.added_capabilities, 1):
        yield f"SecurityContext.Capability.Add.{place}", name
    if security.read_only_root:
        yield "SecurityContext.ReadOnlyRootFilesystem", True
    if security.run_as_user is not None:
        yield "SecurityContext.RunAsUser", security.run_as_user
    if is_init:
        return  # whose parameters end here
    if security.run_as_group is not None:
        yield "SecurityContextRunAsGroup", security.run_as_group
    if security.run_as_non_root:
        yield "SecurityContextRunAsNonRoot", True


def _sysctls(kind: str, sysctls: Sequence[tuple[str, str]]) -> Iterator[Parameter]:
    for number, (name, value) in enumerate(sysctls, 1):
        yield f"{kind}.Sysctl.{number}.Name", name
        yield f"{kind}.Sysctl.{number}.Value", value


def _lines(aliases: Sequence[HostAlias]) -> Sequence[HostAlias]:
    """The same names in lines that are not too long."""
    return [
        HostAlias(alias.ip, alias.hostnames[first : first + MAX_NAMES_OF_ALIAS])
        for alias in aliases
        for first in range(0, len(alias.hostnames), MAX_NAMES_OF_ALIAS)
    ]
