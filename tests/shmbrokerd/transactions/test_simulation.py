"""A world of transactions from a seed: workers read, work and write while everything dies at any step. What is held is in
:mod:`transactionkit.world`. ``pytest --seed N`` runs one seed again."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from transactionkit.workers import TIMEOUT_MS, Worker
from transactionkit.world import World

from shmbroker.protocol import messages as m
from shmbrokerd.transactions.states import MAX_EPOCH, TRANSITIONS

STEPS = 250
CHUNK = 100


def simulate(seed: int, steps: int, **size: int) -> World:
    rng = random.Random(seed)
    world = World(
        rng,
        by_group=rng.random() < 0.4,
        first_epoch=rng.choice([0, 0, MAX_EPOCH - 5]),
        carelessness=rng.choice([0, 0, 0.5]),
        disk_trouble=rng.choice([0, 0, 0.1]),
        **size,
    )

    def some_worker(do: Callable[[Worker], object]) -> Callable[[], object]:
        return lambda: do(rng.choice(world.workers))

    def act() -> None:
        world.act(rng.choice([worker for worker in world.workers if not worker.is_dead] or world.workers))

    def append() -> None:
        waiting = [worker for worker in world.workers if worker.ring]
        if waiting:
            world.append(rng.choice(waiting))

    def serve() -> None:
        waiting = [each for each in world.connections if each.requests]
        if waiting:
            weights = [1.0 if each is each.worker.connection else lateness for each in waiting]
            world.serve(rng.choices(waiting, weights)[0])

    lateness = rng.choice([1.0, 0.1])
    """How soon a request is heard whose connection its worker has given up."""

    haste = [rng.choice([1, 1, 4]) for _ in range(4)]
    """How fast things go differs: a slow disk writes much at once, a slow broker is overtaken by the end of the producer."""
    violence = rng.choice([0.1, 0.5, 1.0, 2.0])
    actions: list[tuple[float, Callable[[], object]]] = [
        (30, act),
        (15 * haste[0], serve),
        (10 * haste[1], world.write),
        (10 * haste[2], append),
        (10 * haste[2], world.answer_batches),
        (6 * haste[3], world.order),
        (2, world.hear_event),
        (2, world.abort_hanging),
        (0.5 * violence, lambda: world.order(breaks=True)),
        (0.5 * violence, world.kill_broker),
        (0.5 * violence, world.kill_daemon),
        (0.5 * violence, world.refuse_to_write),
        (0.5 * violence, world.give_up_waiting),
        (1.5 * violence, lambda: world.start(rng.randrange(world.seats))),
        (0.5 * violence, some_worker(world.kill)),
        (1 * violence, some_worker(world.bury)),
        (1 * violence, some_worker(world.lose_connection)),
        (2 * violence, some_worker(world.lose_patience)),
        (1 * violence, lambda: world.pass_ms(rng.choice([10, TIMEOUT_MS // 2, TIMEOUT_MS]))),
    ]
    for number in range(world.seats):
        world.start(number)
    for do in rng.choices([do for _, do in actions], [weight for weight, _ in actions], k=steps):
        do()
        world.check()
    return world


def run(seed: int, steps: int = STEPS, **size: int) -> World:
    """Simulate to the end; what fails names the seed."""
    try:
        world = simulate(seed, steps, **size)
        world.settle()
        world.check_settled()
        world.check_replay()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}; run it again with pytest --seed {seed}") from error
    return world


@pytest.mark.parametrize("first", range(0, 2000, CHUNK))
def test_nothing_breaks_while_everything_happens(first: int, seed: int | None) -> None:
    for each in range(first, first + CHUNK) if seed is None else [seed]:
        run(each)


def test_nearly_all_transitions_are_met() -> None:
    seen = {pair for seed in range(150) for pair in run(seed).seen}
    possible = {(before, after) for before, events in TRANSITIONS.items() for after in events.values()}
    missing = {pair for pair in possible - seen if m.TransactionState.DEAD not in pair}
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_200, 20))
def test_nothing_breaks_in_the_long_run(first: int, seed: int | None) -> None:
    for each in range(first, first + 20) if seed is None else [seed]:
        run(each, 4 * STEPS, workers=3, inputs=20, outputs=4)
