"""The resolver settings of a pod, from its dnsPolicy and dnsConfig (contract S32)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.model.pod import Json
from vk_provider.model.workload import Dns, Notice
from vk_provider.translate.node_context import NodeContext

MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048


def resolver(pod: Json, namespace: str, context: NodeContext) -> tuple[Dns | None, Sequence[Notice]]:
    """What to write into the instance, None = leave it the cloud's resolver; and what the owner should hear of.

    Raises UnsupportedPod when `dnsConfig` would have to be added to the cloud's resolver, which we do not know.
    """
    policy, config = pod["spec"].get("dnsPolicy") or "ClusterFirst", pod["spec"].get("dnsConfig") or {}
    if policy == "Default":
        return None, ()
    if policy == "None":
        return _limited(_merged(Dns(), config))
    if context.cluster_dns:
        return _limited(_added(_merged(_cluster_first(namespace, context), config), namespace, context, config))
    if any(config.values()):
        raise UnsupportedPod(
            [Refusal("spec.dnsConfig", "nothing can be added to the cloud's own resolver; use dnsPolicy None")]
        )
    return None, (_missing_cluster_dns(pod, namespace, policy),)


def _cluster_first(namespace: str, context: NodeContext) -> Dns:
    domain = context.cluster_domain
    searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
    return Dns(tuple(context.cluster_dns), searches, (("ndots", "5"),))


def _added(dns: Dns, namespace: str, context: NodeContext, config: Json) -> Dns:
    """With what of it is only there because the pod is on this cluster."""
    ours = _cluster_first(namespace, context)
    named = {item["name"] for item in config.get("options") or ()}
    return replace(
        dns,
        added_searches=tuple(each for each in ours.searches if each not in (config.get("searches") or ())),
        added_options=tuple(name for name, _ in ours.options if name not in named),
    )


def _merged(base: Dns, config: Json) -> Dns:
    options = dict(base.options) | {item["name"]: item.get("value") or "" for item in config.get("options") or ()}
    return Dns(
        nameservers=_unique((*base.nameservers, *(config.get("nameservers") or ()))),
        searches=_unique((*base.searches, *(config.get("searches") or ()))),
        options=tuple(options.items()),
    )


def _limited(dns: Dns) -> tuple[Dns, Sequence[Notice]]:
    """Cut to what a resolver reads; what is cut is told."""
    notices = []
    nameservers, searches = dns.nameservers[:MAX_NAMESERVERS], _fitting(dns.searches[:MAX_SEARCHES])
    if nameservers != dns.nameservers:
        notices.append(_omitted("Nameserver limits were exceeded, some nameservers", "nameserver", nameservers))
    if searches != dns.searches:
        notices.append(_omitted("Search Line limits were exceeded, some search paths", "search", searches))
    return replace(dns, nameservers=nameservers, searches=searches), notices


def _fitting(searches: Sequence[str]) -> Sequence[str]:
    fitting, length = [], -1
    for search in searches:
        length += len(search) + 1
        if length > MAX_SEARCH_CHARACTERS:
            break
        fitting.append(search)
    return tuple(fitting)


def _omitted(what: str, line: str, applied: Sequence[str]) -> Notice:
    return Notice("DNSConfigForming", f"{what} have been omitted, the applied {line} line is: {' '.join(applied)}")


def _missing_cluster_dns(pod: Json, namespace: str, policy: str) -> Notice:
    meta = pod["metadata"]
    message = (
        f'pod: "{meta["name"]}_{namespace}({meta.get("uid") or ""})". kubelet does not have ClusterDNS IP configured '
        f'and cannot create Pod using "{policy}" policy. Falling back to "Default" policy.'
    )
    return Notice("MissingClusterDNS", message)


def _unique(words: Iterable[str]) -> Sequence[str]:
    return tuple(dict.fromkeys(words))
