"""A row of numbers as a row of bars."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"


def sparkline(numbers: Sequence[int], width: int) -> str:
    """At most ``width`` bars, the newest to the right. Zero is the lowest bar and nothing else is, so that a lag of one record
    can be seen beside one of a million; where there are more numbers than bars, each bar is the highest of its share."""
    if not numbers:
        return ""
    shares = _shares(numbers, width)
    top = max(max(shares), 1)
    return "".join(BARS[0] if number <= 0 else BARS[_height(number, top)] for number in shares)


def _height(number: int, top: int) -> int:
    return 1 + (number * (len(BARS) - 2)) // top


def _shares(numbers: Sequence[int], width: int) -> list[int]:
    count = min(width, len(numbers))
    bounds = [len(numbers) * index // count for index in range(count + 1)]
    return [max(numbers[start:end]) for start, end in pairwise(bounds)]
