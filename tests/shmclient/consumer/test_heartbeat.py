from __future__ import annotations

import gc
import threading
import time
from typing import Any

from shmclient.consumer.heartbeat import Heartbeat

THREAD = "shmclient-heartbeat"


class Region:
    """Counts stamps."""

    def __init__(self) -> None:
        self.stamps = 0

    def stamp_heartbeat(self, now: float) -> None:
        assert abs(now - time.monotonic()) < 10
        self.stamps += 1


def threads() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_it_stamps_until_it_is_stopped() -> None:
    region: Any = Region()
    heartbeat = Heartbeat()
    heartbeat.start(region, 0.005)
    assert region.stamps >= 1
    wait_for(lambda: region.stamps > 4)
    heartbeat.stop()
    wait_for(lambda: threads() == 0)
    stamps = region.stamps
    heartbeat.stop()
    assert region.stamps == stamps


def test_another_region_and_another_interval_take_effect_at_once() -> None:
    first, second = Region(), Region()
    heartbeat = Heartbeat()
    heartbeat.start(first, 3600.0)  # type: ignore[arg-type]
    heartbeat.start(second, 0.005)  # type: ignore[arg-type]
    wait_for(lambda: second.stamps > 3)
    assert threads() == 1
    heartbeat.stop()
    wait_for(lambda: threads() == 0)


def test_it_can_be_started_again() -> None:
    region: Any = Region()
    heartbeat = Heartbeat()
    heartbeat.start(region, 3600.0)
    heartbeat.stop()
    heartbeat.start(region, 0.005)
    wait_for(lambda: region.stamps > 4)
    wait_for(lambda: threads() == 1)
    heartbeat.stop()
    wait_for(lambda: threads() == 0)


def test_it_ends_when_nobody_has_it_any_more() -> None:
    heartbeat = Heartbeat()
    heartbeat.start(Region(), 3600.0)  # type: ignore[arg-type]
    wait_for(lambda: threads() == 1)
    del heartbeat
    gc.collect()
    wait_for(lambda: threads() == 0)
