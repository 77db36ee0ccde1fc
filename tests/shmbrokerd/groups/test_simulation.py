"""A world of groups from a seed: members join, leave, die and stall, the daemon is killed, topics come and go.

Held after every step: no partition has two owners; whoever is a member holds nothing but its own; a committed offset never
moves back by itself, and so nobody who was fenced commits; transitions are those of the table. Held once nothing happens any
more: every partition that a member subscribes to has an owner who knows it; the state is what its records make of it.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
from groupkit.real_member import RealMember
from groupkit.world import POLL_MS, SESSION_MS, SimMember, World

from shmbroker.protocol import messages as m
from shmbrokerd.groups.states import TRANSITIONS

STEPS = 3000
GROUPS = ["g", "h"]
TOPICS = ["t", "u", "v"]
ASSIGNORS = ["range", "roundrobin", "sticky", "uniform"]


def simulate(seed: int, steps: int, kind: type[SimMember] = SimMember) -> World:
    rng = random.Random(seed)
    world = World(
        "group.consumer.assignors=uniform,range,roundrobin,sticky",
        "group.max.size=12",
        "offsets.retention.minutes=1",
        kind=kind,
    )
    assignor = {group: rng.choice(ASSIGNORS) for group in GROUPS}

    def some_topics() -> list[str]:
        return rng.sample(TOPICS, rng.randint(1, len(TOPICS)))

    def start() -> None:
        group = rng.choice(GROUPS)
        kind = rng.choice(list(m.GroupType))
        instance = f"i{rng.randint(0, 3)}" if rng.random() < 0.3 else None
        world.start_member(group, some_topics(), instance, group_type=kind, assignors=[assignor[group]])

    def some_member(do: Callable[[SimMember], object]) -> None:
        alive = [member for member in world.members if not member.is_dead]
        if alive:
            do(rng.choice(alive))

    def unsubscribe(member: SimMember) -> None:
        if isinstance(member, RealMember):
            member.unsubscribe()

    def drop(member: SimMember) -> None:
        if isinstance(member, RealMember):
            world.drop(member)

    def stall() -> None:
        some_member(lambda member: setattr(member, "is_stalled", rng.random() < 0.3))

    def operate() -> None:
        group, topic = rng.choice(GROUPS), rng.choice(TOPICS)
        match rng.randrange(4):
            case 0:
                world.operate(m.DeleteGroups([group]))
            case 1:
                world.operate(m.DeleteGroupOffsets(group, [m.PartitionRef(topic, 0)]))
            case 2:
                some_member(lambda one: world.operate(m.RemoveMembers(one.group, [m.MemberRef(one.name)])))
            case _:
                world.commit_forward(group, topic, 0)

    def serve() -> None:
        if world.connections:
            world.serve(rng.choice(world.connections))

    haste = [rng.choice([1, 1, 5]) for _ in range(3)]
    """How fast things go differs: a slow member hears of several rebalances at once, a slow disk writes much at once."""
    actions: list[tuple[float, Callable[[], object]]] = [
        (60, serve),
        (40 * haste[0], lambda: some_member(world.act)),
        (10 * haste[1], world.write),
        (10 * haste[2], world.assign),
        (2, start),
        (1, lambda: some_member(world.kill)),
        (0.5, lambda: some_member(world.leave)),
        (1, lambda: some_member(lambda member: world.resubscribe(member, some_topics()))),
        (1, lambda: some_member(unsubscribe)),
        (1, lambda: some_member(drop)),
        (2, stall),
        (2, lambda: some_member(world.commit_late)),
        (8, lambda: world.deliver_late(rng.randrange(100))),
        (2, lambda: world.pass_ms(rng.choice([10, 10, 10, 1000, SESSION_MS // 2, SESSION_MS, POLL_MS]))),
        (0.3, lambda: world.change_topic(rng.choice(TOPICS), rng.randint(0, 6))),
        (0.1, world.restart),
        (0.3, operate),
        (0.3, world.expire),
    ]
    for name in TOPICS:
        world.change_topic(name, rng.randint(1, 6))
    choices = rng.choices([do for _, do in actions], [weight for weight, _ in actions], k=steps)
    for do in choices:
        do()
        world.check()
    return world


@functools.cache
def short_run(seed: int) -> World:
    return simulate(seed, STEPS)


@pytest.mark.parametrize("seed", range(25))
def test_nothing_breaks_while_everything_happens(seed: int) -> None:
    world = short_run(seed)
    world.settle()
    world.check_settled()
    world.check_replay()


@pytest.mark.parametrize("seed", [*range(6), 90, 95, 144, 167])
def test_nothing_breaks_with_members_that_decide_as_the_client_library_does(seed: int) -> None:
    world = simulate(seed, STEPS, RealMember)
    world.settle()
    world.check_settled()
    world.check_replay()


def test_all_states_and_nearly_all_events_are_met() -> None:
    seen = {(before, event) for seed in range(12) for before, event, _ in short_run(seed).seen}
    assert {state for state, _ in seen} == set(m.GroupState)
    missing = {(state, event) for state, events in TRANSITIONS.items() for event in events} - seen
    assert len(missing) <= 4, missing


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SimMember, RealMember])
@pytest.mark.parametrize("seed", range(1000, 1010))
def test_nothing_breaks_in_the_long_run(seed: int, kind: type[SimMember]) -> None:
    world = simulate(seed, 5 * STEPS, kind)
    world.settle()
    world.check_settled()
    world.check_replay()
