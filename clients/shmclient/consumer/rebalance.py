"""Calls the application when partitions come and go, and does what it does not do itself."""

from __future__ import annotations

from collections.abc import Callable

from shmclient.consumer.assignment import Assignment
from shmclient.consumer.membership.steps import Partitions
from shmclient.consumer.subscription import Callbacks, RebalanceCallback
from shmclient.errors import KafkaError, KafkaException
from shmclient.types import TopicPartition


class Rebalance:
    """``consumer`` is what callbacks get. ``is_incremental``: whether applications change the assignment with
    incremental_assign() and incremental_unassign()."""

    def __init__(self, consumer: object, assignment: Assignment, *, is_incremental: bool) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self.is_incremental = is_incremental
        self.callbacks = Callbacks()
        self._has_application_chosen = False
        """In a callback: it assigned or unassigned partitions itself, or tried to."""

    @property
    def is_eager(self) -> bool:
        """Whether callbacks are to be called as in an eager protocol, which only those can tell who have any."""
        hears = self.callbacks.on_assign is not None or self.callbacks.on_revoke is not None
        return hears and not self.is_incremental

    def note_choice(self, *, is_whole: bool, is_member: bool, purpose: str) -> None:
        """The application is about to replace the assignment (``is_whole``) or to change it.

        Raises:
            KafkaException: _STATE for a member, where that is the way of the other kind of group.
        """
        self._has_application_chosen = True
        if is_member and self.is_incremental is is_whole:
            names = (
                "incremental_assign() and incremental_unassign()" if is_whole else "assign() and unassign()"
            )
            text = f"{purpose}: in this group the assignment is changed with {names}"
            raise KafkaException(KafkaError(KafkaError._STATE, text))

    def let_go(self, partitions: Partitions) -> None:
        self._assignment.settle()
        self._call(self.callbacks.on_revoke, partitions, lambda: self._remove(partitions, commit=True))

    def lose(self, partitions: Partitions) -> None:
        """As :meth:`let_go`, when others may own the partitions already: nothing is committed."""
        self._assignment.settle()
        callback = self.callbacks.on_lost or self.callbacks.on_revoke
        self._call(callback, partitions, lambda: self._remove(partitions, commit=False))

    def take(self, partitions: Partitions, held: Partitions) -> None:
        """``held``: what is kept."""
        self._assignment.settle()
        self._assignment.know(partitions)
        self._call(self.callbacks.on_assign, partitions, lambda: self._add(partitions, held))

    def _remove(self, partitions: Partitions, *, commit: bool) -> None:
        self._assignment.drop(self._assignment.keys() if self.is_eager else partitions, commit=commit)

    def _add(self, partitions: Partitions, held: Partitions) -> None:
        if not self.is_incremental:  # what such a group assigns replaces what was assigned by hand
            self._assignment.drop(self._assignment.keys() - held - partitions, commit=True)
        self._assignment.start(partitions)

    def _call(
        self, callback: RebalanceCallback | None, partitions: Partitions, otherwise: Callable[[], None]
    ) -> None:
        """Call ``callback``; unless it assigned or unassigned partitions, do ``otherwise``, also when it failed."""
        self._has_application_chosen = False
        try:
            if callback is not None:
                callback(self._consumer, [TopicPartition(*partition) for partition in sorted(partitions)])
        finally:
            if not self._has_application_chosen:
                otherwise()
