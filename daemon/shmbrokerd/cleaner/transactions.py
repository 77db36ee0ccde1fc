"""What a pass knows of transactions while it goes through a log from its start: Kafka's ``CleanedTransactionMetadata``.

Records of aborted transactions go at once. A marker goes when there is no batch of its transaction before it any more and its
horizon has passed, ``delete.retention.ms`` after the pass that saw it first; until then it and its entry in the index of
aborted transactions stay, for readers that have a file from before open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shmbroker.log.producers import AbortedTransaction
from shmbroker.records.layout import Header


class Transactions:
    """Batches are told of in the order of the log."""

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        self._aborted: dict[int, list[AbortedTransaction]] = defaultdict(list)
        for transaction in sorted(aborted, key=lambda transaction: transaction.first_offset):
            self._aborted[transaction.producer_id].append(transaction)
        self._next: dict[int, int] = {}
        """By producer, the first of its aborted transactions that is not behind yet."""
        self._with_data: set[int] = set()
        """Producers with a batch since their last marker."""

    def copy(self) -> Transactions:
        """For a look ahead."""
        twin = Transactions(())
        twin._aborted = self._aborted
        twin._next = dict(self._next)
        twin._with_data = set(self._with_data)
        return twin

    def is_aborted(self, header: Header) -> bool:
        """Whether the batch, a transactional one with records, is of an aborted transaction."""
        producer_id = header.producer_id
        self._with_data.add(producer_id)
        aborted = self._aborted.get(producer_id)
        if not aborted:
            return False
        index = self._next.get(producer_id, 0)
        while index < len(aborted) and aborted[index].last_offset < header.base_offset:
            index += 1
        self._next[producer_id] = index
        return index < len(aborted) and aborted[index].first_offset <= header.base_offset

    def is_empty(self, marker: Header) -> bool:
        """Whether nothing is left of the transaction that ``marker``, a control batch, ends."""
        is_empty = marker.producer_id not in self._with_data
        self._with_data.discard(marker.producer_id)
        return is_empty
