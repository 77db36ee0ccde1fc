"""`RemoteProducer`: a producer whose records go to a Kafka cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise
from typing import Any

from shmclient.config.client_config import DeliveryCallback
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata import ClusterMetadata
from shmclient.producer import Producer
from shmclient.producer.arguments import check_column_arguments
from shmclient.producer.batch_calls import queue_each
from shmclient.producer.packed import check_packed
from shmclient.producer.record_calls import RECORD_OVERHEAD_BYTES
from shmclient.producer.transactions.block import transaction
from shmclient.remote import forks
from shmclient.remote.configuration import Settings, remote_configuration
from shmclient.remote.values import ask, call, cluster_id_of, confluent, listening, to_local

ROOM_POLL_S = 0.1


class RemoteProducer(Producer):
    """As `Producer`, on confluent_kafka's. `Producer` turns into it where ``bootstrap.servers`` names a cluster."""

    def _attach(self, given: Mapping[str, Any], address: str) -> None:
        self._is_closed = False
        self._settings = Settings(given)
        self._kafka = call(confluent.Producer, remote_configuration(given, address))
        self._last_callback: DeliveryCallback | None = None
        self._last_listener: Callable[..., Any] | None = None
        forks.watch(self)

    # --- producing -----------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryCallback | None = None,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        listener = None
        if callback is not None or on_delivery is not None:
            listener = self._listener_for(callback if callback is not None else on_delivery)
        try:
            self._kafka.produce(topic, value, key, partition, listener, None, timestamp, headers)
        except confluent.KafkaException as error:
            raise to_local(error) from None

    def _listener_for(self, callback: Any) -> Callable[..., Any]:
        """Most programs give every record the same callback: the last one's translation is kept."""
        listener = self._last_listener
        if listener is None or callback is not self._last_callback:
            if not callable(callback):
                raise TypeError(f"delivery callback must be callable, not {type(callback).__name__}")
            listener = self._last_listener = listening(callback)
            self._last_callback = callback
        return listener

    def produce_batch(
        self,
        topic: str,
        messages: Iterable[Mapping[str, Any]] | None = None,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        callback: DeliveryCallback | None = None,
        *,
        values: Sequence[bytes | None] | bytes | memoryview | None = None,
        keys: Sequence[bytes | None] | None = None,
        value_offsets: Any = None,
    ) -> int:
        """As `Producer.produce_batch`, one record after the other: librdkafka knows no columns."""
        chosen = callback if callback is not None else on_delivery
        check_column_arguments(messages, values, keys, value_offsets)
        if value_offsets is not None:
            data, offsets = check_packed(values, value_offsets)
            values = [bytes(data[start:end]) for start, end in pairwise(offsets.view)]
        if values is not None:
            return self._produce_column(topic, values, keys, partition, chosen)
        return queue_each(partial(RemoteProducer.produce, self, topic), messages, partition, chosen)

    def _produce_column(
        self,
        topic: str,
        values: Any,
        keys: Sequence[bytes | None] | None,
        partition: int,
        callback: DeliveryCallback | None,
    ) -> int:
        """All checks that can refuse the column come before its first record: all of it is queued, or nothing."""
        self._check_column(topic, values, keys)
        listener = None if callback is None else self._listener_for(callback)
        produce = self._kafka.produce
        column: Sequence[bytes | None] = [None] * len(values) if keys is None else keys
        for value, key in zip(values, column, strict=True):
            while True:
                try:
                    produce(topic, value, key, partition, listener)
                    break
                except BufferError:
                    # queue.buffering.max.kbytes: there is room again as soon as some of it was delivered.
                    call(self._kafka.poll, ROOM_POLL_S)
                except confluent.KafkaException as error:
                    raise to_local(error) from None
        return len(values)

    def _check_column(
        self, topic: str, values: Sequence[bytes | None], keys: Sequence[bytes | None] | None
    ) -> None:
        if isinstance(values, bytes | bytearray | memoryview | str):
            raise TypeError(
                "values must be a sequence of bytes or None; one object with all of them needs value_offsets"
            )
        if keys is not None and len(keys) != len(values):
            raise ValueError(f"{len(values)} values and {len(keys)} keys")
        largest = RECORD_OVERHEAD_BYTES
        for name, column in (("values", values), ("keys", keys or ())):
            wrong = set(map(type, column)) - {bytes, type(None)}
            if wrong:
                raise TypeError(f"{name} must be bytes or None, not {wrong.pop().__name__}")
            largest += max((len(item) for item in column if item is not None), default=0)
        limit = self._settings.number("message.max.bytes")
        if largest > limit and self._largest_record(values, keys) + RECORD_OVERHEAD_BYTES > limit:
            text = f"Unable to produce message: Broker: Message size too large ({topic}, message.max.bytes={limit})"
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, text))
        room = self._settings.number("queue.buffering.max.messages")  # 0: no limit
        if room and len(self._kafka) + len(values) > room:
            raise BufferError("Local: Queue full")

    @staticmethod
    def _largest_record(values: Sequence[bytes | None], keys: Sequence[bytes | None] | None) -> int:
        sizes = [len(value or b"") for value in values]
        if keys is not None:
            sizes = [size + len(key or b"") for size, key in zip(sizes, keys, strict=True)]
        return max(sizes)

    # --- hearing of it -------------------------------------------------------------------------------------

    def poll(self, timeout: float = -1) -> int:
        served: int = call(self._kafka.poll, timeout)
        return served

    def flush(self, timeout: float = -1) -> int:
        left: int = call(self._kafka.flush, timeout)
        return left

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        call(self._kafka.purge, in_queue, in_flight, blocking)

    def __len__(self) -> int:
        return len(self._kafka)

    # --- transactions --------------------------------------------------------------------------------------

    def init_transactions(self, *args: Any, **kwargs: Any) -> None:
        ask(self._kafka.init_transactions, *args, **kwargs)

    def begin_transaction(self) -> None:
        ask(self._kafka.begin_transaction)

    def send_offsets_to_transaction(self, *args: Any, **kwargs: Any) -> None:
        ask(self._kafka.send_offsets_to_transaction, *args, **kwargs)

    def commit_transaction(self, *args: Any, **kwargs: Any) -> None:
        ask(self._kafka.commit_transaction, *args, **kwargs)

    def abort_transaction(self, *args: Any, **kwargs: Any) -> None:
        ask(self._kafka.abort_transaction, *args, **kwargs)

    def transaction(self, timeout: float = -1) -> AbstractContextManager[None]:
        limit_s = self._settings.number("transaction.timeout.ms") / 1000
        return transaction(self, timeout if timeout >= 0 else limit_s)

    # --- the cluster ---------------------------------------------------------------------------------------

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        metadata: ClusterMetadata = ask(self._kafka.list_topics, topic, timeout)
        return metadata

    def cluster_id(self, timeout: float = -1) -> str:
        cluster_id: str = cluster_id_of(self._kafka, timeout)
        return cluster_id

    def set_sasl_credentials(self, username: str, password: str) -> None:
        call(self._kafka.set_sasl_credentials, username, password)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> bool:
        call(self._kafka.close)
        self._is_closed = True
        return True
