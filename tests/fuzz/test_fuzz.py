"""20,000 harmed inputs for every parser that faces the network; `make fuzz` has a million."""

import itertools

import pytest

from tests.fuzz.parsers import PARSERS, Parser
from tests.fuzz.run import finds

INPUTS, SEED = 20_000, 1


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name.replace(" ", "-"))
def test_no_input_makes_a_parser_do_what_it_does_not_document(parser):
    found = list(itertools.islice(finds(parser, INPUTS, SEED), 3))
    assert not found, "\n".join(found)


def test_a_parser_that_falls_is_found():
    falls = Parser("falls", [b"good"], lambda dice, seed: bytes([dice.randrange(2)]), lambda data: 1 // data[0])
    assert "ZeroDivisionError" in next(finds(falls, 50, SEED))
