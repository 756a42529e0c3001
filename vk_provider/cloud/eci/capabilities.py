"""What ECI can do and what it calls things, for the rooms that know no cloud (eci.md 2.1, 5, 6)."""

from __future__ import annotations

from vk_provider.cloud.eci.annotations import ANNOTATIONS, PREFIX, REPORTED, REQUESTABLE
from vk_provider.cloud.eci.profile import parse
from vk_provider.cloud.eci.storage import STORAGE
from vk_provider.model.probe import Exec, HttpGet, ProbeSupport, TcpSocket
from vk_provider.model.vocabulary import Vocabulary
from vk_provider.translate.capabilities import Capabilities

WORDS = Vocabulary(
    id_scheme="eci",
    sidecar_mark=("ECI_CONTAINER_TYPE", "sidecar"),
    instance_id=PREFIX + "eci-instance-id",
    instance_size=PREFIX + "eci-instance-spec",  # as "2-4Gi"
    price=PREFIX + "eci-price",
    requestable=REQUESTABLE,
    noted=REPORTED | REQUESTABLE,
    probes=ProbeSupport(frozenset({Exec, HttpGet, TcpSocket})),
)
CAPABILITIES = Capabilities(
    cloud="Alibaba Cloud ECI",
    runtime="eci://1.0.0",
    event_host="eci",
    words=WORDS,
    annotations=ANNOTATIONS,
    storage=STORAGE,
    protocols=("TCP", "UDP"),
    architectures=("amd64", "arm64"),
    left_out=("__ECI_RESOURCE_IGNORE__", "TRUE"),
    parse_profile=parse,
)
