"""What came out of Secrets into a pod's words is in nothing that the cloud tells of its instance."""

import time

import pytest

from tests.leaks import leaks, planted
from vk_provider import bounds
from vk_provider.instances import hidden_words
from vk_provider.model.instance import (
    CloudCondition,
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.redaction import HIDDEN, SecretText, Sieve, joined


def told(message):
    state = ContainerState(StateKind.WAITING, "StartError", message)
    return Instance(
        "eci-1",
        Owner("c", "vk", "web", "p", "u"),
        InstanceStatus.PENDING,
        containers=(ContainerReport("main", state, last_state=state),),
        init_containers=(ContainerReport("first", state),),
        conditions=(CloudCondition("ContainerInstanceCreated", "False", "Failed", message),),
        events=(CloudEvent("e1", "Warning", "Failed", message, 1, "", ""),),
    )


def test_a_cloud_that_repeats_a_command_tells_no_secret():
    word = joined(["--password=", SecretText(planted("word"))])
    found = hidden_words.without(told(f'exec: "{word[:]}": not found, twice: {word[:]}'), Sieve([word]))
    assert leaks(str(found)) == []
    assert found.events[0].message == f'exec: "--password={HIDDEN}": not found, twice: --password={HIDDEN}'


def test_where_nothing_is_told_the_instance_is_the_same():
    instance = told("no such image")
    assert hidden_words.without(instance, Sieve([SecretText("s3cret-value")])) is instance


@pytest.mark.parametrize(
    ("values", "message", "expected"),
    [
        pytest.param(["abcd"], "abcdabcd", HIDDEN * 2, id="one after the other"),
        pytest.param(["longer-value", "longer"], "longer-value longer", f"{HIDDEN} {HIDDEN}", id="one within another"),
        pytest.param(["abc"], "abc", "abc", id="too short to tell anything"),
        pytest.param([], "anything", "anything", id="nothing hidden"),
        pytest.param(["päss wörd\n"], "say päss wörd\n.", f"say {HIDDEN}.", id="any characters"),
        pytest.param(["end"], "the", "the", id="message shorter than it"),
    ],
)
def test_values_are_known_again(values, message, expected):
    assert Sieve(map(SecretText, values)).without(message) == expected


def test_what_is_no_secret_is_not_looked_for():
    assert not Sieve(["plain-text"])


def test_many_values_in_a_long_message_take_a_moment():
    sieve = Sieve(SecretText("v" * length) for length in range(4, 1000))
    message = "x" * (4 * bounds.MOST_MESSAGE)
    began = time.process_time()
    sieve.without(message)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("before", range(bounds.MOST_MESSAGE - 30, bounds.MOST_MESSAGE + 5))
def test_what_is_cut_off_leaves_no_part_of_a_value(before: int) -> None:
    value = "correct-horse-battery"
    found = Sieve([SecretText(value)]).without("." * before + value + "." * 5000)
    assert len(found) <= bounds.MOST_MESSAGE
    assert value[:4] not in found


def test_values_that_come_before_the_cut_bring_no_part_of_a_later_one_to_light() -> None:
    long, value = "x" * 1000 + "end", "correct-horse-battery"
    message = long + "." * (bounds.MOST_MESSAGE + len(long) - len(long) - 8) + value + "." * 5000
    found = Sieve([SecretText(long), SecretText(value)]).without(message)
    assert value[:4] not in found
