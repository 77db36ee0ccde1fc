from __future__ import annotations

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.patterns.syntax import MAX_DEPTH, MAX_PATTERN_BYTES, MAX_STEPS, parse


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "missing ) at position 1"),
        ("a)", "unexpected ) at position 1"),
        ("[a", "unexpected end at position 2"),
        ("a\\", "unexpected end"),
        ("*a", "nothing to repeat before '*'"),
        ("a**", "repetition of a repetition after 'a*'"),
        ("^*", "nothing to repeat: '^' is a place at position 1"),
        ("a$+", "nothing to repeat: '$' is a place"),
        (r"a\z{2}", "nothing to repeat"),
        ("a|+", "nothing to repeat before '+'"),
        ("a{3,2}", "ends before it begins"),
        ("a{1001}", "more than 1000 repetitions"),
        ("[z-a]", "ends before it begins"),
        ("[[:nope:]]", "unknown class"),
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        (r"(a)\1", r"unsupported escape \1"),
        (r"\bword", r"unsupported escape \b"),
        (r"\pL", r"unsupported escape \p"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(pattern: str, problem: str) -> None:
    with pytest.raises(BrokerError) as caught:
        parse(pattern)
    assert caught.value.code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert problem in caught.value.message
    assert pattern in caught.value.message


@pytest.mark.parametrize(
    "pattern",
    [
        "a" * (MAX_PATTERN_BYTES + 1),
        "ä" * (MAX_PATTERN_BYTES // 2 + 1),
        "(" * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1),
        "(((a{50}){50}){50}){50}",
        "(a{1000}b{1000}){5}",
        "(a{1000}){4}(a{1000}){5}",
    ],
)
def test_what_would_cost_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(BrokerError) as caught:
        parse(pattern)
    assert caught.value.code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "pattern",
    [
        "|".join("a" * (MAX_PATTERN_BYTES // 2)),
        "a" * MAX_PATTERN_BYTES,
        "(" * MAX_DEPTH + ")" * MAX_DEPTH,
        "a{1000}",
        "",
        "()",
        "a||b",
    ],
)
def test_what_is_merely_large_or_empty_is_not(pattern: str) -> None:
    assert len(parse(pattern)) <= MAX_STEPS
