import pytest


@pytest.fixture
def timed(cli, topic):
    lines = "".join(f'{{"value": "x", "timestamp_ms": {t}}}\n' for t in (100, 300, 200))
    cli("produce", topic, "-p", 0, "--json", stdin=lines).ok()
    return topic


def test_earliest_and_latest_of_every_partition(cli, timed):
    assert cli("offsets", timed, "--json").json() == [
        {"topic": timed, "partition": 0, "earliest": 0, "latest": 3},
        {"topic": timed, "partition": 1, "earliest": 0, "latest": 0},
    ]
    assert cli("offsets", timed, "-p", 0).ok().splitlines()[1].split() == [timed, "0", "0", "3"]


@pytest.mark.parametrize(
    ("time", "offset", "timestamp"), [("150", 1, 300), ("max", 1, 300), ("301", None, None)]
)
def test_times(cli, timed, time, offset, timestamp):
    row, empty = cli("offsets", timed, "--time", time, "--json").json()
    assert (row["offset"], row["timestamp"]) == (offset, timestamp)
    assert (empty["offset"], empty["timestamp"]) == (None, None)


def test_committed_and_lag_of_a_group(cli, timed):
    cli("consume", timed, "--group", "lagging", "-n", 1).ok()
    row, empty = cli("offsets", timed, "--group", "lagging", "--json").json()
    assert (row["committed"], row["lag"]) == (1, 2)
    assert (empty["committed"], empty["lag"]) == (None, None)


def test_unknown_things(cli, timed, new_name):
    assert cli("offsets", new_name).exit_code == 4
    assert cli("offsets", timed, "-p", 9).exit_code == 4
    assert cli("offsets", timed, "--time", "yesterday").exit_code == 2
