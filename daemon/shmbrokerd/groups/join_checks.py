"""What a JoinGroup has to be like before anything is decided about it."""

from __future__ import annotations

from shmbroker.config.key import INT_MAX
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import JoinGroup
from shmbrokerd.groups.assignment import check_assignors
from shmbrokerd.groups.group_ids import check_group_id
from shmbrokerd.groups.subscriptions import pattern_of
from shmbrokerd.metadata.records import MemberRow
from shmbrokerd.metadata.settings import Settings

MAX_MEMBER_ID_BYTES = 128
"""A UUID has 36; a group and a member must fit a key of the store (511 bytes)."""
MAX_INSTANCE_ID_BYTES = 249
"""As Kafka's."""
MAX_TOPIC_NAME_BYTES = 249
MAX_TOPICS = 16_384
"""Names in a subscription: four times as many as there may be topics by default."""
DEFAULT_REBALANCE_TIMEOUT_MS = 300_000


def member_row(settings: Settings, request: JoinGroup, client_id: str, pid: int) -> MemberRow:
    """The row of the member that asks.

    Raises:
        BrokerError: as JoinGroup says, for what is wrong with the request itself.
    """
    check_group_id(request.group)
    _check_ids(request)
    _check_subscription(request)
    check_assignors(settings, request.group_type, request.assignors)
    return MemberRow(
        group=request.group,
        member_id=request.member_id,
        instance_id=request.instance_id,
        client_id=client_id,
        pid=pid,
        group_type=request.group_type,
        assignors=tuple(dict.fromkeys(request.assignors)),
        topics=tuple(sorted(set(request.topics))),
        pattern=request.pattern,
        session_timeout_ms=_session_timeout_ms(settings, request),
        rebalance_timeout_ms=_rebalance_timeout_ms(settings, request),
    )


def _refuse(request: JoinGroup, problem: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, f"group '{request.group}': {problem}")


def _check_ids(request: JoinGroup) -> None:
    size = len(request.member_id.encode())
    if not 0 < size <= MAX_MEMBER_ID_BYTES or "\0" in request.member_id:
        raise _refuse(
            request,
            f"the member id has {size} bytes; allowed are 1 to {MAX_MEMBER_ID_BYTES}, without NUL: make it a UUID",
        )
    if not 0 <= request.member_epoch <= INT_MAX:
        raise _refuse(request, f"{request.member_epoch} is no member epoch to join with")
    if request.instance_id is not None:
        size = len(request.instance_id.encode())
        if not 0 < size <= MAX_INSTANCE_ID_BYTES:
            raise _refuse(
                request,
                f"group.instance.id has {size} bytes; allowed are 1 to {MAX_INSTANCE_ID_BYTES}",
            )


def _check_subscription(request: JoinGroup) -> None:
    if not request.topics and request.pattern is None:
        raise _refuse(request, f"member {request.member_id} subscribes to nothing; leave the group instead")
    if len(request.topics) > MAX_TOPICS:
        raise _refuse(request, f"a subscription to {len(request.topics)} topics; allowed are {MAX_TOPICS}")
    for topic in request.topics:
        if not 0 < len(topic.encode()) <= MAX_TOPIC_NAME_BYTES:
            raise BrokerError(
                ErrorCode.TOPIC_EXCEPTION,
                f"group '{request.group}': '{topic[:20]}' cannot be the name of a topic: it has"
                f" {len(topic.encode())} bytes; allowed are 1 to {MAX_TOPIC_NAME_BYTES}",
            )
    if request.pattern is not None:
        pattern_of(request.pattern, request.group_type)


def _session_timeout_ms(settings: Settings, request: JoinGroup) -> int:
    if request.session_timeout_ms == -1:
        return settings.broker_number("group.consumer.session.timeout.ms")
    least = settings.broker_number("group.min.session.timeout.ms")
    most = settings.broker_number("group.max.session.timeout.ms")
    if not least <= request.session_timeout_ms <= most:
        raise BrokerError(
            ErrorCode.INVALID_SESSION_TIMEOUT,
            f"group '{request.group}': session.timeout.ms={request.session_timeout_ms}; the daemon allows {least}"
            f" (group.min.session.timeout.ms) to {most} (group.max.session.timeout.ms)",
        )
    return request.session_timeout_ms


def _rebalance_timeout_ms(settings: Settings, request: JoinGroup) -> int:
    asked = request.rebalance_timeout_ms
    if asked == -1:
        asked = DEFAULT_REBALANCE_TIMEOUT_MS
    if asked <= 0:
        raise _refuse(request, f"max.poll.interval.ms={asked} is no time to rebalance in")
    return min(asked, settings.broker_number("group.max.rebalance.timeout.ms"))
