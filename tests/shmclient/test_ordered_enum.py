import pytest

from shmclient.ordered_enum import OrderedEnum


class Size(OrderedEnum):
    SMALL = 1
    LARGE = 2


class Colour(OrderedEnum):
    RED = 1


def test_members_are_ordered_by_value() -> None:
    assert Size.SMALL < Size.LARGE
    assert Size.LARGE > Size.SMALL
    assert Size.SMALL <= Size.SMALL
    assert Size.LARGE >= Size.LARGE
    assert sorted([Size.LARGE, Size.SMALL]) == [Size.SMALL, Size.LARGE]


def test_members_are_not_ordered_with_other_things() -> None:
    with pytest.raises(TypeError):
        Size.SMALL < Colour.RED  # noqa: B015
    with pytest.raises(TypeError):
        Size.SMALL >= 1  # noqa: B015


@pytest.mark.parametrize("given", [Size.LARGE, "LARGE", "large", 2])
def test_a_member_is_found_by_itself_its_name_or_its_number(given: Size | str | int) -> None:
    assert Size.of(given) is Size.LARGE


def test_what_names_no_member_is_refused() -> None:
    with pytest.raises(ValueError, match='"huge": should be a Size'):
        Size.of("huge")
    with pytest.raises(ValueError, match="9"):
        Size.of(9)
    with pytest.raises(TypeError, match="should be a Size"):
        Size.of(1.5)  # type: ignore[arg-type]
