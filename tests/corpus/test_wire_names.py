"""No parameter is made up: every name that the corpus sends is one that the vendor's newer SDK has, too.

The provider's requests are flattened by the older SDK and mended by hand where that one lacks a parameter; the models
of the newer one are made from the API's metadata, and nothing here has read them.
"""

from __future__ import annotations

import inspect
import json
import re

from alibabacloud_eci20180808 import models

from tests.corpus.manifests import ROOM

# Parameters of the API that the models do not have; eci.md 2 names their sources.
BEYOND_THE_MODELS = {"SlsEnable", "EciFailStrategy"}


def test_every_parameter_of_the_corpus_exists():
    known = members(models.CreateContainerGroupRequest) | BEYOND_THE_MODELS
    sent = {re.sub(r"\.\d+", "", name) for golden in ROOM.glob("*/*.golden.json") for name in requested(golden)}
    assert len(sent) >= 100
    assert sorted(sent - known) == []


def requested(golden):
    for told in json.loads(golden.read_text()):
        yield from told.get("request", ())


def members(model):
    """Dotted names without list positions, as the model's own `to_map` spells them."""
    found = set()
    source = inspect.getsource(model.to_map)
    inner = dict(typed(model))
    for spelt, attribute in re.findall(r"result\['([^']+)'\] = (?:self\.(\w+)|\[\])", source):
        kind = inner.get(attribute or spelt_to_attribute(spelt))
        found |= {f"{spelt}.{each}" for each in members(kind)} if kind else {spelt}
    return found


def typed(model):
    """Attributes that are other models, or lists of them."""
    for attribute, hint in inspect.signature(model.__init__).parameters.items():
        for name in re.findall(r"\w+Request\w*", str(hint.annotation)):
            if hasattr(models, name):
                yield attribute, getattr(models, name)


def spelt_to_attribute(spelt):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", spelt).lower()
