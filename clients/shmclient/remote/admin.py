"""`RemoteAdminClient`: an admin client of a Kafka cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from shmclient.admin.client import AdminClient
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata import ClusterMetadata, GroupMetadata
from shmclient.remote import forks
from shmclient.remote.configuration import remote_configuration
from shmclient.remote.values import ask, call, cluster_id_of, confluent_admin

REQUESTS = (
    "create_topics",
    "delete_topics",
    "create_partitions",
    "describe_topics",
    "describe_configs",
    "incremental_alter_configs",
    "delete_records",
    "list_offsets",
    "describe_cluster",
    "list_consumer_groups",
    "describe_consumer_groups",
    "delete_consumer_groups",
    "list_consumer_group_offsets",
    "alter_consumer_group_offsets",
    "elect_leaders",
    "create_acls",
    "describe_acls",
    "delete_acls",
    "describe_user_scram_credentials",
    "alter_user_scram_credentials",
)
"""Calls that return futures. Those on ACLs and SCRAM credentials take confluent_kafka.admin's own value types."""


class RemoteAdminClient(AdminClient):
    """As `AdminClient`, on confluent_kafka's. `AdminClient` turns into it where ``bootstrap.servers`` names a cluster."""

    def _attach(self, given: Mapping[str, Any], address: str) -> None:
        self._is_closed = False
        self._kafka = call(confluent_admin.AdminClient, remote_configuration(given, address))
        self._unanswered_futures: list[Future[Any]] = []
        _drop_answered()
        forks.watch(self)

    def __del__(self) -> None:
        """A request that was sent is answered, also when nobody keeps the client: ``AdminClient(conf).create_topics(...)``."""
        waiting = _not_done(getattr(self, "_unanswered_futures", []))
        if waiting:
            _outliving.append((self._kafka, waiting))

    def __exit__(self, *exception: Any) -> None:
        call(self._kafka.__exit__, *exception)
        self._is_closed = True

    def __len__(self) -> int:
        return len(self._kafka)

    def poll(self, timeout: float) -> int:
        served: int = call(self._kafka.poll, timeout)
        return served

    def set_sasl_credentials(self, username: str, password: str) -> None:
        call(self._kafka.set_sasl_credentials, username, password)

    def alter_configs(self, resources: Any, **options: Any) -> Any:
        with _deprecated("alter_configs has been deprecated. Use incremental_alter_configs instead."):
            return self._request("alter_configs", resources, **options)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        metadata: ClusterMetadata = ask(self._kafka.list_topics, topic, timeout)
        return metadata

    def list_groups(self, group: str | None = None, timeout: float = -1) -> list[GroupMetadata]:
        """The groups of the cluster, or one of them."""
        with _deprecated("list_groups() is deprecated, use list_consumer_groups() instead."):
            groups: list[GroupMetadata] = ask(self._kafka.list_groups, group, timeout)
        return groups

    def delete_consumer_group_offsets(self, group_id: str, topic_partitions: Any, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("delete_consumer_group_offsets", "kafka-consumer-groups.sh --delete-offsets")

    def remove_members_from_consumer_group(self, group_id: str, members: Any = None, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("remove_members_from_consumer_group", "Kafka's Java client")

    def list_transactions(self, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("list_transactions", "kafka-transactions.sh list")

    def describe_transactions(self, transactional_ids: Any, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("describe_transactions", "kafka-transactions.sh describe")

    def describe_producers(self, partitions: Any, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("describe_producers", "kafka-transactions.sh describe-producers")

    def fence_producers(self, transactional_ids: Any, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("fence_producers", "kafka-transactions.sh force-terminate, or init_transactions()")

    def abort_transaction(self, spec: Any, **_options: Any) -> Any:
        """Raises: KafkaException _NOT_IMPLEMENTED."""
        raise _not_there("abort_transaction", "kafka-transactions.sh abort")

    def cluster_id(self, timeout: float = -1) -> str:
        cluster_id: str = cluster_id_of(self._kafka, timeout)
        return cluster_id

    def _request(self, name: str, *args: Any, **options: Any) -> Any:
        """Send a request; its futures are found under the very objects that the program gave."""
        given = {option: value for option, value in options.items() if value is not None}
        futures = ask(getattr(self._kafka, name), *args, **given)
        sent = list(futures.values()) if isinstance(futures, dict) else [futures]
        self._unanswered_futures = _not_done(self._unanswered_futures) + sent
        if not isinstance(futures, dict):
            return futures
        asked = {item: item for item in args[0]} if args and isinstance(args[0], list | dict) else {}
        return {asked.get(key, key): future for key, future in futures.items()}


_outliving: list[tuple[Any, list[Future[Any]]]] = []
"""Clients of confluent_kafka that nobody has any more, with the requests that they still wait for.

They are dropped by a thread of the program that comes by later, for librdkafka's own, which brings the answer, must not.
"""


def _not_done(futures: list[Future[Any]]) -> list[Future[Any]]:
    return [future for future in futures if not future.done()]


def _drop_answered() -> None:
    _outliving[:] = [(client, futures) for client, futures in _outliving if _not_done(futures)]


def _not_there(name: str, instead: str) -> KafkaException:
    text = f"confluent_kafka's AdminClient has no {name}(): use {instead}"
    return KafkaException(KafkaError(KafkaError._NOT_IMPLEMENTED, text))


@contextmanager
def _deprecated(text: str) -> Iterator[None]:
    """Warn of a call in place of confluent_kafka, which would name this file as the caller."""
    warnings.warn(text, category=DeprecationWarning, stacklevel=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _request(name: str) -> Callable[..., Any]:
    def request(self: RemoteAdminClient, *args: Any, **options: Any) -> Any:
        return self._request(name, *args, **options)

    request.__name__ = name
    request.__qualname__ = f"{RemoteAdminClient.__name__}.{name}"
    request.__doc__ = getattr(getattr(AdminClient, name, None), "__doc__", None)
    return request


for _name in REQUESTS:
    setattr(RemoteAdminClient, _name, _request(_name))
