import signal
import time

import pytest


@pytest.fixture
def filled(cli, topic):
    """Records v0 to v9 with keys k0 to k9 in partition 0, and w0, w1 in partition 1."""
    cli("produce", topic, "-p", 0, "-K", "=", stdin="".join(f"k{i}=v{i}\n" for i in range(10))).ok()
    cli("produce", topic, "-p", 1, stdin="w0\nw1\n").ok()
    return topic


def values(cli, topic, *options):
    return cli("consume", topic, "-e", *options).ok().splitlines()


def test_from_beginning_prints_every_partition_in_order(cli, filled):
    lines = values(cli, filled, "--from-beginning")
    assert [line for line in lines if line[0] == "v"] == [f"v{i}" for i in range(10)]
    assert [line for line in lines if line[0] == "w"] == ["w0", "w1"]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("beginning", range(10)),
        ("earliest", range(10)),
        ("0", range(10)),
        ("7", range(7, 10)),
        ("-3", range(7, 10)),
        ("-100", range(10)),
        ("end", ()),
        ("10", ()),
        ("s@0", range(10)),
        ("s@-1h", range(10)),
    ],
)
def test_positions(cli, filled, position, expected):
    assert values(cli, filled, "-p", 0, "-o", position) == [f"v{i}" for i in expected]


def test_an_offset_beyond_the_end_is_out_of_range(cli, filled):
    result = cli("consume", filled, "-p", 0, "-o", 99, "-e")
    assert result.exit_code == 1
    assert "99" in result.stderr or "range" in result.stderr


def test_times_bound_both_ends(cli, topic):
    lines = "".join(f'{{"value": "{t}", "timestamp_ms": {t}}}\n' for t in range(1000, 1010))
    cli("produce", topic, "-p", 0, "--json", stdin=lines).ok()
    cli("produce", topic, "-p", 1, "--json", stdin='{"value": "early", "timestamp_ms": 5}\n').ok()
    assert values(cli, topic, "-o", "s@1003", "-o", "e@1006") == ["1003", "1004", "1005"]
    assert sorted(values(cli, topic, "-o", "beginning", "-o", "e@1001")) == ["1000", "early"]


def test_count_stops(cli, filled):
    assert values(cli, filled, "--from-beginning", "-p", 0, "-n", 3) == ["v0", "v1", "v2"]
    assert cli("consume", filled, "--from-beginning", "-n", 12).ok().count("\n") == 12
    assert values(cli, filled, "--from-beginning", "-n", 0) == []


def test_formats(cli, filled):
    lines = values(cli, filled, "-p", 0, "-o", 9, "-f", r"%t|%p|%o|%k|%s|%K|%S|%%\t.\n")
    assert lines == [f"{filled}|0|9|k9|v9|2|2|%\t."]
    assert values(cli, filled, "-p", 0, "-o", 9, "-K", ": ") == ["k9: v9"]
    assert values(cli, filled, "-p", 1, "-o", 1, "-K", ": ", "-Z", "null") == ["null: w1"]


def test_json_has_every_field(cli, filled):
    (record,) = cli("consume", filled, "-p", 0, "-o", 9, "-e", "--json").json_lines()
    timestamp_ms = record.pop("timestamp_ms")
    assert abs(timestamp_ms / 1000 - time.time()) < 600
    assert record == {
        "topic": filled,
        "partition": 0,
        "offset": 9,
        "timestamp_type": "create",
        "key": "k9",
        "value": "v9",
        "headers": [],
    }


def test_a_group_goes_on_where_it_has_committed(cli, filled):
    assert len(values(cli, filled, "--group", "g1", "-n", 5, "-p", 0)) == 5
    assert values(cli, filled, "--group", "g1", "-p", 0) == [f"v{i}" for i in range(5, 10)]
    assert values(cli, filled, "--group", "g1", "-p", 0) == []
    assert len(values(cli, filled, "--group", "g2")) == 12


def test_options_that_exclude_each_other(cli, filled):
    assert cli("consume", filled, "-o", "5", "-o", "6").exit_code == 2
    assert cli("consume", filled, "-o", "stored").exit_code == 2
    assert cli("consume", filled, "-o", "later").exit_code == 2
    assert cli("consume", filled, "-f", "%s", "-K", ":").exit_code == 2
    assert cli("consume", filled, "-f", "%z").exit_code == 2


def test_unknown_topics_and_partitions_are_not_found(cli, filled, new_name):
    assert cli("consume", new_name, "-e").exit_code == 4
    result = cli("consume", filled, "-p", 5, "-e")
    assert result.exit_code == 4
    assert "it has 2, from 0 to 1" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_follows_until_told_to_stop(cli, spawn, filled, number):
    process = spawn("consume", filled, "--offset", "-1", "-p", "0")
    assert process.stdout.readline() == b"v9\n"
    cli("produce", filled, "-p", 0, stdin="news\n").ok()
    assert process.stdout.readline() == b"news\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, b"", b"")


def test_a_closed_pipe_ends_it_quietly(cli, spawn, filled):
    process = spawn("consume", filled, "--from-beginning")
    assert process.stdout.readline()
    process.stdout.close()
    cli("produce", filled, stdin="one more\n").ok()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
