import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.metadata.topic_names import check_topic_name, colliding_topic

LEGAL = st.text("abcXYZ019._-", min_size=1, max_size=249).filter(lambda name: name not in (".", ".."))


@pytest.mark.parametrize("name", ["a", "a.b_c-D9", "...", "x" * 249, "__consumer_offsets"])
def test_kafkas_names_are_taken(name: str) -> None:
    check_topic_name(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "empty"),
        (".", "'.'"),
        ("..", "'..'"),
        ("x" * 250, "250 characters; at most 249"),
        ("a/b", "'a/b'"),
        ("a b", "'a b'"),
        ("a\0", "ASCII"),
        ("ä", "'ä'"),
        ("a\n", "ASCII"),
        ("\uff11", "ASCII"),  # a digit, but not an ASCII one
    ],
)
def test_others_are_refused_with_the_rule_they_break(name: str, told: str) -> None:
    with pytest.raises(BrokerError) as caught:
        check_topic_name(name)
    assert caught.value.code == ErrorCode.TOPIC_EXCEPTION
    assert told in caught.value.message


@given(LEGAL)
def test_no_legal_name_leaves_its_folder(name: str) -> None:
    check_topic_name(name)
    assert "/" not in f"{name}-0"
    assert f"{name}-0" not in (".", "..")


def test_names_that_differ_only_in_dots_and_underscores_collide() -> None:
    assert colliding_topic("a.b", ["x", "a_b"]) == "a_b"
    assert colliding_topic("a.b", ["a.b", "a-b"]) is None
