"""The daemon or cluster that a command talks to, and its clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shmclient.cli.exit_codes import CliError, ExitCode, from_kafka_error, no_daemon

if TYPE_CHECKING:
    from concurrent.futures import Future

    from shmclient import Consumer, Producer, TopicPartition
    from shmclient.admin import AdminClient, TopicDescription
    from shmclient.connection import Connection

LOCAL_CONNECT_TIMEOUT_S = 0.5
"""A daemon of this host is there or it is not; a restart takes a fraction of this."""
DELIVERY_TIMEOUT_MS = 30_000
"""Somebody waits for the command: librdkafka's five minutes are for services."""
CLIENT_ID = "shmbroker-cli"

T = TypeVar("T")


class Target:
    """Made of the options that commands share.

    Args:
        bootstrap_server: None for the lookup rule of ``bootstrap.servers``.
        timeout_s: longest wait for an answer.
        properties: further client configuration, each ``key=value``.

    Raises:
        CliError: USAGE for a property without ``=``.
    """

    def __init__(
        self, bootstrap_server: str | None, timeout_s: float, properties: Sequence[str] | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self._bootstrap_server = bootstrap_server
        self._properties = dict(split_pair(text, "--property") for text in properties or ())
        self._admin: AdminClient | None = None

    @property
    def is_local(self) -> bool:
        """False for a Kafka cluster."""
        from shmclient.connection import is_local

        return is_local(self._address())

    def _address(self) -> str | None:
        return self._properties.get("bootstrap.servers", self._bootstrap_server)

    def config(self, **defaults: Any) -> dict[str, Any]:
        """A client configuration; ``defaults`` have underscores for dots and yield to what the user said."""
        from shmclient.connection import effective_bootstrap

        config = {_dotted(key): value for key, value in defaults.items()}
        # log_level 0: what librdkafka would tell a log is told as an error of the request, once.
        always = {
            "client.id": CLIENT_ID,
            "bootstrap.servers": effective_bootstrap(self._address()),
            "log_level": 0,
        }
        return always | config | self._properties

    @property
    def admin(self) -> AdminClient:
        """An AdminClient of a daemon that answers.

        Raises:
            CliError: NO_DAEMON.
        """
        if self._admin is None:
            from shmclient.admin import AdminClient

            admin = AdminClient(self.config())
            self._check_reachable(admin)
            self._admin = admin
        return self._admin

    def connection(self) -> Connection:
        """A control connection of the caller's own, for what an AdminClient has no call for; it connects with the first
        request."""
        from shmclient.connection import Connection

        return Connection(self.config()["bootstrap.servers"], CLIENT_ID)

    def _check_reachable(self, admin: AdminClient) -> None:
        from shmclient.errors import KafkaException

        limit_s = min(self.timeout_s, LOCAL_CONNECT_TIMEOUT_S) if self.is_local else self.timeout_s
        try:
            if self.is_local:
                admin.cluster_id(timeout=limit_s)
            else:
                admin.list_topics(timeout=limit_s)
        except KafkaException:
            from shmclient.connection.bootstrap import where_looked

            if self.is_local:
                raise no_daemon(where_looked(self._address())) from None
            raise CliError(
                f"no Kafka broker answers at {self.config()['bootstrap.servers']} within {limit_s:g} s",
                ExitCode.NO_DAEMON,
            ) from None

    def producer(self, **defaults: Any) -> Producer:
        """A Producer, once the daemon is known to answer."""
        from shmclient import Producer

        _ = self.admin
        return Producer(self.config(**{"delivery_timeout_ms": DELIVERY_TIMEOUT_MS} | defaults))

    def consumer(self, group: str | None = None, **defaults: Any) -> Consumer:
        """A Consumer, once the daemon is known to answer; without ``group`` it commits nothing."""
        from shmclient import Consumer

        _ = self.admin
        settings: dict[str, Any] = {"group_id": group or CLIENT_ID, "enable_auto_commit": group is not None}
        return Consumer(self.config(**settings | defaults))

    def result(self, future: Future[T], subject: str = "") -> T:
        """The result of an AdminClient's future.

        Args:
            subject: what was asked about, where the answer does not say.

        Raises:
            CliError: the request was refused; NO_DAEMON when it was not answered in time.
        """
        from concurrent.futures import TimeoutError as FutureTimeoutError

        from shmclient.errors import KafkaException

        try:
            return future.result(self.timeout_s + 1.0)
        except KafkaException as error:
            raise from_kafka_error(error.args[0], subject) from None
        except FutureTimeoutError:
            raise CliError(
                f"the daemon did not answer within {self.timeout_s:g} s", ExitCode.NO_DAEMON
            ) from None

    # --- topics --------------------------------------------------------------------------------------------

    def describe_topic(self, topic: str) -> TopicDescription:
        """Unlike list_topics this never creates the topic.

        Raises:
            CliError: NOT_FOUND.
        """
        from shmclient import TopicCollection

        futures = self.admin.describe_topics(TopicCollection([topic]), request_timeout=self.timeout_s)
        return self.result(futures[topic], subject=topic)

    def partitions(self, topic: str, wanted: Sequence[int] | None = None) -> list[TopicPartition]:
        """The partitions of a topic, or the ``wanted`` ones.

        Raises:
            CliError: NOT_FOUND for an unknown topic, or a partition that the topic does not have.
        """
        from shmclient import TopicPartition

        numbers = sorted(info.id for info in self.describe_topic(topic).partitions)
        for number in wanted or ():
            if number not in numbers:
                raise CliError(
                    f"{topic} has no partition {number}: it has {len(numbers)}, from 0 to {numbers[-1]}",
                    ExitCode.NOT_FOUND,
                )
        return [TopicPartition(topic, number) for number in (sorted(set(wanted)) if wanted else numbers)]


def _dotted(name: str) -> str:
    """The configuration key; those of callbacks have underscores."""
    return name if name.startswith("on_") or name.endswith("_cb") else name.replace("_", ".")


def split_pair(text: str, option: str, separator: str = "=") -> tuple[str, str]:
    """``key=value`` as a pair.

    Raises:
        CliError: USAGE when there is no ``=`` or nothing before it.
    """
    key, found, value = text.partition(separator)
    if not found or not key:
        raise CliError(f"{option} takes KEY{separator}VALUE, not {text!r}", ExitCode.USAGE)
    return key, value
