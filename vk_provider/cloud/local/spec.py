"""A workload as a supervisor reads it, and what of a workload this host cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vk_provider.cloud.local import state
from vk_provider.errors import Refusal
from vk_provider.model.notice import Notice
from vk_provider.model.probe import Exec, HttpGet, Probe
from vk_provider.model.workload import Container, FromPodIP, Volume, Workload, with_paths

Json = dict[str, Any]
MOST_CPU, MOST_MEMORY_GIB = 1024, 4096.0  # beyond any one host


def refusals(workload: Workload) -> Sequence[Refusal]:
    """All that would be dropped otherwise."""
    found = [each for path, container in with_paths(workload) for each in _of_container(container, path)]
    if (workload.cpu or 0) > MOST_CPU or (workload.memory_gib or 0) > MOST_MEMORY_GIB:
        found.append(Refusal("spec.containers", f"no host has {workload.cpu} CPUs and {workload.memory_gib} GiB"))
    if workload.share_process_namespace:
        found.append(Refusal("spec.shareProcessNamespace", "containers have processes of their own; leave it out"))
    if workload.sysctls:
        found.append(Refusal("spec.securityContext.sysctls", "the host's are not changed for a pod; leave them out"))
    return tuple(found)


def _of_container(container: Container, path: str) -> Iterator[Refusal]:
    if not container.command:
        yield Refusal(f"{path}.command", "images are not pulled here, so no entry point is known; give the command")
    if container.gpus:
        yield Refusal(f"{path}.resources", "this host offers no GPUs")
    if container.tty or container.stdin:
        yield Refusal(f"{path}.{'tty' if container.tty else 'stdin'}", "nobody can attach to it here; leave it out")
    security = container.security
    if security.run_as_user or security.run_as_group or security.run_as_non_root:
        yield Refusal(
            f"{path}.securityContext", "processes are root of their own namespace and nobody else; leave it out"
        )
    if security.added_capabilities:
        yield Refusal(f"{path}.securityContext.capabilities", "none can be had over this host; leave them out")
    for name, hook in (("postStart", container.post_start), ("preStop", container.pre_stop)):
        if hook is not None:
            yield Refusal(f"{path}.lifecycle.{name}", "hooks are not run here; let the command do it")


def notices(workload: Workload) -> Sequence[Notice]:
    named = [each.name for each in (*workload.init_containers, *workload.containers) if each.cpu or each.memory_gib]
    limited = [each.name for each in workload.volumes if each.empty_dir is not None and each.empty_dir.size_mib]
    if not named and not limited:
        return ()
    what = f"CPU and memory of {', '.join(named)}" if named else f"the size of {', '.join(limited)}"
    return (Notice("LimitsNotApplied", f"{what} are not limited: containers here are processes of the host"),)


def lay_out(workload: Workload, directory: Path, address: str, backoff_s: float) -> None:
    """Everything that the supervisor needs. The spec is written last."""
    for volume in workload.volumes:
        _write(volume, directory / "volumes" / volume.name)
    for container in (*workload.init_containers, *workload.containers):
        (directory / container.name).mkdir(exist_ok=True)
        for mount in container.mounts:
            if mount.sub_path and not (place := directory / "volumes" / mount.volume / mount.sub_path).exists():
                place.mkdir(parents=True)
    hosts = ["127.0.0.1 localhost", "::1 localhost", f"{address} {workload.hostname}"]
    hosts += [f"{each.ip} {' '.join(each.hostnames)}" for each in workload.host_aliases]
    state.write(
        directory / state.SPEC,
        {
            "owner": asdict(workload.owner),
            "made_of": asdict(workload.made_of),
            "attempt": workload.attempt,
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cpu": workload.cpu or 0,
            "memory_gib": workload.memory_gib or 0,
            "address": address,
            "restart_policy": workload.restart_policy,
            "grace_s": workload.termination_grace_s,
            "backoff_s": backoff_s,
            "hostname": workload.hostname,
            "hosts": "".join(f"{line}\n" for line in hosts),
            "resolver": _resolver(workload),
            "init_containers": [_container(each, address) for each in workload.init_containers],
            "containers": [_container(each, address) for each in workload.containers],
        },
    )


def _write(volume: Volume, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for file in volume.files or ():
        path = place / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)


def _resolver(workload: Workload) -> str:
    """Empty: the host's own."""
    dns = workload.dns
    if dns is None:
        return ""
    lines = [f"nameserver {each}" for each in dns.nameservers]
    lines += [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += (
        [f"options {' '.join(f'{name}:{value}' if value else name for name, value in dns.options)}"]
        if dns.options
        else []
    )
    return "".join(f"{line}\n" for line in lines)


def _container(container: Container, address: str) -> Json:
    return {
        "name": container.name,
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": [(name, address if isinstance(value, FromPodIP) else str(value)) for name, value in container.env],
        "working_dir": container.working_dir,
        "mounts": [asdict(each) for each in container.mounts],
        "message_path": container.termination_path or "/dev/termination-log",
        "read_only_root": container.security.read_only_root,
        "sidecar": container.sidecar,
        "readiness": _probe(container.readiness),
        "liveness": _probe(container.liveness),
    }


def _probe(probe: Probe | None) -> Json | None:
    if probe is None:
        return None
    asked = probe.handler
    reported: Json = {"command": list(asked.command)} if isinstance(asked, Exec) else {"port": asked.port}
    if isinstance(asked, HttpGet):
        reported |= {"path": asked.path, "scheme": asked.scheme, "headers": dict(asked.headers)}
    names = ("initial_delay_s", "period_s", "timeout_s", "success_threshold", "failure_threshold")
    return {**reported, **{name: getattr(probe, name) for name in names}}
