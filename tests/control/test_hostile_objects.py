"""A few hundred of what `make fuzz` has many of, and the scenes as they are, which are honest but for being untrue."""

import itertools

import pytest

from tests.fuzz.hostile_objects import SCENES, feed
from tests.fuzz.parsers import PARSERS
from tests.fuzz.run import finds

[PARSER] = [each for each in PARSERS if each.name == "hostile objects"]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: "+".join(scene["answers"]) or "lines")
def test_the_scenes_as_they_are(scene):
    feed(scene)


def test_no_object_ends_the_process_or_holds_up_an_honest_pod():
    found = list(itertools.islice(finds(PARSER, 100 * PARSER.costs, 7), 3))
    assert not found, "\n".join(found)
