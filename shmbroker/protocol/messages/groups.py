"""Membership of groups: the coordinator in the daemon assigns, members are told (KIP-848, by push instead of heartbeats).

The conversation of one member, over a connection that is attached as a consumer::

    member                                      daemon
      | -- JoinGroup(member_epoch=0) ------------> |
      | <------------------ MembershipReply ------ |    may own nothing yet
      | <------- GroupAssignment {t: [0, 1, 2]} -- |    take what is new
      | <- GroupAssignment {t: [0, 1]}, {t: [2]} - |    another member came: let 2 go (commit first), keep 0 and 1
      | -- ReleasePartitions {t: [2]} -----------> |    only now is 2 given to the other one
      | <---------- MembershipReply {t: [0, 1]} -- |
      | -- LeaveGroup ---------------------------> |

A *view* is (member_epoch, assigned, revoking): what a member may own from now on, and what it is to let go. Views come in
replies and in pushes, and the last one that was received is the one that counts: those before it may be skipped. The member
lets go of whatever of ``revoking`` it owns, releases all of ``revoking``, and takes what is new in ``assigned``. Nothing has to
be said about what it takes. A partition in ``revoking`` stays the member's own, commits included, until it has released it;
the member is fenced if it does not within its rebalance time-out.

There are no heartbeats on the socket. A closed connection ends a dynamic member at once. A member that stalls is recognised
by two words in its session region (see ``shmbroker.shm.session``): the heartbeat, by the session time-out, and the last poll,
by the rebalance time-out.

Pushes have correlation id 0.
"""

from __future__ import annotations

import enum

import msgspec

from shmbroker.errors import ErrorCode
from shmbroker.protocol.messages.base import Message, Outcome
from shmbroker.protocol.messages.offsets import PartitionRef

Partitions = dict[str, list[int]]
"""Topic -> its partitions, ascending."""

NEW_MEMBER_EPOCH = 0
LEFT_MEMBER_EPOCH = -1
AWAY_MEMBER_EPOCH = -2
"""A member that is expected back (static membership)."""


class GroupType(enum.StrEnum):
    """Which of Kafka's two protocols a group's members were configured for (``group.protocol``). Both are assigned in the
    daemon and rebalance incrementally; they differ in how an assignor is chosen, in what a regex matches, and in who yields
    when two live members share a group.instance.id."""

    CLASSIC = "Classic"
    CONSUMER = "Consumer"


class GroupState(enum.StrEnum):
    EMPTY = "Empty"
    """No members; offsets may be there."""
    ASSIGNING = "Assigning"
    """Members or topics changed, the new assignment is not computed yet."""
    RECONCILING = "Reconciling"
    """Partitions are on their way from their old owners to new ones."""
    STABLE = "Stable"
    DEAD = "Dead"
    """There is no such group."""


class FenceCause(enum.StrEnum):
    """Why a member is one no longer."""

    SESSION_TIMEOUT = "session timeout"
    """It did not stamp its heartbeat word."""
    POLL_INTERVAL = "poll interval"
    """It did not poll within its rebalance time-out (max.poll.interval.ms)."""
    REBALANCE_TIMEOUT = "rebalance timeout"
    """It did not release partitions within its rebalance time-out."""
    JOIN_FLOOD = "join flood"
    """Its connection asked to join all the time."""
    REMOVED = "removed"
    """An operator removed it."""
    REPLACED = "replaced"
    """Another member joined with its group.instance.id."""


class LeaveOperation(enum.StrEnum):
    """What becomes of the membership (KIP-1092)."""

    DEFAULT = "default"
    """Dynamic members leave, static ones remain."""
    LEAVE = "leave"
    REMAIN = "remain"
    """The partitions are kept for the member until its session time-out."""


# --- of a member -------------------------------------------------------------------------------------------


class JoinGroup(Message):
    """Become a member, change the subscription, or come back after the daemon, or the connection to it, was away. One at a
    time: the next only once this one is answered.

    Answered by MembershipReply. Failures: INVALID_GROUP_ID, GROUP_MAX_SIZE_REACHED, INVALID_SESSION_TIMEOUT,
    UNSUPPORTED_ASSIGNOR, INCONSISTENT_GROUP_PROTOCOL, INVALID_REGULAR_EXPRESSION, INVALID_REQUEST, UNRELEASED_INSTANCE_ID,
    POLICY_VIOLATION for a connection with too many memberships, or that asks without end: its membership is over then;
    and, to one that comes back and has to give up what it owned and join anew, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH or
    FENCED_INSTANCE_ID.
    """

    group: str
    member_id: str
    """Chosen by the member, a UUID (KIP-1082); the same for the life of the consumer."""
    member_epoch: int
    """0: join anew, owning nothing; views that arrive before the reply are void then. Over 0: the epoch of the member's last
    view, and ``owned`` says what it holds, which has to be its own. Nothing is free because it is missing there: what the
    member is to let go it has to release."""
    topics: list[str]
    pattern: str | None = None
    """Topics whose name it matches too, as they come and go. Type CONSUMER: RE2 syntax, must match the whole name; type
    CLASSIC: a match anywhere suffices, as in librdkafka, so a leading ``^`` anchors it."""
    instance_id: str | None = None
    """``group.instance.id`` of a static member."""
    group_type: GroupType = GroupType.CLASSIC
    assignors: list[str] = msgspec.field(default_factory=list)
    """By preference: ``partition.assignment.strategy``, or the one ``group.remote.assignor``. None: the daemon's choice."""
    session_timeout_ms: int = -1
    """-1: the daemon's ``group.consumer.session.timeout.ms``."""
    rebalance_timeout_ms: int = -1
    """``max.poll.interval.ms``; -1: 300,000."""
    owned: Partitions = msgspec.field(default_factory=dict)


