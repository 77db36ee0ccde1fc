from fractions import Fraction

import pytest

from shmclient.deadline import FOREVER_S, Deadline


def test_the_time_left_is_counted_from_now() -> None:
    assert 4.0 < Deadline(5).remaining_s() <= 5.0
    assert 0.0 < Deadline(Fraction(1, 2)).remaining_s() <= 0.5  # type: ignore[arg-type]


def test_what_is_over_has_no_time_left() -> None:
    assert Deadline(0).remaining_s() == 0.0


@pytest.mark.parametrize("forever", [-1, -0.5, 1e12, float("inf")])
def test_negative_and_huge_is_for_ever(forever: float) -> None:
    assert Deadline(forever).remaining_s() > FOREVER_S - 10


@pytest.mark.parametrize("wrong", ["1", b"1", [1], None], ids=repr)
def test_only_numbers_are_taken(wrong: object) -> None:
    with pytest.raises(TypeError, match="must be real number, not"):
        Deadline(wrong)  # type: ignore[arg-type]
