"""Dumps of real segments, whole and damaged."""

from __future__ import annotations

import json
import random
import shutil

import pytest

from shmbroker.log.writer import PartitionWriter
from shmbroker.records.builder import Columns, ProducerStamp, build_batch
from shmbroker.records.control import Marker
from shmbroker.records.layout import Flag, read_header
from shmclient import Producer
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

MARK = b"the-byte-to-flip"


@pytest.fixture(scope="module")
def stopped_data_dir(tmp_path_factory):
    """The data dir of a daemon that has stopped: two topics, several segments, large and small batches."""
    path = tmp_path_factory.mktemp("stopped") / "data"
    with EmbeddedBroker(data_dir=path) as broker:
        address = {"bootstrap.servers": broker.bootstrap_servers}
        topics = [NewTopic("small", 2), NewTopic("large", 1, config={"segment.bytes": "1048576"})]
        for future in AdminClient(address).create_topics(topics).values():
            future.result(10)
        with Producer(address) as producer:
            for i in range(3):
                producer.produce(
                    "small", f"v{i}", f"k{i}", partition=0, headers={"h": str(i)}, timestamp=1000 + i
                )
                producer.flush()
            producer.produce("small", None, b"\xff\xfe", partition=1)
            for i in range(60):
                producer.produce("large", MARK + bytes([i]) * 50_000)
                producer.flush()
    return path


@pytest.fixture
def data_dir(stopped_data_dir, tmp_path):
    """A copy to damage."""
    return shutil.copytree(stopped_data_dir, tmp_path / "data")


def segments(data_dir, partition="large-0"):
    return sorted((data_dir / "logs" / partition).glob("*.mdb"))


def test_a_whole_log_is_dumped_batch_by_batch(cli, stopped_data_dir):
    lines = cli("log", "dump", stopped_data_dir / "logs" / "small-0", "--json").json_lines()
    assert [(line["base_offset"], line["last_offset"], line["count"]) for line in lines] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 2, 1),
    ]
    assert [line["base_timestamp"] for line in lines] == [1000, 1001, 1002]
    assert [line["base_sequence"] for line in lines] == [0, 1, 2]
    assert all(line["crc_ok"] and line["codec"] == "none" and line["producer_id"] >= 0 for line in lines)


def test_records_are_printed_on_demand(cli, stopped_data_dir):
    (file,) = segments(stopped_data_dir, "small-0")
    lines = cli("log", "dump", file, "--print-data", "--json").json_lines()
    assert lines[1]["records"] == [
        {"offset": 1, "timestamp": 1001, "key": "k1", "value": "v1", "headers": [{"name": "h", "value": "1"}]}
    ]
    (line,) = cli("log", "dump", stopped_data_dir / "logs" / "small-1", "--print-data", "--json").json_lines()
    assert line["records"][0]["key_base64"] == "//4="
    assert line["records"][0]["value"] is None
    text = cli("log", "dump", file, "--print-data").ok()
    assert "offset=1 timestamp=1001 key='k1' value='v1'" in text
    assert "crc_ok=yes" in text


def test_transactions_and_their_markers_are_shown(cli, tmp_path):
    writer = PartitionWriter(tmp_path / "t-0", 1 << 20, 4096, leader_epoch=0)
    for epoch, committed in enumerate([True, False]):
        stamp = ProducerStamp(77, epoch, 0)
        batch = bytearray(b"".join(build_batch(Columns([b"v"]), 5, stamp, flags=Flag.TRANSACTIONAL)))
        writer.stage(batch, read_header(batch), -1)
        writer.stage_marker(Marker(77, epoch + 1, committed, 9), 6)
        writer.commit()
    writer.close()
    lines = cli("log", "dump", tmp_path / "t-0", "--json").json_lines()
    assert [(line["transactional"], line["control"], line.get("marker")) for line in lines] == [
        (True, False, None),
        (True, True, "commit"),
        (True, False, None),
        (True, True, "abort"),
    ]
    assert [(line["producer_id"], line["producer_epoch"]) for line in lines] == [
        (77, 0),
        (77, 1),
        (77, 1),
        (77, 2),
    ]
    assert lines[1]["coordinator_epoch"] == 9
    text = cli("log", "dump", tmp_path / "t-0").ok()
    assert "producer_epoch=2" in text and "marker=abort coordinator_epoch=9" in text


