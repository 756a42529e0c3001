"""The published shape of what each verb prints with `-o json`: deploy/snapshot.schema.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vk_provider.commands.doctor import Report
from vk_provider.commands.explanation import PodExplanation
from vk_provider.snapshot import document
from vk_provider.snapshot.document import Explanation, PodSummary, Snapshot

Json = dict[str, Any]

# verb → what it prints.
DOCUMENTS: Mapping[str, Any] = {
    "status": list[Snapshot],
    "explain": PodExplanation,
    "doctor": Report,
    "instances": list[PodSummary],
}


def schema() -> Json:
    """JSON schema (2020-12): each verb's document under `$defs` by the verb, and all that these are made of."""
    served = (Snapshot, Explanation)  # by the kubelet API and the live page, where nobody's verb prints them
    refs, defs = msgspec.json.schema_components((*DOCUMENTS.values(), *served), ref_template="#/$defs/{name}")
    verbs = dict(zip(DOCUMENTS, refs, strict=False))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": document.SCHEMA_ID,
        "title": "What vk-provider says of itself: `vk-provider VERB -o json` prints what stands under $defs/VERB",
        "anyOf": [{"$ref": f"#/$defs/{verb}"} for verb in DOCUMENTS],
        "$defs": {**verbs, **dict(sorted(defs.items()))},
    }
