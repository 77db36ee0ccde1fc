"""The commands on groups against Apache Kafka: what they print is what they print of a daemon, as far as it can be had."""

import itertools
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shmclient.cli.app import app

sys.path.insert(0, str(Path(__file__).parents[2] / "conformance"))

pytestmark = pytest.mark.kafka
_serial = itertools.count()


@pytest.fixture(scope="module")
def kafka():
    from support import backends

    with backends.start("bridge", {}) as node:
        yield node.bootstrap_servers


@pytest.fixture
def cli(kafka):
    def run(*arguments, stdin=b""):
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, [*words, "-b", kafka, "--timeout", "20"], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def topic(cli):
    """Four records in partition 0, written at 100, 200, 300 and 400 ms, and one in partition 1."""
    name = f"topic-{next(_serial)}"
    assert cli("topics", "create", name, "-p", 2).exit_code == 0
    for partition, times in ((0, (100, 200, 300, 400)), (1, (250,))):
        lines = "".join(f'{{"value": "x", "timestamp_ms": {time}}}\n' for time in times)
        result = cli("produce", name, "-p", partition, "--json", stdin=lines)
        assert result.exit_code == 0, result.stderr
    return name


@pytest.fixture
def group(cli, topic):
    """Has committed 2 in partition 0."""
    name = f"group-{next(_serial)}"
    arguments = ("--topic", f"{topic}:0", "--to-offset", 2, "--execute")
    assert rows(cli("groups", "reset-offsets", name, *arguments, "--json"))[0]["result"] == "set"
    return name


@pytest.fixture
def member(kafka, topic, group):
    """A member of another group, by confluent_kafka itself; the name of its group."""
    import confluent_kafka

    name = f"{group}-with-members"
    config = {"bootstrap.servers": kafka, "group.id": name, "client.id": "reader", "log_level": 0}
    consumer = confluent_kafka.Consumer(config | {"auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    while len(consumer.assignment()) < 2:
        consumer.poll(0.1)
    yield name
    consumer.close()


def rows(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def committed(cli, group):
    return {row["partition"]: row["committed"] for row in rows(cli("groups", "describe", group, "--json"))}


def test_groups_are_listed(cli, group, member):
    found = {row["group"]: row for row in rows(cli("groups", "list", "--json"))}
    assert found[group] == {"group": group, "state": "Empty", "type": "Classic", "is_simple": True}
    assert found[member] == {"group": member, "state": "Stable", "type": "Classic", "is_simple": False}
    assert member not in {row["group"] for row in rows(cli("groups", "list", "--state", "Empty", "--json"))}


def test_groups_are_described(cli, kafka, group, topic, member):
    (row,) = rows(cli("groups", "describe", group, "--json"))
    assert (row["topic"], row["committed"], row["log_end"], row["lag"], row["consumer_id"]) == (
        topic,
        2,
        4,
        2,
        None,
    )
    owned = rows(cli("groups", "describe", member, "--json"))
    assert [(row["partition"], row["log_end"], row["client_id"]) for row in owned] == [
        (0, 4, "reader"),
        (1, 1, "reader"),
    ]
    (row,) = rows(cli("groups", "describe", member, "--members", "--verbose", "--json"))
    assert (row["client_id"], row["partitions"], row["assignment"]) == ("reader", 2, f"{topic}:0,1")
    assert row["epoch"] is None
    (row,) = rows(cli("groups", "describe", member, "--state", "--json"))
    assert (row["state"], row["assignor"], row["members"]) == ("Stable", "range", 1)
    assert row["coordinator"].startswith(kafka)
    result = cli("groups", "describe", "no-such-group")
    assert (result.exit_code, result.stderr) == (4, "shmbroker: group 'no-such-group' does not exist\n")


def test_lag_is_told_in_records(cli, group, topic, member):
    (report,) = rows(cli("lag", group, "--json"))
    assert (report["group"], report["lag"], report["status"], report["lag_ms"]) == (group, 2, None, None)
    assert report["topics"] == [{"topic": topic, "lag": 2, "lag_ms": None}]
    (partition,) = report["partitions"]
    assert (partition["partition"], partition["committed"], partition["log_end"]) == (0, 2, 4)
    assert group in {report["group"] for report in rows(cli("lag", "--json"))}


def test_a_group_that_committed_nothing_is_told_apart_from_none(cli, member):
    (report,) = rows(cli("lag", member, "--json"))
    assert (report["lag"], report["partitions"]) == (None, [])
    assert "has committed no offset" in report["remark"]
    result = cli("lag", "no-such-group")
    assert (result.exit_code, result.stderr) == (4, "shmbroker: group 'no-such-group' does not exist\n")


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (["--to-earliest"], {0: 0, 1: 0}),
        (["--to-latest"], {0: 4, 1: 1}),
        (["--to-current"], {0: 2, 1: 1}),
        (["--to-offset", "3"], {0: 3, 1: 1}),
        (["--to-datetime", "1970-01-01T00:00:00.250"], {0: 2, 1: 0}),
        (["--by-duration", "PT1M"], {0: 4, 1: 1}),
    ],
    ids=str,
)
def test_offsets_are_reset(cli, group, topic, scenario, expected):
    shown = rows(cli("groups", "reset-offsets", group, "--topic", topic, *scenario, "--json"))
    assert {row["partition"]: row["new_offset"] for row in shown} == expected
    assert committed(cli, group) == {0: 2}
    rows(cli("groups", "reset-offsets", group, "--topic", topic, *scenario, "--execute", "--json"))
    assert committed(cli, group) == expected


def test_offsets_are_shifted_and_set_from_a_file(cli, group, topic, tmp_path):
    rows(cli("groups", "reset-offsets", group, "--all-topics", "--shift-by", -1, "--execute", "--json"))
    assert committed(cli, group) == {0: 1}
    file = tmp_path / "plan.csv"
    file.write_text(f"{topic},0,3\n{topic},1,9\n")
    result = cli("groups", "reset-offsets", group, "--from-file", file, "--execute", "--json")
    assert [row["new_offset"] for row in rows(result)] == [3, 1]
    assert "9 is after the latest offset 1" in result.stderr
    assert committed(cli, group) == {0: 3, 1: 1}


def test_what_has_members_is_left_alone(cli, topic, member):
    result = cli("groups", "reset-offsets", member, "--topic", topic, "--to-earliest", "--execute")
    assert result.exit_code == 1
    assert "it is Stable, with 1 members" in result.stderr
    result = cli("groups", "delete", member)
    assert result.exit_code == 1
    assert member in result.stderr


def test_groups_are_deleted(cli, group):
    result = cli("groups", "delete", group, "no-such-group", "--json")
    assert {row["group"]: row["result"] for row in json.loads(result.stdout)} == {
        group: "deleted",
        "no-such-group": "failed",
    }
    assert result.exit_code == 4
    assert cli("groups", "describe", group).exit_code == 4


def test_offsets_cannot_be_deleted_and_that_is_said(cli, group, topic):
    result = cli("groups", "delete-offsets", group, "--topic", topic)
    assert result.exit_code == 1
    assert "kafka-consumer-groups.sh --delete-offsets" in result.stderr
