"""Which directories are meant, and what the daemon there says of itself."""

from __future__ import annotations

import sys
from pathlib import Path

from shmbroker.directories import default_data_dir, default_runtime_dir
from shmbroker.protocol.messages import (
    ConfigResourceSpec,
    DescribeCluster,
    DescribeClusterReply,
    DescribeConfigs,
    DescribeConfigsReply,
    DescribeDaemon,
    DescribeDaemonReply,
)
from shmclient.cli import output
from shmclient.cli.doctor.facts import Facts
from shmclient.cli.doctor.gather import WANTED_KEYS, Answer, gather
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.target import CLIENT_ID
from shmclient.connection import Connection, is_local, runtime_dirs
from shmclient.errors import KafkaException

ANSWER_TIMEOUT_S = 2.0
"""A daemon that answers does so in milliseconds; this is how long one is waited for that does not."""


def look(bootstrap_server: str | None, data_dir: Path | None, runtime_dir: Path | None) -> Facts:
    """
    Raises:
        CliError: USAGE when a Kafka cluster is meant.
    """
    address = f"shm:{runtime_dir.absolute()}" if runtime_dir is not None else bootstrap_server
    if not is_local(address):
        raise CliError("that is a Kafka cluster: the doctor looks at a daemon of this host", ExitCode.USAGE)
    answer = _ask(address)
    if answer is not None:
        runtime, data = Path(answer.runtime_dir), Path(answer.data_dir)
    else:
        named = runtime_dirs(address)
        runtime = named[0] if len(named) == 1 else default_runtime_dir()
        data = data_dir or default_data_dir()
    note = output.note if sys.stderr.isatty() else _no_note
    return gather((data_dir or data).absolute(), runtime.absolute(), answer, note)


def _no_note(_: str) -> None:
    """Nobody watches."""


def _ask(address: str | None) -> Answer | None:
    """Who answers; None when nobody does."""
    connection = Connection(address, CLIENT_ID)
    try:
        reply = connection.request(DescribeDaemon(), DescribeDaemonReply, ANSWER_TIMEOUT_S)
        config = _config(connection)
    except KafkaException:
        return None
    finally:
        connection.disconnect()
    return Answer(
        reply.daemon_pid,
        reply.broker_pids,
        reply.version,
        reply.data_dir,
        reply.runtime_dir,
        reply.partitions,
        reply.alarms,
        config,
    )


def _config(connection: Connection) -> dict[str, str]:
    """What the daemon was configured to, as far as checks go by it."""
    cluster = connection.request(DescribeCluster(), DescribeClusterReply, ANSWER_TIMEOUT_S)
    resource = ConfigResourceSpec("broker", str(cluster.controller_id))
    reply = connection.request(DescribeConfigs([resource]), DescribeConfigsReply, ANSWER_TIMEOUT_S)
    entries = [entry for description in reply.descriptions for entry in description.entries]
    return {entry.name: entry.value for entry in entries if entry.name in WANTED_KEYS and entry.value}
