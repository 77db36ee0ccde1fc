"""Groups as the commands see them, whoever told: a daemon (``group_daemon``) or a Kafka cluster (``group_cluster``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.reset_scenarios import Place


class Listing(NamedTuple):
    group: str
    state: str
    """As Kafka writes it: ``Stable``, ``PreparingRebalance``."""
    type: str
    is_simple: bool
    """It never had members, only offsets."""


class Member(NamedTuple):
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: list[Place]
    target: list[Place] | None
    """None where the broker does not tell, as is the epoch."""
    epoch: int | None


class Description(NamedTuple):
    group: str
    state: str
    type: str
    assignor: str
    coordinator: str
    group_epoch: int | None
    """None where the broker does not tell, as is the next one."""
    assignment_epoch: int | None
    members: list[Member]


class Committed(NamedTuple):
    offset: int
    leader_epoch: int | None
    metadata: str | None


class GroupSource(Protocol):
    """What groups are asked for. What becomes of each group, or partition, is a value or the reason why not."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def list(self) -> list[Listing]:
        """All groups, in the order of their ids."""
        ...

    def describe(self, groups: Sequence[str]) -> dict[str, Description | CliError]: ...

    def committed(self, group: str) -> dict[Place, Committed]:
        """Everything that the group has committed; nothing for a group that is not there."""
        ...

    def commit(self, group: str, offsets: Mapping[Place, int]) -> dict[Place, CliError | None]: ...

    def delete(self, groups: Sequence[str]) -> dict[str, CliError | None]: ...

    def delete_offsets(self, group: str, places: Sequence[Place]) -> dict[Place, CliError | None]: ...


def not_found(group: str) -> CliError:
    return CliError(f"group '{group}' does not exist", ExitCode.NOT_FOUND)
