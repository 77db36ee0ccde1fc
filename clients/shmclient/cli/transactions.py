"""``shmbroker transactions``: who writes transactions, which are open, and how to end one that hangs
(kafka-transactions.sh)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.hanging_transactions import OpenTransaction, find_hanging
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    BootstrapServer,
    Json,
    Partitions,
    Property,
    Timeout,
    TopicArgument,
)
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmclient.admin import ProducerState, TransactionDescription

MINUTE_MS = 60_000
MAX_TIMEOUT_MINUTES = 15.0
"""transaction.max.timeout.ms by default: what is open for longer should have been ended."""

app = typer.Typer(
    help="List and describe transactions and their producers; find and abort those that hang.",
    no_args_is_help=True,
)

TransactionalIds = Annotated[list[str], typer.Argument(metavar="TRANSACTIONAL_ID...", show_default=False)]
Row = dict[str, output.Cell]


@app.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only those in this state: Ongoing, CompleteCommit, ... May be repeated.",
            show_default=False,
        ),
    ] = None,
    producer_id: Annotated[
        list[int] | None,
        typer.Option(
            "--producer-id", metavar="ID", help="Only this producer's. May be repeated.", show_default=False
        ),
    ] = None,
    duration_filter: Annotated[
        int,
        typer.Option(
            "--duration-filter", metavar="MS", help="Only transactions that are open for longer.", min=-1
        ),
    ] = -1,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--transactional-id-pattern",
            metavar="REGEX",
            help="Only ids that match as a whole (RE2 syntax).",
            show_default=False,
        ),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List transactional ids, with the state of their last transaction."""
    target = _local(bootstrap_server, timeout, properties)
    listed = target.result(
        target.admin.list_transactions(
            states=_states(state),
            producer_ids=producer_id,
            duration_ms=duration_filter,
            transactional_id_pattern=pattern,
            request_timeout=timeout,
        )
    )
    _print(
        [
            {
                "transactional id": each.transactional_id,
                "producer id": each.producer_id,
                "state": each.state.value,
            }
            for each in listed
        ],
        as_json,
        ["transactional id", "producer id", "state"],
    )


def _states(given: list[str] | None) -> list[str]:
    """
    Raises:
        CliError: USAGE for a state that is none.
    """
    from shmclient.admin import TransactionState

    names = {each.value.lower(): each.value for each in TransactionState}
    words = [word.strip() for text in given or () for word in text.split(",")]
    for word in words:
        if word.lower() not in names:
            raise CliError(f"no such state: {word}; there are {', '.join(names.values())}", ExitCode.USAGE)
    return [names[word.lower()] for word in words]


