from __future__ import annotations

import random

import pytest

from shmbrokerd.groups.holdings import Holding, before, merged, plain, since, split

OWNED: Holding = {"t": {0: 1, 1: 5, 2: 3}, "u": {0: 5}}


def test_a_holding_is_split_by_numbers() -> None:
    inside, outside = split(OWNED, {"t": [1, 2, 9], "v": [0]})
    assert inside == {"t": {1: 5, 2: 3}}
    assert outside == {"t": {0: 1}, "u": {0: 5}}


def test_topics_of_which_nothing_is_left_are_left_out() -> None:
    assert split(OWNED, {}) == ({}, OWNED)
    assert split(OWNED, OWNED) == (OWNED, {})
    assert before(1, OWNED) == {}


def test_what_is_older_than_an_epoch_does_not_hold_what_is_as_old() -> None:
    assert before(5, OWNED) == {"t": {0: 1, 2: 3}}
    assert before(6, OWNED) == OWNED


def test_the_later_of_two_merged_holdings_says_since_when() -> None:
    assert merged({"t": {0: 1}, "u": {0: 1}}, {"t": {0: 2, 1: 2}}) == {"t": {0: 2, 1: 2}, "u": {0: 1}}


def test_partitions_are_owned_since_an_epoch_and_told_in_order() -> None:
    holding = since(4, [("u", 3), ("t", 2), ("u", 1)])
    assert holding == {"t": {2: 4}, "u": {3: 4, 1: 4}}
    assert list(plain(holding).items()) == [("t", [2]), ("u", [1, 3])]


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_of_a_holding_make_it_up_again(seed: int) -> None:
    source = random.Random(seed)
    holding: Holding = {
        topic: {n: source.randrange(9) for n in range(source.randint(1, 8))} for topic in "tuv"
    }
    chosen = {topic: source.sample(range(8), source.randrange(8)) for topic in "tuvw"}
    inside, outside = split(holding, chosen)
    assert merged(inside, outside) == holding
    assert all(number in chosen[topic] for topic, numbers in inside.items() for number in numbers)
    assert not any(number in chosen[topic] for topic, numbers in outside.items() for number in numbers)
