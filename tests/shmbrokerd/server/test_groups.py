"""Groups of a real daemon, over the raw protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from shmbroker.errors import ErrorCode
from shmbroker.protocol import messages as m
from shmbrokerd.metadata.records import OffsetRow, Put
from shmbrokerd.store import MetadataStore

SHORT = ("--set", "group.min.session.timeout.ms=10")


@pytest.fixture
def topic(client: Any) -> str:
    """Four partitions."""
    reply = client.request(m.CreateTopics([m.NewTopicSpec("t", 4)]))
    assert reply.outcomes[0].code == ErrorCode.NO_ERROR
    return "t"


def describe(client: Any, group: str = "g") -> m.GroupDescription:
    (description,) = client.request(m.DescribeGroups([group])).groups
    return description


def code_of(reply: Any) -> ErrorCode:
    assert isinstance(reply, m.Failure), reply
    return reply.code


# --- members -----------------------------------------------------------------------------------------------


def test_members_share_a_topic(client: Any, topic: str, new_member: Any, wait_for: Any) -> None:
    first = new_member(topic).join()
    first.wait_for(t=[0, 1, 2, 3])
    second = new_member(topic).join()
    first.wait_for(t=[0, 1]) if first.member_id < second.member_id else first.wait_for(t=[2, 3])
    second.wait_for(t=[2, 3]) if first.member_id < second.member_id else second.wait_for(t=[0, 1])
    description = describe(client)
    assert (description.state, description.assignor) == (m.GroupState.STABLE, "range")
    assert sorted(member.pid for member in description.members) == [os.getpid()] * 2
    assert {member.member_id: member.assignment for member in description.members} == {
        first.member_id: first.owned,
        second.member_id: second.owned,
    }


def test_a_partition_is_given_away_only_once_it_is_released(topic: str, new_member: Any, client: Any) -> None:
    first = new_member(topic, assignors=["sticky"]).join()
    first.wait_for(t=[0, 1, 2, 3])
    second = new_member(topic, assignors=["sticky"]).join()
    view = first.client.next_push()
    assert isinstance(view, m.GroupAssignment)
    (revoked,) = view.revoking.values()
    assert describe(client).state == m.GroupState.RECONCILING
    assert second.owned == {}
    assert first.commit("t", revoked[0], epoch=first.epoch) == ErrorCode.NO_ERROR
    first.epoch = view.member_epoch
    first.release(view.revoking)
    second.wait_for(t=revoked)
    assert first.commit("t", revoked[0]) == ErrorCode.ILLEGAL_GENERATION
    assert second.commit("t", revoked[0]) == ErrorCode.NO_ERROR


def test_a_closed_connection_ends_a_membership_at_once(topic: str, new_member: Any) -> None:
    first, second = new_member(topic).join(), new_member(topic).join()
    first.die()
    second.wait_for(t=[0, 1, 2, 3])


def test_a_topic_that_is_made_later_is_joined_by_itself(client: Any, new_member: Any) -> None:
    member = new_member("named", pattern="^log-").join()
    for name, partitions in (("log-a", 2), ("other", 1), ("named", 1)):
        client.request(m.CreateTopics([m.NewTopicSpec(name, partitions)]))
    member.wait_for(**{"log-a": [0, 1], "named": [0]})
    client.request(m.CreatePartitions([m.NewPartitionsSpec("named", 2)]))
    member.wait_for(**{"log-a": [0, 1], "named": [0, 1]})
    client.request(m.DeleteTopics(["log-a"]))
    member.wait_for(named=[0, 1])


def test_leaving_gives_the_rest_to_the_others(topic: str, new_member: Any) -> None:
    first, second = new_member(topic).join(), new_member(topic).join()
    assert first.leave() == m.MembershipReply(-1, {}, {}, 0)
    second.wait_for(t=[0, 1, 2, 3])
    assert code_of(first.leave()) == ErrorCode.UNKNOWN_MEMBER_ID
    first.epoch = 0
    assert isinstance(first.ask_to_join(), m.MembershipReply)


def test_a_static_member_comes_back_to_what_it_had(topic: str, new_member: Any) -> None:
    first = new_member(topic, instance_id="A").join()
    second = new_member(topic, instance_id="B").join()
    first.wait_for(t=[0, 1])
    second.wait_for(t=[2, 3])
    first.die()
    back = new_member(topic, instance_id="A").join()
    assert back.owned == {"t": [0, 1]}
    assert back.commit("t", 0) == ErrorCode.NO_ERROR
    assert second.owned == {"t": [2, 3]}
    assert not second.client.pushes


def test_the_newcomer_takes_over_an_instance_id_and_the_other_one_is_fenced(
    topic: str, new_member: Any
) -> None:
    first = new_member(topic, instance_id="A").join()
    first.wait_for(t=[0, 1, 2, 3])
    second = new_member(topic, instance_id="A").join()
    assert second.owned == {"t": [0, 1, 2, 3]}
    fenced = first.wait_fenced()
    assert (fenced.code, fenced.cause) == (ErrorCode.FENCED_INSTANCE_ID, m.FenceCause.REPLACED)
    assert first.commit("t", 0) == ErrorCode.UNKNOWN_MEMBER_ID
    third = new_member(topic, instance_id="A", group_type=m.GroupType.CONSUMER)
    assert code_of(third.ask_to_join()) == ErrorCode.UNRELEASED_INSTANCE_ID


def test_the_same_member_on_another_connection_ousts_the_first(topic: str, new_member: Any) -> None:
    first = new_member(topic).join()
    first.wait_for(t=[0, 1, 2, 3])
    second = new_member(topic)
    second.member_id, second.epoch, second.owned = first.member_id, first.epoch, first.owned
    second.join()
    assert second.owned == {"t": [0, 1, 2, 3]}
    assert first.wait_fenced().cause == m.FenceCause.REPLACED
    first.die()
    assert second.commit("t", 0) == ErrorCode.NO_ERROR


def test_a_connection_that_is_no_consumers_cannot_join(client: Any, topic: str) -> None:
    join = m.JoinGroup("g", "m", 0, [topic])
    assert code_of(client.request(join)) == ErrorCode.INVALID_REQUEST
    client.request(m.AttachProducer(0))
    assert code_of(client.request(join)) == ErrorCode.INVALID_REQUEST


def test_a_connection_holds_a_limited_number_of_memberships(topic: str, new_member: Any, client: Any) -> None:
    member = new_member(topic).join()
    codes = set()
    for number in range(20):
        reply = member.client.request(m.JoinGroup("g", f"m{number}", 0, [topic]))
        codes.add(reply.code if isinstance(reply, m.Failure) else ErrorCode.NO_ERROR)
    assert codes == {ErrorCode.NO_ERROR, ErrorCode.POLICY_VIOLATION}
    assert len(describe(client).members) == 16


def test_a_member_that_floods_joins_is_fenced_and_other_groups_go_on(
    topic: str, new_member: Any, client: Any
) -> None:
    flooder = new_member(topic).join()
    join = m.JoinGroup("g", flooder.member_id, 0, [topic])
    for number in range(2000):
        reply = flooder.client.request(join)
        if isinstance(reply, m.Failure):
            break
        if number % 30 == 0:
            new_member(topic, group=f"other-{number}").join().wait_for(t=[0, 1, 2, 3])
    assert code_of(reply) == ErrorCode.POLICY_VIOLATION
    assert flooder.wait_fenced().cause == m.FenceCause.JOIN_FLOOD
    assert describe(client).members == []


def test_in_a_full_store_nothing_new_is_taken_in_and_all_else_goes_on(
    start_daemon: Any, member_of: Any
) -> None:
    mib = 1 << 20
    daemon = start_daemon(
        *("--set", f"metadata.max.bytes={16 * mib}"), *("--set", f"offset.metadata.max.bytes={mib}")
    )
    client = daemon.attach()
    client.request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    members = [member_of(daemon, "t").join() for _ in range(2)]
    for member in members:
        while member.owned not in ({"t": [0]}, {"t": [1]}):
            member.look()
    dying, other = members
    assert other.commit("t", other.owned["t"][0]) == ErrorCode.NO_ERROR

    def commit(group: str) -> Any:
        return client.request(m.CommitOffsets(group, [m.OffsetToCommit("t", 0, 5, -1, "x" * (mib - 100))]))

    groups = [f"flood-{number}" for number in range(20)]
    refusal = next(reply for reply in map(commit, groups) if isinstance(reply, m.Failure))
    assert (refusal.code, "metadata.max.bytes" in refusal.message) == (ErrorCode.KAFKA_STORAGE_ERROR, True)
    assert code_of(member_of(daemon, "t").ask_to_join()) == ErrorCode.KAFKA_STORAGE_ERROR
    assert code_of(client.request(m.InitProducerId("x", 1000))) == ErrorCode.KAFKA_STORAGE_ERROR
    dying.die()
    other.wait_for(t=[0, 1])
    assert other.commit("t", other.owned["t"][0]) in (ErrorCode.NO_ERROR, ErrorCode.KAFKA_STORAGE_ERROR)
    assert client.request(m.DeleteGroups([groups[0]])).outcomes[0].code == ErrorCode.NO_ERROR
    assert commit("fits-again").outcomes[0].code == ErrorCode.NO_ERROR


# --- time --------------------------------------------------------------------------------------------------


def test_without_a_heartbeat_a_member_is_fenced(start_daemon: Any, member_of: Any) -> None:
    daemon = start_daemon(*SHORT)
    silent, beating = (member_of(daemon, "t", session_timeout_ms=300).join() for _ in range(2))
    beating.stamp(2**62, 2**62)  # from the future: counts as now
    fenced = silent.wait_fenced()
    assert (fenced.code, fenced.cause) == (ErrorCode.UNKNOWN_MEMBER_ID, m.FenceCause.SESSION_TIMEOUT)
    assert "300 ms (session.timeout.ms)" in fenced.message
    assert code_of(silent.release({})) == ErrorCode.UNKNOWN_MEMBER_ID
    assert isinstance(beating.release({}), m.MembershipReply)


def test_without_a_poll_a_member_is_fenced(start_daemon: Any, member_of: Any) -> None:
    member = member_of(start_daemon(), "t", rebalance_timeout_ms=300).join()
    member.stamp(2**62, 0)
    assert member.wait_fenced().cause == m.FenceCause.POLL_INTERVAL


def test_a_member_that_never_releases_is_fenced_and_the_others_go_on(
    start_daemon: Any, member_of: Any
) -> None:
    daemon = start_daemon()
    daemon.attach().request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    stubborn = member_of(daemon, "t", rebalance_timeout_ms=400).join()
    stubborn.wait_for(t=[0, 1])
    stubborn.stamp(2**62, 2**62)
    other = member_of(daemon, "t", rebalance_timeout_ms=60_000).join()
    assert isinstance(stubborn.client.next_push(), m.GroupAssignment)
    assert stubborn.wait_fenced().cause == m.FenceCause.REBALANCE_TIMEOUT
    other.wait_for(t=[0, 1])


def test_offsets_that_are_too_old_go(start_daemon: Any, wait_for: Any) -> None:
    daemon = start_daemon()
    client = daemon.attach()
    client.request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    client.request(m.CommitOffsets("g", [m.OffsetToCommit("t", 0, 5)]))
    daemon.stop()
    store = MetadataStore(daemon.data_dir / "metadata.mdb", 1 << 30)
    store.write(
        [Put(OffsetRow("g", "t", 1, 5, -1, None, 1000)), Put(OffsetRow("old", "t", 1, 5, -1, None, 1000))]
    )
    store.close()
    client = start_daemon().attach()
    wait_for(
        lambda: [offset.partition for offset in client.request(m.FetchOffsets("g", None)).offsets] == [0]
    )
    assert [listing.group for listing in client.request(m.ListGroups()).groups] == ["g"]


def test_an_initial_delay_gathers_members(start_daemon: Any, member_of: Any) -> None:
    daemon = start_daemon("--set", "group.initial.rebalance.delay.ms=300")
    daemon.attach().request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    first, second = member_of(daemon, "t").join(), member_of(daemon, "t").join()
    for member in (first, second):
        member.look()
    assert sorted((first.owned["t"], second.owned["t"])) == [[0], [1]]


# --- the daemon dies ---------------------------------------------------------------------------------------


def test_members_keep_what_they_own_when_the_daemon_is_killed(start_daemon: Any, member_of: Any) -> None:
    daemon = start_daemon()
    daemon.attach().request(m.CreateTopics([m.NewTopicSpec("t", 4)]))
    members = [member_of(daemon, "t", instance_id=name).join() for name in ("A", "B")]
    members[0].wait_for(t=[0, 1])
    members[1].wait_for(t=[2, 3])
    daemon.kill()
    daemon = start_daemon()
    client = daemon.attach()
    assert [member.is_attached for member in describe(client).members] == [False, False]
    for old in members:
        back = member_of(daemon, "t", instance_id=old.fields["instance_id"])
        back.member_id, back.epoch, back.owned = old.member_id, old.epoch, old.owned
        back.join()
        assert back.owned == old.owned
        assert back.commit("t", back.owned["t"][0]) == ErrorCode.NO_ERROR
    assert describe(client).state == m.GroupState.STABLE


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_members_that_do_not_come_back_are_replaced(start_daemon: Any, member_of: Any, end: str) -> None:
    daemon = start_daemon(*SHORT)
    daemon.attach().request(m.CreateTopics([m.NewTopicSpec("t", 2)]))
    gone = member_of(daemon, "t", session_timeout_ms=1000).join()
    gone.wait_for(t=[0, 1])
    getattr(daemon, end)()
    daemon = start_daemon(*SHORT)
    newcomer = member_of(daemon, "t").join()
    assert [member.is_attached for member in describe(daemon.attach()).members].count(False) == 1
    newcomer.wait_for(t=[0, 1])


def test_one_that_holds_what_is_not_its_own_has_to_join_anew(topic: str, new_member: Any) -> None:
    first, second = new_member(topic).join(), new_member(topic).join()
    first.look()
    second.epoch, second.owned = max(first.epoch, second.epoch), {"t": [0, 1, 2, 3]}
    assert code_of(second.ask_to_join()) == ErrorCode.FENCED_MEMBER_EPOCH


# --- processes ---------------------------------------------------------------------------------------------

HOLDER = """
import os, socket, sys, time
from shmbroker.protocol.channel import Channel
from shmbroker.protocol.framing import Codec
from shmbroker.protocol import messages as m
sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
sock.connect(sys.argv[1])
channel = Channel(sock, Codec(m.Request), Codec(m.Response))
for number, body in enumerate((m.Hello(m.PROTOCOL_VERSION, "parent", ""), m.AttachConsumer(), m.JoinGroup("g", "p", 0, ["t"]))):
    channel.send(m.Request(number + 1, body))
    channel.receive(10)
child = os.fork()
if child == 0:
    sock.setblocking(True)
    while sock.recv(1000):
        pass
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


def test_a_child_that_holds_the_socket_does_not_keep_its_dead_parent_a_member(
    daemon: Any, topic: str, new_member: Any, pid_exists: Any, wait_for: Any
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(daemon.socket_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    other = new_member(topic).join()
    assert other.owned != {"t": [0, 1, 2, 3]}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    other.wait_for(t=[0, 1, 2, 3])
    wait_for(lambda: not pid_exists(child))


def test_what_is_held_for_members_is_given_back(
    daemon: Any, topic: str, new_member: Any, wait_for: Any
) -> None:
    before = daemon.descriptors()
    members = [new_member(topic).join() for _ in range(10)]
    for member in members:
        member.die()
    wait_for(lambda: daemon.descriptors() == before)