@app.command("describe")
def describe(
    transactional_ids: TransactionalIds,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show what the coordinator knows: producer, epoch, time-out, since when a transaction is open and where it writes."""
    target = _local(bootstrap_server, timeout, properties)
    futures = target.admin.describe_transactions(transactional_ids, request_timeout=timeout)
    found = [target.result(future, each) for each, future in futures.items()]
    now_ms = int(time.time() * 1000)
    if as_json:
        output.write_json([_document(each, now_ms) for each in found])
    else:
        _print([_description_row(each, now_ms) for each in found], as_json, [])


def _document(each: TransactionDescription, now_ms: int) -> dict[str, Any]:
    start_ms = each.transaction_start_time_ms
    return {
        "transactional_id": each.transactional_id,
        "coordinator_id": each.coordinator_id,
        "producer_id": each.producer_id,
        "producer_epoch": each.producer_epoch,
        "state": each.state.value,
        "timeout_ms": each.transaction_timeout_ms,
        "start_ms": start_ms,
        "duration_ms": None if start_ms is None else max(0, now_ms - start_ms),
        "partitions": [{"topic": tp.topic, "partition": tp.partition} for tp in each.topic_partitions],
        "groups": each.groups,
        "pid": each.pid,
        "client_id": each.client_id,
    }


def _description_row(each: TransactionDescription, now_ms: int) -> Row:
    document = _document(each, now_ms)
    partitions = ",".join(f"{tp.topic}-{tp.partition}" for tp in each.topic_partitions)
    return {
        "transactional id": each.transactional_id,
        "producer id": each.producer_id,
        "epoch": each.producer_epoch,
        "state": each.state.value,
        "timeout ms": each.transaction_timeout_ms,
        "duration ms": document["duration_ms"],
        "pid": each.pid,
        "partitions": partitions or None,
        "groups": ",".join(each.groups) or None,
    }


@app.command("describe-producers")
def describe_producers(
    topic: TopicArgument,
    partition: Partitions = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show the producers that the log of each partition remembers, and where their open transactions begin."""
    target = _local(bootstrap_server, timeout, properties)
    futures = target.admin.describe_producers(target.partitions(topic, partition), request_timeout=timeout)
    rows = [
        _producer_row(tp.topic, tp.partition, each)
        for tp, future in futures.items()
        for each in target.result(future)
    ]
    _print(rows, as_json, _PRODUCER_COLUMNS)


_PRODUCER_COLUMNS = [
    "topic",
    "partition",
    "producer id",
    "epoch",
    "coordinator epoch",
    "last sequence",
    "last timestamp",
    "start offset",
]


def _producer_row(topic: str, partition: int, each: ProducerState) -> Row:
    cells: list[output.Cell] = [
        topic,
        partition,
        each.producer_id,
        each.producer_epoch,
        each.coordinator_epoch,
        each.last_sequence,
        each.last_timestamp,
        each.current_transaction_start_offset,
    ]
    return dict(zip(_PRODUCER_COLUMNS, cells, strict=True))


@app.command("find-hanging")
def find_hanging_(
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic", "-t", metavar="TOPIC", help="Only there; default: all topics.", show_default=False
        ),
    ] = None,
    partition: Partitions = None,
    max_transaction_timeout: Annotated[
        float,
        typer.Option(
            "--max-transaction-timeout",
            metavar="MINUTES",
            help="Only those that wrote nothing for so long.",
            min=0.0,
        ),
    ] = MAX_TIMEOUT_MINUTES,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Find transactions that hold readers back and that the coordinator does not know of: nobody will end them."""
    if partition and topic is None:
        raise CliError("--partition needs --topic", ExitCode.USAGE)
    target = _local(bootstrap_server, timeout, properties)
    names = [topic] if topic is not None else sorted(target.admin.list_topics(timeout=timeout).topics)
    partitions = [tp for name in names for tp in target.partitions(name, partition)]
    now_ms = int(time.time() * 1000)
    found = find_hanging(target, partitions, int(max_transaction_timeout * MINUTE_MS), now_ms)
    _print([_hanging_row(each, now_ms) for each in found], as_json, list(_hanging_row(_SAMPLE, 0)))


_SAMPLE = OpenTransaction("", 0, 0, 0, 0, 0, 0)


def _hanging_row(each: OpenTransaction, now_ms: int) -> Row:
    return {
        "topic": each.topic,
        "partition": each.partition,
        "producer id": each.producer_id,
        "epoch": each.producer_epoch,
        "coordinator epoch": each.coordinator_epoch,
        "start offset": each.start_offset,
        "last timestamp": each.last_timestamp,
        "duration min": (now_ms - each.last_timestamp) // MINUTE_MS,
    }


@app.command("abort")
def abort(
    topic: TopicArgument,
    partition: Annotated[
        int, typer.Option("--partition", "-p", metavar="N", help="Where it hangs.", min=0, show_default=False)
    ],
    start_offset: Annotated[
        int | None,
        typer.Option(
            "--start-offset", metavar="OFFSET", help="Its first offset there.", min=0, show_default=False
        ),
    ] = None,
    producer_id: Annotated[
        int | None,
        typer.Option("--producer-id", metavar="ID", help="Or: its producer's id ...", show_default=False),
    ] = None,
    producer_epoch: Annotated[
        int | None,
        typer.Option("--producer-epoch", metavar="EPOCH", help="... and epoch.", show_default=False),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Abort a transaction that hangs in one partition, found with find-hanging. One that the coordinator knows of is
    refused."""
    from shmclient.admin import AbortTransactionSpec

    has_producer = producer_id is not None and producer_epoch is not None
    if has_producer == (start_offset is not None):
        raise CliError("give --start-offset, or --producer-id and --producer-epoch", ExitCode.USAGE)
    target = _local(bootstrap_server, timeout, properties)
    (tp,) = target.partitions(topic, [partition])
    if producer_id is None or producer_epoch is None:
        states = target.result(
            target.admin.describe_producers([tp], request_timeout=timeout)[tp], f"{topic} [{partition}]"
        )
        producer_id, producer_epoch = _producer_at(states, start_offset, f"{topic} [{partition}]")
    spec = AbortTransactionSpec(tp, producer_id, producer_epoch)
    target.result(target.admin.abort_transaction(spec, request_timeout=timeout), f"{topic} [{partition}]")
    row: Row = {
        "topic": topic,
        "partition": partition,
        "producer id": producer_id,
        "epoch": producer_epoch,
        "result": "aborted",
    }
    _print([row], as_json, [])


def _producer_at(states: list[ProducerState], start_offset: int | None, where: str) -> tuple[int, int]:
    for each in states:
        if each.current_transaction_start_offset == start_offset:
            return each.producer_id, each.producer_epoch
    raise CliError(
        f"no open transaction begins at offset {start_offset} of {where}",
        ExitCode.NOT_FOUND,
        "shmbroker transactions find-hanging says where they begin",
    )


@app.command("force-terminate")
def force_terminate(
    transactional_ids: TransactionalIds,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Fence the producers of these ids: what they have open is aborted, and they can go on only when started anew."""
    target = _local(bootstrap_server, timeout, properties)
    futures = target.admin.fence_producers(transactional_ids, request_timeout=timeout)
    rows: list[Row] = []
    for each, future in futures.items():
        fenced = target.result(future, each)
        rows.append({"transactional id": each, "producer id": fenced.producer_id, "epoch": fenced.epoch})
    _print(rows, as_json, [])


# --- shared ------------------------------------------------------------------------------------------------


def _local(bootstrap_server: str | None, timeout: float, properties: list[str] | None) -> Target:
    """
    Raises:
        CliError: for a Kafka cluster, whose confluent_kafka client cannot ask for transactions.
    """
    target = Target(bootstrap_server, timeout, properties)
    if not target.is_local:
        raise CliError(
            "transactions of a Kafka cluster cannot be asked for through confluent_kafka",
            ExitCode.USAGE,
            "use kafka-transactions.sh of Kafka",
        )
    return target


def _print(rows: list[Row], as_json: bool, columns: list[str]) -> None:
    """``columns``: what the header says while there are no rows."""
    if as_json:
        output.write_json([{name.replace(" ", "_"): cell for name, cell in row.items()} for row in rows])
    elif rows or columns:
        output.write_table(list(rows[0]) if rows else columns, [list(row.values()) for row in rows])
