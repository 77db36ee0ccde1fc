from __future__ import annotations

import pytest

from shmclient.consumer.subscription import Callbacks, subscription
from shmclient.errors import KafkaError, KafkaException

NONE = Callbacks()


def test_names_are_names() -> None:
    assert subscription(["a", "b"], NONE) == (("a", "b"), None)


def test_patterns_become_one() -> None:
    assert subscription(["^a.*", "b", "^c|d"], NONE) == (("b",), "(?:^a.*)|(?:^c|d)")
    assert subscription(["^a"], NONE) == ((), "^a")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ([], "no topic is named"),
        ([""], "the name of a topic is empty"),
        (["a", "b", "a"], "'a' is named twice"),
        (["^a", "^a"], "'^a' is named twice"),
        (["^fine", "^("], "the regular expression '^(' is invalid: missing ) at position 2"),
        (
            ["a", "^*"],
            "the regular expression '^*' is invalid: nothing to repeat: '^' is a place at position 1",
        ),
        (["^["], "the regular expression '^[' is invalid: unexpected end at position 2"),
        (["^a{99999999999}"], "more than 1000 repetitions"),
        (["^a(?=b)"], "look-around and the like are not supported at position 4"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(wrong: list[str], problem: str) -> None:
    with pytest.raises(KafkaException) as caught:
        subscription(wrong, NONE)
    error = caught.value.args[0]
    assert error.code() == KafkaError._INVALID_ARG
    assert error.str().startswith("Failed to set subscription: Local: Invalid argument or configuration: "), (
        error.str()
    )
    assert problem in error.str()


def test_many_topics_take_no_time_to_check() -> None:
    names = [str(number) for number in range(100_000)]
    assert len(subscription(names, NONE).names) == 100_000


@pytest.mark.parametrize("pattern", ["^(?i)orders", r"^a\z", "^(?<name>a)", r"^\x{61}"])
def test_whatever_the_daemon_takes_is_taken(pattern: str) -> None:
    assert subscription([pattern], NONE) == ((), pattern)


def test_a_pattern_of_posix_classes_is_no_reason_to_warn() -> None:
    assert subscription(["^[[:alpha:]]+"], NONE).pattern == "^[[:alpha:]]+"


def test_callbacks_can_be_called() -> None:
    for name in Callbacks._fields:
        with pytest.raises(TypeError, match=f"{name} expects a callable"):
            subscription(["a"], Callbacks(**{name: 5}))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["\udc80", "^\udc80"], ids=["name", "pattern"])
def test_what_cannot_be_sent_is_refused_at_once(name: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        subscription([name], NONE)
