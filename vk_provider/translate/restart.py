"""Restart policies of single containers, beside the one that an instance has for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar, restart_policy
from vk_provider.model.workload import Notice

_BY_RESTARTS = ("Never", "OnFailure", "Always")


def is_less(pod: Json, container: Json, *, is_init: bool) -> bool:
    """Whether the container's own policy allows fewer restarts than the pod's."""
    return _difference(pod, container, is_init=is_init) < 0


def notices(pod: Json) -> Sequence[Notice]:
    """One for each container that will be restarted less often than it asks for."""
    return tuple(_notices(pod))


def _notices(pod: Json) -> Iterator[Notice]:
    inits = [(container, True) for container in init_containers_of(pod)]
    for container, is_init in [*inits, *((container, False) for container in containers_of(pod))]:
        asked = ["restartPolicy"] if _difference(pod, container, is_init=is_init) > 0 else []
        asked += ["restartPolicyRules"] if container.get("restartPolicyRules") else []
        if asked:
            yield Notice(
                "RestartRulesNotApplied",
                f"{' and '.join(asked)} of the container not applied: an instance has one restart policy for all its"
                f" containers, here {restart_policy(pod)}; it is restarted by that alone",
                container["name"],
            )


def _difference(pod: Json, container: Json, *, is_init: bool) -> int:
    """Over 0: it wants more restarts than the pod's policy gives. Init containers are never begun again after 0."""
    own = container.get("restartPolicy")
    if not own or own not in _BY_RESTARTS or (is_init and is_sidecar(container)):
        return 0
    pods = restart_policy(pod)
    if is_init and pods == "Always":
        pods = "OnFailure"
    return _BY_RESTARTS.index(own) - _BY_RESTARTS.index(pods) if pods in _BY_RESTARTS else 0
