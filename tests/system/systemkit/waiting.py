"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_S = 30.0
"""Far above what anything here takes: only a hang or a loss reaches it."""

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, timeout_s: float = DEADLINE_S) -> T:
    """Return the first true value of ``condition``; AssertionError naming ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"never came true within {timeout_s:g} s: {what}"
        select.select([], [], [], 0.005)
