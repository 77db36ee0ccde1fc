"""How long to pause so that reading and writing stay below a rate (``log.cleaner.io.max.bytes.per.second``)."""

from __future__ import annotations

MAX_CREDIT_S = 0.25
"""What was not used earlier is not saved for longer: a burst after a pause would be what the limit is to prevent."""


class Throttle:
    """``bytes_per_s``: infinite for no limit. Time is an argument, in seconds of any clock that does not go back."""

    def __init__(self, bytes_per_s: float, now_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._paid_until_s = now_s

    def pause_s(self, size: int, now_s: float) -> float:
        """How long to pause after ``size`` bytes were read or written."""
        self._paid_until_s = max(self._paid_until_s, now_s - MAX_CREDIT_S) + size / self._bytes_per_s
        return max(0.0, self._paid_until_s - now_s)
