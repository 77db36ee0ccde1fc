"""From options to a running service. The broker process is started before the heavy imports: both import at
once."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

from shmbroker.config.descriptors import descriptors_needed
from shmbroker.config.static import StaticConfig, load_static_config
from shmbroker.directories import default_data_dir, default_runtime_dir
from shmbroker.errors import BrokerError
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import another_end, make_bell
from shmbrokerd.broker_process import BrokerSpawner
from shmbrokerd.data_dir import open_data_dir
from shmbrokerd.owner import watch_owner
from shmbrokerd.runtime_dir import open_runtime_dir


class Options(NamedTuple):
    """The command line; None means the default directory."""

    data_dir: Path | None
    runtime_dir: Path | None
    config_file: Path | None
    settings: list[str]
    log_level: str
    exit_with_pid: int | None = None
    scratch_dir: Path | None = None


def run(options: Options) -> int:
    """Run a daemon to its end and return its exit status: 0 stopped, 1 failed or refused, 2 misconfigured."""
    try:
        config = load_static_config(options.config_file, options.settings)
    except BrokerError as error:
        return _refuse(error, 2)
    with contextlib.ExitStack() as stack:
        try:
            return _run(options, config, stack)
        except BrokerError as error:
            return _refuse(error, 1)


def _refuse(error: BrokerError, status: int) -> int:
    print(f"shmbrokerd: {error.message}", file=sys.stderr)  # noqa: T201
    return status


def _run(options: Options, config: StaticConfig, stack: contextlib.ExitStack) -> int:
    owner = None
    if options.exit_with_pid is not None:
        owner = watch_owner(options.exit_with_pid, options.scratch_dir)
        stack.callback(owner.close)
    data_dir = open_data_dir(options.data_dir or default_data_dir(), config.number("node.id"))
    stack.callback(data_dir.close)
    runtime_dir = open_runtime_dir(options.runtime_dir or default_runtime_dir())
    stack.callback(runtime_dir.close)
    _raise_descriptor_limit(config)
    stack.callback(runtime_dir.clear)
    incarnation = int.from_bytes(os.urandom(7), "little")
    table = PartitionTable.create(runtime_dir.table_path, config.number("max.partitions"), incarnation)
    stack.callback(table.close)
    counters = CountersFile.create(
        runtime_dir.counters_path, config.number("max.connections"), os.getpid(), time.time_ns() // 1_000_000
    )
    stack.callback(counters.close)
    doorbell_fd = _make_doorbell()
    stack.callback(os.close, doorbell_fd)
    spawner = BrokerSpawner(
        runtime_dir.table_path,
        runtime_dir.counters_path,
        options.log_level,
        doorbell_fd,
        data_dir.lock_fd,
    )
    broker = spawner.spawn()
    stack.callback(broker.discard)

    from shmbrokerd.logs import set_up_logging
    from shmbrokerd.service import Service, serve

    set_up_logging(options.log_level)
    return serve(Service(config, data_dir, runtime_dir, table, counters, spawner, broker, owner))


def _make_doorbell() -> int:
    """What producers ring and the broker process sleeps on; the broker's flusher rings it too."""
    ends = make_bell()
    try:
        return another_end(ends[0])
    finally:
        for end in ends:
            os.close(end)


def _raise_descriptor_limit(config: StaticConfig) -> None:
    """Ask for as many descriptors as the limits may need; the broker process inherits the answer."""
    wanted = descriptors_needed(config.number("max.connections"), config.number("max.partitions"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