def test_a_data_dir_is_dumped_with_all_segments_in_order(cli, stopped_data_dir):
    assert len(segments(stopped_data_dir)) >= 3
    lines = cli("log", "dump", stopped_data_dir, "--json").json_lines()
    large = [line["base_offset"] for line in lines if "large-0" in line["file"]]
    assert large == list(range(60))
    count = len(segments(stopped_data_dir)) + 2
    assert (
        cli("log", "dump", stopped_data_dir, "--verify-only").ok()
        == f"{count} segments, 64 batches, 64 records, 0 damaged\n"
    )


def test_nothing_is_written(cli, data_dir):
    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in data_dir.rglob("*")}

    before = state()
    cli("log", "dump", data_dir, "--print-data").ok()
    assert state() == before


def test_a_flipped_byte_is_found_and_the_rest_still_shown(cli, data_dir):
    file = segments(data_dir)[0]
    contents = bytearray(file.read_bytes())
    contents[contents.index(MARK + bytes([2])) + 1000] ^= 1
    file.write_bytes(contents)
    result = cli("log", "dump", data_dir, "--json")
    assert result.exit_code == 1
    assert "damage in 1 places" in result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    (damaged,) = [line for line in lines if "damage" in line]
    assert (damaged["base_offset"], damaged["crc_ok"], damaged["file"]) == (2, False, str(file))
    assert "CRC" in damaged["damage"]
    assert len(lines) == 64
    text = cli("log", "dump", data_dir, "--verify-only").stdout
    assert text.count("\n") == 3
    assert f"{file}: batch that ends at offset 2: corrupt batch: CRC" in text


def test_a_file_cut_short_is_searched_for_whole_batches(cli, data_dir):
    file = segments(data_dir)[0]
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(size * 2 // 3)
    result = cli("log", "dump", file, "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert any("cut short" in line.get("damage", "") for line in lines)
    offsets = [line["base_offset"] for line in lines if line.get("crc_ok")]
    assert offsets == list(range(len(offsets)))
    assert len(offsets) > 5


def test_a_file_without_its_first_pages_is_searched_too(cli, data_dir):
    file = segments(data_dir)[0]
    whole = [line["base_offset"] for line in cli("log", "dump", file, "--json").json_lines()]
    contents = file.read_bytes()
    file.write_bytes(bytes(8192) + contents[8192:])
    result = cli("log", "dump", file, "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert "is not the meta page of a segment" in lines[0]["damage"]
    assert [line["base_offset"] for line in lines if "base_offset" in line] == whole


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_survived_and_reported_or_harmless(cli, data_dir, seed):
    """Bytes overwritten at random: in batches, in the tree, or in pages that are no longer used."""
    file = segments(data_dir)[0]
    whole = cli("log", "dump", file, "--json").stdout
    contents = bytearray(file.read_bytes())
    dice = random.Random(seed)
    # Half of them where the tree is: the pages outside of large values.
    limit = len(contents) if seed % 2 else 10 * 4096
    for _ in range(20):
        contents[dice.randrange(limit)] = dice.randrange(256)
    file.write_bytes(contents)
    result = cli("log", "dump", file, "--print-data", "--json")
    assert result.exit_code in (0, 1)
    if result.exit_code == 0:
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        for line in lines:
            line.pop("records")
        assert lines == [json.loads(line) for line in whole.splitlines()]
    else:
        assert "damage" in result.stderr


def test_the_log_of_a_running_daemon_can_be_dumped(cli, topic, shmbroker_session):
    cli("produce", topic, "-p", 0, stdin="alive\n").ok()
    folder = shmbroker_session.data_dir / "logs" / f"{topic}-0"
    (line,) = cli("log", "dump", folder, "--print-data", "--json").json_lines()
    assert line["records"][0]["value"] == "alive"
    cli("produce", topic, "-p", 0, stdin="still\n").ok()
    assert "still" in cli("log", "dump", folder, "--print-data").ok()


def test_paths_without_segments_are_not_found(cli, tmp_path):
    assert cli("log", "dump", tmp_path).exit_code == 4
    assert cli("log", "dump", tmp_path / "missing").exit_code == 4


def test_what_is_no_segment_is_damaged(cli, tmp_path):
    for contents in (b"", b"not a segment", bytes(100_000)):
        (tmp_path / "00000000000000000000.mdb").write_bytes(contents)
        result = cli("log", "dump", tmp_path)
        assert result.exit_code == 1, contents[:20]
        assert "damage" in result.stderr
    assert len(list(tmp_path.iterdir())) == 1
