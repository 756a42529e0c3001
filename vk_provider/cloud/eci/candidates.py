"""What an instance can be made on: the sizes and types that a pod may have, in the order in which they are tried.

Pure. One pod has one list of choices, worked out anew from its annotations and our settings each time; the attempt that
a workload carries counts along it, and begins again after the last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vk_provider.cloud.eci import annotations as keys
from vk_provider.cloud.eci import sizes, skus
from vk_provider.cloud.eci.annotation_values import SIZE_SPEC, is_on, parts
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.sizes import Size
from vk_provider.cloud.eci.skus import NO_SPOT
from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.model.pod import Json
from vk_provider.model.workload import Intent, Workload, with_paths

FREE_STORAGE_GIB = 30  # temporary storage that an instance has without asking (eci.md 5.3)
_GPU_TYPE = re.compile(r"ecs\.(gn|vgn|sgn|ebmgn)[a-z0-9-]+\..+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to carry a pod. size: None where we do not know what the type has. types: ECS types; none = by size."""

    size: Size | None
    types: Sequence[str] = ()
    spot: str = NO_SPOT
    storage_gib: int = 0  # beside what is free

    @property
    def spec(self) -> str:
        """As the vendor writes it on pods: `2.0-4.0Gi`, or the first type."""
        return self.types[0] if self.types else skus.spec_of(self.size or sizes.DEFAULT)

    @property
    def sku(self) -> str:
        """What is billed, in one word."""
        return skus.text(self.spec, spot=self.spot, storage_gib=self.storage_gib)


def candidates_of(workload: Workload, settings: EciSettings) -> Sequence[Candidate]:
    """At least one. Raises UnsupportedPod, naming all of the pod that no instance can have."""
    found, refusals = examined(workload, settings)
    if refusals:
        raise UnsupportedPod(refusals)
    return found


def examined(workload: Workload, settings: EciSettings) -> tuple[Sequence[Candidate], Sequence[Refusal]]:
    """One choice for each candidate of `intent`, and what speaks against them; complete only without any of that."""
    refusals: list[Refusal] = []
    found: list[Candidate] = []
    storage_gib = _extra_storage_gib(workload, refusals)
    for spot, spec in _candidates(workload.annotations, settings):
        try:
            found.append(_of_candidate(workload, settings, spot, spec, storage_gib))
        except UnsupportedPod as error:
            refusals += error.refusals
    if _gpus(workload) and not _may_have_gpus(workload.annotations, settings):
        refusals += [Refusal(path, _GPU_ADVICE) for path in _gpu_fields(workload)]
    return tuple(found), tuple(dict.fromkeys(refusals))


def selected(workload: Workload, settings: EciSettings) -> Candidate:
    """The one that the workload's attempt stands for."""
    found = candidates_of(workload, settings)
    return found[workload.attempt % len(found)]


def intent(pod: Json, settings: EciSettings) -> Intent:
    """What a pod wants, by its annotations and our settings; never raises, whatever they hold."""
    given = {key: str(text) for key, text in (pod["metadata"].get("annotations") or {}).items() if text}
    return Intent(len(_candidates(given, settings)), keys.on_no_capacity(given))


def _candidates(given: Mapping[str, str], settings: EciSettings) -> Sequence[tuple[str, str]]:
    """Spot strategy and spec of each way, no way twice; an empty spec where none is named in `eci-use-specs`."""
    strategy = given.get(keys.SPOT, "").strip() or settings.spot_strategy or NO_SPOT
    spots = [strategy, NO_SPOT] if is_on(given.get(keys.SPOT_FALLBACK, "")) else [strategy]
    specs: dict[str, str] = {}
    for text in parts(given.get(keys.SPECS, "")):
        specs.setdefault(_same(text), text)
    return [(spot, spec) for spot in dict.fromkeys(spots) for spec in specs.values() or ("",)]


def _same(spec: str) -> str:
    """One text for all spellings of a spec."""
    match = SIZE_SPEC.fullmatch(spec)
    return f"{float(match[1])}-{float(match[2])}" if match else spec


def _of_candidate(workload: Workload, settings: EciSettings, spot: str, spec: str, storage_gib: int) -> Candidate:
    given = workload.annotations
    if spec:
        return _of_spec(spec, workload, settings, spot, storage_gib)
    if types := given.get(keys.TYPE) or given.get(keys.OLD_TYPE):
        key = keys.TYPE if given.get(keys.TYPE) else keys.OLD_TYPE
        return _of_types(parts(types), workload, spot, storage_gib, field=_annotation(key))
    if _gpus(workload) and settings.gpu_instance_types:
        return _of_types(settings.gpu_instance_types, workload, spot, storage_gib, field="--eci-gpu-instance-type")
    cpu, memory_gib = _need(workload)
    size = sizes.fit(cpu, memory_gib, settings.region, standard_only=spot != NO_SPOT)
    return Candidate(size, spot=spot, storage_gib=storage_gib)


