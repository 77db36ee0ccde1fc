from __future__ import annotations

from pathlib import Path

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.log.folder_names import Label
from shmbroker.log.label_file import claim, read_label

ORDERS = Label(bytes(range(16)), "orders", 3)


def test_a_folder_is_made_with_its_label(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "orders-3"
    assert read_label(folder) is None
    claim(folder, ORDERS)
    assert read_label(folder) == ORDERS
    assert [path.name for path in folder.iterdir()] == ["partition.metadata"]
    claim(folder, ORDERS)


@pytest.mark.parametrize("content", [b"", b"version: 0\ntopic_id: AAEC", b"\xff\xfe\0" * 100])
def test_a_label_that_a_power_loss_left_half_written_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "partition.metadata").write_bytes(content)
    assert read_label(tmp_path) is None
    claim(tmp_path, ORDERS)
    assert read_label(tmp_path) == ORDERS


@pytest.mark.parametrize(
    "other", [ORDERS._replace(topic_id=bytes(16)), ORDERS._replace(partition=4)], ids=["topic", "partition"]
)
def test_a_folder_of_another_partition_is_refused_and_left_as_it_is(tmp_path: Path, other: Label) -> None:
    claim(tmp_path, ORDERS)
    with pytest.raises(BrokerError, match="the log of another topic is in the way") as refused:
        claim(tmp_path, other)
    assert refused.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert str(tmp_path) in refused.value.message
    assert read_label(tmp_path) == ORDERS


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    obstacle = tmp_path / "orders-3"
    obstacle.write_text("in the way")
    with pytest.raises(BrokerError, match=str(obstacle)):
        claim(obstacle, ORDERS)
