"""How many file descriptors a daemon may come to need."""

from __future__ import annotations

from typing import Final

PER_PARTITION: Final = 3
"""The active segment's file, its lock file, and one sealed segment being read."""
PER_CLIENT: Final = 6
"""The connection, the region, both ends of its bell, its end of the doorbell, one to spare."""
SPARE: Final = 256


def descriptors_needed(clients: int, partitions: int) -> int:
    return SPARE + clients * PER_CLIENT + partitions * PER_PARTITION
