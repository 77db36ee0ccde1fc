from __future__ import annotations

import msgspec

from shmclient.consumer.group_metadata import MAGIC, group_metadata
from shmclient.consumer.offsets import NOBODY, Identity


def test_it_tells_who_reads() -> None:
    data = group_metadata("g", Identity("m", 7, "one"))
    assert data.startswith(MAGIC)
    assert msgspec.msgpack.decode(data.removeprefix(MAGIC)) == ["g", 7, "m", "one"]


def test_nobody_has_no_epoch() -> None:
    assert msgspec.msgpack.decode(group_metadata("g", NOBODY).removeprefix(MAGIC)) == ["g", -1, "", None]
