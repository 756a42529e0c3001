"""What `vk-provider doctor` learns of a provider that runs: by its own words, and by a real log of one of its pods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from vk_provider.cloud.base import Finding
from vk_provider.commands.cluster import NoAnswer, NoProvider, snapshot_of
from vk_provider.commands.findings import Client, failed, ok, skipped, warning
from vk_provider.commands.terminal import duration
from vk_provider.config import flag_of
from vk_provider.errors import KubeError
from vk_provider.kube import paths
from vk_provider.model import pod as pods
from vk_provider.snapshot.document import Snapshot
from vk_provider.snapshot.pods import instant

SOON_S = 7 * 86_400.0
LOG_TIMEOUT_S, MOST_QUEUED_S = 8.0, 60.0
_MOST_PODS = 500
NOT_FOUND = 404


async def provider(client: Client, name: str, now: datetime) -> Sequence[Finding]:
    """The kubelet API through the API server, and what the provider says of itself."""
    check = "kubelet API"
    try:
        shot = await snapshot_of(client, name)
    except NoProvider:
        return [await _without_provider(client, name)]
    except NoAnswer as error:
        fix = (
            f"open the kubelet port from the API server to the node's address ({flag_of('node_ip')},"
            f" {flag_of('kubelet_port')}: security group, firewall, NetworkPolicy); see that the provider runs"
        )
        if "right to get nodes/proxy" in str(error):
            return [skipped(check, str(error), "run doctor as somebody who may get nodes/proxy")]
        return [failed(check, str(error), fix)]
    found = [ok(check, "the provider answers through the API server")]
    for each in shot.checks:
        if not each.is_healthy:
            fix = "read the provider's log for this check; where it stays, restart the provider"
            found.append(failed(f"health: {each.name}", f"{each.message} (for {duration(each.age_s)})", fix))
    if shot.cloud.is_healthy is False:
        fix = "see the cloud checks below; the provider goes on by itself once the cloud answers"
        found.append(failed("cloud, as the provider sees it", f"{shot.cloud.reason}: {shot.cloud.message}", fix))
    found.append(_certificate(shot, now))
    if shot.instances.orphans_total:
        fix = "they are deleted by themselves once they are old enough; else vk-provider instances --delete-orphans"
        found.append(warning("orphans", f"{shot.instances.orphans_total} instances have no pod and cost money", fix))
    if shot.queue.oldest_s > MOST_QUEUED_S:
        fix = "see calls/min of vk-provider status for a limit that is used up, and vk_reconcile_failures_total"
        found.append(warning("queue", f"the next pod has been in line for {shot.queue.oldest_s:.0f} s", fix))
    return [*found, *_leadership(shot)]


async def _without_provider(client: Client, name: str) -> Finding:
    check = "kubelet API"
    try:
        await client.get(paths.node(name))
    except KubeError as error:
        told = "there is no such node" if error.status == NOT_FOUND else f"the node cannot be read: {error}"
        return skipped(check, f"{told}, so nobody can be asked")
    fix = (
        f"see that {flag_of('node_ip')} and {flag_of('kubelet_port')} are this provider's own, and that it is of this"
        " version"
    )
    return failed(check, "what answers at the node's address is no provider of ours", fix)


def _certificate(shot: Snapshot, now: datetime) -> Finding:
    check = "serving certificate"
    ends = instant(shot.certificate_expires_at)
    if ends is None:
        return skipped(check, "the provider does not tell when it ends")
    left_s = (ends - now).total_seconds()
    if left_s <= 0:
        fix = f"renew the files of {flag_of('tls_cert_file')}, or approve the node's request (kubectl get csr)"
        return failed(check, f"it ended at {shot.certificate_expires_at}", fix)
    if shot.is_certificate_self_signed:
        fix = "kubectl get csr; kubectl certificate approve NAME, or give files with --tls-cert-file"
        return warning(check, "it is self-signed: an API server that verifies refuses logs and exec", fix)
    if left_s < SOON_S:
        fix = "see that somebody approves certificate requests of the node (kubectl get csr), or renew the files"
        return warning(check, f"it ends in {duration(left_s)}", fix)
    return ok(check, f"signed, good until {shot.certificate_expires_at}")


async def log_through(client: Client, name: str) -> Finding:
    """A real log of a real pod, by the way that kubectl takes."""
    check = "logs"
    params = {"fieldSelector": f"spec.nodeName={name}", "limit": str(_MOST_PODS)}
    try:
        found = (await client.get(paths.pods(), params=params)).get("items") or ()
    except KubeError as error:
        return skipped(check, f"the node's pods cannot be listed: {error}")
    chosen = next((pod for pod in found if pods.phase_of(pod) == "Running" and not pods.is_deleting(pod)), None)
    if chosen is None:
        return skipped(check, "no pod runs on the node, so there is no log to fetch", "start one and run doctor again")
    meta, container = chosen["metadata"], pods.containers_of(chosen)[0]["name"]
    path = paths.core("pods", namespace=meta["namespace"], name=meta["name"], subresource="log")
    try:
        await client.read_text(path, params={"container": container, "tailLines": "1"}, timeout_s=LOG_TIMEOUT_S)
    except KubeError as error:
        named = f"{meta['namespace']}/{meta['name']}"
        if error.status == 403:
            return skipped(check, f"you may not read the log of {named}", "run doctor as somebody who may get pods/log")
        fix = "the API server must reach the kubelet port and trust its certificate; see kubelet API and certificate"
        return failed(check, f"the log of {named} cannot be fetched: {error}", fix)
    return ok(check, f"the log of {meta['namespace']}/{meta['name']} was fetched through the API server")


def _leadership(shot: Snapshot) -> Sequence[Finding]:
    """Where there is an election: who leads."""
    known, check = shot.leadership, "leadership"
    if not known.lease:
        return []
    if known.is_leader:
        return [ok(check, f"{known.identity or 'this replica'} leads by lease {known.lease}")]
    namespace, _, name = known.lease.partition("/")
    fix = f"kubectl -n {namespace} get lease {name}; see that a replica runs and reaches the API server"
    return [failed(check, "no replica leads", fix)]
