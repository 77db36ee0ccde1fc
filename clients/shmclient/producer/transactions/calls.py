"""Which of the application's calls is being made: one at a time, and the same one again after it timed out.

The errors are librdkafka's (rd_kafka_txn_curr_api_begin).
"""

from __future__ import annotations

from shmclient.errors import KafkaError, KafkaException
from shmclient.producer.transactions.states import Call


class CurrentCall:
    """Guarded by the sender's lock."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._is_running = False

    def enter(self, call: Call) -> None:
        """Raise KafkaException: _CONFLICT while another call is to be resumed, _PREV_IN_PROGRESS for one made twice at a time;
        both are retriable."""
        if self._call is not None and self._call is not call:
            text = f"Conflicting {self._call} API call is already in progress"
            raise KafkaException(KafkaError(KafkaError._CONFLICT, text, retriable=True))
        if self._is_running:
            text = f"Simultaneous {call} API calls not allowed"
            raise KafkaException(KafkaError(KafkaError._PREV_IN_PROGRESS, text, retriable=True))
        self._call, self._is_running = call, True

    def leave(self, *, is_to_be_resumed: bool) -> None:
        self._is_running = False
        if not is_to_be_resumed:
            self._call = None