def _gpus(workload: Workload) -> int:
    return sum(one.gpus for one in workload.containers) or max(
        (one.gpus for one in workload.init_containers), default=0
    )


def _need(workload: Workload) -> tuple[float | None, float | None]:
    """vCPU and GiB to be rounded up. What ECI gives a group that says nothing is the least where a container says
    nothing: it may need that much, however little the others ask for."""
    cpu, memory_gib = workload.cpu, workload.memory_gib
    return (
        max(cpu or 0.0, sizes.DEFAULT.cpu) if workload.cpu_open else cpu,
        max(memory_gib or 0.0, sizes.DEFAULT.memory_gib) if workload.memory_open else memory_gib,
    )


def _of_spec(text: str, workload: Workload, settings: EciSettings, spot: str, storage_gib: int) -> Candidate:
    match = SIZE_SPEC.fullmatch(text)
    field = _annotation(keys.SPECS)
    if match is None:
        return _of_types([text], workload, spot, storage_gib, field=field)
    wanted = Size(float(match[1]), float(match[2]))
    on_sale = sizes.rows(settings.region, standard_only=spot != NO_SPOT)
    if wanted.memory_gib not in on_sale.get(wanted.cpu, ()):
        among = " for spot instances" if spot != NO_SPOT else ""
        raise UnsupportedPod(
            [Refusal(field, f"{text} is not on sale in {settings.region}{among}; {_nearest(wanted, on_sale)}")]
        )
    _must_hold(wanted, text, workload, field)
    return Candidate(wanted, spot=spot, storage_gib=storage_gib)


def _nearest(wanted: Size, on_sale: sizes.Rows) -> str:
    larger = [
        Size(cpu, gib)
        for cpu, memories in on_sale.items()
        for gib in memories
        if cpu >= wanted.cpu and gib >= wanted.memory_gib
    ]
    if not larger:
        return "nor is anything larger"
    size = min(larger, key=lambda one: (one.cpu, one.memory_gib))
    return f"the next larger is {size.cpu:g}-{size.memory_gib:g}Gi"


def _of_types(types: Sequence[str], workload: Workload, spot: str, storage_gib: int, *, field: str) -> Candidate:
    known = [skus.size_of_type(one) for one in types]
    for name, size in zip(types, known, strict=True):
        if size is not None:
            _must_hold(size, name, workload, field)
    return Candidate(known[0], tuple(types), spot, storage_gib)


def _must_hold(size: Size, name: str, workload: Workload, field: str) -> None:
    """The containers' own values have to fit into a size that is given for all of them (eci.md 5.2)."""
    needed = Size(workload.cpu or 0, workload.memory_gib or 0)
    if needed.cpu > size.cpu or needed.memory_gib > size.memory_gib:
        raise UnsupportedPod(
            [Refusal(field, f"{name} has {size}, and the pod's containers need {needed}; name a larger one")]
        )


def _may_have_gpus(given: Mapping[str, str], settings: EciSettings) -> bool:
    named = given.get(keys.TYPE) or given.get(keys.OLD_TYPE)
    specs = parts(given.get(keys.SPECS, "")) or parts(named or "") or list(settings.gpu_instance_types)
    return bool(specs) and all(_GPU_TYPE.fullmatch(one) for one in specs)


_GPU_ADVICE = (
    "GPUs come with ECS types only: name one that has them, as ecs.gn6i-c4g1.xlarge, in the annotation "
    f"{keys.SPECS}, or let the operator set --eci-gpu-instance-type"
)


def _gpu_fields(workload: Workload) -> Iterator[str]:
    for path, container in with_paths(workload):
        if container.gpus:
            yield f"{path}.resources.limits[nvidia.com/gpu]"


def _extra_storage_gib(workload: Workload, refusals: list[Refusal]) -> int:
    """What has to be bought: the annotation's amount, or what the pod requests beyond the free part if that is more."""
    asked = keys.storage_gib(workload.annotations)
    needed = max(0, math.ceil((workload.storage_gib or 0) - FREE_STORAGE_GIB))
    if needed > keys.MOST_STORAGE_GIB:
        refusals.append(
            Refusal(
                "spec.containers[*].resources.requests[ephemeral-storage]",
                f"the pod requests {workload.storage_gib:g} GiB; an instance has at most "
                f"{FREE_STORAGE_GIB + keys.MOST_STORAGE_GIB} GiB: request less",
            )
        )
    return max(asked, needed)


def _annotation(key: str) -> str:
    return f"metadata.annotations[{key}]"
