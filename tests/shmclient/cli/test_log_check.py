"""Segments verified and repaired, whole and damaged."""

from __future__ import annotations

import os
import shutil

import pytest

from shmclient import Producer
from shmclient.admin import AdminClient, NewTopic
from shmclient.testing import EmbeddedBroker

MARK = b"the-byte-to-flip"


@pytest.fixture(scope="module")
def stopped_data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("stopped") / "data"
    with EmbeddedBroker(data_dir=path) as broker:
        address = {"bootstrap.servers": broker.bootstrap_servers}
        topic = NewTopic("t", 1, config={"segment.bytes": "1048576"})
        AdminClient(address).create_topics([topic])["t"].result(10)
        with Producer(address) as producer:
            for i in range(60):
                producer.produce("t", MARK + bytes([i]) * 50_000)
                producer.flush()
    return path


@pytest.fixture
def data_dir(stopped_data_dir, tmp_path):
    return shutil.copytree(stopped_data_dir, tmp_path / "data")


def segments(data_dir):
    return sorted((data_dir / "logs" / "t-0").glob("*.mdb"))


def run(cli, *arguments, status=0):
    result = cli(*arguments)
    assert result.exit_code == status, result.stderr or result.stdout
    return result


def flip(path):
    """A byte of the third batch."""
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(MARK, at)]
    data[places[2]] ^= 1
    path.write_bytes(data)


def test_whole_segments_are_said_to_be_whole(cli, stopped_data_dir):
    lines = run(cli, "log", "verify", stopped_data_dir, "--json").json_lines()
    assert len(lines) == len(segments(stopped_data_dir)) > 2
    assert [line["damage"] for line in lines] == [None] * len(lines)
    assert sum(line["batches"] for line in lines) == 60


@pytest.mark.parametrize("which", [0, -1])
def test_a_flipped_byte_is_found_and_repaired_and_the_old_file_stays(cli, data_dir, which):
    path = segments(data_dir)[which]
    flip(path)
    damaged = path.read_bytes()
    found = run(cli, "log", "verify", data_dir, status=1)
    assert f"{path}: offset {int(path.stem) + 2}: the batch at offset {int(path.stem) + 2}" in found.stdout
    shown = run(cli, "log", "repair", data_dir, status=1)
    assert f"{path}: would be written anew" in shown.stdout
    assert path.read_bytes() == damaged
    done = run(cli, "log", "repair", data_dir, "--yes")
    if which == 0:  # others follow it: what is behind the damage stays
        first = int(path.stem) + 2
        assert f"{path}: rebuilt from its batches" in done.stdout
        assert f"; offsets {first} to {first + 1} are lost" in done.stdout
    else:
        assert f"{path}: cut after its last valid batch" in done.stdout
    assert (path.parent / f"{path.name}.damaged").read_bytes() == damaged
    run(cli, "log", "verify", data_dir)


def test_a_segment_cut_short_is_rebuilt_from_what_is_left(cli, data_dir):
    path = segments(data_dir)[-1]
    os.truncate(path, path.stat().st_size // 2)
    assert "cut short" in run(cli, "log", "verify", path, status=1).stdout
    assert "rebuilt from its batches" in run(cli, "log", "repair", path, "-y").stdout
    (line,) = run(cli, "log", "verify", path, "--json").json_lines()
    assert line["batches"] > 0


def test_a_live_data_dir_is_verified_and_not_repaired(cli, data_dir):
    with EmbeddedBroker(data_dir=data_dir) as broker:
        run(cli, "log", "verify", data_dir)
        refused = run(cli, "log", "repair", data_dir, "--yes", status=1)
        assert f"{data_dir} is in use by the daemon with pid {broker.pid}" in refused.stderr


def test_what_is_no_segment_is_refused(cli, tmp_path):
    run(cli, "log", "verify", tmp_path / "none", status=4)
    (tmp_path / "x.mdb").write_bytes(b"x")
    assert "not the name of a segment" in run(cli, "log", "verify", tmp_path / "x.mdb", status=1).stderr
