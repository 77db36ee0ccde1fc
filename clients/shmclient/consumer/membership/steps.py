"""What happens to a member of a group, and what it does: the events and actions of :class:`Membership`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from shmbroker.protocol.messages import FenceCause

Partition = tuple[str, int]
Partitions = frozenset[Partition]
NONE: Partitions = frozenset()


class Topics(NamedTuple):
    """What is subscribed to. ``pattern``: of names, in the syntax of the daemon."""

    names: tuple[str, ...]
    pattern: str | None = None


# --- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribed:
    topics: Topics
    is_eager: bool = False
    """Callbacks are to be called as in an eager protocol."""


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    pass


@dataclass(frozen=True, slots=True)
class JoinSent:
    now: float


@dataclass(frozen=True, slots=True)
class Viewed:
    """A view in a push."""

    epoch: int
    assigned: Partitions
    revoking: Partitions = NONE


class Joined(Viewed):
    """The view that answers the last request to join."""


class Released(Viewed):
    """The view that answers a release: the daemon knows of all that was released so far."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The last request to join was answered with an error."""

    code: int
    text: str
    now: float


@dataclass(frozen=True, slots=True)
class Fenced:
    code: int
    cause: FenceCause
    text: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    pass


@dataclass(frozen=True, slots=True)
class LetGo:
    """The application has let go of ``partitions``."""

    partitions: Partitions


@dataclass(frozen=True, slots=True)
class ReleaseSent:
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class ReleaseRefused:
    """The daemon could not carry a release out, its disk is full for instance; or the member is none any more, which it is told
    by itself."""

    now: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The application has taken ``partitions``."""

    partitions: Partitions


@dataclass(frozen=True, slots=True)
class LossTold:
    """The application knows that it lost everything."""


@dataclass(frozen=True, slots=True)
class LeaveSent:
    """Also where it could not be sent: the connection is gone, which says the same."""


@dataclass(frozen=True, slots=True)
class Told:
    """The application got the oldest report."""


Event = (
    Subscribed
    | Unsubscribed
    | JoinSent
    | Viewed
    | Refused
    | Fenced
    | Disconnected
    | LetGo
    | ReleaseSent
    | ReleaseRefused
    | Taken
    | LossTold
    | LeaveSent
    | Told
)


# --- actions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    topics: Topics
    epoch: int
    held: Partitions


@dataclass(frozen=True, slots=True)
class LetGoOf:
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class Release:
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class Take:
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class TellLoss:
    partitions: Partitions


@dataclass(frozen=True, slots=True)
class Leave:
    pass


@dataclass(frozen=True, slots=True)
class Report:
    """An error for the application. After a fatal one nothing more will come of this membership."""

    code: int
    text: str
    is_fatal: bool = False


Action = Join | LetGoOf | Release | Take | TellLoss | Leave | Report
