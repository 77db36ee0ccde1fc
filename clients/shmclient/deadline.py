"""A moment by which a call must have returned."""

from __future__ import annotations

import math
import time

FOREVER_S = 1_000_000.0
"""Eleven days: what a negative timeout, Kafka's "for ever", comes to; poll(2) takes no more than 24."""


class Deadline:
    """`timeout_s` from now; negative is for ever.

    Raises:
        TypeError: for anything but a number.
    """

    __slots__ = ("_at",)

    def __init__(self, timeout_s: float) -> None:
        seconds = math.ldexp(timeout_s, 0)  # a float of it, as float() makes, but of numbers only
        self._at = time.monotonic() + (FOREVER_S if seconds < 0 else min(seconds, FOREVER_S))

    def remaining_s(self) -> float:
        """Seconds left, 0 once the moment has passed."""
        return max(0.0, self._at - time.monotonic())
