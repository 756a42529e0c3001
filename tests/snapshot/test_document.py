"""The documents' shape is published: it is what deploy/snapshot.schema.json says."""

from __future__ import annotations

from pathlib import Path

from tests import guides
from vk_provider.commands import schema

SCHEMA = Path(__file__).parents[2] / "deploy" / "snapshot.schema.json"


def test_the_published_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text() == guides.snapshot_schema(), "python -m tests.guides writes it anew"


def test_no_field_is_named_for_what_must_not_be_there() -> None:
    names = {name.lower() for each in schema.schema()["$defs"].values() for name in each.get("properties", ())}
    assert not [name for name in names if any(word in name for word in ("env", "secret", "token", "label", "command"))]
