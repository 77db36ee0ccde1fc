"""How values must go together, and what one value implies for another.

The rules are librdkafka's, applied when a client is created, with one exception: idempotence is on by
default here, so a setting that excludes it switches the default off (as in Kafka's own producer) instead of
failing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from shmclient.config.key import ClientKind, Value
from shmclient.config.table import BY_NAME
from shmclient.config.values import invalid

_IDEMPOTENT_MAX_IN_FLIGHT = 5
_FETCH_MIN_BYTES_MAX = 100_000_000
_FRAMING_BYTES = 512
_TRANSACTION_SLACK_MS = 100
_MIN_REQUEST_TIMEOUT_MS = 900

_SENT = ("client.id", "group.id", "group.instance.id", "group.remote.assignor", "transactional.id")
"""What the daemon is told as text."""

# Settings that an idempotent producer cannot keep: key, whether the value breaks it, what it must be.
_IDEMPOTENCE_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("acks", lambda acks: acks != -1, "`acks` must be set to `all`"),
    ("retries", lambda retries: retries < 1, "`retries` must be set >= 1"),
    (
        "max.in.flight.requests.per.connection",
        lambda count: count > _IDEMPOTENT_MAX_IN_FLIGHT,
        f"`max.in.flight` must be set <= {_IDEMPOTENT_MAX_IN_FLIGHT}",
    ),
    (
        "queue.buffering.backpressure.threshold",
        lambda count: count > 1,
        "`queue.buffering.backpressure.threshold` must be set to 1",
    ),
    ("queuing.strategy", lambda strategy: strategy != "fifo", "`queuing.strategy` must be set to `fifo`"),
)


class Draft:
    """The values given so far, by the table's names, for one kind of client."""

    def __init__(self, kind: ClientKind, given: dict[str, Value]) -> None:
        self.kind = kind
        self.given = given
        self.explicit = frozenset(given)
        self.warnings: list[str] = []

    def value(self, name: str) -> Value:
        """What was given or implied for a key, else its default."""
        return self.given[name] if name in self.given else BY_NAME[name].default

    def number(self, name: str) -> float:
        return cast(float, self.value(name))

    def imply(self, name: str, value: Value) -> None:
        """Set a key that the user left alone."""
        if name not in self.explicit:
            self.given[name] = value

    def fail(self, message: str) -> NoReturn:
        invalid(f"Failed to create {self.kind}: {message}")


def complete(draft: Draft) -> None:
    """Apply every rule. Raises KafkaException(_INVALID_ARG); ValueError for a consumer without group.id."""
    if draft.kind != "consumer":
        draft.imply("allow.auto.create.topics", True)
    if draft.kind == "producer":
        _complete_producer(draft)
    elif draft.kind == "consumer":
        _complete_consumer(draft)
    if draft.number("reconnect.backoff.max.ms") < draft.number("reconnect.backoff.ms"):
        draft.fail("`reconnect.backoff.max.ms` must be >= `reconnect.backoff.ms`")
    _check_texts(draft)
    _warn(draft)


def _check_texts(draft: Draft) -> None:
    for name in _SENT:
        try:
            str(draft.value(name)).encode()
        except UnicodeEncodeError as error:
            draft.fail(f"`{name}` cannot be written in UTF-8: {error.reason}")


def _complete_producer(draft: Draft) -> None:
    if draft.value("transactional.id") is not None:
        _complete_transactional(draft)
    _complete_idempotence(draft)
    timeout_ms = draft.number("delivery.timeout.ms")
    if timeout_ms != 0 and timeout_ms <= draft.number("linger.ms"):
        draft.fail("`delivery.timeout.ms` must be greater than `linger.ms`")
    if draft.value("compression.type") == "snappy":
        draft.given["compression.type"] = "none"
        draft.warnings.append(
            "compression.type=snappy is not offered: batches are stored uncompressed; use lz4, zstd or gzip"
        )


def _complete_transactional(draft: Draft) -> None:
    if draft.value("enable.idempotence") is False:
        draft.fail("`transactional.id` requires `enable.idempotence=true`")
    transaction_ms = int(draft.number("transaction.timeout.ms"))
    draft.imply("socket.timeout.ms", max(transaction_ms - _TRANSACTION_SLACK_MS, _MIN_REQUEST_TIMEOUT_MS))
    # A time-out implied for a short transaction may exceed it; one that was given may not.
    too_long = draft.number("socket.timeout.ms") > transaction_ms + _TRANSACTION_SLACK_MS
    if too_long and "socket.timeout.ms" in draft.explicit:
        draft.fail("`socket.timeout.ms` must be set <= `transaction.timeout.ms` + 100")
    draft.imply("delivery.timeout.ms", transaction_ms)
    if draft.number("delivery.timeout.ms") > transaction_ms:
        draft.fail("`delivery.timeout.ms` must be set <= `transaction.timeout.ms`")


