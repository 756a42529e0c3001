"""The documents that the command line prints with `-o json`, held against the shape that is published of them."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[1] / "deploy" / "snapshot.schema.json"


def document(verb: str, text: str) -> Any:
    """What the text says; fails where it is not what `vk-provider VERB -o json` is said to print, or says more."""
    found = json.loads(text)
    _validator(verb).validate(found)
    return found


@cache
def _validator(verb: str) -> jsonschema.Draft202012Validator:
    schema = copy.deepcopy(json.loads(SCHEMA.read_text()))
    for each in schema["$defs"].values():
        if each.get("type") == "object":
            each["additionalProperties"] = False  # programs take what they do not know; here nothing is to be unknown
    del schema["anyOf"]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{verb}"})
