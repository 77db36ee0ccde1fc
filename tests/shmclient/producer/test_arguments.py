from __future__ import annotations

from typing import Any

import pytest

from shmclient.producer.arguments import (
    check_column_arguments,
    check_messages,
    column_sizes,
    to_bytes,
    to_headers,
    to_partition,
    to_timestamp,
)


class Sub(bytes):
    pass


@pytest.mark.parametrize(
    ("given", "stored"), [(b"a", b"a"), ("ä", b"\xc3\xa4"), (None, None), (Sub(b"s"), b"s"), ("", b"")]
)
def test_keys_and_values_are_bytes_text_or_nothing(given: Any, stored: bytes | None) -> None:
    found = to_bytes(given, 2)
    assert found == stored
    assert type(found) in (bytes, type(None))


@pytest.mark.parametrize(
    "wrong", [5, bytearray(b"a"), pytest.param(memoryview(b"a"), id="memoryview"), ["a"], 1.5], ids=repr
)
def test_other_keys_and_values_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="bytes-like object"):
        to_bytes(wrong, 2)


def test_numbers_must_be_whole_and_fit() -> None:
    assert (to_partition(True), to_partition(2**31 - 1), to_timestamp(-5)) == (1, 2**31 - 1, -5)
    for convert, largest in ((to_partition, 2**31 - 1), (to_timestamp, 2**63 - 1)):
        with pytest.raises(OverflowError):
            convert(largest + 1)
        for wrong in ("1", 1.0, None):
            with pytest.raises(TypeError):
                convert(wrong)


def test_headers_come_as_pairs_in_order() -> None:
    assert to_headers(None) is None
    assert to_headers({"a": "x", "b": None}) == [("a", b"x"), ("b", None)]
    assert to_headers([("a", b"1"), ("a", "2"), (5, None)]) == [("a", b"1"), ("a", b"2"), ("5", None)]


@pytest.mark.parametrize(
    "wrong", [5, "text", (("a", b"1"),), ["a"], [["a", b"1"]], [("a", b"1", 2)], [("a", 5)]], ids=repr
)
def test_other_headers_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        to_headers(wrong)


@pytest.mark.parametrize("wrong", [None, 5, ({"value": b"a"},), [{"value": b"a"}, 5]], ids=repr)
def test_a_batch_of_messages_is_a_list_of_dicts(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be a"):
        check_messages(wrong)


def test_a_column_is_weighed_by_record() -> None:
    assert column_sizes([b"abc", b"", None], None) == [3, 0, 0]
    assert column_sizes((b"abc", None), [None, b"k"]) == [3, 1]
    assert column_sizes([], None) == []


@pytest.mark.parametrize(
    "wrong", [b"abc", "abc", pytest.param(memoryview(b"abc"), id="memoryview"), [b"a", "b"], [5]], ids=repr
)
def test_a_column_of_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        column_sizes(wrong, None)


def test_columns_are_as_long_as_each_other() -> None:
    with pytest.raises(ValueError, match="2 values and 1 keys"):
        column_sizes([b"a", b"b"], [b"k"])


@pytest.mark.parametrize(
    ("messages", "values", "keys", "offsets"),
    [
        ([], [b"a"], None, None),
        (None, None, [b"k"], None),
        (None, None, None, b"\0" * 8),
        ([], None, [b"k"], None),
    ],
)
def test_nothing_that_is_given_is_left_out_silently(
    messages: Any, values: Any, keys: Any, offsets: Any
) -> None:
    with pytest.raises(ValueError, match=r"go with values|mutually exclusive"):
        check_column_arguments(messages, values, keys, offsets)
    check_column_arguments(None, [b"a"], [b"k"], None)
    check_column_arguments([], None, None, None)
