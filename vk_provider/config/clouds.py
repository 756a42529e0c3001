"""Which cloud carries the pods, and the settings that drivers declare themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vk_provider.cloud.eci.options import EciOptions
from vk_provider.cloud.local.options import LocalOptions
from vk_provider.preemptible_options import PreemptibleOptions
from vk_provider.settings import Section, one_of, setting

CLOUDS: Mapping[str, type[Section]] = {"eci": EciOptions, "local": LocalOptions}  # by the name of the cloud
SECTIONS: Mapping[str, type[Section]] = {**CLOUDS, "preemptible": PreemptibleOptions}


@dataclass(frozen=True, kw_only=True)
class CloudSettings:
    """The cloud by its name, and one section for each."""

    cloud: str = setting(
        "eci",
        one_of(*CLOUDS),
        "where pods run; each cloud has settings of its own, which begin with its name",
        short="where pods run",
        section="The cloud",
    )
    eci: EciOptions = field(default_factory=EciOptions)
    local: LocalOptions = field(default_factory=LocalOptions)

    preemptible: PreemptibleOptions = field(default_factory=PreemptibleOptions)
