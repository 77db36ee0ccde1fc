"""Groups of a daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from shmclient.cli.exit_codes import CliError, from_kafka_error
from shmclient.cli.group_model import Committed, Description, Listing, Member, not_found
from shmclient.cli.reset_scenarios import Place
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmbroker.protocol import messages as m

R = TypeVar("R")


class DaemonGroups:
    """Over a control connection, which tells more than an AdminClient can: epochs, targets, what is on its way."""

    def __init__(self, target: Target) -> None:
        self._timeout_s = target.timeout_s
        self._connection = target.connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def _ask(self, body: m.RequestBody, reply_type: type[R]) -> R:
        """
        Raises:
            CliError: the request as a whole was refused, or not answered.
        """
        from shmclient.errors import KafkaException

        try:
            return self._connection.request(body, reply_type, self._timeout_s)
        except KafkaException as error:
            raise from_kafka_error(error.args[0]) from None

    def list(self) -> list[Listing]:
        from shmbroker.protocol import messages as m

        reply = self._ask(m.ListGroups(), m.ListGroupsReply)
        return [
            Listing(each.group, each.state, each.group_type, not each.protocol_type) for each in reply.groups
        ]

    def describe(self, groups: Sequence[str]) -> dict[str, Description | CliError]:
        from shmbroker.protocol import messages as m

        cluster = self._ask(m.DescribeCluster(), m.DescribeClusterReply)
        broker = next(each for each in cluster.brokers if each.broker_id == cluster.controller_id)
        coordinator = f"{broker.host} ({broker.broker_id})"
        reply = self._ask(m.DescribeGroups(list(dict.fromkeys(groups))), m.DescribeGroupsReply)
        return {each.group: self._description(each, coordinator) for each in reply.groups}

    def _description(self, group: m.GroupDescription, coordinator: str) -> Description | CliError:
        from shmbroker.errors import ErrorCode

        if group.code == ErrorCode.GROUP_ID_NOT_FOUND:
            return not_found(group.group)
        if group.code != ErrorCode.NO_ERROR:
            return _refusal(group.code, group.message, group.group)
        return Description(
            group.group,
            group.state,
            group.group_type,
            group.assignor,
            coordinator,
            group.group_epoch,
            group.assignment_epoch,
            [
                Member(
                    each.member_id,
                    each.instance_id,
                    each.client_id,
                    each.host,
                    _places(each.assignment),
                    _places(each.target_assignment),
                    each.member_epoch,
                )
                for each in group.members
            ],
        )

    def committed(self, group: str) -> dict[Place, Committed]:
        from shmbroker.protocol import messages as m

        reply = self._ask(m.FetchOffsets(group, None), m.FetchOffsetsReply)
        return {
            Place(each.topic, each.partition): Committed(
                each.offset, each.leader_epoch if each.leader_epoch >= 0 else None, each.metadata
            )
            for each in reply.offsets
        }

    def commit(self, group: str, offsets: Mapping[Place, int]) -> dict[Place, CliError | None]:
        from shmbroker.protocol import messages as m

        items = [m.OffsetToCommit(place.topic, place.partition, offset) for place, offset in offsets.items()]
        return _partition_outcomes(self._ask(m.CommitOffsets(group, items), m.PartitionOutcomesReply))

    def delete(self, groups: Sequence[str]) -> dict[str, CliError | None]:
        from shmbroker.protocol import messages as m

        reply = self._ask(m.DeleteGroups(list(groups)), m.OutcomesReply)
        return {each.name: _refusal_of(each.code, each.message, each.name) for each in reply.outcomes}

    def delete_offsets(self, group: str, places: Sequence[Place]) -> dict[Place, CliError | None]:
        from shmbroker.protocol import messages as m

        refs = [m.PartitionRef(place.topic, place.partition) for place in places]
        return _partition_outcomes(self._ask(m.DeleteGroupOffsets(group, refs), m.PartitionOutcomesReply))


def _places(partitions: m.Partitions) -> list[Place]:
    return [Place(topic, number) for topic, numbers in partitions.items() for number in numbers]


def _partition_outcomes(reply: m.PartitionOutcomesReply) -> dict[Place, CliError | None]:
    return {
        Place(each.topic, each.partition): _refusal_of(
            each.code, each.message, str(Place(each.topic, each.partition))
        )
        for each in reply.outcomes
    }


def _refusal_of(code: int, message: str, subject: str) -> CliError | None:
    return _refusal(code, message, subject) if code else None


def _refusal(code: int, message: str, subject: str) -> CliError:
    from shmclient.errors import KafkaError

    return from_kafka_error(KafkaError(code, message), subject)