def _complete_idempotence(draft: Draft) -> None:
    demanded = "enable.idempotence" in draft.explicit or draft.value("transactional.id") is not None
    if draft.value("enable.idempotence"):
        for name, breaks, must in _IDEMPOTENCE_RULES:
            if name in draft.explicit and breaks(draft.value(name)):
                if demanded:
                    draft.fail(f"{must} when `enable.idempotence` is true")
                draft.imply("enable.idempotence", False)
    if draft.value("enable.gapless.guarantee") and not draft.value("enable.idempotence"):
        draft.fail("`enable.gapless.guarantee` requires `enable.idempotence` to be enabled")


def _complete_consumer(draft: Draft) -> None:
    if draft.value("group.id") is None:
        raise ValueError("Failed to create consumer: group.id must be set")
    if not 1 <= draft.number("fetch.min.bytes") <= _FETCH_MIN_BYTES_MAX:
        draft.fail(
            f'Configuration property "fetch.min.bytes" value {draft.value("fetch.min.bytes")} is outside '
            f"allowed range 1..{_FETCH_MIN_BYTES_MAX}"
        )
    _check_membership(draft)
    _complete_fetch_limits(draft)


def _check_membership(draft: Draft) -> None:
    if draft.value("group.protocol") == "classic":
        if draft.number("max.poll.interval.ms") < draft.number("session.timeout.ms"):
            draft.fail("`max.poll.interval.ms` must be >= `session.timeout.ms`")
        _check_assignors(draft)
        return
    for name, instead in (
        ("session.timeout.ms", "The coordinator sets it"),
        ("heartbeat.interval.ms", "The coordinator sets it"),
        ("partition.assignment.strategy", "Use `group.remote.assignor` instead"),
        ("group.protocol.type", "Leave it out"),
    ):
        if name in draft.explicit:
            draft.fail(f"`{name}` is not supported for `group.protocol=consumer`. {instead}")


def _check_assignors(draft: Draft) -> None:
    assignors = cast(tuple[str, ...], draft.value("partition.assignment.strategy"))
    if draft.value("group.protocol.type") != "consumer":
        draft.fail("`group.protocol.type` must be `consumer`: the assignors support no other")
    if "cooperative-sticky" in assignors and len(set(assignors)) > 1:
        draft.fail(
            f"`partition.assignment.strategy` ({','.join(assignors)}) mixes cooperative-sticky, which "
            f"rebalances "
            "incrementally, with assignors that do not"
        )


def _complete_fetch_limits(draft: Draft) -> None:
    message_max = int(draft.number("message.max.bytes"))
    if "fetch.max.bytes" in draft.explicit:
        if draft.number("fetch.max.bytes") < message_max:
            draft.fail("`fetch.max.bytes` must be >= `message.max.bytes`")
    else:
        queued_max = int(draft.number("queued.max.messages.kbytes")) * 1024
        fetch_max = min(int(draft.number("fetch.max.bytes")), queued_max)
        draft.imply("fetch.max.bytes", max(fetch_max, message_max))
    too_small = draft.number("receive.message.max.bytes") < draft.number("fetch.max.bytes") + _FRAMING_BYTES
    if too_small and "receive.message.max.bytes" in draft.explicit:
        draft.fail("`receive.message.max.bytes` must be >= `fetch.max.bytes` + 512")


def _warn(draft: Draft) -> None:
    foreign, owner = {"producer": ("C", "consumer"), "consumer": ("P", "producer")}.get(draft.kind, ("", ""))
    for name in sorted(draft.explicit):
        key = BY_NAME[name]
        if key.deprecated:
            draft.warnings.append(f"Configuration property {name} is deprecated. {key.note}".rstrip())
        if key.clients == foreign:
            draft.warnings.append(
                f"Configuration property {name} is a {owner} property and will be ignored by this "
                f"{draft.kind} instance"
            )
    if draft.number("retry.backoff.ms") > draft.number("retry.backoff.max.ms"):
        draft.warnings.append(
            f"Configuration property retry.backoff.ms ({draft.value('retry.backoff.ms')}) is greater than "
            f"retry.backoff.max.ms ({draft.value('retry.backoff.max.ms')}): every pause lasts the latter"
        )
