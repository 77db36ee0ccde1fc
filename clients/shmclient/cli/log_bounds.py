"""Where partitions begin and end, and what a time is as an offset, for partitions of any topics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.reset_scenarios import Place
from shmclient.cli.target import Target

if TYPE_CHECKING:
    from shmclient.admin import OffsetSpec


def earliest(target: Target, places: Iterable[Place]) -> dict[Place, int]:
    from shmclient.admin import OffsetSpec

    return _ask(target, places, OffsetSpec.earliest())


def latest(target: Target, places: Iterable[Place], *, is_lenient: bool = False) -> dict[Place, int]:
    """The offset after the last record. ``is_lenient``: partitions that cannot be asked (they are gone, their log is not open)
    are left out."""
    from shmclient.admin import OffsetSpec

    return _ask(target, places, OffsetSpec.latest(), is_lenient=is_lenient)


def at_time(target: Target, places: Iterable[Place], timestamp_ms: int) -> dict[Place, int]:
    """The first offset at or after a time. Partitions without such a record are left out."""
    from shmclient.admin import OffsetSpec

    found = _ask(target, places, OffsetSpec.for_timestamp(max(0, timestamp_ms)))
    return {place: offset for place, offset in found.items() if offset >= 0}


def _ask(
    target: Target, places: Iterable[Place], spec: OffsetSpec, *, is_lenient: bool = False
) -> dict[Place, int]:
    """
    Raises:
        CliError: unless ``is_lenient``, the first refusal.
    """
    from shmclient import TopicPartition

    partitions = {place: TopicPartition(*place) for place in places}
    if not partitions:
        return {}
    request = dict.fromkeys(partitions.values(), spec)
    futures = target.admin.list_offsets(request, request_timeout=target.timeout_s)
    found = {}
    for place, partition in partitions.items():
        try:
            found[place] = target.result(futures[partition], subject=str(place)).offset
        except CliError as error:
            if not is_lenient or error.code is ExitCode.NO_DAEMON:
                raise
    return found
