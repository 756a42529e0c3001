"""A container's probes and hooks, and who asks what: the cloud where it can, the provider where it cannot.

A cloud asks readiness and liveness from inside the instance, as far as its `ProbeSupport` goes, and restarts a
container that fails. No cloud is asked to hold others up for a startup probe. So, of one without gRPC and headers:

| probe                                     | who asks                                                                |
|-------------------------------------------|-------------------------------------------------------------------------|
| readiness                                 | the cloud; the provider for gRPC and for headers                        |
| startup                                   | the provider; readiness counts only once it has succeeded. Of a sidecar |
|                                           | too, though the cloud starts the containers without waiting for it      |
| liveness                                  | the cloud                                                               |
| liveness by gRPC, with headers            | the provider                                                            |
| liveness beside a startup probe           | the provider where a restart hits that container alone, else the cloud, |
|                                           | from the end of the whole startup window on                             |

A restart that the provider has to cause is one of the whole instance: every container and every emptyDir begins anew;
where nothing is to be restarted, the whole instance ends. Where that is more than the container, a notice says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from vk_provider.model.notice import Notice
from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar, named_port, restart_policy
from vk_provider.model.probe import Duties, Exec, Grpc, Handler, HttpGet, Probe, ProbeSupport, TcpSocket

NOTHING = Duties()
_KINDS = ("startup", "liveness", "readiness")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


@dataclass(frozen=True, slots=True)
class Health:
    """The probes of one container, by who asks them. delayed: the cloud's liveness probe waits for a startup window."""

    readiness: Probe | None = None
    liveness: Probe | None = None
    duties: Duties = NOTHING
    delayed: bool = False


def health(pod: Json, container: Json, cloud: ProbeSupport) -> Health:
    """cloud: what it asks by itself."""
    startup, readiness, liveness = (probe(container, f"{kind}Probe") for kind in ("startup", "readiness", "liveness"))
    ours = Duties(
        startup=startup,
        readiness=None if readiness is None or cloud.includes(readiness.handler) else readiness,
        liveness=liveness if liveness is not None and _is_our_liveness(pod, startup, liveness, cloud) else None,
    )
    left = liveness if ours.liveness is None else None
    if left is not None and startup is not None:
        left = replace(left, initial_delay_s=max(left.initial_delay_s, window_s(startup)))
    return Health(
        readiness=readiness if ours.readiness is None else None,
        liveness=left,
        duties=ours,
        delayed=left is not None and startup is not None,
    )


def provider_probes(pod: Json, cloud: ProbeSupport) -> Mapping[str, Duties]:
    """What the provider has to ask, by container; those without a question are left out. cloud: what it asks itself."""
    found = {}
    for each in (*filter(is_sidecar, init_containers_of(pod)), *containers_of(pod)):
        if has_probes(each) and (duties := health(pod, each, cloud).duties):
            found[each["name"]] = duties
    return found


def has_probes(container: Json) -> bool:
    return bool(container.get("startupProbe") or container.get("readinessProbe") or container.get("livenessProbe"))


def _is_our_liveness(pod: Json, startup: Probe | None, liveness: Probe, cloud: ProbeSupport) -> bool:
    return not cloud.includes(liveness.handler) or (startup is not None and restarts_alone(pod))


def restarts_alone(pod: Json) -> bool:
    """Whether a restart of the whole instance is one of its only container, and loses no file that should stay."""
    if len(containers_of(pod)) != 1 or any(is_sidecar(each) for each in init_containers_of(pod)):
        return False
    if restart_policy(pod) == "Never":
        return True  # what is ended so is not begun again
    return not any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())


def window_s(startup: Probe) -> int:
    """How long a container may take to start, by its startup probe."""
    return startup.initial_delay_s + startup.period_s * startup.failure_threshold + startup.timeout_s


