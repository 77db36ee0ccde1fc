"""Each point of a transaction at which somebody may be killed, by name, and what is found afterwards: all of it, or nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from transactionkit.world import World

from shmbroker.protocol import messages as m
from shmbroker.records.control import Marker

S = m.TransactionState
MAX_STEPS = 200


def new_world(seed: int) -> World:
    """One worker, one input of two records, two outputs; the first transaction commits."""
    world = World(random.Random(seed), workers=1, inputs=2, outputs=2)
    world.start(0)
    return world


def steps(world: World) -> Iterator[None]:
    """One thing after the other, as it goes when nobody dies."""
    while True:
        for step in (
            lambda: world.act(world.workers[0]),
            lambda: world.append(world.workers[0]),
            world.answer_batches,
            lambda: [world.serve(connection) for connection in world.connections],
            world.write,
            world.hear_event,
            world.order,
        ):
            step()
            world.check()
            yield


def disk_state(world: World) -> S:
    row = world.disk.transactions.rows.get("worker-0")
    return S.DEAD if row is None else row.state


def memory_state(world: World) -> S:
    row = world.state.transactions.rows.get("worker-0")
    return S.DEAD if row is None else row.state


def markers(world: World) -> int:
    return sum(isinstance(entry, Marker) for log in world.logs for entry in log.entries)


def records(world: World) -> int:
    return sum(len(log.entries) for log in world.logs)


def mark_one(world: World) -> None:
    """The broker dies after the first of the markers."""
    due = world.coordinator.markers("worker-0")
    assert due is not None
    world.mark(due, due.partitions[0][1])


class Point(NamedTuple):
    name: str
    is_reached: Callable[[World], bool]
    is_decided: bool
    """That it commits is on the disk."""
    then: Callable[[World], None] = lambda world: None


POINTS = [
    Point("before anything is added", lambda w: disk_state(w) is S.EMPTY, False),
    Point(
        "added, not on the disk", lambda w: memory_state(w) is S.ONGOING and disk_state(w) is S.EMPTY, False
    ),
    Point("added, nothing written", lambda w: disk_state(w) is S.ONGOING and not records(w), False),
    Point("written in part", lambda w: records(w) == 1, False),
    Point("written, offsets not yet", lambda w: records(w) >= 1 and not w.workers[0].ring, False),
    Point("offsets pending", lambda w: bool(w.disk.transactions.pending), False),
    Point(
        "decided, not on the disk",
        lambda w: memory_state(w) is S.PREPARE_COMMIT and disk_state(w) is S.ONGOING,
        False,
    ),
    Point("decided, no marker", lambda w: disk_state(w) is S.PREPARE_COMMIT and not markers(w), True),
    Point("between markers", lambda w: disk_state(w) is S.PREPARE_COMMIT and not markers(w), True, mark_one),
    Point(
        "all markers, completion not on the disk",
        lambda w: memory_state(w) is S.COMPLETE_COMMIT and disk_state(w) is S.PREPARE_COMMIT,
        True,
    ),
    Point(
        "completed, not answered",
        lambda w: disk_state(w) is S.COMPLETE_COMMIT and not w.workers[0].confirmed,
        True,
    ),
]


def kill_producer(world: World) -> None:
    world.kill(world.workers[0])
    world.write()
    world.bury(world.workers[0])


def kill_all(world: World) -> None:
    world.kill(world.workers[0])
    world.kill_daemon()


VICTIMS: dict[str, Callable[[World], None]] = {
    "daemon": World.kill_daemon,
    "broker": World.kill_broker,
    "producer": kill_producer,
    "daemon and producer": kill_all,
    "disk": World.refuse_to_write,
}


def reach(point: Point, seed: int) -> World | None:
    """A world at this point of its first transaction; None when that one does not come by, as it aborts."""
    world = new_world(seed)
    going = steps(world)
    for _ in range(MAX_STEPS):
        if point.is_reached(world):
            point.then(world)
            return world
        next(going)
    return None


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_it_is_finished_or_rolled_back(point: Point, victim: str) -> None:
    reached = 0
    for seed in range(12):
        world = reach(point, seed)
        if world is None:
            continue
        reached += 1
        VICTIMS[victim](world)
        world.check()
        if world.workers[0].is_dead:
            end_without_producer(world, point, victim)
        world.settle()
        world.check_settled()
        world.check_replay()
    assert reached >= 3, "hardly any world comes by here"


def end_without_producer(world: World, point: Point, victim: str) -> None:
    """Without the producer the daemon alone brings it to its end: that which was decided, else an abort."""
    for _ in range(20):
        world.bury(world.workers[0])
        world.write()
        world.hear_event()
        world.abort_hanging()
        world.order()
        world.check()
    assert not world.state.transactions.under_way
    is_late = (
        victim == "producer" and point.name == "decided, not on the disk"
    )  # the disk had time to take it
    assert bool(world.disk.offsets) == (point.is_decided or is_late)
