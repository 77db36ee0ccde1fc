"""Groups of a Kafka cluster, by way of the calls that confluent_kafka has."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Self

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, from_kafka_error
from shmclient.cli.group_model import Committed, Description, Listing, Member, not_found
from shmclient.cli.reset_scenarios import Place
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmclient.admin import ConsumerGroupDescription, MemberDescription

NOT_DELETABLE = (
    "offsets of a group cannot be deleted in a Kafka cluster by way of confluent_kafka: use"
    " kafka-consumer-groups.sh --delete-offsets"
)
COORDINATOR_AWAY = ("COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR")
COORDINATOR_PAUSE_S = 0.1
_STATES = {
    "STABLE": "Stable",
    "EMPTY": "Empty",
    "DEAD": "Dead",
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
}


class ClusterGroups:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._admin: Any = target.admin
        self._timeout_s = target.timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def list(self) -> list[Listing]:
        future = self._admin.list_consumer_groups(request_timeout=self._timeout_s)
        result: Any = self._target.result(future)
        for error in result.errors or ():
            output.note(f"shmbroker: the list is incomplete: {error.args[0].str()}")
        return sorted(
            Listing(each.group_id, _state(each.state), _name(each.type), each.is_simple_consumer_group)
            for each in result.valid or ()
        )

    def describe(self, groups: Sequence[str]) -> dict[str, Description | CliError]:
        found: dict[str, Description | CliError] = {}
        for group in dict.fromkeys(groups):
            try:
                found[group] = self._description(
                    self._ask(self._admin.describe_consumer_groups, group, group)
                )
            except CliError as error:
                found[group] = error
        return found

    def _ask(self, call: Callable[..., Mapping[str, Future[Any]]], group: str, request: Any) -> Any:
        """What a call answers for one group. While the group's coordinator moves, or has yet to come up, it is asked again, as
        Kafka's own clients do and librdkafka does not.

        Raises:
            CliError: the refusal, or NO_DAEMON.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            future = call([request], request_timeout=self._timeout_s)[group]
            wait([future], self._timeout_s + 1.0)
            if not _is_coordinator_away(future) or time.monotonic() > deadline:
                return self._target.result(future, group)
            time.sleep(COORDINATOR_PAUSE_S)

    def _description(self, group: ConsumerGroupDescription) -> Description | CliError:
        state = _state(group.state)
        if state == "Dead":
            return not_found(group.group_id)
        node = group.coordinator
        coordinator = f"{node.host}:{node.port} ({node.id})" if node is not None else ""
        members = [_member(each) for each in group.members]
        return Description(
            group.group_id,
            state,
            _name(group.type),
            group.partition_assignor,
            coordinator,
            None,
            None,
            members,
        )

    def committed(self, group: str) -> dict[Place, Committed]:
        from shmclient import ConsumerGroupTopicPartitions

        request = ConsumerGroupTopicPartitions(group)
        result = self._ask(self._admin.list_consumer_group_offsets, group, request)
        return {
            Place(tp.topic, tp.partition): Committed(tp.offset, tp.leader_epoch, tp.metadata)
            for tp in result.topic_partitions
            if tp.offset >= 0
        }

    def commit(self, group: str, offsets: Mapping[Place, int]) -> dict[Place, CliError | None]:
        from shmclient import ConsumerGroupTopicPartitions, TopicPartition

        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        request = ConsumerGroupTopicPartitions(group, wanted)
        result = self._ask(self._admin.alter_consumer_group_offsets, group, request)
        outcomes: dict[Place, CliError | None] = {}
        for tp in result.topic_partitions:
            place = Place(tp.topic, tp.partition)
            outcomes[place] = from_kafka_error(tp.error, str(place)) if tp.error else None
        return outcomes

    def delete(self, groups: Sequence[str]) -> dict[str, CliError | None]:
        outcomes: dict[str, CliError | None] = {}
        for group in dict.fromkeys(groups):
            try:
                self._ask(self._admin.delete_consumer_groups, group, group)
                outcomes[group] = None
            except CliError as error:
                outcomes[group] = error
        return outcomes

    def delete_offsets(self, group: str, places: Sequence[Place]) -> dict[Place, CliError | None]:
        raise CliError(NOT_DELETABLE)


def _is_coordinator_away(future: Future[Any]) -> bool:
    error = future.exception() if future.done() else None
    cause = error.args[0] if error is not None and error.args else None
    return cause is not None and hasattr(cause, "name") and cause.name() in COORDINATOR_AWAY


def _state(state: Any) -> str:
    return _STATES.get(getattr(state, "name", ""), "Unknown")


def _name(kind: Any) -> str:
    return str(getattr(kind, "name", "UNKNOWN")).capitalize()


def _member(member: MemberDescription) -> Member:
    target = member.target_assignment
    return Member(
        member.member_id,
        member.group_instance_id,
        member.client_id,
        member.host,
        _sorted_places(member.assignment.topic_partitions),
        None if target is None else _sorted_places(target.topic_partitions),
        None,
    )


def _sorted_places(partitions: Sequence[Any]) -> list[Place]:
    return sorted(Place(tp.topic, tp.partition) for tp in partitions)