def notices(pod: Json, container: Json, found: Health) -> Iterator[Notice]:
    """Where a probe of one container is carried in another way than a kubelet's."""
    name = container["name"]
    if found.delayed and found.liveness is not None:
        yield Notice(
            "LivenessProbeDelayed",
            f"Liveness probe begins {found.liveness.initial_delay_s}s after the start, which is when the time that"
            " startupProbe allows has passed: the cloud knows no startup probe",
            name,
        )
    if found.duties.startup is not None and any(container is each for each in init_containers_of(pod)):
        yield Notice(
            "SidecarNotAwaited",
            "the containers start together with this sidecar and do not wait for its startupProbe: the cloud cannot"
            " hold them back",
            name,
        )
    if not restarts_alone(pod):
        for kind in ("startup", "liveness"):
            if getattr(found.duties, kind) is not None:
                yield _of_failure(pod, kind, name)
    yield from _own_graces(pod, container)


def _of_failure(pod: Json, kind: str, name: str) -> Notice:
    """What else comes to an end with a container that fails a probe of ours."""
    if restart_policy(pod) == "Never":
        return Notice(
            f"{kind.capitalize()}ProbeEndsAll",
            f"should {kind}Probe fail for good, the whole pod ends: the cloud restarts no single container, and the"
            " pod's others are not to be restarted",
            name,
        )
    return Notice(
        f"{kind.capitalize()}ProbeRestartsAll",
        f"should {kind}Probe fail for good, the whole instance is restarted, with all containers and emptyDir"
        " volumes anew: the cloud restarts no single container on request",
        name,
    )


def _own_graces(pod: Json, container: Json) -> Iterator[Notice]:
    pods = pod["spec"].get("terminationGracePeriodSeconds")
    pods = 30 if pods is None else pods
    stated = {kind: (container.get(f"{kind}Probe") or {}).get("terminationGracePeriodSeconds") for kind in _KINDS}
    own = [f"{kind}Probe" for kind, grace_s in stated.items() if grace_s not in (None, pods)]
    if own:
        yield Notice(
            "ProbeGraceNotApplied",
            f"terminationGracePeriodSeconds of {' and '.join(own)} not applied: an instance has one grace period, that"
            f" of the pod, {pods}s",
            container["name"],
        )


# --- hooks ------------------------------------------------------------------------------------------------------------


def hook(container: Json, name: str) -> Handler | None:
    """name: postStart or preStop. None also for a sleep, which is nothing that the cloud could do."""
    return handler(container, (container.get("lifecycle") or {}).get(name) or {})


def stop_delay_s(pod: Json) -> int:
    """Seconds that the pod sleeps before it is stopped: the longest preStop sleep, within its grace period.

    The cloud has no such hook, so the provider asks for the end that much later.
    """
    hooks = [
        (each.get("lifecycle") or {}).get("preStop") or {} for each in (*init_containers_of(pod), *containers_of(pod))
    ]
    return max(0, *(int((hook.get("sleep") or {}).get("seconds") or 0) for hook in hooks))


# --- reading ----------------------------------------------------------------------------------------------------------


def probe(container: Json, field: str) -> Probe | None:
    """With Kubernetes' defaults, which an API server has written out already."""
    stated = container.get(field) or {}
    asked = handler(container, stated)
    if asked is None:
        return None
    return Probe(
        handler=asked,
        initial_delay_s=stated.get("initialDelaySeconds") or 0,
        period_s=stated.get("periodSeconds") or 10,
        timeout_s=stated.get("timeoutSeconds") or 1,
        success_threshold=stated.get("successThreshold") or 1,
        failure_threshold=stated.get("failureThreshold") or 3,
    )


def handler(container: Json, stated: Json) -> Handler | None:
    if stated.get("exec"):
        return Exec(tuple(stated["exec"].get("command") or ()))
    if stated.get("httpGet"):
        return _http_get(container, stated["httpGet"])
    if stated.get("tcpSocket"):
        socket = stated["tcpSocket"]
        return TcpSocket(port=named_port(container, socket["port"]) or 0, host=socket.get("host") or "")
    if stated.get("grpc"):
        return Grpc(port=stated["grpc"]["port"], service=stated["grpc"].get("service") or "")
    return None


def _http_get(container: Json, stated: Json) -> HttpGet:
    return HttpGet(
        port=named_port(container, stated["port"]) or 0,
        path=stated.get("path") or "/",
        scheme=stated.get("scheme") or "HTTP",
        host=stated.get("host") or "",
        headers=tuple((each["name"], each.get("value") or "") for each in stated.get("httpHeaders") or ()),
    )
