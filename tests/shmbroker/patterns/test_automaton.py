"""Matches as ``re`` does, which is asked about expressions that are harmless, and never takes longer than the name is long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.patterns import compile_pattern
from shmbroker.patterns.automaton import MAX_NAMES, MAX_STATES

ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", "-", "[ab]", "[^a]", "[a-c-]", r"[\d_]", r"\d", r"\w", r"\W", r"\S", "^", "$", ""]
)
NAMES = st.text("abc1.-_", min_size=1, max_size=8)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}"])
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        inner.map("(?:{})".format),
        st.tuples(inner, repeat).map(lambda parts: f"(?:{parts[0]}){parts[1]}"),
    )


PATTERNS = st.recursive(ATOMS, compound, max_leaves=8)


@given(PATTERNS, NAMES)
@settings(max_examples=1000, deadline=None)
def test_the_whole_name_matches_when_re_says_so(pattern: str, name: str) -> None:
    assert compile_pattern(pattern).matches(name) == (re.fullmatch(pattern, name) is not None)


@given(PATTERNS, NAMES)
@settings(max_examples=1000, deadline=None)
def test_a_part_of_the_name_matches_when_re_says_so(pattern: str, name: str) -> None:
    assert compile_pattern(pattern, anywhere=True).matches(name) == (re.search(pattern, name) is not None)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^orders-(eu|us)\.[a-z]+$", ["orders-eu.new", "orders-us.x"], ["orders-de.new", "xorders-eu.new"]),
        (r"\Aorders\z", ["orders"], ["orders2"]),
        (r"(?i)Orders|BILLS", ["orders", "ORDERS", "bills"], ["order"]),
        (r"(?i:O)rders", ["Orders", "orders"], ["oRders"]),
        (r"(?P<what>a)(?<more>b)", ["ab"], ["a"]),
        (r"[[:alpha:]]+[[:^alpha:]]", ["abc1", "A."], ["1", "abc"]),
        (r"a\x2d\x{2e}b", ["a-.b"], ["a..b"]),
        (r"[]a]+", ["a"], ["b"]),
        (r"[a\-z]+", ["a-z"], ["b"]),
        (r"a{,2}|b{x|c", ["c"], ["a", "aa", "b"]),
        (r"ä|a", ["a"], ["b"]),
        (r"\s|\n|a", ["a"], ["s", "n"]),
    ],
)
def test_the_syntax_is_that_of_re2(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [name for name in yes if not compiled.matches(name)] == []
    assert [name for name in no if compiled.matches(name)] == []


def test_an_invalid_expression_is_refused_every_time() -> None:
    for _ in range(2):
        with pytest.raises(BrokerError) as caught:
            compile_pattern("(")
        assert caught.value.code == ErrorCode.INVALID_REGULAR_EXPRESSION


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*.*)*b", "(a?){64}a{64}b"])
def test_expressions_that_ruin_re_take_no_time(pattern: str) -> None:
    started = time.monotonic()
    assert not compile_pattern(pattern, anywhere=True).matches("a" * 249)
    assert time.monotonic() - started < 30


def test_what_a_pattern_remembers_is_bounded() -> None:
    """A letter ten places before the end: 2**10 states, more than are kept."""
    pattern = compile_pattern("(a|b)*a(a|b){10}")
    for number in range(MAX_NAMES + 2):
        name = format(number, "012b").replace("0", "a").replace("1", "b")
        assert pattern.matches(name) == (name[-11] == "a")
    assert len(pattern._states) <= MAX_STATES
    assert len(pattern._known) <= MAX_NAMES
