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
    "wrong", [[], [""], ["a", "a"], ["^a", "^a"], ["^("], ["a", "^*"], ["^a{99999999999}"]]
)
def test_what_makes_no_sense_is_refused(wrong: list[str]) -> None:
    with pytest.raises(KafkaException) as caught:
        subscription(wrong, NONE)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_a_pattern_of_posix_classes_is_no_reason_to_warn() -> None:
    assert subscription(["^[[:alpha:]]+"], NONE).pattern == "^[[:alpha:]]+"


def test_callbacks_can_be_called() -> None:
    for name in Callbacks._fields:
        with pytest.raises(TypeError, match=f"{name} expects a callable"):
            subscription(["a"], Callbacks(**{name: 5}))  # type: ignore[arg-type]
