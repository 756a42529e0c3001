"""What `vk-provider doctor` looks at in the cluster: each check one function that asks and judges, and never raises."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vk_provider.admission import policy, webhook
from vk_provider.cloud.base import Finding
from vk_provider.commands import permissions
from vk_provider.commands.cluster import (
    IDENTITY_ANNOTATION,
    virtual_nodes,
)
from vk_provider.commands.findings import Client, failed, ok, skipped, warning
from vk_provider.commands.terminal import duration
from vk_provider.config import Config, flag_of
from vk_provider.errors import KubeError, NotFound
from vk_provider.kube import paths
from vk_provider.snapshot.pods import instant

Json = dict[str, Any]

MOST_SKEW_S, LEASE_STALE_S = 10.0, 60.0
REVIEW = paths.group("authorization.k8s.io/v1", "selfsubjectaccessreviews")
DNS_TIMEOUT_S = 1.5
_MANIFEST = "kubectl apply -k deploy/overlays/… (deploy/base/vk-provider.yaml has the ClusterRole)"


async def api_server(client: Client) -> Finding:
    check = "API server"
    try:
        version = await client.get(paths.VERSION, timeout_s=5.0)
    except KubeError as error:
        if error.status == 401:
            fix = "renew the kubeconfig's credentials, or name another context with --kube-context"
            return failed(check, f"{client.server} does not know us: {error}", fix)
        fix = "see that it runs and that this host reaches it; --kubeconfig and --kube-context say which is meant"
        return failed(check, f"{client.server} does not answer: {error}", fix)
    return ok(check, f"{client.server} answers, Kubernetes {version.get('gitVersion') or '?'}")


async def clock(client: Client, now: datetime) -> Finding:
    check = "clock"
    try:
        told = await client.server_time(timeout_s=5.0)
    except KubeError as error:
        return skipped(check, f"the API server does not tell the time: {error}")
    if told is None:
        return skipped(check, "the API server does not tell the time")
    skew_s = (now - told).total_seconds()
    if abs(skew_s) <= MOST_SKEW_S:
        return ok(check, f"within {MOST_SKEW_S:.0f} s of the API server's")
    told_skew = (
        f"this machine's clock is {duration(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'} the API server's"
    )
    return failed(
        check, told_skew, "set it right (NTP); certificates, leases and signatures of cloud calls depend on it"
    )


async def rights(client: Client, lease: str) -> Sequence[Finding]:
    """One finding for all that are there, one for each resource of which some are not."""
    wanted = list(permissions.needed(lease))
    try:
        allowed = await asyncio.gather(*(_is_allowed(client, right) for right in wanted))
    except KubeError as error:
        return [skipped("permissions", f"the API server does not say what we may do: {error}")]
    missing: dict[str, list[permissions.Right]] = defaultdict(list)
    for right, is_allowed in zip(wanted, allowed, strict=True):
        if not is_allowed:
            missing[f"{right.group}/{right.resource}/{right.subresource}"].append(right)
    if not missing:
        return [ok("permissions", f"all {len(wanted)} that are needed are granted")]
    fix = f"grant them to the provider's ServiceAccount: {_MANIFEST}; as somebody else, run doctor as it"
    return [
        failed("permissions", f"may not {', '.join(map(str, each))}: {each[0].why}", fix) for each in missing.values()
    ]


async def _is_allowed(client: Client, right: permissions.Right) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": right.attributes()},
    }
    answer = await client.post(REVIEW, body, timeout_s=10.0)
    return (answer.get("status") or {}).get("allowed") is True


async def node(client: Client, name: str, cluster: str, now: datetime) -> Sequence[Finding]:
    """The Node object, its conditions and its heartbeat."""
    check = "node"
    try:
        found = await client.get(paths.node(name))
    except NotFound:
        return [await _without_node(client, name)]
    except KubeError as error:
        return [skipped(check, f"it cannot be read: {error}")]
    identity = (found["metadata"].get("annotations") or {}).get(IDENTITY_ANNOTATION, "")
    if not identity or (cluster and not identity.startswith(f"{cluster}/")):
        fix = f"choose another name with {flag_of('node_name')}, or take it over with {flag_of('adopt_node')}"
        return [failed(check, f"the node {name} is not one of ours (no {IDENTITY_ANNOTATION})", fix)]
    return [*_conditions(found), await _heartbeat(client, name, now)]


async def _without_node(client: Client, name: str) -> Finding:
    try:
        others = ", ".join(await virtual_nodes(client))
    except KubeError:
        others = ""
    fix = f"start the provider (vk-provider run), or name the node with {flag_of('node_name')}"
    return failed("node", f"there is no node {name}", f"{fix}: here are {others}" if others else fix)


def _conditions(found: Json) -> Sequence[Finding]:
    conditions = {each.get("type"): each for each in (found.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("status") != "True":
        told = f"NotReady: {ready.get('reason') or '?'}: {ready.get('message') or 'no word why'}"
        return [failed("node", told, "read the provider's log; kubectl describe node tells the events")]
    held = [
        each for each in conditions.values() if each.get("type") == "ProviderHealthy" and each.get("status") != "True"
    ]
    if held:
        return [
            failed("node", f"Ready, but {held[0].get('message')}", "read the provider's log for the loop that is named")
        ]
    if (found.get("spec") or {}).get("unschedulable"):
        return [
            warning("node", "Ready, but cordoned: no pod is sent here", "kubectl uncordon it when it may have pods")
        ]
    return [ok("node", "Ready")]


async def _heartbeat(client: Client, name: str, now: datetime) -> Finding:
    check = "heartbeat"
    try:
        lease = await client.get(paths.lease("kube-node-lease", name))
    except KubeError as error:
        return failed(
            check, f"the node's lease cannot be read: {error}", "see that the provider runs and may write leases"
        )
    renewed = instant(str((lease.get("spec") or {}).get("renewTime") or ""))
    age_s = (now - renewed).total_seconds() if renewed is not None else float("inf")
    if age_s > LEASE_STALE_S:
        told = f"the lease was renewed {duration(age_s)} ago" if renewed is not None else "the lease was never renewed"
        return failed(check, told, "see that the provider runs, leads, and reaches the API server")
    return ok(check, f"the lease was renewed {duration(age_s)} ago")


async def injection(client: Client) -> Finding:
    """Whether something sends labelled pods to the node."""
    check = "injection"
    by_policy, why_not_policy = await _get(client, POLICY_PATH)
    by_webhook, why_not_webhook = await _get(client, paths.mutating_webhook_configuration(webhook.NAME))
    if by_policy is not None:
        bindings, _ = await _get(client, BINDING_PATH)
        if bindings is None:
            fix = "kubectl apply -f deploy/placement/policy/policy.yaml"
            return failed(check, "the MutatingAdmissionPolicy has no binding, so it does nothing", fix)
        return ok(check, "a MutatingAdmissionPolicy sends labelled pods here")
    if by_webhook is not None:
        return _webhook(check, by_webhook)
    if why_not_policy == 403 or why_not_webhook == 403:
        return skipped(check, "you may not read what is registered", "run doctor as a cluster administrator")
    fix = "kubectl apply -f deploy/placement/policy/policy.yaml (1.36 and newer), or run with --webhook-address"
    return warning(check, "nothing sends labelled pods here: only pods with toleration and selector come", fix)


def _webhook(check: str, found: Json) -> Finding:
    hooks = [each for each in found.get("webhooks") or () if isinstance(each, dict)]
    lacking = [each for each in hooks if not (each.get("clientConfig") or {}).get("caBundle")]
    if not hooks or lacking:
        fix = "restart the provider with --webhook-address: it writes the webhook's certificate and configuration anew"
        return failed(check, "the webhook is registered without a CA, so the API server cannot call it", fix)
    return ok(check, f"a webhook with {len(hooks)} rules sends labelled pods here")


POLICY_PATH = paths.group("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", name=policy.NAME)
BINDING_PATH = paths.group("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", name=policy.NAME)


async def _get(client: Client, path: str) -> tuple[Json | None, int]:
    try:
        return await client.get(path), 200
    except KubeError as error:
        return None, error.status


async def dns(settings: Config) -> Sequence[Finding]:
    check = "DNS"
    if not settings.cluster_dns:
        fix = "set --cluster-dns to the address of the Service kube-dns (kubectl -n kube-system get service kube-dns)"
        return [warning(check, "no cluster DNS is set, so pods cannot resolve Services", fix)]
    name = f"kubernetes.default.svc.{settings.cluster_domain}"
    answers = await asyncio.gather(*(_resolves(address, name) for address in settings.cluster_dns))
    found = []
    for address, answer in zip(settings.cluster_dns, answers, strict=True):
        if answer is None:
            fix = "instances must reach it from the VPC (routes, security group, port 53); elsewhere this is no fault"
            found.append(warning(check, f"{address} does not answer from here", fix))
        elif not answer:
            fix = f"see --cluster-domain ({settings.cluster_domain}) and the cluster's CoreDNS"
            found.append(failed(check, f"{address} does not know {name}", fix))
        else:
            found.append(ok(check, f"{address} knows {name}"))
    return found


async def _resolves(server: str, name: str, port: int = 53) -> bool | None:
    """None: no answer. One question of type A over UDP (RFC 1035)."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Answer(answered), remote_addr=(server, port))
    except OSError:
        return None
    labels = b"".join(bytes([len(part)]) + part.encode("ascii", "ignore") for part in name.split("."))
    ident = os.urandom(2)
    transport.sendto(ident + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1))
    try:
        async with asyncio.timeout(DNS_TIMEOUT_S):
            answer = await answered
    except (TimeoutError, OSError):
        return None
    finally:
        transport.close()
    return len(answer) >= 12 and answer[:2] == ident and answer[3] & 0x0F == 0 and answer[6:8] != b"\0\0"


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 -- the socket is connected
        if not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc)


def now_utc() -> datetime:
    return datetime.now(UTC)
