"""The coordinator and members that decide as the client library does: both halves of the protocol, and hypothesis between them.

Beyond what holds in `test_model`: nobody takes a partition over a connection on which it is no member.
"""

from __future__ import annotations

from groupkit.real_member import RealMember
from groupkit.world import World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from test_model import INDEX, SUBSCRIPTIONS, GroupMachine

from shmbroker.protocol import messages as m


class RealGroupMachine(GroupMachine):
    kind = RealMember

    def member(self, index: int) -> RealMember:
        member = self.world.members[index % len(self.world.members)]
        assert isinstance(member, RealMember)
        return member

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX)
    def poll(self, index: int) -> None:
        member = self.member(index)
        if not member.is_dead and not member.is_stalled:
            member.poll()

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX, names=SUBSCRIPTIONS, is_eager=st.booleans())
    def resubscribe(self, index: int, names: list[str], is_eager: bool) -> None:
        member = self.member(index)
        if not member.is_dead:
            member.resubscribe(names, is_eager=is_eager)

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX)
    def unsubscribe(self, index: int) -> None:
        member = self.member(index)
        if not member.is_dead:
            member.unsubscribe()

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX)
    def drop(self, index: int) -> None:
        self.world.drop(self.member(index))

    @precondition(lambda self: self.world.members)
    @rule(index=INDEX)
    def remove(self, index: int) -> None:
        """An operator fences a member."""
        member = self.member(index)
        self.world.operate(m.RemoveMembers(member.group, [m.MemberRef(member.name)]))


RealGroupMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestRealMembers = RealGroupMachine.TestCase


def test_what_is_taken_while_a_request_to_join_is_under_way_has_one_reader() -> None:
    """When the member polls two views are there: it asks for another subscription, holding nothing, then takes what they give.
    Before the daemon reads the request it wants a part of that for a newcomer."""
    world = World(kind=RealMember)
    world.change_topic("t", 2)
    first, second = started(world), started(world, is_served=False)
    world.change_topic("u", 2)
    decide(world)
    first.resubscribe(["t", "u", "v"])
    poll(world, first)
    assert first.owned.keys() == {("t", 0), ("t", 1), ("u", 0), ("u", 1)}
    join, *_ = requests_of(first)
    assert isinstance(join, m.JoinGroup)
    assert (join.member_epoch, join.owned) == (2, {})
    serve(world, second)
    decide(world)
    assert world.state.groups["g"].assignments[first.name].revoking == {"t": {1: 1}, "u": {1: 2}}
    serve(world, first)
    decide(world)
    assert first.owned.keys() == {partition for partition, name in owners(world) if name == first.name}
    world.settle()
    world.check_settled()
    assert second.owned.keys() == {("t", 1), ("u", 1)}


def started(world: World, *, is_served: bool = True) -> RealMember:
    """A member that has asked to join."""
    member = world.start_member("g", ["t", "u"])
    assert isinstance(member, RealMember)
    member.poll()
    if is_served:
        serve(world, member)
        decide(world)
    return member


def serve(world: World, member: RealMember) -> None:
    """The daemon reads all that the member has said."""
    while requests_of(member):
        assert member.connection is not None
        world.serve(member.connection)
        world.check()


def decide(world: World) -> None:
    world.assign()
    world.write()
    world.check()


def poll(world: World, member: RealMember) -> None:
    """The member hears all there is, and only then looks at it."""
    assert member.connection is not None
    while member.connection.answers:
        world.hear(member)
    member.poll()
    world.check()


def requests_of(member: RealMember) -> list[m.RequestBody]:
    assert member.connection is not None
    return list(member.connection.requests)


def owners(world: World) -> list[tuple[tuple[str, int], str]]:
    return list(world.state.groups["g"].owners.items())
