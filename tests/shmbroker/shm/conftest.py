from __future__ import annotations

from collections.abc import Callable

import pytest

from shmbroker.shm.session import SessionLayout, producer_layout


@pytest.fixture(scope="session")
def make_ring() -> Callable[[int, int], tuple[memoryview, SessionLayout]]:
    """Zeroed memory of a producer's session: (region, layout) for a ring of so many bytes and completion entries."""

    def make(ring_bytes: int = 1024, completion_entries: int = 64) -> tuple[memoryview, SessionLayout]:
        layout = producer_layout(ring_bytes, completion_entries)
        return memoryview(bytearray(layout.total_bytes)), layout

    return make