class MembershipReply(Message):
    """The member's view."""

    member_epoch: int
    """Over 0; -1 after leaving, -2 after leaving for a while."""
    assigned: Partitions
    revoking: Partitions
    heartbeat_interval_ms: int
    """How often the member is to stamp its heartbeat word."""


class ReleasePartitions(Message):
    """The member has let go of ``partitions``, or never took them: it reads them no more and commits nothing more for them.

    Releasing what is not being revoked is harmless and changes nothing. So is doing it twice, even if the member got a
    partition back in between and is asked for it again: ``member_epoch`` tells which time is meant. Answered by
    MembershipReply; UNKNOWN_MEMBER_ID when the connection holds no such membership.
    """

    group: str
    member_id: str
    member_epoch: int
    """Of the view that asked for it."""
    partitions: Partitions


class LeaveGroup(Message):
    """Answered by MembershipReply with epoch -1 or -2; UNKNOWN_MEMBER_ID when the connection holds no such membership."""

    group: str
    member_id: str
    operation: LeaveOperation = LeaveOperation.DEFAULT


# --- pushes ------------------------------------------------------------------------------------------------


class GroupAssignment(Message):
    """Push: the member's view changed."""

    group: str
    member_id: str
    member_epoch: int
    assigned: Partitions
    revoking: Partitions


class GroupFenced(Message):
    """Push: the membership is over and its partitions may have new owners already: nothing can be committed for them. The
    connection stays good; the member may join anew with epoch 0."""

    group: str
    member_id: str
    code: ErrorCode
    """UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when the member was replaced."""
    cause: FenceCause
    message: str


# --- of operators ------------------------------------------------------------------------------------------


class ListGroups(Message):
    """Groups in any of ``states`` and of any of ``types``; empty lists do not filter."""

    states: list[GroupState] = msgspec.field(default_factory=list)
    types: list[GroupType] = msgspec.field(default_factory=list)


class GroupListing(Message):
    group: str
    state: GroupState
    group_type: GroupType
    protocol_type: str
    """``consumer``, or empty when the group never had a member, only offsets (Kafka calls that a simple consumer group)."""


class ListGroupsReply(Message):
    groups: list[GroupListing]


class DescribeGroups(Message):
    groups: list[str]


class GroupMember(Message):
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    """``/`` and the pid of the member's process: where Kafka has the address."""
    pid: int
    member_epoch: int
    topics: list[str]
    pattern: str | None
    assignment: Partitions
    """What it may own, and what it was asked to release and did not yet."""
    target_assignment: Partitions
    is_attached: bool
    """False for a member that is expected back."""


class GroupDescription(Message):
    group: str
    code: ErrorCode
    """NO_ERROR; GROUP_ID_NOT_FOUND with state Dead; INVALID_GROUP_ID."""
    message: str
    state: GroupState
    group_type: GroupType
    protocol_type: str
    assignor: str
    """Empty before the first assignment."""
    group_epoch: int
    """Grows when members, subscriptions or topics change."""
    assignment_epoch: int
    """The group epoch that the target assignment was computed for."""
    members: list[GroupMember]


class DescribeGroupsReply(Message):
    """In the request's order."""

    groups: list[GroupDescription]


class DeleteGroups(Message):
    """Answered by OutcomesReply: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP while it has members, INVALID_GROUP_ID."""

    groups: list[str]


class DeleteGroupOffsets(Message):
    """Answered by PartitionOutcomesReply: GROUP_SUBSCRIBED_TO_TOPIC for topics that members subscribe to,
    UNKNOWN_TOPIC_OR_PART. Deleting what is not there succeeds. Failures: GROUP_ID_NOT_FOUND, INVALID_GROUP_ID."""

    group: str
    partitions: list[PartitionRef]


class MemberRef(Message):
    """A static member by its ``instance_id``, or any one by its ``member_id``."""

    member_id: str = ""
    instance_id: str | None = None


class RemoveMembers(Message):
    """Fence members, all of them when ``members`` is empty. Answered by RemoveMembersReply; failures: GROUP_ID_NOT_FOUND,
    INVALID_GROUP_ID."""

    group: str
    members: list[MemberRef] = msgspec.field(default_factory=list)
    reason: str = ""


class RemoveMembersReply(Message):
    """One for each member that was named, in that order, or one for each that was there: UNKNOWN_MEMBER_ID for strangers.
    ``name`` is the instance id, else the member id."""

    outcomes: list[Outcome]
